"""Run Great Expectations over pandas tables and write its Data Docs; the only module that imports it.

The import takes 4 to 9 seconds, so it is put off until something is validated.

Limits: Great Expectations reads no Arrow; its pages load their style sheets from the web, so `page.py` writes an overview
that needs no network.
"""

import importlib
import logging
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expectations.suites import Expectation
from pipelines.contract import files
from pipelines.contract.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

_DATA_DOCS_SITE = "gate"
_SHOWN_FAILURES = 5  # rows shown for a failed expectation
_PUBLISHED_SUFFIXES = (".html", ".css")  # without the site's fonts and animations, 4 MB a dataset


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one expectation."""

    expectation: Expectation
    passed: bool
    observed: str  # in words: the value, or the rows that fail and where they are

    def __str__(self) -> str:
        kwargs = ", ".join(f"{name}={value!r}" for name, value in self.expectation.kwargs.items())
        place = ".".join(filter(None, (self.expectation.table, self.expectation.column)))
        return f"{place}: {self.expectation.kind}({kwargs}) observed {self.observed} ({self.expectation.why})"


def validate(
    name: str, tables: Mapping[str, "pd.DataFrame"], expectations: Sequence[Expectation], docs_uri: str
) -> list[Finding]:
    """Check every expectation and write the Data Docs below `docs_uri`.

    Raise UserError if an expectation cannot be checked: an unknown column, or arguments that it does not take.
    """
    gx = _import()
    with tempfile.TemporaryDirectory(prefix="corpusmill-gate-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Great Expectations' dependencies
        context = _context(gx, Path(folder))
        source = context.data_sources.add_or_update_pandas(name.replace("/", " "))
        findings: list[Finding] = []
        for table, frame in tables.items():
            suite = [entry for entry in expectations if entry.table == table]
            if suite:
                findings += _judge(gx, context, source, frame, suite)
        context.build_data_docs(site_names=[_DATA_DOCS_SITE])
        _publish(Path(folder) / "site", docs_uri)
    return findings


def _import() -> Any:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import; nothing is sent anywhere
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it imports sre_constants
        import great_expectations as gx

        importlib.import_module("great_expectations.expectations")  # reached as gx.expectations
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    return gx


def _context(gx: Any, folder: Path) -> Any:
    context = gx.get_context(mode="file", project_root_dir=str(folder / "project"))
    context.variables.progress_bars = {"globally": False}
    context.variables.data_docs_sites = {
        _DATA_DOCS_SITE: {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder / "site")},
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        }
    }
    return context


def _class_name(kind: str) -> str:
    return "".join(word.capitalize() for word in kind.split("_"))


def _judge(gx: Any, context: Any, source: Any, frame: "pd.DataFrame", suite: Sequence[Expectation]) -> list[Finding]:
    """Check one table against its expectations, as one checkpoint."""
    table = suite[0].table
    built = [_build(gx, frame, entry, number) for number, entry in enumerate(suite)]
    batch = source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("all")
    checkpoint = gx.Checkpoint(
        name=table,
        validation_definitions=[
            context.validation_definitions.add_or_update(
                gx.ValidationDefinition(
                    name=table,
                    data=batch,
                    suite=context.suites.add_or_update(gx.ExpectationSuite(name=table, expectations=built)),
                )
            )
        ],
        result_format={
            "result_format": "SUMMARY",
            "unexpected_index_column_names": ["where"],
            "partial_unexpected_count": _SHOWN_FAILURES,
        },
    )
    run = context.checkpoints.add_or_update(checkpoint).run(batch_parameters={"dataframe": frame})
    (result,) = run.run_results.values()
    by_id = {entry.expectation_config.meta["number"]: entry for entry in result.results}
    return [_finding(entry, by_id[number]) for number, entry in enumerate(suite)]


def _build(gx: Any, frame: "pd.DataFrame", entry: Expectation, number: int) -> Any:
    named = [entry.column] if entry.column else [str(entry.kwargs[k]) for k in ("column_A", "column_B") if k in entry.kwargs]
    for column in named:
        if column not in frame.columns:
            raise UserError(f"expectation on {entry.table}.{column}: no such column; there are {', '.join(frame.columns)}")
    place = {"column": entry.column} if entry.column else {}
    try:
        kind = getattr(gx.expectations, _class_name(entry.kind))
        return kind(**place, **entry.kwargs, notes=entry.why, meta={"number": number})
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"expectation on {entry.table}.{entry.column}: {entry.kind} cannot be built: {error}") from error


def _finding(entry: Expectation, result: Any) -> Finding:
    caught = result.exception_info or {}
    messages = (
        [caught.get("exception_message")]
        if "raised_exception" in caught
        else [e.get("exception_message") for e in caught.values()]
    )
    if any(messages):
        raise UserError(
            f"expectation on {entry.table}.{entry.column}: {entry.kind} cannot be checked: {next(filter(None, messages))}"
        )
    return Finding(entry, bool(result.success), _observed(entry, result.result))


def _observed(entry: Expectation, result: Mapping[str, Any]) -> str:
    """Return the observed value; for an expectation about rows, the rows that fail."""
    if "observed_value" in result:
        return _short(result["observed_value"])
    count = result.get("unexpected_count", 0)
    if not count:
        return f"no exception in {result.get('element_count', 0):,} rows"
    rows = result.get("partial_unexpected_index_list") or []
    shown = [_row(entry, row) for row in rows[:_SHOWN_FAILURES]] or [repr(v) for v in result["partial_unexpected_list"]]
    more = f" and {count - len(shown):,} more" if count > len(shown) else ""
    return "; ".join(shown) + more


def _row(entry: Expectation, row: Mapping[str, Any]) -> str:
    values = [_short(value) if entry.column else f"{name} {_short(value)}" for name, value in row.items() if name != "where"]
    return f"{', '.join(values)} at {row['where']}"


def _short(value: Any) -> str:
    text = repr(value.item() if hasattr(value, "item") else value)
    return text if len(text) <= 100 else f"{text[:97]}…"


def _publish(site: Path, docs_uri: str) -> None:
    """Copy the site to the build's output, which may be an object store."""
    for path in sorted(site.rglob("*")):
        if path.suffix in _PUBLISHED_SUFFIXES:
            with files.writing(files.join(docs_uri, path.relative_to(site).as_posix())) as stream:
                stream.write(path.read_bytes())
