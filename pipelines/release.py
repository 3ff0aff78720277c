"""The output folder: claimed at the start of a build; finished datasets are published in it at the end.

<out>/
    corpusmill.json     marks the folder as ours
    release.json        what is published, written last: the one file that a reader of the build needs
    report.json         the closing report: the funnel, the clusters, what repeats, the classifier, the tokens
    report.html         the same with the documents' columns and some texts, as a page that needs no network
    release/            the published texts as Parquet with a dataset card (pipelines/exports/release)
    timings.jsonl       seconds by dataset; outside all fingerprints
    documents/ clusters/ classifier/ scores/ corpus/ index/ vocabulary/ tokens/     datasets by fingerprint
    models/ gates/      models that made them, verdicts of the gates
    search/             what `corpusmill ask` looks passages up in: an index of a corpus is named by the corpus' fingerprint
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.config import PrivateSection
from pipelines.contract import files, manifest
from pipelines.contract.errors import UserError
from pipelines.contract.ledger import Ledger
from pipelines.contract.manifest import MARK, RELEASE
from pipelines.contract.reasons import PageCount
from pipelines.text.judgement.private.findings import tokens_with
from pipelines.units.context import Context, Dataset

REPORT = "report.json"
PAGE = "report.html"
SEARCH = "search"
DATASET_KINDS = (
    "reference",
    "documents",
    "clusters",
    "repeats",
    "rarity",
    "classifier",
    "scores",
    "corpus",
    "index",
    "vocabulary",
    "tokens",
)


class OutputError(UserError):
    """The output folder cannot be used."""


def claim(out: str) -> None:
    """Mark the output folder as ours. Raise OutputError if it holds something else."""
    if files.exists(files.join(out, MARK)):
        return
    if files.is_local(out) and files.local_path(out).is_file():
        raise OutputError(f"{out}: is a file; name a new or empty folder with --out")
    if files.listing(out):
        raise OutputError(
            f"{out}: holds files that are not of a build (there is no {MARK}); name a new or empty folder with --out"
        )
    files.write_text(files.join(out, MARK), json.dumps({"format": manifest.FORMAT}) + "\n")


@dataclass(frozen=True, slots=True)
class Published:
    """A published release and its closing report."""

    uri: str
    report: dict[str, Any]


def publish(context: Context, built: Mapping[str, Dataset]) -> Published:
    """Write the report, then `release.json`, which makes these datasets the published ones."""
    report = closing_report(context, built)
    _write_json(files.join(context.out, REPORT), report)
    release: dict[str, Any] = {
        "format": manifest.FORMAT,
        "corpus_name": context.config.corpus.name,
        "retain": context.config.retain.model_dump(),  # for gc: the config of this build, not that of a dataset found
    }
    for name, dataset in sorted(built.items()):
        kind, _, rest = name.partition("/")
        folder = dataset.uri.removeprefix(context.out.rstrip("/") + "/")
        if rest:
            release.setdefault(kind, {})[rest] = folder
        else:
            release[kind] = folder
        if kind == "vocabulary":  # the corpus that it was trained on may be an earlier one
            release.setdefault("vocabulary_corpus", {})[rest] = dataset.manifest.made_from["corpus"]
    uri = files.join(context.out, RELEASE)
    _write_json(uri, release)
    return Published(uri, report)


def published(out: str, dataset: str) -> Dataset | None:
    """Return a dataset that the output folder has published, such as "vocabulary/gpt"; None if it has none of this name."""
    uri = published_folders(out).get(dataset) if files.exists(files.join(out, RELEASE)) else None
    return Dataset(uri, manifest.read(uri)) if uri is not None and manifest.is_complete(uri) else None


def closing_report(context: Context, built: Mapping[str, Dataset]) -> dict[str, Any]:
    """Return the results of the build. They depend on the datasets and on `[private]`, so equal builds have equal reports."""
    ledgers = _ledgers(built)
    report = {
        "corpus": context.config.corpus.name,
        "limit": context.limit,
        "validation_share": context.config.corpus.validation_share,
        "fingerprints": {name: dataset.manifest.fingerprint for name, dataset in sorted(built.items())},
        "funnel": {source: _funnel(ledger) for source, ledger in ledgers.items()},
        "skipped": {source: dict(ledger.skipped) for source, ledger in ledgers.items()},
        "bytes_read": {source: ledger.bytes_read for source, ledger in ledgers.items()},
        "web_pages": _web_pages(built, ledgers),
        "exclude": built["corpus"].manifest.facts.get("exclude", {}),
        "benchmarks": built["corpus"].manifest.facts.get("benchmarks", {}),
        "private": built["corpus"].manifest.facts.get("private", {}),
        "clusters": built["clusters"].manifest.facts,
        "repeats": built["repeats"].manifest.facts if "repeats" in built else {"enabled": False},
        "index": built["index"].manifest.facts if "index" in built else {"enabled": False},
        "classifier": built["classifier"].manifest.facts,
        "limits": built["corpus"].manifest.facts.get("limits", {}),
        "vocabularies": _facts(built, "vocabulary/"),
        "tokens": _facts(built, "tokens/"),
    }
    return _without_private_data(report, context.config.private)


_EXCERPTS = frozenset(("text", "title", "examples"))  # keys of a report under which strings of documents are


def _without_private_data(report: dict[str, Any], section: PrivateSection) -> dict[str, Any]:
    """Return a report in which the excerpts of documents are masked as published texts are."""
    from pipelines.text.judgement.private.masking import masked_texts  # kernels, which those who read a release do not need

    excerpts = list(dict.fromkeys(_excerpts(report)))
    public_only = section.ip_addresses == "public"
    texts = masked_texts(excerpts, section.searched, tokens_with(section.tokens), public_addresses_only=public_only)
    masked = dict(zip(excerpts, texts, strict=True))

    def replaced(value: Any, key: str = "") -> Any:
        if isinstance(value, str):
            return masked[value] if key in _EXCERPTS else value
        if isinstance(value, dict):
            return {name: replaced(entry, name) for name, entry in value.items()}
        return [replaced(entry, key) for entry in value] if isinstance(value, list) else value

    return replaced(report)


def _excerpts(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, str) and key in _EXCERPTS:
        yield value
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from _excerpts(entry, name)
    elif isinstance(value, list):
        for entry in value:
            yield from _excerpts(entry, key)


def _ledgers(built: Mapping[str, Dataset]) -> dict[str, Ledger]:
    """Return the ledger of every source from its reader to the corpus; it is empty if the source has no unit."""
    known = built["corpus"].manifest.ledgers
    sources = {name.removeprefix("documents/") for name in built if name.startswith("documents/")}
    return {source: known.get(source, Ledger()) for source in sorted({*known, *sources})}


def _funnel(ledger: Ledger) -> list[dict[str, Any]]:
    return [{"stage": stage, **line.model_dump(mode="json")} for stage, line in ledger.lines.items()]


def _web_pages(built: Mapping[str, Dataset], ledgers: Mapping[str, Ledger]) -> dict[str, Any]:
    """Return, of each source with web pages, its snapshot and how much of what they show was kept."""
    return {
        source: {
            "snapshot": built[f"documents/{source}"].manifest.made_from["source"]["snapshot"],
            **{count.value: ledger.pages[count] for count in PageCount},
        }
        for source, ledger in ledgers.items()
        if ledger.pages[PageCount.PAGES]
    }


def earlier_web_pages(out: str) -> dict[str, Any]:
    """Return the same of the release that was published before in the output folder; empty if there is none."""
    return read_report(out).get("web_pages", {}) if files.exists(files.join(out, REPORT)) else {}


def read_report(out: str) -> dict[str, Any]:
    """Return the closing report of an output folder. Raise OutputError if there is none, or it is damaged."""
    uri = files.join(out, REPORT)
    if not files.exists(uri):
        raise OutputError(f"{out}: has no {REPORT}; build it first, or name another folder")
    try:
        return dict(json.loads(files.read_text(uri)))
    except (ValueError, TypeError) as error:
        raise OutputError(f"{uri}: is damaged ({error}); remove it, and the next build writes it again") from None


def _facts(built: Mapping[str, Dataset], prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): dataset.manifest.facts for name, dataset in sorted(built.items()) if name.startswith(prefix)
    }


def _write_json(uri: str, value: Any) -> None:
    files.write_text(uri, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_release(out: str) -> dict[str, Any]:
    """Return the published release of an output folder.

    Raises OutputError if there is none, it is damaged, or another release of corpusmill wrote it in another format.
    """
    uri = files.join(out, RELEASE)
    if not files.exists(uri):
        raise OutputError(f"{out}: nothing is published there (no {RELEASE}); build it first, or name another folder")
    try:
        release = json.loads(files.read_text(uri))
    except ValueError as error:
        raise OutputError(f"{uri}: is damaged ({error}); run the build again, which writes it") from None
    if not isinstance(release, dict) or release.get("format") != manifest.FORMAT:
        written = release.get("format") if isinstance(release, dict) else None
        raise OutputError(
            f"{uri}: has the format {written!r}, and this release of corpusmill reads {manifest.FORMAT}; use the release that "
            "wrote it, or build into another folder"
        )
    return release


def published_folders(out: str) -> dict[str, str]:
    """Return the folder of every dataset in the release, by dataset name."""
    release = read_release(out)
    folders: dict[str, str] = {}
    for kind in DATASET_KINDS:
        value = release.get(kind, {})
        named = {kind: value} if isinstance(value, str) else {f"{kind}/{name}": folder for name, folder in value.items()}
        folders |= {name: files.join(out, folder) for name, folder in named.items()}
    return folders


def retire(out: str, retain_intermediate: Mapping[str, bool]) -> None:
    """Remove the datasets that will not be kept from the release, so that every dataset it names exists."""
    release = read_release(out)
    kept = {kind: value for kind, value in release.items() if retain_intermediate.get(kind, True)}
    if kept != release:
        _write_json(files.join(out, RELEASE), kept)


def garbage(out: str, retain_intermediate: Mapping[str, bool] | None = None) -> list[str]:
    """Return folders and files that the release does not need: other datasets, unfinished ones, left-over temporary files.

    An index of passages is needed as long as its corpus is the release's.

    `retain_intermediate` says whether "documents" and "clusters" of the release are kept.
    """
    retain = retain_intermediate or {}
    published = published_folders(out)
    needed = {folder for name, folder in published.items() if retain.get(name.split("/")[0], True)}
    indexes = files.join(out, SEARCH, published.get("corpus", "/").rpartition("/")[2] + "-")
    found: dict[str, None] = {}
    for path in files.listing(out, links=False):  # what a link leads to is not ours
        kind = path.removeprefix(out.rstrip("/") + "/").split("/", 1)[0]
        folder = _dataset_folder(out, kind, path) if kind in (*DATASET_KINDS, SEARCH) else None
        if folder is not None and folder not in needed and not folder.startswith(indexes):
            found[folder] = None
        elif kind.startswith(".") and kind.endswith(files.TEMPORARY):  # a folder that was not finished
            found[files.join(out, kind)] = None
        elif path.endswith(files.TEMPORARY):
            found[path] = None
    return list(found)


def _dataset_folder(out: str, kind: str, path: str) -> str:
    depth = 3 if kind in ("documents", "vocabulary", "tokens") else 2
    names = path.removeprefix(out.rstrip("/") + "/").split("/")[:depth]
    return files.join(out, *names)
