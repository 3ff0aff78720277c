"""Runs a Beam pipeline: in this process, in worker processes of this machine, or on a cluster.

The local runner is Beam's FnApiRunner, named explicitly: DirectRunner is a switch that first tries to download another one.
With more than one worker, the pipeline runs in a child process that this process watches. FnApiRunner hangs when a worker is
killed; here the run ends within seconds, the error names the unit, and no process remains.
"""

import contextlib
import logging
import os
import pickle
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from pipelines.beam import driver, driver_server
from pipelines.beam.claims import Claim, Claims
from pipelines.beam.driver_server import IN_PROCESS_BYTES
from pipelines.contract.errors import UserError
from pipelines.units.context import RunnerOptions

POLL_SECONDS = 0.25
_PERHAPS_MEMORY = (
    ", perhaps for lack of memory; finished units are kept: run the same command again, with fewer workers if memory was short"
)
IN_THREADS_BYTES = 2 * 2**30  # below this, threads are enough for work in columns: they start at once
THREADS_STOP_SECONDS = 30
THREADS_LIMIT = 4  # the Python code between the columnar calls runs in one thread at a time

# Adds transforms to a pipeline. It is pickled for the child process: a module's function, or functools.partial of one.
Construct = Callable[[beam.Pipeline, Claims], None]
OnProgress = Callable[[Sequence[Claim]], None]


class InputError(UserError):
    """A unit found a mistake in the input or the config; the message is the unit's own."""


class WorkerError(UserError):
    """The machine stopped a unit: its worker was killed (out of memory), or a disk or network failed."""


class PipelineError(RuntimeError):
    """A bug: an unexpected exception in a unit or in Beam. The worker's traceback is a note of the exception."""


def run(
    options: RunnerOptions, construct: Construct, *, stored_bytes: int, on_progress: OnProgress, columnar: bool = False
) -> None:
    """Run the pipeline to its end.

    `stored_bytes` of input decide whether local workers are worth starting. `columnar` work is done in Arrow, NumPy and numba,
    which release Python's lock, so workers may be threads. Raises InputError, WorkerError or PipelineError; the latter two
    name the unit.
    """
    if options.runner != "local":
        _run_on_cluster(options, construct)
        return
    with tempfile.TemporaryDirectory(prefix="corpusmill-claims-") as folder:
        claims = Claims(folder)
        try:
            if options.workers == 1 or stored_bytes < IN_PROCESS_BYTES:
                _run_in_process(construct, claims, on_progress)
            elif columnar and stored_bytes < IN_THREADS_BYTES:
                _run_in_threads(min(options.workers, THREADS_LIMIT), construct, Claims(folder, in_threads=True), on_progress)
            else:
                _run_in_child(options, construct, claims, on_progress)
        finally:
            on_progress(claims.all())


def cluster_options(options: RunnerOptions) -> PipelineOptions:
    """Return Beam's options for a cluster; DoFns are pickled by reference, so workers need corpusmill installed."""
    return PipelineOptions([f"--runner={options.runner}", "--no_save_main_session", *options.beam_arguments])


def _run_on_cluster(options: RunnerOptions, construct: Construct) -> None:
    with beam.Pipeline(options=cluster_options(options)) as pipeline:
        construct(pipeline, Claims(None))


def _run_in_process(construct: Construct, claims: Claims, on_progress: OnProgress) -> None:
    with _polling(lambda: on_progress(claims.all())), _quiet("apache_beam.runners.common"):
        try:
            with beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([])) as pipeline:
                construct(pipeline, claims)
        except Exception as error:
            if claims.is_interrupted():  # Beam turns the interrupt into an error of the unit
                raise KeyboardInterrupt from error
            raise _named(claims, error) from error


def _run_in_threads(threads: int, construct: Construct, claims: Claims, on_progress: OnProgress) -> None:
    options = PipelineOptions([f"--direct_num_workers={threads}", "--direct_running_mode=multi_threading"])
    with _polling(lambda: on_progress(claims.all())):
        try:
            with beam.Pipeline(runner=FnApiRunner(), options=options) as pipeline:
                construct(pipeline, claims)
        except Exception as error:
            _stop(claims)
            raise _named(claims, error) from error
        except KeyboardInterrupt:
            _stop(claims)
            raise
    if claims.failures():
        raise _named(claims, RuntimeError())


def _stop(claims: Claims) -> None:
    claims.stop()
    claims.wait_until_idle(THREADS_STOP_SECONDS)


@contextlib.contextmanager
def _quiet(name: str) -> Generator[None]:
    """Silence a logger: Beam logs the traceback of an error that it also raises."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _polling(look: Callable[[], None]) -> Generator[None]:
    """Call `look` every POLL_SECONDS in a thread, for the duration of the block."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(POLL_SECONDS):
            look()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _named(claims: Claims, error: BaseException) -> Exception:
    """Return the first failed unit's error, else Beam's."""
    failures = claims.failures()
    if not failures:
        return PipelineError(f"Beam: {error}")
    first = failures[0]
    if first.is_mistake:
        return InputError(first.error)
    message = f"unit {first.name}: {first.error}"
    if not first.traceback:
        return WorkerError(message)
    bug = PipelineError(message)
    bug.add_note(f"In the worker:\n{first.traceback}")
    return bug


def _run_in_child(options: RunnerOptions, construct: Construct, claims: Claims, on_progress: OnProgress) -> None:
    assert claims.folder is not None
    specification, log = Path(claims.folder) / "pipeline.pickle", Path(claims.folder) / "beam.log"
    specification.write_bytes(pickle.dumps((options.workers, construct, claims)))
    server = driver_server.start()
    pid = server.fork(specification, log)
    try:
        status = _watch(lambda: server.status(pid), claims, on_progress)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        server.wait(pid)
    if status == -signal.SIGKILL:
        raise WorkerError(f"the process that runs the workers was killed{_PERHAPS_MEMORY}")
    if status != 0:
        own = specification.with_name(driver.ERROR_FILE)
        said = _tail(own if own.exists() else log)
        raise _named(claims, RuntimeError(f"the driver ended with status {status}:\n{said}"))


def _watch(status: Callable[[], int | None], claims: Claims, on_progress: OnProgress) -> int:
    """Return the driver's exit status when it has ended; raise as soon as a unit has failed or a worker is dead.

    A driver that ends with WORKER_DIED has lost a worker. The lost unit's claim is open and names a dead process.
    """
    while (ended := status()) is None:
        time.sleep(POLL_SECONDS)
        on_progress(claims.all())
        if claims.failures():
            # The error is known; Beam would finish its other units first.
            raise _named(claims, RuntimeError())
    if ended == driver.WORKER_DIED and not claims.failures():
        names = ", ".join(claim.name for claim in claims.orphans())
        what = f"unit {names}: its worker was killed" if names else "a worker process died between two units"
        raise WorkerError(what + _PERHAPS_MEMORY)
    return ended


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-lines:])


def balanced(weights: Sequence[int], workers: int) -> list[int]:
    """Return an order that balances FnApiRunner's static assignment (element i to worker i mod workers).

    The heaviest come first, and every other round is reversed:

    >>> balanced([1, 9, 5, 4], 2)
    [1, 2, 0, 3]
    """
    heaviest_first = sorted(range(len(weights)), key=lambda i: (-weights[i], i))
    order: list[int] = []
    for start in range(0, len(heaviest_first), workers):
        group = heaviest_first[start : start + workers]
        order += group if (start // workers) % 2 == 0 else group[::-1]
    return order
