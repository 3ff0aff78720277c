"""The Prefect flow `corpus-build`: one task per dataset, a gate after each one that is handed over, then the release.

It takes the same steps as `corpusmill build` (flows/drive.py), but each step is a task that Prefect shows, times and retries.
Tasks pass URIs, never data. A dataset with a manifest is finished, so another flow run resumes where the last one ended.
Tasks run one after the other in the process of the flow: Beam uses the cores, Prefect keeps the order.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prefect import Task, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from expectations.gate import GateResult
from flows import drive
from flows.deployments import artifacts
from flows.lock import locked
from pipelines import config as corpus_config
from pipelines import release
from pipelines.beam import driver_server
from pipelines.beam.runners import WorkerError
from pipelines.contract import files
from pipelines.corpus import Step, plan
from pipelines.units.context import Context, RunnerOptions

# Steps that read or write much: a store or a worker may fail there, and a retry does not repeat finished units.
RETRIED = ("documents", "corpus", "index", "tokens")
RETRY_DELAY_SECONDS: Sequence[float] = (10, 60)
_PROGRESS_SECONDS = 30  # between two progress lines of the log


@flow(name="corpus-build", flow_run_name="{config} into {out}", validate_parameters=True)
def corpus_build(
    config: str = "configs/corpus/demo.toml",
    out: str = "build/demo",
    runner: str = "local",
    workers: int | None = None,
    limit: int | None = None,
    overrides: list[str] | None = None,
) -> str:
    """Build a corpus and publish it; return the URI of its release.json.

    Args:
        config: A TOML file, e.g. configs/corpus/demo.toml.
        out: Output folder or URI; finished datasets in it are not built again.
        runner: "local", or a Beam runner: DataflowRunner, FlinkRunner, …
        workers: Processes of the local runner; by default one per core.
        limit: A sample build: about this many documents of each source.
        overrides: Values of the config to change, as `section.key=value`.

    Raises:
        ConfigError: The config cannot be used.
        GateError: An expectation failed; nothing is published.
        LockedError: Another build writes into the same folder.
    """
    out = files.plain(out)
    context = Context(
        corpus_config.load(config, tuple(overrides or ())),
        out if "://" in out else os.path.abspath(out),
        RunnerOptions(runner, workers or os.cpu_count() or 1),
        limit,
        _log_events(get_run_logger()),
    )
    driver_server.start_early(context.runner, context.config.sources)
    return walk(context, plan(context))


def walk(context: Context, steps: Sequence[Step]) -> str:
    """Build as drive.build does, with a task for every dataset, every gate and the release; return the URI of release.json.

    It must be called inside a flow.
    """
    release.claim(context.out)
    with locked(context.out):
        uris: dict[str, str] = {}
        for step in steps:
            uris[step.name] = _dataset_task(context, step)({name: uris[name] for name in step.needs})
            if step.gated:
                _gate_task(context, step)(uris[step.name])
        return _publish_task(context)(uris)


def _dataset_task(context: Context, step: Step) -> "Task[[Mapping[str, str]], str]":
    """Return the task that makes one dataset from the URIs of the datasets that it needs."""
    retried = step.name.split("/", 1)[0] in RETRIED

    @task(
        name=step.name,
        task_run_name=step.name,
        cache_policy=NO_CACHE,  # the manifest says whether the dataset is finished
        retries=len(RETRY_DELAY_SECONDS) if retried else 0,
        retry_delay_seconds=list(RETRY_DELAY_SECONDS) if retried else None,
        retry_condition_fn=another_try_may_help,
    )
    def dataset(needs: Mapping[str, str]) -> str:
        return drive.make(context, step, needs)

    return dataset


def _gate_task(context: Context, step: Step) -> "Task[[str], GateResult]":
    @task(name=f"gate {step.name}", task_run_name=f"gate {step.name}", cache_policy=NO_CACHE)
    def gate(uri: str) -> GateResult:
        return drive.guard(context, uri)

    return gate


def _publish_task(context: Context) -> "Task[[Mapping[str, str]], str]":
    @task(name="publish", task_run_name="publish", cache_policy=NO_CACHE)
    def publish(uris: Mapping[str, str]) -> str:
        published = drive.publish(context, uris)
        create_markdown_artifact(
            artifacts.funnel(published.report, published.uri),
            key=artifacts.key(context.config.corpus.name),
            description=f"{context.config.corpus.name}: the funnel by stage and reason, tokens by source",
        )
        return published.uri

    return publish


def another_try_may_help(_task: "Task[..., Any]", _run: TaskRun, state: "State[Any]") -> bool:
    """Return whether a retry may help: a killed worker or an unreachable store may be back, a mistake or a bug stays."""
    return isinstance(state.data, WorkerError) or not isinstance(state.data, ValueError | AssertionError | TypeError | KeyError)


def _log_events(logger: "logging.Logger | logging.LoggerAdapter[Any]") -> Callable[[str, Mapping[str, Any]], None]:
    """Return a listener that writes a build's events to the log of the flow run, and progress every `_PROGRESS_SECONDS`."""
    last = time.monotonic()

    def on_event(name: str, facts: Mapping[str, Any]) -> None:
        nonlocal last
        if name == "progress":
            if time.monotonic() - last < _PROGRESS_SECONDS:
                return
            last = time.monotonic()
            done = sum(claim.documents for claim in facts["claims"])
            logger.info("%s documents so far", f"{done:,}")
        else:
            logger.info("%s: %s", name.replace("_", " "), ", ".join(f"{key} {value}" for key, value in facts.items()))

    return on_event
