import contextlib
import io
import json
import os
import signal
from pathlib import Path

import pytest

from training.run.progress import SIGNALS, Metrics, ProgressLine, StopRequest, Tensorboard, clock, read_metrics


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def line(step: int) -> dict[str, float]:
    return {"step": step, "loss": 3.25, "tokens_per_second": 12345.6, "learning_rate": 0.001, "gradient_norm": 0.5}


def test_metrics_go_on_after_a_step_without_repeating_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with Metrics(path, 0) as metrics:
        for step in range(5):
            metrics.write({"step": step, "loss": 1 / (step + 1)})
    with path.open("a") as stream:
        stream.write('{"step": 5, "lo')  # killed while writing
    with Metrics(path, 3) as metrics:
        metrics.write({"step": 4, "loss": 9.0})
    assert [json.loads(text)["step"] for text in path.read_text().splitlines()] == [0, 1, 2, 3, 4]
    assert read_metrics(path)[2] == {"step": 2, "loss": 1 / 3}  # to the last bit
    assert read_metrics(path)[4]["loss"] == 9.0


def test_a_line_without_its_end_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0}\n{"step": 1}')
    assert read_metrics(path) == [{"step": 0}]
    assert read_metrics(tmp_path / "none") == []


def test_plain_lines_come_every_few_steps_and_at_the_end() -> None:
    stream = io.StringIO()
    progress = ProgressLine(7, 3, stream)
    for step in range(1, 8):
        progress.show(line(step), seconds_left=65.0)
    progress.close()
    assert stream.getvalue().splitlines() == [
        f"step {step}/7  loss 3.2500  12,346 tokens/s  lr 1.00e-03  grad norm 0.50  1m05s left" for step in (3, 6, 7)
    ]


def test_a_terminal_shows_every_step_in_place() -> None:
    stream = Terminal()
    progress = ProgressLine(7, 3, stream)
    for step in (1, 2):
        progress.show(line(step) | {"validation_loss": 4.0}, seconds_left=1.0)
    progress.close()
    assert stream.getvalue().count("\r\x1b[2Kstep") == 2
    assert stream.getvalue().endswith("validation 4.0000\n")


def test_clock() -> None:
    assert [clock(seconds) for seconds in (0.4, 59, 60, 725, 11_220)] == ["0s", "59s", "1m00s", "12m05s", "3h07m"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_noted_once_and_what_stood_before_comes_back(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.signal is None
        os.kill(os.getpid(), number)
        assert stop.signal == number == code - 128
        assert signal.getsignal(number) is before  # so that a second signal ends the process
    assert signal.getsignal(number) is before


def test_warnings_may_be_followed_by_others_while_the_run_is_saved() -> None:
    under_nohup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    with StopRequest() as stop:
        for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
            os.kill(os.getpid(), number)
            assert stop.signal == signal.SIGUSR1
        assert signal.getsignal(signal.SIGTERM) is before[signal.SIGTERM]  # a second one ends the process
        assert signal.getsignal(signal.SIGHUP) is not before[signal.SIGHUP]
    assert {number: signal.getsignal(number) for number in SIGNALS} == before
    signal.signal(signal.SIGHUP, under_nohup)


def test_nohup_stays() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.signal is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_does_not_end_the_run() -> None:
    ours, theirs = os.openpty()
    terminal = os.fdopen(theirs, "w")
    with contextlib.suppress(OSError), terminal:  # its own flush at the end fails, as Python's does
        progress = ProgressLine(3, 1, terminal)
        progress.say("one line")
        os.close(ours)
        progress.say("a line that nobody reads")
        progress.show(dict.fromkeys(("step", "loss", "tokens_per_second", "learning_rate", "gradient_norm"), 1), 1.0)
        progress.close()
        ours = -1
    assert ours == -1


@pytest.mark.filterwarnings("ignore")  # tensorboard's own imports
def test_tensorboard_shows_no_step_twice(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator  # as its pages read
    from tensorboard.util.tensor_util import make_ndarray

    def written(after: int | None, steps: range, loss: float) -> list[tuple[int, float]]:
        board = Tensorboard(tmp_path, after)
        for step in steps:
            board.write({"step": step, "loss": loss, "skipped": "loss nan"})
            board.write_sample(step, f"a text of {loss}")
        board.close()
        (new,) = [path for path in tmp_path.iterdir() if path.name.startswith("events.")]
        new.rename(tmp_path / f"{len(list(tmp_path.iterdir()))}.tfevents")  # its own name has the second, which here is the same
        found = EventAccumulator(str(tmp_path))
        found.Reload()
        assert found.Tags()["tensors"] == ["loss", "sample/text_summary"]  # what is no number is none
        assert [event.step for event in found.Tensors("sample/text_summary")] == [e.step for e in found.Tensors("loss")]
        return [(event.step, float(make_ndarray(event.tensor_proto))) for event in found.Tensors("loss")]

    assert written(None, range(3), 3.0) == [(0, 3.0), (1, 3.0), (2, 3.0)]
    assert written(None, range(4), 2.0) == [(0, 2.0), (1, 2.0), (2, 2.0), (3, 2.0)]  # killed before its first save
    assert written(1, range(2, 4), 1.0) == [(0, 2.0), (1, 2.0), (2, 1.0), (3, 1.0)]
