"""Our fine-tuned models judge texts, each in a process of its own: the data side imports no torch.

    annotator = Annotator("quality.models", "build/finetune/edu", "classification")
    annotator.facts                              # its labels and the hash of its checkpoint; starts the process
    annotator.answers(texts)                     # an array as contract/schema.py has it in ANSWERS

training/tasks/annotate.py runs in the process, on one thread. Batches go there and back as Arrow streams over pipes. A process
starts with the first text, in the worker that has the text, and ends with that worker: its input ends then. One that was
forked from another process never uses that one's.

Limits: an annotator has the memory of its model (about 500 MB with PyTorch, and the weights) in each worker of a build.
"""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.schema import ANSWERS, MODEL_FACTS

VERSION = 1  # of the answers: a change of training/tasks/annotate.py that changes them needs a new one

Kind = Literal["classification", "named_entities"]

_PROGRAM = ("-P", "-m", "training.tasks.annotate")  # -P: no folder named like one of our packages shadows it
_TEXTS = pa.schema([pa.field("text", pa.string())])
_TEXTS_PER_BATCH, _BYTES_PER_BATCH = 64, 2**20  # a process that nobody waits for any more ends after a batch
_MISTAKE = 2  # exit status: the standard error has a line for the user
_SECONDS_TO_END = 10


class AnnotatorError(UserError):
    """A model that cannot be used; the message names the setting, the run and the fix."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a model."""

    labels: tuple[str, ...]  # none for a regression
    checkpoint: str  # hash of what it answers by


class Annotator:
    """A fine-tuned model of ours. Threads may share it; they are answered one after the other."""

    def __init__(self, setting: str, run: str, kind: Kind, *, windows: int = 1, checkpoint: str | None = None) -> None:
        """`setting` names the model in errors; a run that has another `checkpoint` by now is refused."""
        self.setting, self.run, self._checkpoint = setting, run, checkpoint
        self._kind: Kind = kind
        self._windows = windows
        self._lock = threading.Lock()
        self._process: _Process | None = None

    @property
    def facts(self) -> Facts:
        """Starts the process, unless this one knows the run as it is now. Raises AnnotatorError if the run cannot be used."""
        with self._lock:
            key = self.run, self._kind, _stamp(self.run)
            if key not in _KNOWN:
                _KNOWN[key] = self._started().facts
            self._compare(_KNOWN[key])
            return _KNOWN[key]

    def answers(self, texts: pa.Array) -> pa.Array:
        """Return the answer to each text of a StringArray without nulls: (N,) of ANSWERS.

        Raises AnnotatorError if the run cannot be used or the system kills its process, RuntimeError if that ends otherwise.
        """
        if not len(texts):
            return pa.array([], ANSWERS[self._kind])
        with self._lock:
            process = self._started()
            try:
                return pa.concat_arrays([process.answer(batch) for batch in _batches(texts)])
            except (OSError, pa.ArrowException, StopIteration) as error:
                self._process = None
                raise process.why_ended(self.setting, self.run) from error

    def close(self) -> None:
        """End the process."""
        with self._lock:
            if self._process is not None:
                self._process.end()
            self._process = None

    def _started(self) -> "_Process":
        if self._process is None or self._process.owner != os.getpid():
            if importlib.util.find_spec("torch") is None:
                raise AnnotatorError(
                    f"{self.setting}: {self.run}: models need PyTorch: install corpusmill with its extra `train`"
                )
            self._process = _Process(self.run, self._kind, self._windows)
            self._greet(self._process)
        return self._process

    def _greet(self, process: "_Process") -> None:
        try:
            process.greet()
        except (OSError, pa.ArrowException, StopIteration) as error:
            self._process = None
            raise process.why_ended(self.setting, self.run) from error
        self._compare(process.facts)

    def _compare(self, facts: Facts) -> None:
        if self._checkpoint not in (None, facts.checkpoint):
            if self._process is not None:
                self._process.end()
            self._process = None
            raise AnnotatorError(
                f"{self.setting}: {self.run}: is another model (checkpoint {facts.checkpoint[:12]}…, wanted"
                f" {str(self._checkpoint)[:12]}…); correct sha256, or name the folder of a checkpoint if the run still trains"
            )


