"""Models in processes of their own: the same answers whatever is read together, and no process that outlives its worker."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contract.errors import UserError
from pipelines.contract.schema import ANSWERS
from pipelines.text.judgement.annotators import process
from pipelines.text.judgement.annotators.process import Annotator, AnnotatorError
from training.tasks import annotate

Judge = Callable[[str], str]

TEXTS = ["the old river", "a town", "people told stories " * 40, "", "é\n\n日本", *(f"river {n} " * n for n in range(1, 90, 7))]


@pytest.fixture(scope="module")
def waters(annotator: Callable[[str], Annotator]) -> Annotator:
    return annotator("waters")


def answers(annotator: Annotator, texts: list[str]) -> list[Any]:
    return annotator.answers(pa.array(texts, pa.string())).to_pylist()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def child_of(annotator: Annotator) -> int:
    assert annotator._process is not None  # pyright: ignore[reportPrivateUsage]
    return annotator._process._child.pid  # pyright: ignore[reportPrivateUsage]


def test_what_is_read_together_changes_no_answer(waters: Annotator, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answers(waters, TEXTS)
    assert [len(one) for one in whole] == [2] * len(TEXTS)
    assert answers(waters, TEXTS[::-1]) == whole[::-1]
    assert [answers(waters, [text])[0] for text in TEXTS] == whole
    monkeypatch.setattr(process, "_TEXTS_PER_BATCH", 3)
    monkeypatch.setattr(process, "_BYTES_PER_BATCH", 100)
    assert answers(waters, TEXTS) == whole
    column = pa.array(["x", *TEXTS, "y"], pa.string())
    assert waters.answers(column.slice(1, len(TEXTS))).to_pylist() == whole


@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=200))
def test_batches_are_bounded_and_complete(sizes: list[int]) -> None:
    texts = pa.array(["x" * size for size in sizes], pa.string())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "_TEXTS_PER_BATCH", 5)
        patch.setattr(process, "_BYTES_PER_BATCH", 60)
        batches = [batch.to_pylist() for batch in process._batches(texts)]  # pyright: ignore[reportPrivateUsage]
    assert [text for batch in batches for text in batch] == texts.to_pylist()
    assert all(len(batch) == 1 or (len(batch) <= 5 and sum(map(len, batch)) <= 60) for batch in batches)


def test_no_process_before_a_text(judge: Judge) -> None:
    annotator = Annotator("x", judge("waters"), "classification")
    empty = annotator.answers(pa.array([], pa.string()))
    assert empty.type == ANSWERS["classification"] and len(empty) == 0
    assert annotator._process is None  # pyright: ignore[reportPrivateUsage]
    answers(annotator, ["text"])
    pid = child_of(annotator)
    del annotator
    assert not is_running(pid)


def test_what_is_known_of_a_run_needs_no_second_process(judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(judge("waters"), tmp_path / "run")
    first, second, other = (Annotator("x", str(tmp_path / "run"), "classification") for _ in range(3))
    facts = first.facts
    assert facts.labels == ("river", "town") and second.facts == facts
    assert second._process is None  # pyright: ignore[reportPrivateUsage]
    pinned = Annotator("x", str(tmp_path / "run"), "classification", checkpoint="0" * 64)
    with pytest.raises(AnnotatorError, match="is another model"):
        _ = pinned.facts
    for manifest in (tmp_path / "run").glob("checkpoints/*/manifest.json"):
        manifest.write_text(manifest.read_text() + "\n")
    monkeypatch.setattr(process, "_PROGRAM", ("-c", "raise SystemExit(7)"))
    with pytest.raises(RuntimeError, match="exit status 7"):
        _ = other.facts


def test_threads_share_a_process(waters: Annotator) -> None:
    whole = answers(waters, TEXTS)
    pid = child_of(waters)
    with ThreadPoolExecutor(4) as threads:
        assert all(given == whole for given in threads.map(lambda _: answers(waters, TEXTS), range(8)))
    assert child_of(waters) == pid


_FORKS = """
import os, sys
import pyarrow as pa
from pipelines.text.judgement.annotators.process import Annotator
annotator = Annotator("x", sys.argv[1], "classification")
texts = pa.array(["the old river", "a town"])
before = annotator.answers(texts).to_pylist()
child = annotator._process._child.pid
if not (worker := os.fork()):
    same = annotator.answers(texts).to_pylist() == before
    own = annotator._process._child.pid != child
    annotator.close()
    os._exit(0 if same and own else 1)
