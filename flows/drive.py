"""Carries out the plan of a build: one dataset after the other, a gate after each that is handed over, then the release.

`corpusmill build` and the Prefect flow (flows/deployments/corpus_build.py) use the same three functions: `make` a dataset,
`guard` it, `publish` all of them.
"""

import time
from collections.abc import Callable, Mapping, Sequence

from expectations import gate
from expectations.gate import GateResult
from flows.lock import locked
from flows.pages.corpus.page import write_page
from pipelines import release
from pipelines.contract import files, manifest
from pipelines.corpus import Step, plan
from pipelines.exports.release import folder
from pipelines.release import PAGE, REPORT, Published
from pipelines.units.context import Context, Dataset

Planner = Callable[[Context], Sequence[Step]]


def build(context: Context, *, steps: Planner = plan, gated: bool = True) -> Published:
    """Build everything and publish it; finished datasets are not built again.

    Raises GateError if an expectation fails (nothing is published then), LockedError if another build writes into the same
    folder, and the errors of the datasets.
    """
    planned = steps(context)  # first: it refuses what cannot be built
    release.claim(context.out)
    with locked(context.out):
        uris: dict[str, str] = {}
        for step in planned:
            uris[step.name] = make(context, step, uris)
            if gated and step.gated:
                guard(context, uris[step.name])
        return publish(context, uris, gated=gated)


def make(context: Context, step: Step, uris: Mapping[str, str]) -> str:
    """Run one step on the datasets that it needs; return the URI of the dataset that it made."""
    return step.run({name: _dataset(uris[name]) for name in step.needs}).uri


def guard(context: Context, uri: str) -> GateResult:
    """Let the gate check a dataset. Raises GateError if an expectation fails."""
    limits = context.config.expectations
    return _passed(
        context, uri, lambda: gate.check(uri, context.out, limits, limits.extra, release.earlier_web_pages(context.out))
    )


def publish(context: Context, uris: Mapping[str, str], *, gated: bool = True) -> Published:
    """Let the gate check the closing report, write the release, the folder with its texts, and then the page about it."""
    built = {name: _dataset(uri) for name, uri in uris.items()}
    report = release.closing_report(context, built)
    if gated:
        limits, manifests = context.config.expectations, {name: dataset.manifest for name, dataset in built.items()}
        _passed(context, context.out, lambda: gate.check_report(report, manifests, context.out, limits, limits.extra))
    published = release.publish(context, built)
    corpus = built["corpus"]
    folder.write(context.out, corpus.uri, corpus.manifest, built["classifier"].manifest.facts, context.limit)
    write_page(context.out, published.report, built)  # which no reader of the release needs
    places = {"report": files.join(context.out, REPORT), "page": files.join(context.out, PAGE)}
    context.on_event("published", {"uri": published.uri, **places})
    return published


def _passed(context: Context, uri: str, check: Callable[[], GateResult]) -> GateResult:
    """Run a gate between the events that say when it started and what it found."""
    context.on_event("gate_started", {"uri": uri})
    start = time.monotonic()
    result = check()
    facts = {"dataset": result.dataset, "expectations": result.expectations, "cached": result.cached}
    context.on_event("gate_passed", {**facts, "seconds": time.monotonic() - start})
    return result


def _dataset(uri: str) -> Dataset:
    return Dataset(uri, manifest.read(uri))
