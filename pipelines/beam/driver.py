"""The driver of a pipeline in worker processes: the process in which Beam's FnApiRunner runs.

It is a child of its own, since FnApiRunner hangs when a worker is killed: this process can be ended with all its workers.
"""

import os
import pickle
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import NoReturn

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.portability.fn_api_runner.worker_handlers import WorkerHandlerManager

from pipelines.beam import forked_workers

WORKER_DIED = 70  # exit status
ERROR_FILE = "driver-error.txt"  # the driver's traceback, beside the specification


def drive(specification: Path, parent: int) -> NoReturn:
    """Run the pipeline of a pickled (workers, construct, claims) and exit; end, too, when the process `parent` has ended."""
    workers, construct, claims = pickle.loads(specification.read_bytes())
    forked_workers.fork(workers)  # before the first thread
    threading.excepthook = _worker_died
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    options = PipelineOptions([f"--direct_num_workers={workers}", "--direct_running_mode=multi_processing"])
    WorkerHandlerManager.close_all = _leave_to_parent
    status = 1
    try:
        with beam.Pipeline(runner=FnApiRunner(), options=options) as pipeline:
            construct(pipeline, claims)
        status = 0
    except BaseException:
        specification.with_name(ERROR_FILE).write_text(traceback.format_exc(), "utf-8")  # workers still write to stderr
    finally:
        sys.stderr.flush()
        os._exit(status)  # Beam's threads would wait for the workers


def _leave_to_parent(self: WorkerHandlerManager) -> None:
    """Leave the workers running: the caller ends the whole group after this process; their orderly end takes over a second."""


def _worker_died(failure: threading.ExceptHookArgs) -> None:
    """End the driver when a worker process died: Beam's thread for it raises an error, and the driver would wait forever."""
    threading.__excepthook__(failure)
    if failure.thread is not None and failure.thread.name == "run_worker":
        os._exit(WORKER_DIED)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.killpg(os.getpgid(0), signal.SIGKILL)
