"""The gate: a dataset is handed over or published only if it meets the expectations of its suite.

gates/<dataset>/<fingerprint>/
    result.json       the verdict; a pass is remembered by suites, limits and own expectations
    index.html        what failed, every expectation, the figures; one page that needs no network
    docs/             Great Expectations' Data Docs
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expectations import suites
from expectations.suites import REPORT, Expectation
from pipelines.contract import files, manifest
from pipelines.contract.errors import UserError
from pipelines.contract.gate_settings import GateLimits, OwnExpectation
from pipelines.contract.manifest import Manifest

if TYPE_CHECKING:
    import pandas as pd

    from expectations.validation import Finding

RESULT = "result.json"
OVERVIEW = "index.html"
DEFAULTS = GateLimits()

Tables = Mapping[str, "pd.DataFrame"]


@dataclass(frozen=True, slots=True)
class GateResult:
    """A passed gate."""

    dataset: str
    fingerprint: str
    expectations: int  # how many were checked; all hold
    docs: str  # URI of the overview page
    cached: bool  # passed before; nothing was read


class GateError(UserError):
    """A dataset failed its gate; each of `failures` is one expectation in one line."""

    def __init__(self, dataset: str, uri: str, failures: Sequence[str], expectations: int, docs: str) -> None:
        self.dataset, self.uri, self.failures, self.docs = dataset, uri, tuple(failures), docs
        lines = "".join(f"\n  {failure}" for failure in failures)
        super().__init__(f"gate {dataset} ({uri}): {len(failures)} of {expectations} expectations failed:{lines}\n  see {docs}")


def check(
    dataset_uri: str,
    out: str,
    limits: GateLimits = DEFAULTS,
    extra: Sequence[OwnExpectation] = (),
    earlier: Mapping[str, Any] | None = None,
) -> GateResult:
    """Check a finished dataset. A pass is remembered below `out`, and the next check of the same dataset returns at once.

    Args:
        dataset_uri: The dataset's folder.
        out: The build's output folder; verdict and pages go into its `gates/`.
        limits: The limits of the suites.
        extra: The user's own expectations, of any dataset; those that name this one are checked.
        earlier: What the release before kept of its web pages, by source (`web_pages` of its report).

    Raises:
        GateError: An expectation failed; the message names dataset, table, column, expectation, observed value and page.
        UserError: An expectation of the user's own names a table, column or argument that does not exist.
    """
    made = manifest.read(dataset_uri)

    def tables() -> Tables:
        from expectations import extraction, profile

        return {**profile.dataset_tables(dataset_uri, made, limits.sample_rows), **extraction.tables(made, limits, earlier or {})}

    own = own_expectations(made.dataset, extra)
    gate = _Gate(
        made.dataset, made.fingerprint, dataset_uri, manifest.folder(files.join(out, "gates"), made.dataset, made.fingerprint)
    )
    return gate.pass_through(limits, own, tables, lambda frames: suites.for_tables(frames, limits))


def check_report(
    report: Mapping[str, Any],
    datasets: Mapping[str, Manifest],
    out: str,
    limits: GateLimits = DEFAULTS,
    extra: Sequence[OwnExpectation] = (),
) -> GateResult:
    """Check the closing report of a build (pipelines.release.closing_report) before it is published.

    `datasets` are the manifests of the build by name: what they count must be what the report says. The other arguments and
    errors are as in `check`; own expectations name the dataset "report".
    """

    def tables() -> Tables:
        from expectations import report as report_tables

        return report_tables.report_tables(report, datasets, limits)

    own = own_expectations(REPORT, extra)
    fingerprint = manifest.fingerprint(json.loads(json.dumps(report)))
    gate = _Gate(REPORT, fingerprint, out, manifest.folder(files.join(out, "gates"), REPORT, fingerprint))
    return gate.pass_through(limits, own, tables, lambda _frames: suites.for_report(limits, with_tokens=bool(report["tokens"])))


def own_expectations(dataset: str, extra: Sequence[OwnExpectation]) -> list[Expectation]:
    """Return those of the user's own expectations that name this dataset."""
    return [
        Expectation(
            entry.table,
            entry.column or "",
            entry.expectation,
            dict(entry.kwargs),
            entry.why or f"expectations.extra.{number} of the config",
        )
        for number, entry in enumerate(extra)
        if entry.dataset in (dataset, dataset.split("/", 1)[0])
    ]


@dataclass(frozen=True, slots=True)
class _Gate:
    """The gate of one dataset."""

    dataset: str
    fingerprint: str
    uri: str
    folder: str

    def pass_through(
        self,
        limits: GateLimits,
        own: Sequence[Expectation],
        tables: Callable[[], Tables],
        suite: Callable[[Tables], list[Expectation]],
    ) -> GateResult:
        """Return the remembered pass, or check the dataset and record the verdict."""
        relevant = suites.relevant_limits(self.dataset, limits)
        judged_by = manifest.fingerprint({"version": suites.VERSION, "limits": relevant, "extra": [list(entry) for entry in own]})
        known = self._remembered(judged_by)
        if known is not None:
            return GateResult(self.dataset, self.fingerprint, known, self._docs, cached=True)
        frames = tables()
        findings = self._judge(frames, [*suite(frames), *own])
        failures = [str(finding) for finding in findings if not finding.passed]
        result = {
            "dataset": self.dataset,
            "fingerprint": self.fingerprint,
            "passed": not failures,
            "judged_by": judged_by,
            "version": suites.VERSION,
            "limits": relevant,
            "expectations": len(findings),
            "failures": failures,
        }
        files.write_text(files.join(self.folder, RESULT), json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        if failures:
            raise GateError(self.dataset, self.uri, failures, len(findings), self._docs)
        return GateResult(self.dataset, self.fingerprint, len(findings), self._docs, cached=False)

    @property
    def _docs(self) -> str:
        return files.join(self.folder, OVERVIEW)

    def _remembered(self, judged_by: str) -> int | None:
        """Return how many expectations the dataset met when it passed the same suites before; None if it has not."""
        uri = files.join(self.folder, RESULT)
        if not files.exists(uri):
            return None
        known = json.loads(files.read_text(uri))
        return int(known["expectations"]) if known["passed"] and known["judged_by"] == judged_by else None

    def _judge(self, tables: Tables, expectations: Sequence[Expectation]) -> "list[Finding]":
        from expectations import page, validation

        empty = [entry for entry in expectations if entry.table not in tables]
        for entry in empty:
            if entry.table not in suites.TABLES:
                raise UserError(f"{self.dataset}: expectation on {entry.table}: no such table; there are {', '.join(tables)}")
        files.remove(self.folder)  # of an earlier verdict
        docs_uri = files.join(self.folder, "docs")
        findings = validation.validate(self.dataset, tables, expectations, docs_uri)
        findings += [validation.Finding(entry, True, "the dataset has no such row") for entry in empty]
        pages = files.listing(files.join(docs_uri, "validations"), ".html")
        docs = {_table_of(path): path.removeprefix(self.folder.rstrip("/") + "/") for path in pages}
        files.write_text(self._docs, page.overview(self.dataset, self.uri, findings, tables, docs))
        return findings


def _table_of(page: str) -> str:
    """Return the table of a Data Docs page: .../validations/<table>/<run>/<time>/<batch>.html."""
    return page.split("/validations/", 1)[1].split("/", 1)[0]