class _Process:
    """The process of a model."""

    facts: Facts

    def __init__(self, run: str, kind: Kind, windows: int) -> None:
        self.owner = os.getpid()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed by _end
        command = [sys.executable, *_PROGRAM, run, kind, str(windows)]
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._errors, env=os.environ | threads)
        assert child.stdin is not None and child.stdout is not None
        self._child, self._input, self._output = child, child.stdin, child.stdout
        self.end = weakref.finalize(self, _end, child, self._errors, self.owner)

    def greet(self) -> None:
        """Wait for the model to be loaded."""
        self._answers = pa.ipc.open_stream(self._output)
        self._answers.read_next_batch()
        self.facts = _facts(self._answers.schema.metadata)
        self._texts: Any = pa.ipc.new_stream(self._input, _TEXTS)

    def answer(self, texts: pa.Array) -> pa.Array:
        """Return the answers to a batch of texts."""
        self._texts.write_batch(pa.record_batch([texts], schema=_TEXTS))
        self._input.flush()
        return self._answers.read_next_batch()["answers"]

    def why_ended(self, setting: str, run: str) -> Exception:
        """End the process and return what its end and its last words say: a mistake of the user, too little memory, or a bug."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(_SECONDS_TO_END)
        status, lines = self._child.returncode, _tail(self._errors)
        self.end()
        if status == _MISTAKE and lines:
            return AnnotatorError(f"{setting}: {lines[-1]}")
        if status == -signal.SIGKILL:
            why = "the system killed the model's process (out of memory?); run the same command again, with fewer workers"
            return AnnotatorError(f"{setting}: {run}: {why}")
        how = "does not answer" if status is None else f"ended with exit status {status}"
        return RuntimeError("\n".join([f"{setting}: {run}: the model's process {how}", *lines]))


_KNOWN: dict[tuple[str, Kind, object], Facts] = {}


def _stamp(run: str) -> object:
    """Return what changes with a run's checkpoints: times and sizes of their manifests. Of a run elsewhere nothing is known."""
    folder = files.local_path(run) if files.is_local(run) else None
    paths = [] if folder is None else sorted((*folder.glob("manifest.json"), *folder.glob("checkpoints/*/manifest.json")))
    paths += [] if folder is None else sorted(folder.glob("checkpoints/BEST"))
    stats = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths]
    return tuple(stats) or object()


def _facts(metadata: dict[bytes, bytes]) -> Facts:
    known = json.loads(metadata[MODEL_FACTS])
    return Facts(tuple(known["labels"]), known["checkpoint"])


def _batches(texts: pa.Array) -> Iterator[pa.Array]:
    """Yield the texts in batches of bounded numbers and bytes."""
    sizes = np.cumsum(pc.binary_length(texts).to_numpy(), dtype=np.int64)
    first = 0
    while first < len(texts):
        before = sizes[first - 1] if first else 0
        end = int(np.searchsorted(sizes, before + _BYTES_PER_BATCH, side="right"))
        end = min(max(end, first + 1), first + _TEXTS_PER_BATCH)
        yield texts.slice(first, end - first)
        first = end


def _tail(stream: IO[bytes], lines: int = 15) -> list[str]:
    stream.seek(0)
    return stream.read().decode("utf-8", "replace").splitlines()[-lines:]


def _end(child: "subprocess.Popen[bytes]", errors: IO[bytes], owner: int) -> None:
    """End a process; a process that was forked from its owner leaves it alone."""
    errors.close()
    if os.getpid() != owner:
        return
    child.kill()  # it has no state, and may be at work on texts that nobody waits for any more
    with contextlib.suppress(BrokenPipeError), child:  # closes the pipes and waits
        pass
