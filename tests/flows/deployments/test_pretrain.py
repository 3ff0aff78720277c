"""The flow on a real Prefect server, training in a real process: its exit status is the state, and a cancelled run saves."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import ROOT
from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

from flows.deployments import process
from flows.deployments.pretrain import config_of, pretrain
from pipelines.contract.settings import ConfigError

REPOSITORY = ROOT


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


@pytest.mark.parametrize(
    ("program", "kind", "message"),
    [
        ("print('a'); print('done'); print()", "COMPLETED", "done"),
        ("import sys; print('a'); sys.exit('data.batch_rows: lower it')", "FAILED", "data.batch_rows: lower it"),
        ("raise SystemExit(3)", "FAILED", "exit status 3"),
        ("print('saved'); raise SystemExit(143)", "CANCELLED", "stopped with exit status 143: saved"),
        ("print('saved'); raise SystemExit(130)", "CANCELLED", "stopped with exit status 130: saved"),
        (
            "import os; print('step 7'); os.kill(os.getpid(), 9)",
            "CRASHED",
            "killed by SIGKILL; perhaps the machine was out of memory",
        ),
    ],
    ids=["done", "an error", "without a word", "SIGTERM", "SIGINT", "killed"],
)
def test_the_exit_status_is_the_state(program, kind, message):
    said: list[str] = []
    state = process.as_state(process.run_logged([*python(program)], said.append))
    assert state.type.value == kind
    assert message in (state.message or "")


def test_every_line_is_said_when_it_is_written_and_standard_error_too():
    said: list[tuple[str, float]] = []
    program = "import sys, time; print('one'); time.sleep(0.5); print('zwei ü', file=sys.stderr)"
    ended = process.run_logged(python(program), lambda line: said.append((line, time.monotonic())))
    assert ended == process.Ended(0, "zwei ü")
    assert [line for line, _ in said] == ["one", "zwei ü"]
    assert said[1][1] - said[0][1] > 0.3


def test_an_exception_asks_the_program_to_stop_and_waits_until_it_has_saved(tmp_path):
    program = (
        "import signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), open({str(tmp_path / 'saved')!r}, 'w'), sys.exit(143)))\n"
        "print('ready')\ntime.sleep(60)\n"
    )

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt(line)

    with pytest.raises(KeyboardInterrupt, match="ready"):
        process.run_logged(python(program), interrupt)
    assert (tmp_path / "saved").exists()


def test_a_size_has_a_config_of_its_own_or_is_refused(tmp_path):
    for name in ("gpt_demo", "gpt_small", "bert_base", "bert_demo"):
        (tmp_path / f"{name}.toml").touch()
    assert config_of(tmp_path, "gpt", "small") == f"{tmp_path}/gpt_small.toml"
    with pytest.raises(ConfigError, match=r"bert_mini\.toml: no such file; sizes of bert with a config: base, demo\. Write one"):
        config_of(tmp_path, "bert", "mini")
    for family, size in (("gpt", "small"), ("bert", "base"), ("bart", "base"), ("t5", "v1.1-base")):
        assert Path(config_of(REPOSITORY / "configs" / "pretrain", family, size)).is_file()


def test_a_run_is_trained_reported_and_not_trained_again(server, tiny, tiny_run, tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    asked = {"tokens": str(tiny.out), "out": str(tmp_path / "run"), "config": str(tiny_run)}
    state = pretrain(**asked, return_state=True)
    assert state.is_completed()
    report = json.loads(Path(state.result()).read_text())
    assert (report["steps"], report["out"]) == (6, str(tmp_path / "run"))
    metrics = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert pretrain(**asked, return_state=True).is_completed()
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == metrics

    wrong = pretrain(**asked, overrides=["data.batch_rows=100000"], return_state=True)
    assert wrong.is_failed()
    assert "data.batch_rows" in wrong.message and "\n" not in wrong.message
    with pytest.raises(process.ProcessError, match=r"data\.batch_rows"):
        wrong.result()


def test_the_families_config_and_the_manifest_are_found(server, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    (manifest,) = tiny.out.glob("tokens/tiny/*/manifest.json")
    few = ["train.steps=1", "train.warmup_steps=0", "train.eval_rows=4", "sample.tokens=0", "train.threads=1"]
    state = pretrain("gpt", "demo", str(manifest), str(tmp_path / "run"), overrides=few, return_state=True)
    assert state.is_completed()
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["model"]["size"], config["rows"]["length"], config["train"]["steps"]) == ("demo", 128, 1)


def test_sigterm_which_prefects_runner_sends_for_a_cancelled_run_lets_it_save(server, tiny, tiny_run, tmp_path):
    run = tmp_path / "run"
    parameters = {
        "tokens": str(tiny.out),
        "out": str(run),
        "config": str(tiny_run),
        "overrides": ["train.steps=1000000", "train.save_every=1000000", "train.eval_every=1000000"],
    }

    async def create() -> str:
        async with get_client() as client:
            return str((await client.create_flow_run(pretrain, parameters=parameters)).id)

    async def kind(flow_run: str) -> str:
        async with get_client() as client:
            return (await client.read_flow_run(flow_run)).state.type.value

    flow_run = asyncio.run(create())
    entrypoint = f"{REPOSITORY / 'flows' / 'deployments' / 'pretrain.py'}:pretrain"
    environment = {
        "PREFECT_API_URL": str(get_current_settings().api.url),
        "PREFECT__FLOW_RUN_ID": flow_run,
        "PREFECT__FLOW_ENTRYPOINT": entrypoint,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "prefect.engine"],
        cwd=REPOSITORY,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as engine:
        deadline = time.monotonic() + 300
        metrics = run / "metrics.jsonl"
        while not metrics.exists() or metrics.read_bytes().count(b"\n") < 3:
            assert engine.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        engine.send_signal(signal.SIGTERM)
        output, _ = engine.communicate(timeout=300)
    last = json.loads(metrics.read_text().splitlines()[-1])
    assert (run / "checkpoints" / "LATEST").read_text() == f"step-{last['step']:08d}\n"
    assert f"stopped by SIGTERM after step {last['step']}; saved" in output
    assert asyncio.run(kind(flow_run)) in ("CRASHED", "CANCELLED")
