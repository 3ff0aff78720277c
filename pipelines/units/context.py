"""The context of a build, and `ensure`: a dataset that has a manifest is not built again."""

import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipelines.config import CorpusConfig
from pipelines.contract import files, manifest
from pipelines.contract.manifest import Manifest

TIMINGS = "timings.jsonl"  # in a build's output folder; no hash covers it


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """The Beam runner to use; not part of any fingerprint."""

    runner: str = "local"  # "local" (Beam's FnApiRunner) or the name of a Beam runner
    workers: int = 1  # processes of the local runner
    beam_arguments: tuple[str, ...] = ()  # passed to Beam's PipelineOptions unchanged


@dataclass(frozen=True, slots=True)
class Context:
    """A build: its config, its output folder, its runner."""

    config: CorpusConfig
    out: str
    runner: RunnerOptions = RunnerOptions()
    limit: int | None = None  # a sample build takes about this many documents of each source
    on_event: Callable[[str, Mapping[str, Any]], None] = field(default=lambda _name, _facts: None)  # reports progress


@dataclass(frozen=True, slots=True)
class Dataset:
    """A finished dataset."""

    uri: str
    manifest: Manifest


def ensure(context: Context, dataset: str, made_from: Mapping[str, Any], make: Callable[[str], Manifest]) -> Dataset:
    """Return the dataset with exactly this `made_from`: the finished one if it exists, else a new one.

    `make(uri)` fills the folder and returns the manifest, which is written last.
    """
    uri = manifest.folder(context.out, dataset, manifest.fingerprint(made_from))
    if manifest.is_complete(uri):
        context.on_event("dataset_found", {"dataset": dataset, "uri": uri})
        return Dataset(uri, manifest.read(uri))
    for temporary in files.listing(uri, files.TEMPORARY):  # from a build that was killed
        files.remove(temporary)
    context.on_event("dataset_started", {"dataset": dataset, "uri": uri})
    start = time.monotonic()
    built = make(uri)
    if built.fingerprint != manifest.fingerprint(made_from):
        raise AssertionError(f"{dataset}: the manifest's fingerprint is not that of its folder")
    manifest.write(uri, built)
    seconds = time.monotonic() - start
    _note_time(context, dataset, uri, seconds)
    context.on_event("dataset_finished", {"dataset": dataset, "uri": uri, "seconds": seconds})
    return Dataset(uri, built)


def _note_time(context: Context, dataset: str, uri: str, seconds: float) -> None:
    """Append to `timings.jsonl` what differs between two equal builds."""
    path = files.join(context.out, TIMINGS)
    known = files.read_text(path) if files.exists(path) else ""
    line = {
        "dataset": dataset,
        "uri": uri,
        "seconds": round(seconds, 3),
        "workers": context.runner.workers,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "version": importlib.metadata.version("corpusmill"),
    }
    files.write_text(path, known + json.dumps(line) + "\n")
