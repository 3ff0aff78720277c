"""documents/<source>: the texts of one source, extracted, normalised and judged, but not yet filtered by content.

read → exclude → blocklists → normalize → lines (of WET files and of pages by other extractors) → cut_lines → split → judge →
signatures. The language and the measures of the rules are found here, while the text is in memory for the first time, so that
deduplication can prefer a survivor that will pass. A key in several units is dropped in the later ones, which are read a second
time for it.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.beam.process_units import ReadUnit, process_units
from pipelines.config import CorpusConfig, LanguageSection, SourceSection
from pipelines.contract import files, manifest
from pipelines.contract.batch import Batch, born
from pipelines.contract.ledger import Ledger, Line
from pipelines.contract.manifest import Manifest, Sidecar, fingerprint
from pipelines.contract.reasons import DropReason, SkipReason
from pipelines.contract.tables import read_batches
from pipelines.datasets.excluded import SameExclusion
from pipelines.fetching.language_model import lid_model
from pipelines.sources.collector import READ
from pipelines.sources.kinds import KINDS
from pipelines.sources.listing import NOT_READ, SourceError, inventory, unread_message
from pipelines.stages import cut_lines, lines, normalize, repeated_keys, signatures, split
from pipelines.stages.base import Model, Stages
from pipelines.stages.exclusion import blocklists, exclude, takedown
from pipelines.stages.judgement import judge, language
from pipelines.text.extraction import extractors
from pipelines.text.judgement.languages.fasttext_file import LanguageModelError
from pipelines.text.judgement.languages.groups import LID_176_FTZ_SHA256
from pipelines.text.judgement.languages.opened import opened
from pipelines.units.context import Context, Dataset, ensure
from pipelines.units.descriptor import Unit
from pipelines.units.kept import BASE, base
from pipelines.units.parts import sidecar_uri

UNITS_OF_A_SAMPLE = 8  # a sample build reads this many units of a source
BAD_REASONS = (DropReason.UNREADABLE, DropReason.CUT_OFF, DropReason.UNDECODABLE, DropReason.EXTRACTION_FAILED)


def build(context: Context, source: SourceSection) -> Dataset:
    """Build the documents of a source, or find them built."""
    units, documents_per_unit = limited(KINDS[source.kind].units(source), context.limit)
    _warn_of_passed_over(context, source)
    prepare = partial(stages, context.config, source, language_models(context), takedown_lists(context), block_lists(context))
    job = DocumentsJob(source, prepare(), documents_per_unit)
    name = f"documents/{source.name}"
    made_from = _made_from(job, units)
    units = _with_digests(job, units)
    excluded = partial(SameExclusion, lambda: exclude.lists(context.config.exclude, takedown_lists(context)))

    def make(uri: str) -> Manifest:
        process = partial(process_units, context, uri, columnar=KINDS[source.kind].columnar)
        folder = files.join(uri, "repeated")
        files.remove(folder)  # of a build that was killed
        sidecars = process(job, units, holds=excluded(whatever_is_left=True))
        if again := _read_again(context, source, uri, units, sidecars, folder):
            sidecars = process(replace(job, stages=prepare(folder)), again, holds=excluded(whatever_is_left=False))
            files.remove(folder)
        assembled = manifest.assemble(name, made_from, sidecars, config=context.config.recorded())
        _check_input(source, uri, assembled, may_be_empty=not context.config.expectations.min_documents_per_source)
        _check_not_empty(context, source, assembled)
        return assembled

    return ensure(context, name, made_from, make)


def _read_again(
    context: Context, source: SourceSection, uri: str, units: list[Unit], sidecars: list[Sidecar], folder: str
) -> list[Unit]:
    """Make the units unfinished that must leave other documents to earlier units than they do; return all as they should be.

    Return none if each is as it should be.
    """
    if not KINDS[source.kind].has_keys(source):
        return []
    repeated = repeated_keys.find(uri, units, sidecars, folder, context.config.deduplicate.memory_mib * 2**20)
    wanted = [_leaving(unit, repeated.get(unit.name)) for unit in units]
    others = [
        sidecar
        for unit, sidecar in zip(wanted, sidecars, strict=True)
        if sidecar.made_from.get(repeated_keys.NAME) != unit.made_from.get(repeated_keys.NAME)
    ]
    for sidecar in others:
        files.remove(sidecar_uri(uri, sidecar.unit))  # first: the unit is unfinished from here on
        for part in sidecar.parts:
            files.remove(files.join(uri, part.path))
    return wanted if others else []


def _leaving(unit: Unit, digest: str | None) -> Unit:
    """Return the unit that leaves the documents of this list to earlier units."""
    return unit.model_copy(update={"made_from": unit.made_from | {repeated_keys.NAME: digest}}) if digest else unit


def check_languages(config: CorpusConfig) -> None:
    """Raise UserError if a model cannot be used, or a language has another code than the models', now and not after hours."""
    if not config.language.enabled:
        language.check_codes(config, None)
        return
    is_known_model = config.language.model is None and not config.language.models
    if is_known_model and not language.names_codes(config):
        return
    paths = tuple(path for path, _ in _model_files(config.language))
    language.check_codes(config, opened(paths, config.language.groups).codes)


