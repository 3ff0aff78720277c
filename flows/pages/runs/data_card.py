"""The data of a run, from the manifests of its tokens dataset and of the datasets that this was made from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.contract import files, manifest, shards
from pipelines.contract.manifest import DatasetError, Manifest

_COUNTS = ("rows", "tokens", "utf8_bytes")


@dataclass(frozen=True, slots=True)
class SourceCard:
    """One source; None where no manifest has the value."""

    name: str
    kind: str | None
    snapshot: str | None
    license: str | None
    languages: tuple[str, ...]
    found: int | None  # documents
    published: int | None  # documents of the corpus
    train: dict[str, int]  # rows (documents), tokens, utf8_bytes
    validation: dict[str, int]

    @property
    def bytes_per_token(self) -> float | None:
        """Bytes per token of the train split."""
        return self.train["utf8_bytes"] / self.train["tokens"] if self.train["tokens"] else None


@dataclass(frozen=True, slots=True)
class DataCard:
    """A tokens dataset; `problem` says why it could not be read."""

    where: str
    fingerprint: str | None = None
    facts: tuple[tuple[str, str], ...] = ()  # name and value, for a reader
    sources: tuple[SourceCard, ...] = ()
    vocabulary: int | None = None  # pieces of the tokenizer
    problem: str | None = None


def data_card(data: Mapping[str, Any], base: Path | None) -> DataCard:
    """Return the card of a config's [data]; `base` is the folder in which the run was started, if that is known.

    A dataset that is missing or damaged gives a card with the problem.
    """
    where = str(data["tokens"])
    tried = [where] if base is None or "://" in where else [str(base / where), where]
    problem = ""
    for uri in tried:
        try:
            folder = shards.find(uri, data.get("name"))
            return _card(folder, manifest.read(folder))
        except DatasetError as error:
            problem = problem or str(error)
    return DataCard(where, problem=problem)


def _card(uri: str, tokens: Manifest) -> DataCard:
    root = _root(uri, tokens)
    corpus = _ancestor(root, "corpus", tokens.made_from.get("corpus"))
    described = {str(section["name"]): section for section in tokens.config.get("sources", [])}
    counted = tokens.facts["tokens"]
    names = sorted({name for split in counted.values() for name in split} | set(corpus.ledgers if corpus else ()))
    sources = tuple(_source(name, described.get(name, {}), counted, corpus) for name in names)
    size = int(tokens.facts["tokenizer"]["size"])
    return DataCard(uri, tokens.fingerprint, tuple(_facts(uri, tokens, corpus)), sources, size)


def _root(uri: str, tokens: Manifest) -> str | None:
    """Return the output folder of the build, if the dataset is where the build wrote it."""
    end = "/" + files.join(tokens.dataset, tokens.fingerprint[: manifest.FINGERPRINT_CHARACTERS])
    return uri.removesuffix(end) if uri.endswith(end) else None


def _ancestor(root: str | None, dataset: str, fingerprint: object) -> Manifest | None:
    """Return the manifest of a dataset that this one was made from, or None if it was handed over without it."""
    if root is None or not isinstance(fingerprint, str):
        return None
    folder = manifest.folder(root, dataset, fingerprint)
    return manifest.read(folder) if manifest.is_complete(folder) else None


def _source(name: str, section: Mapping[str, Any], counted: Mapping[str, Any], corpus: Manifest | None) -> SourceCard:
    languages = {language for split in counted.values() for language in split.get(name, {})}
    lines = list(corpus.ledgers[name].lines.values()) if corpus and name in corpus.ledgers else []
    return SourceCard(
        name=name,
        kind=section.get("kind"),
        snapshot=section.get("snapshot"),
        license=section.get("license"),
        languages=tuple(sorted(languages)),
        found=lines[0].documents_in if lines else None,
        published=lines[-1].documents_out if lines else None,
        train=_sum(counted.get("train", {}).get(name, {})),
        validation=_sum(counted.get("validation", {}).get(name, {})),
    )


def _sum(languages: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {key: sum(counts[key] for counts in languages.values()) for key in _COUNTS}


def _facts(uri: str, tokens: Manifest, corpus: Manifest | None) -> list[tuple[str, str]]:
    tokenizer, config = tokens.facts["tokenizer"], tokens.config
    made_from = tokens.made_from
    rows = [
        ("corpus", str(config.get("corpus", {}).get("name", ""))),
        ("folder", uri),
        ("tokens dataset", f"{tokens.dataset} {tokens.fingerprint}"),
        ("corpus dataset", str(made_from.get("corpus") or "") + ("" if corpus else " (its manifest is not next to the tokens)")),
        ("vocabulary dataset", str(made_from.get("vocabulary") or "")),
        (
            "tokenizer",
            f"{tokenizer['kind']} ({tokenizer['library']}), {tokenizer['size']:,} pieces, sha256 {tokenizer['sha256']}",
        ),
    ]
    return [(name, value) for name, value in (*rows, *_choices(config)) if value.strip()]


def _choices(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the config of the build keeps of the sources."""
    language, quality = config.get("language", {}), config.get("quality", {})
    exclude = config.get("exclude", {})
    taken_down = sum(len(exclude.get(kind, ())) for kind in ("ids", "urls", "hosts"))
    lists = [path for kind in ("ids", "urls", "hosts") for path in exclude.get(f"{kind}_files", ())]
    return [
        ("languages kept", ", ".join(language.get("keep", [])) if language.get("enabled", True) else "all"),
        ("texts in several languages", {"cut": "cut to one", "drop": "dropped"}.get(language.get("mixed", "keep"), "")),
        ("deduplicated", _deduplicated(config.get("deduplicate", {}))),
        ("quality", ", ".join([*quality.get("rules", []), *(["classifier"] if quality.get("classifier") else [])])),
        ("taken down", ", ".join([f"{taken_down:,} ids, URLs and hosts"] * bool(taken_down) + [_brief(path) for path in lists])),
        ("decontaminated from", ", ".join(map(_brief, config.get("decontaminate", {}).get("fields", [])))),
        ("held out", f"{config['corpus']['validation_share']:.2%} of all works" if "corpus" in config else ""),
    ]


def _deduplicated(section: Mapping[str, Any]) -> str:
    """Return which copies are removed; nothing if the config does not say."""
    if not section.get("enabled"):
        return "no" if section else ""
    exact = section.get("exact", "bytes")
    kinds = [f"exact copies ({exact})"] * bool(exact) + [f"from a similarity of {section['threshold']}"] * section.get(
        "near", True
    )
    return " and ".join(kinds) or "no"


def _brief(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
