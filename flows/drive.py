"""Walks a build's plan: one dataset after the other, a gate behind each that is handed over, then the release.

The command line (`build`) and the Prefect flow (flows/deployments/corpus_build.py) use the same three functions: `make` a
dataset, `guard` it, `publish` all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from expectations import gate
from expectations.gate import GateResult
from flows.lock import locked
from flows.pages.report import report_page
from pipelines import release
from pipelines.contract import files, manifest
from pipelines.corpus import Step, plan
from pipelines.release import Published
from pipelines.units.context import Context, Dataset

Plan = Callable[[Context], Sequence[Step]]


def build(context: Context, *, steps: Plan = plan, gated: bool = True) -> Published:
    """Build everything and publish it; what is finished already is not built again.

    Raises GateError when an expectation fails (nothing is published then), LockedError when another build writes into
    the same folder, and what a dataset raises.
    """
    release.claim(context.out)
    with locked(context.out):
        uris: dict[str, str] = {}
        for step in steps(context):
            uris[step.name] = make(context, step, uris)
            if gated and step.gated:
                guard(context, uris[step.name])
        return publish(context, uris, gated=gated)


def make(context: Context, step: Step, uris: Mapping[str, str]) -> str:
    """Run one step on the datasets that it needs; the URI of what it made."""
    return step.run({name: _dataset(uris[name]) for name in step.needs}).uri


def guard(context: Context, uri: str) -> GateResult:
    """Let the gate look at a dataset."""
    limits, extra = _settings(context)
    context.on_event("gate_started", {"uri": uri})
    result = gate.check(uri, context.out, limits, extra)
    context.on_event("gate_passed", {"dataset": result.dataset, "expectations": result.expectations, "cached": result.cached})
    return result


def publish(context: Context, uris: Mapping[str, str], *, gated: bool = True) -> Published:
    """Judge the closing report, then write the release: the last act of a build."""
    built = {name: _dataset(uri) for name, uri in uris.items()}
    report = release.closing_report(context, built)
    if gated:
        limits, extra = _settings(context)
        gate.check_report(report, context.out, limits, extra)
    files.write_text(files.join(context.out, release.PAGE), report_page(report))
    return release.publish(context, built)


def _dataset(uri: str) -> Dataset:
    return Dataset(uri, manifest.read(uri))


def _settings(context: Context) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The config's section [expectations]: limits, and a user's own expectations."""
    section = context.config.expectations.model_dump()
    return section, section.pop("extra")