def check_extractors(config: CorpusConfig) -> None:
    """Raise UserError if a source names an extractor that is not installed, now and not with its first page."""
    for source in config.sources:
        _extractor_versions(source)


def _extractor_versions(source: SourceSection) -> dict[str, str]:
    return extractors.versions(source.extractor) if source.kind == "common_crawl" else {}


def _warn_of_passed_over(context: Context, source: SourceSection) -> None:
    found = inventory(source, KINDS[source.kind].names)
    for names, what in (
        (found.hidden, "files below {} whose names begin with a dot are not read"),
        (found.outputs, "folders below {} that a build or an export has written are not read"),
    ):
        if names:
            text = f"source {source.name}: {len(names):,} {what.format(source.root)}, e.g. {names[0]}"
            context.on_event("warning", {"dataset": f"documents/{source.name}", "text": text})


def limited(units: list[Unit], limit: int | None) -> tuple[list[Unit], int | None]:
    """Return the units of a sample build of about `limit` documents, and the number of documents to take from each."""
    if limit is None:
        return units, None
    units = [unit for unit in units if NOT_READ not in unit.parameters]
    chosen = units[: min(UNITS_OF_A_SAMPLE, limit)]
    return chosen, -(-limit // max(1, len(chosen)))


@dataclass(frozen=True)
class DocumentsJob:
    """The work on a unit of a source."""

    source: SourceSection
    stages: Stages
    documents_per_unit: int | None

    def open(self) -> ReadUnit:
        """Load the stages' models and return the function that reads a unit and runs the stages."""
        prepare = self.stages.open()

        def read(unit: Unit) -> Iterator[Batch]:
            batches = KINDS[self.source.kind].read(self.source, unit)
            yield from map(prepare(unit.source, unit.name), head(batches, self.documents_per_unit))

        return read


def head(batches: Iterator[Batch], documents: int | None) -> Iterator[Batch]:
    """Yield the first `documents` documents, dropped ones included, without reading the rest."""
    remaining = documents
    for batch in batches:
        if remaining is None:
            yield batch
            continue
        kept = batch.documents.slice(0, remaining)
        drops = batch.drops[0].slice(0, remaining - kept.num_rows) if batch.drops else None
        remaining -= kept.num_rows + (drops.num_rows if drops is not None else 0)
        counts = batch.ledger.model_copy(update={"lines": {}})
        yield born(READ, kept, counts, drops)
        if remaining == 0:
            return


def stages(
    config: CorpusConfig,
    source: SourceSection,
    models: Sequence[Model],
    lists: Model | None = None,
    blocked: Model | None = None,
    repeated: str | None = None,
) -> Stages:
    """Return the stages of a source's documents; without models, languages are not judged.

    `lists` are those of `[exclude]` in files, `blocked` its block lists, `repeated` the folder of `repeated_keys.find`.
    """
    return Stages(
        (
            repeated_keys.stage(READ, repeated),
            exclude.stage(config.exclude, lists),
            blocklists.stage(config.exclude, blocked),
            normalize.stage(config.normalize, source.kind),
            lines.stage_of_source(config.lines, source),
            cut_lines.stage(config.lines, has_rules=config.quality.rules_for == "all" or not source.curated),
            split.stage(),
            exclude.pieces(config.exclude, lists),
            judge.stage(config.language, config.quality, models),
            signatures.stage(config.deduplicate),
        )
    )


def takedown_lists(context: Context) -> Model | None:
    """Write the lists that `[exclude]` has in files beside the datasets, for workers; None if it has none."""
    section = context.config.exclude
    if not takedown.has_files(section):
        return None
    uri = takedown.store(section, files.join(context.out, "models"))
    return Model(uri, files.sha256(uri))


def block_lists(context: Context) -> Model | None:
    """Write the block lists of `[exclude]` beside the datasets, for workers; None if it has none."""
    section = context.config.exclude
    if not section.block_lists:
        return None
    uri = blocklists.store(section, files.join(context.out, "models"))
    return Model(uri, files.sha256(uri))


def language_models(context: Context) -> tuple[Model, ...]:
    """Copy the models of languages beside the datasets, for workers on other machines; none if languages are off."""
    return tuple(_stored(context, path, sha256) for path, sha256 in _model_files(context.config.language))


def _stored(context: Context, path: str, sha256: str) -> Model:
    name = Path(path)
    uri = files.join(context.out, "models", f"{name.stem}-{sha256[:12]}{name.suffix}")
    if not files.exists(uri):
        files.copy(path, uri)
    return Model(uri, sha256)


def _model_files(section: LanguageSection) -> list[tuple[str, str]]:
    """Return the paths and the sha256 of the models. Raise LanguageModelError if a file has another one."""
    if not section.enabled:
        return []
    wanted = [(model.path, model.sha256) for model in section.models]
    return [_verified(*one) for one in wanted or [(section.model, section.model_sha256 or LID_176_FTZ_SHA256)]]


def _verified(path: str | None, wanted: str) -> tuple[str, str]:
    found = str(lid_model(path))
    sha256 = files.sha256(found)
    if sha256 == wanted:
        return found, sha256
    if wanted == LID_176_FTZ_SHA256:
        what = "lid.176.ftz"
        fix = f'correct language.model, leave it out to have that fetched, or name this file: language.model_sha256 = "{sha256}"'
    else:
        what, fix = "the language model of the config", "correct its path or its sha256"
    raise LanguageModelError(f"{found}: is not {what} (sha256 {sha256[:12]}…, wanted {wanted[:12]}…); {fix}")


def _made_from(job: DocumentsJob, units: list[Unit]) -> dict[str, Any]:
    source = job.source
    unused = {"root", "paths", "license", "priority", "curated", "bad_share_limit", "cut_off_files", "unread_files", "language"}
    return {
        "source": source.model_dump(mode="json", exclude=unused),
        **job.stages.settings(),
        "models": job.stages.models(),
        "versions": {
            source.kind: KINDS[source.kind].version,
            **_extractor_versions(source),
            **job.stages.versions(),
            "unicode": unicodedata.unidata_version,  # `normalize` composes characters by Python's tables
        },
        "documents_per_unit": job.documents_per_unit,
        "units": [[unit.name, unit.uri, unit.bytes, unit.identity] for unit in units],
    }


def _with_digests(job: DocumentsJob, units: list[Unit]) -> list[Unit]:
    """Return the units with the digests of what determines their documents, the lists of excluded ones apart."""
    made_from = _made_from(job, [])
    excluded = fingerprint(made_from.pop(exclude.NAME))
    return [unit.model_copy(update={"made_from": {BASE: base(unit, made_from), exclude.NAME: excluded}}) for unit in units]


def _check_input(source: SourceSection, uri: str, documents: Manifest, *, may_be_empty: bool) -> None:
    """Raise SourceError if so much of the source is unreadable that something must be wrong with it."""
    ledger = documents.ledgers.get(source.name, Ledger())  # a source without units has none
    line = ledger.lines.get(READ, Line())
    bad = {reason: line.documents_dropped[reason] for reason in BAD_REASONS if line.documents_dropped[reason]}
    counts = ", ".join(f"{count:,} {reason}" for reason, count in bad.items())
    unread = ledger.skipped[SkipReason.FILE_TYPE]
    if unread and not line.documents_in and ledger.skipped.total() == unread and not may_be_empty:
        example = documents.made_from["units"][0][1]
        raise SourceError(unread_message(source, KINDS[source.kind].names, unread, unread, example))
    if bad.get(DropReason.CUT_OFF) and source.cut_off_files == "stop":
        raise SourceError(
            f"source {source.name}: a file below {source.root} breaks off ({bad[DropReason.CUT_OFF]:,} in all):"
            f" {_first_drop(uri, documents, [DropReason.CUT_OFF])}; fetch it again, or keep what precedes that place with"
            ' sources.cut_off_files = "drop"'
        )
    share = sum(bad.values()) / max(1, line.documents_in)
    if share > source.bad_share_limit:
        raise SourceError(
            f"source {source.name}: {share:.1%} of {line.documents_in:,} documents cannot be read ({counts}), more than"
            f" sources.bad_share_limit = {source.bad_share_limit:.1%}; the first: {_first_drop(uri, documents, list(bad))};"
            f" repair the input below {source.root} or raise the limit"
        )


def _check_not_empty(context: Context, source: SourceSection, documents: Manifest) -> None:
    """Raise SourceError if the source has no document, now and not after hours; warn if the config allows that."""
    ledger = documents.ledgers.get(source.name, Ledger())
    if ledger.documents_out:
        return
    units = len(documents.made_from["units"])
    text = f"source {source.name}: none of its {units:,} units below {source.root} has a document: {_losses(ledger)}"
    if context.config.expectations.min_documents_per_source:
        sample = ", read more of it with a higher --limit" if context.limit is not None else ""
        dropped = ", dropped_share_limit = 1" if ledger.documents_dropped else ""
        raise SourceError(
            f"{text}; correct its files or settings{sample}, leave the source out, or let it be empty: [expectations]"
            f" min_documents_per_source = 0, min_tokens_per_source = 0{dropped}"
        )
    context.on_event("warning", {"dataset": documents.dataset, "text": text})


def _losses(ledger: Ledger) -> str:
    """Return what was dropped and skipped, by reason."""
    by_reason = [("dropped", ledger.dropped_by_reason), ("skipped", ledger.skipped)]
    counts = [f"{count:,} {what} ({reason})" for what, by in by_reason for reason, count in sorted(by.items()) if count]
    return ", ".join(counts) or "they hold no record"


def _first_drop(uri: str, documents: Manifest, reasons: Sequence[str]) -> str:
    """Return the detail of the reader's first drop for one of these reasons: the file, the place and the problem."""
    for part in documents.of("drops"):
        for rows in read_batches(files.join(uri, part.path)):
            chosen = rows.filter(pc.is_in(rows["reason"].cast(pa.string()), value_set=pa.array(list(reasons), pa.string())))
            if chosen.num_rows:
                return str(chosen["detail"][0].as_py() or chosen["origin"][0].as_py())
    raise AssertionError(f"{uri}: the ledger counts drops that no table holds")
