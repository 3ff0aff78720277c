"""The gate: nothing is handed over or published that does not hold what its suite says.

gates/<dataset>/<fingerprint>/
    result.json       the verdict; a pass is remembered by suites, limits and own expectations
    index.html        what failed, every expectation, the figures: one page that needs no network
    docs/             Data Docs of Great Expectations
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expectations import suites
from expectations.suites import REPORT, Expectation, Limits
from pipelines.contract import files, manifest
from pipelines.contract.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from expectations.validation import Finding

RESULT = "result.json"
OVERVIEW = "index.html"

Tables = Mapping[str, "pd.DataFrame"]


@dataclass(frozen=True, slots=True)
class GateResult:
    """A passed gate."""

    dataset: str
    fingerprint: str
    expectations: int  # how many hold
    docs: str  # URI of the overview page
    cached: bool  # passed before: nothing was read


class GateError(UserError):
    """A dataset does not hold what its suite says. `failures` names each expectation in a line."""

    def __init__(self, dataset: str, uri: str, failures: Sequence[str], expectations: int, docs: str) -> None:
        self.dataset, self.uri, self.failures, self.docs = dataset, uri, tuple(failures), docs
        lines = "".join(f"\n  {failure}" for failure in failures)
        super().__init__(f"gate {dataset} ({uri}): {len(failures)} of {expectations} expectations failed:{lines}\n  see {docs}")


def check(
    dataset_uri: str, out: str, limits: Mapping[str, Any] | None = None, extra: Sequence[Mapping[str, Any]] = ()
) -> GateResult:
    """Judge a finished dataset; a pass is remembered below `out`, and a second check of the same returns at once.

    Args:
        dataset_uri: The dataset's folder.
        out: The build's output folder; what was found lies in `gates/` there.
        limits: Values by name of a field of `suites.Limits`.
        extra: A user's own expectations: mappings of `dataset` (a dataset's name, or the part of it before the slash),
            `table`, `expectation` (Great Expectations' name), and as needed `column`, `kwargs`, `why`.

    Raises:
        GateError: An expectation failed; the message names dataset, table, column, expectation, observed value and page.
        ValueError: An unknown limit, or an expectation that cannot be judged.
    """
    made = manifest.read(dataset_uri)
    chosen = suites.limits_from(limits)

    def tables() -> Tables:
        from expectations import profile

        return profile.of_dataset(dataset_uri, made, chosen.sample_rows)

    own = own_expectations(made.dataset, extra)
    gate = _Gate(
        made.dataset, made.fingerprint, dataset_uri, manifest.folder(files.join(out, "gates"), made.dataset, made.fingerprint)
    )
    return gate.pass_through(chosen, own, tables, lambda found: suites.for_tables(found, chosen))


def check_report(
    report: Mapping[str, Any], out: str, limits: Mapping[str, Any] | None = None, extra: Sequence[Mapping[str, Any]] = ()
) -> GateResult:
    """Judge the closing report of a build (pipelines.release.closing_report) before it is published.

    Arguments and errors as in `check`; own expectations name the dataset "report".
    """
    chosen = suites.limits_from(limits)

    def tables() -> Tables:
        from expectations import report as report_tables

        return report_tables.of_report(report, chosen)

    own = own_expectations(REPORT, extra)
    fingerprint = manifest.fingerprint(json.loads(json.dumps(report)))
    gate = _Gate(REPORT, fingerprint, out, manifest.folder(files.join(out, "gates"), REPORT, fingerprint))
    return gate.pass_through(chosen, own, tables, lambda _found: suites.for_report(chosen, with_tokens=bool(report["tokens"])))


def own_expectations(dataset: str, extra: Sequence[Mapping[str, Any]]) -> list[Expectation]:
    """Those of a user's own expectations that speak of this dataset. Raises ValueError for one that is not complete."""
    chosen: list[Expectation] = []
    for number, entry in enumerate(extra):
        place = f"expectations.extra.{number}"
        unknown = sorted(set(entry) - {"dataset", "table", "column", "expectation", "kwargs", "why"})
        lacking = [name for name in ("dataset", "table", "expectation") if not entry.get(name)]
        if unknown or lacking:
            raise UserError(f"{place}: " + (f"unknown key {unknown[0]!r}" if unknown else f"{lacking[0]} is missing; add it"))
        if entry["dataset"] in (dataset, dataset.split("/", 1)[0]):
            why = entry.get("why") or f"{place} of the config"
            column, kwargs = entry.get("column") or "", dict(entry.get("kwargs") or {})
            chosen.append(Expectation(entry["table"], column, entry["expectation"], kwargs, why))
    return chosen


@dataclass(frozen=True, slots=True)
class _Gate:
    """One dataset in front of its suite."""

    dataset: str
    fingerprint: str
    uri: str
    folder: str

    def pass_through(
        self,
        limits: Limits,
        own: Sequence[Expectation],
        tables: Callable[[], Tables],
        suite: Callable[[Tables], list[Expectation]],
    ) -> GateResult:
        """The remembered pass, or a new verdict."""
        matter = suites.that_matter(self.dataset, limits)
        judged_by = manifest.fingerprint({"version": suites.VERSION, "limits": matter, "extra": [list(entry) for entry in own]})
        known = self._remembered(judged_by)
        if known is not None:
            return GateResult(self.dataset, self.fingerprint, known, self._docs, cached=True)
        found = tables()
        findings = self._judge(found, [*suite(found), *own])
        failures = [str(finding) for finding in findings if not finding.passed]
        result = {
            "dataset": self.dataset,
            "fingerprint": self.fingerprint,
            "passed": not failures,
            "judged_by": judged_by,
            "version": suites.VERSION,
            "limits": matter,
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
        """How many expectations held when the same dataset passed the same suites before."""
        uri = files.join(self.folder, RESULT)
        if not files.exists(uri):
            return None
        known = json.loads(files.read_text(uri))
        return int(known["expectations"]) if known["passed"] and known["judged_by"] == judged_by else None

    def _judge(self, tables: Tables, expectations: Sequence[Expectation]) -> "list[Finding]":
        from expectations import page, validation

        for entry in expectations:
            if entry.table not in tables:
                raise UserError(f"{self.dataset}: expectation on {entry.table}: no such table; there are {', '.join(tables)}")
        files.remove(self.folder)  # what an earlier verdict left
        docs_uri = files.join(self.folder, "docs")
        findings = validation.validate(self.dataset, tables, expectations, docs_uri)
        pages = files.listing(files.join(docs_uri, "validations"), ".html")
        docs = {_table_of(path): path.removeprefix(self.folder.rstrip("/") + "/") for path in pages}
        files.write_text(self._docs, page.overview(self.dataset, self.uri, findings, tables, docs))
        return findings


def _table_of(page: str) -> str:
    """The table of a Data Docs page: .../validations/<table>/<run>/<time>/<batch>.html."""
    return page.split("/validations/", 1)[1].split("/", 1)[0]
