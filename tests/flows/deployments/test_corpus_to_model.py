"""The flow on a real Prefect server: the tiny corpus, its gates, and four families in processes of their own."""

import json
import shutil
from pathlib import Path

import pytest
from places import ROOT
from prefect.artifacts import Artifact

from flows.deployments.corpus_to_model import FAMILIES, corpus_to_model, figures, key

REPOSITORY = ROOT
FEW = [
    *("rows.length=32", "data.batch_rows=4", "train.steps=3", "train.warmup_steps=0", "train.eval_rows=8"),
    *("train.threads=1", "train.tensorboard=false", "sample.tokens=0"),
]


@pytest.fixture(scope="module")
def corpus(tiny, tmp_path_factory) -> Path:
    """The tiny build, in a folder that these tests may go on with: what it has is not built again."""
    return shutil.copytree(tiny.out, tmp_path_factory.mktemp("corpus") / "out")


@pytest.fixture
def asked(corpus, language_model, tmp_path, monkeypatch) -> dict[str, object]:
    """Parameters of the flow but for the families."""
    monkeypatch.chdir(REPOSITORY)
    return {
        "config": "tests/data/tiny.toml",
        "out": str(corpus),
        "models": str(tmp_path / "models"),
        "workers": 1,
        "corpus_overrides": [
            f"language.model={language_model}",
            "vocabularies.0.size=600",
            f"vocabularies.0.families={json.dumps(FAMILIES)}",
        ],
        "pretrain_overrides": FEW,
    }


def test_a_gate_that_does_not_pass_trains_nothing(server, asked, tmp_path):
    asked["corpus_overrides"] = [*asked["corpus_overrides"], "expectations.min_documents_per_source=1000"]
    state = corpus_to_model(**asked, return_state=True)
    assert state.is_failed()
    assert "GateError: gate report" in state.message
    assert not (tmp_path / "models").exists()


def test_four_families_stand_beside_their_unigram_entropies(server, asked, tmp_path):
    state = corpus_to_model(**asked, return_state=True)
    assert state.is_completed(), state.message
    rows = state.result()
    assert [row["family"] for row in rows] == ["gpt", "bert", "bart", "t5"]
    for row in rows:
        report = json.loads((tmp_path / "models" / row["family"] / "report.json").read_text())
        assert row == figures(row["family"], report)
        assert row["steps"] == 3
        assert row["below"] == pytest.approx(row["unigram entropy"] - row["validation loss"], abs=2e-4)
    artifact = Artifact.get("losses-tiny")
    assert artifact.type == "table"
    assert json.loads(artifact.data) == rows


def test_a_training_that_fails_ends_the_flow_and_the_next_goes_on_there(server, asked, tmp_path):
    right = asked["pretrain_overrides"]
    asked |= {"families": ["gpt", "bert"], "pretrain_overrides": [*right, "objective.share=0.2"]}  # no number of causal_lm
    state = corpus_to_model(**asked, return_state=True)
    assert state.is_failed()
    assert "objective.causal_lm.share: unknown key" in state.message
    assert not (tmp_path / "models").exists()

    asked |= {"families": ["gpt", "bert"], "pretrain_overrides": right}
    assert corpus_to_model(**{**asked, "families": ["gpt"]}, return_state=True).is_completed()
    saved = tmp_path / "models" / "gpt" / "checkpoints" / "step-00000003" / "manifest.json"
    first = saved.stat()
    assert [row["family"] for row in corpus_to_model(**asked)] == ["gpt", "bert"]
    assert (saved.stat().st_mtime_ns, saved.stat().st_ino) == (first.st_mtime_ns, first.st_ino)


def test_an_equal_budget_is_bytes_instead_of_steps(server, asked, tmp_path):
    asked["pretrain_overrides"] = [override for override in FEW if not override.startswith("train.steps")]
    rows = corpus_to_model(**asked, families=["gpt"], budget=1500)
    assert rows[0]["steps"] < 10
    assert 1500 <= rows[0]["bytes"] < 2 * 1500


def test_the_key_of_a_table_is_what_prefect_takes():
    assert key("Démo_1") == "losses-d-mo-1"
