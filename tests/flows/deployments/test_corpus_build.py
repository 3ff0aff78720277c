"""The flow on a real Prefect server, over a plan of real, small datasets; its gate is Great Expectations as it is."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from places import ROOT
from prefect import flow
from prefect.artifacts import Artifact
from prefect.client.schemas.objects import State
from prefect.states import Failed

from flows import drive
from flows.deployments import artifacts, corpus_build, serve
from flows.lock import LockedError, locked
from pipelines.beam.runners import WorkerError
from pipelines.config import CorpusConfig
from pipelines.contract import manifest, schema
from pipelines.contract.batch import born, documents_from, sift
from pipelines.contract.manifest import Manifest
from pipelines.corpus import Step
from pipelines.units.context import Context, Dataset, ensure
from pipelines.units.descriptor import Unit
from pipelines.units.parts import write_unit

REPOSITORY = ROOT


def context(out: Path, events: list[str], **expectations: object) -> Context:
    config = CorpusConfig.model_validate(
        {
            "corpus": {"name": "small"},
            "sources": [{"name": "web", "kind": "books", "root": "/nowhere", "snapshot": "1"}],
            "expectations": expectations,
        }
    )
    return Context(config, str(out), on_event=lambda name, facts: events.append(f"{name} {facts.get('dataset', '')}".strip()))


def plan(context: Context) -> list[Step]:
    """Datasets as a build makes them, of three documents, one of which is dropped."""

    def documents(name: str) -> Dataset:
        def make(uri: str) -> Manifest:
            ids = [schema.document_id("web", str(number)) for number in range(3)]
            texts = documents_from(
                {
                    "id": ids,
                    "work": ids,
                    "source": ["web"] * 3,
                    "snapshot": ["1"] * 3,
                    "origin": ["a.txt#0", "a.txt#1", "a.txt#2"],
                    "text": ["Ene.", "Due.", "Rabe."],
                }
            )
            batch = sift(born("read", texts), "quality", pa.array([None, "low_quality", None]))
            unit = Unit(name="a", source="web", uri="a.txt", root="/nowhere", bytes=1, identity="a")
            config = context.config.recorded()
            return manifest.assemble(name, {"name": name}, [write_unit(uri, unit, [batch])], config=config)

        return ensure(context, name, {"name": name}, make)

    def facts_only(name: str) -> Dataset:
        return ensure(context, name, {"name": name}, lambda uri: manifest.assemble(name, {"name": name}, []))

    return [
        Step(name="documents/web", gated=True, run=lambda built: documents("documents/web")),
        Step(name="clusters", needs=("documents/web",), run=lambda built: facts_only("clusters")),
        Step(name="classifier", needs=("clusters",), run=lambda built: facts_only("classifier")),
        Step(name="corpus", needs=("documents/web", "clusters", "classifier"), gated=True, run=lambda built: documents("corpus")),
    ]


def run(context: Context) -> State:
    @flow(name="walk")
    def walk() -> str:
        return corpus_build.walk(context, plan(context))

    return walk(return_state=True)


def test_the_flow_publishes_what_the_command_line_publishes_and_does_nothing_twice(server, tmp_path):
    events: list[str] = []
    state = run(context(tmp_path / "flow", events))
    assert state.is_completed()
    assert events == [
        *("dataset_started documents/web", "dataset_finished documents/web", "gate_started", "gate_passed documents/web"),
        *("dataset_started clusters", "dataset_finished clusters", "dataset_started classifier", "dataset_finished classifier"),
        *("dataset_started corpus", "dataset_finished corpus", "gate_started", "gate_passed corpus"),
        *("gate_started", "gate_passed report", "published"),
    ]
    release = tmp_path / "flow" / "release.json"
    assert state.result() == str(release)
    artifact = Artifact.get("funnel-small")
    assert "| web | quality | 3 | 1 | 2 | low_quality 1 |" in artifact.data

    events.clear()
    assert run(context(tmp_path / "flow", events)).is_completed()
    assert [event for event in events if "started d" in event or "started c" in event] == []

    drive.build(context(tmp_path / "plain", []), steps=plan)
    assert (tmp_path / "plain" / "release.json").read_bytes() == release.read_bytes()
    assert (tmp_path / "plain" / "report.json").read_bytes() == (tmp_path / "flow" / "report.json").read_bytes()


@pytest.mark.parametrize(
    ("expectations", "message"),
    [
        (
            {
                "extra": [
                    {
                        "dataset": "corpus",
                        "table": "documents_sample",
                        "column": "url",
                        "expectation": "expect_column_values_to_not_be_null",
                    }
                ]
            },
            "gate corpus",
        ),
        ({"dropped_share_limit_by_stage": {"quality": 0.3}}, "gate report"),
    ],
    ids=["a dataset", "the report"],
)
def test_a_failing_expectation_fails_the_flow_and_nothing_is_published(server, tmp_path, expectations, message):
    state = run(context(tmp_path, [], **expectations))
    assert state.is_failed()
    assert f"GateError: {message}" in state.message
    assert not (tmp_path / "release.json").exists()


def test_only_what_may_be_different_next_time_is_tried_again():
    def may_help(error: Exception) -> bool:
        return corpus_build.another_try_may_help(None, None, Failed(data=error))

    assert may_help(ConnectionError("store")) and may_help(WorkerError("unit a: its worker was killed"))
    assert not may_help(ValueError("config")) and not may_help(LockedError("out")) and not may_help(AssertionError())


def test_a_second_build_into_the_same_folder_is_refused_and_a_killed_one_holds_nothing(tmp_path):
    program = (
        "import sys, time\nfrom flows.lock import locked\n"
        "with locked(sys.argv[1]):\n print('held', flush=True)\n time.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=rf"process {holder.pid} on .* is building there"), locked(str(tmp_path)):
            raise AssertionError("two builds in one folder")
        holder.kill()
        holder.wait()
        with locked(str(tmp_path)):
            pass


def test_the_deployments_of_the_repository_can_be_served(server, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    found = {deployment.flow_name: deployment for deployment in serve.read_deployments(serve.DEPLOYMENTS)}
    assert list(found) == ["corpus-build", "pretrain", "corpus-to-model", "retrain"]
    assert {deployment.name for deployment in found.values()} == {"local"}
    assert found["corpus-build"].parameters == {"config": "configs/corpus/demo.toml", "out": "build/demo"}
    (schedule,) = found.pop("retrain").schedules
    assert (schedule.active, schedule.schedule.cron, schedule.schedule.timezone) == (False, "0 3 1 * *", "UTC")
    assert not any(deployment.schedules for deployment in found.values())
    with pytest.raises(serve.ServeError, match=r"no such file in this folder; run this in the root of the repository"):
        serve.read_deployments(Path("no.yaml"))


def test_a_server_that_does_not_answer_elsewhere_is_an_error(tmp_path):
    assert not serve.is_healthy("http://127.0.0.1:9/api")
    with (
        pytest.raises(serve.ServeError, match="no Prefect server answers"),
        serve.server("http://prefect.invalid/api", tmp_path / "log"),
    ):
        raise AssertionError("served without a server")


def test_the_funnel_in_markdown():
    report = {
        "corpus": "Démo",
        "funnel": {
            "web": [
                {
                    "stage": "read",
                    "documents_in": 9,
                    "documents_split": 1,
                    "documents_out": 7,
                    "documents_dropped": {"empty": 1, "unreadable": 2},
                }
            ]
        },
        "clusters": {"enabled": False},
        "tokens": {"v": {"tokens": {"train": {"web": {"pl": {"rows": 7, "tokens": 1000, "utf8_bytes": 4250}}}}}},
    }
    text = artifacts.funnel(report, "out/release.json")
    assert "| web | read | 10 | 3 | 7 | unreadable 2, empty 1 |" in text
    assert "| train | web | pl | 7 | 1,000 | 4.25 |" in text
    assert artifacts.key("Démo_1") == "funnel-d-mo-1"
