"""The one map-only pipeline: Create(units) | Reshuffle | ParDo(process a unit).

Beam sees unit descriptors, never documents. Each unit is read, run through the stages and written batch by batch. A unit is
finished when its sidecar exists; a rerun processes only the units without one.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import apache_beam as beam

from pipelines.beam import runners
from pipelines.beam.claims import Claim, Claims, Stopped
from pipelines.contract.batch import Batch
from pipelines.contract.manifest import Sidecar
from pipelines.units.context import Context
from pipelines.units.descriptor import Unit
from pipelines.units.kept import Holds, keep, never
from pipelines.units.parts import is_whole, read_sidecar, write_unit

ReadUnit = Callable[[Unit], Iterator[Batch]]


class Job(Protocol):
    """The work on a unit. It is pickled for the workers, so it holds configuration and URIs but no model."""

    def open(self) -> ReadUnit:
        """Load models and the like, once per worker, and return the function that turns a unit into batches."""
        ...


def process_units(
    context: Context,
    dataset_uri: str,
    job: Job,
    units: Sequence[Unit],
    *,
    documents: bool = True,
    columnar: bool = False,
    holds: Holds = never,
) -> list[Sidecar]:
    """Process the units that are not finished yet and return the sidecars of all, in the order of `units`.

    Units that an earlier build has finished are kept (see units/kept.py, also for `holds`).
    `columnar`: the job works in Arrow, NumPy and numba, with little Python in between (see runners.run).
    """
    finished = {unit.name: sidecar for unit in units if (sidecar := finished_sidecar(dataset_uri, unit.name))}
    kept = keep(dataset_uri, [unit for unit in units if unit.name not in finished], holds)
    finished |= {sidecar.unit: sidecar for sidecar in kept}
    pending = [unit for unit in units if unit.name not in finished]
    stored_bytes = sum(unit.bytes for unit in pending)
    facts = {"total": len(units), "finished": len(finished), "kept": len(kept), "bytes": stored_bytes}
    context.on_event("units", facts)
    if pending:
        stored = [unit.bytes for unit in pending]
        order = runners.balanced(stored, max(1, context.runner.workers))
        construct = functools.partial(
            construct_pipeline, [pending[i].model_dump_json() for i in order], dataset_uri, job, documents
        )
        runners.run(
            context.runner,
            construct,
            stored_bytes=sum(stored) if sum(map(bool, stored)) > 1 else 0,  # a single unit that reads needs no other worker
            on_progress=lambda claims: context.on_event("progress", {"claims": claims}),
            columnar=columnar,
        )
    return [finished.get(unit.name) or _written(dataset_uri, unit.name) for unit in units]


def construct_pipeline(
    units: Sequence[str], dataset_uri: str, job: Job, documents: bool, pipeline: beam.Pipeline, claims: Claims
) -> None:
    """Add the transforms to a pipeline; `units` are JSON descriptors."""
    _ = (
        pipeline
        | "Units" >> beam.Create(list(units), reshuffle=False)
        | "Spread" >> beam.Reshuffle()
        | "ProcessUnit" >> beam.ParDo(ProcessUnit(dataset_uri, job, documents, claims))
    )


class ProcessUnit(beam.DoFn):
    """Read a unit, run its stages, write its parts and its sidecar; yield the unit's name."""

    def __init__(self, dataset_uri: str, job: Job, documents: bool, claims: Claims) -> None:
        self._dataset_uri, self._job, self._documents, self._claims = dataset_uri, job, documents, claims
        self._read: ReadUnit | None = None

    def process(self, element: str, *_args: Any, **_kwargs: Any) -> Iterable[str]:
        """Process one unit."""
        unit = Unit.model_validate_json(element)
        if self._claims.is_stopped():
            return
        with self._claims.guard(), self._claims.hold(unit.name, unit.bytes) as claim:
            # Not in setup(): here the error of a model that cannot be loaded names a unit.
            self._read = self._read or self._job.open()
            batches = self._counted(claim, self._read(unit))
            write_unit(self._dataset_uri, unit, batches, documents=self._documents)
        yield unit.name

    def _counted(self, claim: Claim, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            yield batch
            claim.documents += batch.documents.num_rows
            claim.dropped += sum(drops.num_rows for drops in batch.drops)
            claim.text_bytes += batch.documents["text"].nbytes
            claim.stored_bytes += batch.ledger.bytes_read
            self._claims.note(claim)
            if self._claims.is_stopped():
                raise Stopped


def finished_sidecar(dataset_uri: str, unit: str) -> Sidecar | None:
    """Return the sidecar of a unit whose parts all exist at their full size, else None."""
    sidecar = read_sidecar(dataset_uri, unit)
    return sidecar if sidecar is not None and is_whole(dataset_uri, sidecar) else None


def _written(dataset_uri: str, unit: str) -> Sidecar:
    sidecar = read_sidecar(dataset_uri, unit)
    if sidecar is None:
        raise AssertionError(f"unit {unit}: the pipeline ended without its sidecar")
    return sidecar
