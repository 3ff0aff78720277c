"""How a build was made: when, how long, on which machine, with which config and versions.

Only these facts differ between two equal builds; they come from `timings.jsonl`, which no fingerprint covers.
"""

import importlib.metadata
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flows.pages.elements import section, table, text
from pipelines.config import MACHINE, CorpusConfig
from pipelines.contract import files
from pipelines.review.gather import Review, gather
from pipelines.units.context import TIMINGS, Dataset

_PACKAGES = ("corpusmill", "pyarrow", "numpy", "numba", "apache-beam", "fasttext-community", "sentencepiece")


@dataclass(frozen=True, slots=True)
class Made:
    """The making of the published datasets."""

    seconds: Mapping[str, float]  # by dataset
    finished: str  # when the last of them was: ISO 8601, UTC; empty if it was not noted
    machine: str
    workers: int
    version: str  # of the program

    @property
    def minutes(self) -> str:
        """Return how long all datasets took together."""
        total = sum(self.seconds.values())
        return f"{total:.1f} seconds" if total < 100 else f"{total / 60:.1f} minutes"


@dataclass(frozen=True, slots=True)
class BuildFacts:
    """Everything that the page shows of a build."""

    report: Mapping[str, Any]
    made: Made
    built: Mapping[str, Dataset]
    review: Review


def build_facts(out: str, report: Mapping[str, Any], built: Mapping[str, Dataset]) -> BuildFacts:
    """Read what the page shows of a finished build."""
    return BuildFacts(report, made(out, built), built, gather(built["corpus"], built.get("classifier")))


def made(out: str, built: Mapping[str, Dataset]) -> Made:
    """Return how these datasets were made, by the last line of each in the build's timings."""
    path = files.join(out, TIMINGS)
    lines = list(_lines(files.read_text(path))) if files.exists(path) else []
    named = {dataset.uri.rstrip("/").rpartition("/")[2]: name for name, dataset in built.items()}
    last = {named[key]: line for line in lines if (key := str(line.get("uri", "")).rpartition("/")[2]) in named}
    latest = max(last.values(), key=lambda line: str(line.get("finished", "")), default={})
    return Made(
        {name: float(last[name]["seconds"]) for name in built if name in last},
        str(latest.get("finished", "")),
        str(latest.get("machine", "")),
        int(latest.get("workers", 0)),
        str(latest.get("version", "")),
    )


def _lines(content: str) -> Iterator[dict[str, Any]]:
    """Yield the lines that are whole: a killed build may have left half of one."""
    for line in content.splitlines():
        try:
            yield dict(json.loads(line))
        except (ValueError, TypeError):
            continue


def made_section(facts: Made, built: Mapping[str, Dataset], fingerprints: Mapping[str, str]) -> str:
    """Return the section with the datasets, their seconds and fingerprints, the config, and the versions."""
    cells = [
        [text(name), f"{facts.seconds[name]:,.1f}" if name in facts.seconds else "·", f'<span class="id">{text(value)}</span>']
        for name, value in fingerprints.items()
    ]
    shown = table(("dataset", "seconds", "fingerprint"), cells, numbers=(1,))
    corpus = built.get("corpus")
    config = corpus.manifest.config if corpus is not None else {}
    changed = {key: value for key, value in flat(config).items() if value != DEFAULTS.get(key, _MISSING)}
    folds = [("What the config sets", _settings(changed)), ("The whole config", _settings(flat(config)))]
    folds += [("Versions", _versions(built))]
    folded = "".join(f"<details><summary>{name}</summary>{content}</details>" for name, content in folds if content)
    return section("How it was made", shown + folded)


_MISSING = object()


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return the values of a config by dotted name, written nearly as in TOML; tables of a list are named by their `name`."""
    values: dict[str, str] = {}
    for name, value in config.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            values |= flat(value, f"{key}.")
        elif isinstance(value, list | tuple) and value and all(isinstance(entry, Mapping) for entry in value):
            for number, entry in enumerate(value):
                values |= flat(entry, f"{key}.{entry.get('name', number)}.")
        else:
            values[key] = "none" if value is None else json.dumps(value, ensure_ascii=False)
    return values


def _defaults() -> dict[str, str]:
    fields = CorpusConfig.model_fields
    sections = {name: field.default for name, field in fields.items() if not field.is_required()}
    excluded = {name: MACHINE[name] for name in MACHINE if name in sections and name != "vocabularies"}
    dumped = {
        name: value.model_dump(mode="json", exclude=excluded.get(name))
        for name, value in sections.items()
        if hasattr(value, "model_dump")
    }
    return flat(dumped)


DEFAULTS = _defaults()


def _settings(values: Mapping[str, str]) -> str:
    cells = [[f"<code>{text(key)}</code>", f"<code>{text(value)}</code>"] for key, value in values.items()]
    return f'<div class="config">{table(("setting", "value"), cells, kind="sortable")}</div>'


def _versions(built: Mapping[str, Dataset]) -> str:
    known = {name: version for name in _PACKAGES if (version := _installed(name))}
    known["python"] = platform.python_version()
    rows = [
        [text(f"{name}, which wrote this page" if name == "corpusmill" else name), text(value)] for name, value in known.items()
    ]
    corpus = built.get("corpus")
    stages = corpus.manifest.made_from.get("versions", {}) if corpus is not None else {}
    rows += [[text(f"stage {name}"), text(value)] for name, value in stages.items()]
    return table(("", "version"), rows)


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
