"""Similarity: vectors, the contrast, ranks, answers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from tuning import SHAPES, WORDS, write_config, write_records

from pipelines.contract.tokenizers.loading import Tokenizer
from training.models.families import make
from training.models.tuned import Tuned
from training.run.device import Device
from training.tasks import tuned
from training.tasks.encoders.similarity import Similarity, SimilaritySection, ranks_scores
from training.tasks.errors import TaskError
from training.tasks.finetune import finetune
from training.tasks.input.reading import reader
from training.tasks.predict import predict

SECTION = SimilaritySection(temperature=0.5)


def pairs(count: int, seed: int = 0) -> list[dict[str, str]]:
    """A word, and the same word after another."""
    draws = np.random.default_rng(seed)
    words = sorted(set(WORDS))
    return [{"first": words[n % len(words)], "second": f"{draws.choice(words)} {words[n % len(words)]}"} for n in range(count)]


def test_a_bert_learns_what_belongs_together(bases: Mapping[str, Path], tmp_path: Path) -> None:
    train = write_records(tmp_path / "train.jsonl", pairs(300))
    write_records(tmp_path / "test.jsonl", pairs(len(set(WORDS)), seed=1))
    path = write_config(tmp_path, bases["bert"], "similarity", train, f'test = "{tmp_path}/test.jsonl"')
    report = finetune(path, ("train.epochs=5", "train.eval_every=999"))
    assert report["metric"] == "mrr" and report["test"]["recall@10"] == 1.0 and report["test"]["recall@1"] > 0.7
    model, device = tuned.load(tmp_path / "run"), Device("cpu", "float32")
    write_records(tmp_path / "new.jsonl", [{"first": "river", "second": text} for text in ("near river", "near town")])
    near, far = (one["similarity"] for one in predict(model, model.read(str(tmp_path / "new.jsonl"), labelled=False), device))
    assert near > far + 0.2
    write_records(tmp_path / "alone.jsonl", [{"first": "river"}])
    [answer] = predict(model, model.read(str(tmp_path / "alone.jsonl"), labelled=False), device)
    assert np.linalg.norm(answer["vector"]) == pytest.approx(1, abs=1e-4)


def test_vectors_do_not_depend_on_padding_and_the_loss_is_the_contrast(tokenizer: Tokenizer, tmp_path: Path) -> None:
    body = make(SHAPES["bert"](tokenizer.size), 1)
    write_records(
        tmp_path / "a.jsonl", [{"first": "old", "second": "river town"}, {"first": "near the old house", "second": "of"}]
    )
    records = tuned.read(Similarity, SECTION, str(tmp_path / "a.jsonl"))
    task = Similarity.begin(SECTION, reader(body, tokenizer, 32), records)
    rows, model = task.rows(records), Tuned(body, None, task.losses)

    def tensors(numbers: list[int]) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(values) for name, values in rows.batch(np.array(numbers)).items()}

    with torch.no_grad():
        both = np.stack(task.outputs(model, tensors([0, 1])))
        alone = np.concatenate([task.outputs(model, tensors([n])) for n in (0, 1)])
        loss = float(task.losses(model, tensors([0, 1]))["pairs"])
    np.testing.assert_allclose(both, alone, atol=1e-6)
    cosines = both[:, 0].astype(np.float64) @ both[:, 1].T.astype(np.float64) / 0.5
    shares = [np.exp(c) / np.exp(c).sum(1, keepdims=True) for c in (cosines, cosines.T)]
    assert loss == pytest.approx(-sum(np.log(share[n, n]) for share in shares for n in (0, 1)) / 2, rel=1e-5)


def test_ranks_are_those_among_all_texts() -> None:
    first = np.eye(12, dtype=np.float32)
    second = first.copy()
    second[[0, 1]] = first[[1, 0]]  # 0 and 1 are nearest to the other's text, and equally far from all of the rest
    assert ranks_scores(first, second) == {"mrr": pytest.approx((10 + 2 / 12) / 12), "recall@1": 10 / 12, "recall@10": 10 / 12}
    equal = np.ones((12, 1), np.float32)
    assert ranks_scores(equal, equal)["recall@10"] == 0.0


def test_scores_are_compared_with_cosines(tokenizer: Tokenizer, tmp_path: Path) -> None:
    words = reader(make(SHAPES["bert"](tokenizer.size), 1), tokenizer, 32)
    write_records(tmp_path / "a.jsonl", [{"first": "a", "second": "b", "score": score} for score in (0, 2.5, 5)])
    records = tuned.read(Similarity, SECTION, str(tmp_path / "a.jsonl"))
    task = Similarity.begin(SECTION, words, records)
    angles = np.array([2.0, 0.5, 0.1])  # from the second vector
    outputs = [np.array([[np.cos(angle), np.sin(angle)], [1, 0]], np.float32) for angle in angles]
    assert task.metric == "spearman"
    assert task.figures(outputs, task.rows(records), records)["spearman"] == pytest.approx(1)
    write_records(tmp_path / "b.jsonl", [{"first": "a", "second": "b", "score": "much"}])
    with pytest.raises(TaskError, match="'score' must hold numbers"):
        task.figures(outputs[:1], task.rows(records), tuned.read(Similarity, SECTION, str(tmp_path / "b.jsonl")))
    write_records(tmp_path / "c.jsonl", [{"first": "a"}])
    with pytest.raises(TaskError, match="has no field 'second'"):
        Similarity.begin(SECTION, words, tuned.read(Similarity, SECTION, str(tmp_path / "c.jsonl")))
