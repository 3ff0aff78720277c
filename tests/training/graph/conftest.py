"""Two small models that learnt a little language: people and rivers, and who lives near what."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tuning import write_config, write_records

from training.tasks.finetune import finetune

FILLERS = ["old", "stood", "many", "stories", "about", "every"]
RELATIONS = {"near": "Near(e1,e2)", "of": "Holds(e2,e1)", "and": "Other"}


def marked(count: int, seed: int) -> list[dict[str, str]]:
    """ "people near the river" says Near(people, river), "people of the river" Holds(river, people), "people and …" nothing."""
    draws = np.random.default_rng(seed)
    out: list[dict[str, str]] = []
    for _ in range(count):
        word = str(draws.choice(list(RELATIONS)))
        before, after = (" ".join(draws.choice(FILLERS, int(draws.integers(0, 3)))) for _ in range(2))
        one, two = draws.permutation([draws.choice(["people", "People"]), draws.choice(["the river", "The river"])]).tolist()
        out.append({"text": f"{before} <e1>{one}</e1> {word} <e2>{two}</e2> {after} .", "label": RELATIONS[word]})
    return out


def labelled_words(count: int, seed: int) -> list[dict[str, list[str]]]:
    """The same sentences with the labels of their words."""
    out: list[dict[str, list[str]]] = []
    for one in marked(count, seed):
        words = one["text"].replace("<e1>", "").replace("</e1>", "").replace("<e2>", "").replace("</e2>", "").split()
        labels = [{"people": "B-group", "the": "B-place", "river": "I-place"}.get(word.lower(), "O") for word in words]
        out.append({"words": words, "labels": labels})
    return out


@pytest.fixture(scope="session")
def graph_runs(bert_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The folders of two fine-tunings: `entities`, `relations`."""
    kinds = {
        "entities": ("named_entities", labelled_words(600, 1), ""),
        "relations": ("relations", marked(400, 2), 'markers = ["old", "[MASK]"]'),
    }
    runs: dict[str, Path] = {}
    for name, (kind, rows, more) in kinds.items():
        folder = tmp_path_factory.mktemp(name)
        path = write_config(folder, bert_base, kind, write_records(folder / "train.jsonl", rows), more)
        finetune(path, ("train.epochs=8", "train.eval_every=99"))
        runs[name] = folder / "run"
    return runs