assert os.waitpid(worker, 0)[1] == 0
assert annotator.answers(texts).to_pylist() == before and annotator._process._child.pid == child
"""


def test_a_forked_worker_has_a_process_of_its_own(judge: Judge) -> None:
    done = subprocess.run([sys.executable, "-c", _FORKS, judge("waters")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


_IS_KILLED = """
import os, signal, sys
import pyarrow as pa
from pipelines.text.judgement.annotators.process import Annotator
annotator = Annotator("x", sys.argv[1], "classification")
annotator.answers(pa.array(["text"]))
print(annotator._process._child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_ends_with_a_worker_that_is_killed(judge: Judge) -> None:
    done = subprocess.run([sys.executable, "-c", _IS_KILLED, judge("waters")], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    until = time.monotonic() + 30
    while is_running(int(done.stdout)):
        assert time.monotonic() < until, "the model's process outlived its worker"
        time.sleep(0.05)


def test_a_process_that_is_killed_is_an_error_and_the_next_text_starts_another(judge: Judge) -> None:
    annotator = Annotator("quality.models, water", judge("waters"), "classification")
    before = answers(annotator, TEXTS)
    os.kill(child_of(annotator), signal.SIGKILL)
    with pytest.raises(AnnotatorError, match=r"quality\.models, water: .*: the system killed the model's process"):
        answers(annotator, TEXTS)
    assert answers(annotator, TEXTS) == before
    annotator.close()


def test_an_error_of_the_process_has_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_PROGRAM", ("-c", "import sys; print('warned', file=sys.stderr); raise KeyError('heads')"))
    with pytest.raises(RuntimeError, match=r"(?s)x: build/edu: the model's process ended with exit status 1\nwarned.*'heads'"):
        _ = Annotator("x", "build/edu", "classification").facts


def test_without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AnnotatorError, match="models need PyTorch: install corpusmill with its extra `train`"):
        answers(Annotator("x", "build/edu", "classification"), ["text"])


def test_a_run_that_trained_on_is_refused(judge: Judge) -> None:
    run = judge("waters")
    with pytest.raises(AnnotatorError, match=r"is another model \(checkpoint .*, wanted 000000000000…\); correct sha256"):
        answers(Annotator("x", run, "classification", checkpoint="0" * 64), ["text"])


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("persons", "classification", "is a named_entities; name the run of a fine-tuning with a head and task.kind = 'classif"),
        ("waters", "named_entities", "is a classification; name the run of a fine-tuning with a head and task.kind = 'named_e"),
    ],
)
def test_the_head_of_another_task_is_refused(judge: Judge, name: str, kind: Any, said: str) -> None:
    with pytest.raises(AnnotatorError) as caught:
        _ = Annotator("private.names", judge(name), kind).facts
    assert str(caught.value).startswith("private.names: ") and said in str(caught.value)
    assert "\n" not in str(caught.value) and isinstance(caught.value, UserError)


def test_a_missing_or_damaged_checkpoint_is_refused(judge: Judge, tmp_path: Path) -> None:
    with pytest.raises(AnnotatorError, match="there is no complete checkpoint"):
        _ = Annotator("x", str(tmp_path / "none"), "classification").facts
    shutil.copytree(judge("waters"), tmp_path / "run")
    (weights,) = (tmp_path / "run").glob("checkpoints/*/model.pt")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(AnnotatorError, match="truncated"):
        _ = Annotator("x", str(tmp_path / "run"), "classification").facts


def test_both_sides_agree_on_the_exit_status() -> None:
    assert process._MISTAKE == annotate.MISTAKE  # pyright: ignore[reportPrivateUsage]
