import bz2
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from places import SHARED

from pipelines.contract import manifest
from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints.trained import Trained
from training.evaluation import blimp
from training.evaluation.blimp import BlimpError, Pair, read_sets, score, sentence_scores
from training.models.bart import BARTShape
from training.models.bert import BERTShape
from training.models.composed import ComposedShape
from training.models.families import Shape, make
from training.models.gpt import GPTShape
from training.models.t5 import T5Shape

REAL = SHARED / "lm" / "blimp"
SENTENCES = ["the geese on the river sleep.", "the people, unwillingly, sleeps", "town"]
SHAPES: Mapping[str, Callable[[int], Shape]] = {
    "gpt": lambda size: GPTShape(heads=2, width=16, layers=2, vocabulary=size, length=40, dropout=0.5),
    "composed": lambda size: ComposedShape(heads=2, width=16, layers=2, vocabulary=size, length=40, positions="relative"),
    "bert": lambda size: BERTShape(heads=2, width=16, layers=2, vocabulary=size, length=40, dropout=0.5),
    "bart": lambda size: BARTShape(
        heads=2, width=16, encoder_layers=1, decoder_layers=1, vocabulary=size, length=40, dropout=0.5
    ),
    "t5": lambda size: T5Shape(heads=2, width=16, encoder_layers=1, decoder_layers=1, head_width=8, inner=32, vocabulary=size),
}


@pytest.fixture(scope="module")
def pieces_of_all(tmp_path_factory: pytest.TempPathFactory, make_dataset: Callable[..., Path]) -> Tokenizer:
    folder = make_dataset(
        tmp_path_factory.mktemp("all") / "tokens",
        {("train", "books", "en"): [[*SENTENCES, "the old house stood near the river and the people slept"]]},
        families=("gpt", "bert", "bart", "t5"),
    )
    return loading.load(str(folder), manifest.read(str(folder)))


def trained_of(family: str, pieces: Tokenizer) -> Trained:
    """A model whose vocabulary is padded, and whose weights are so large that its predictions differ."""
    model = make(SHAPES[family](pieces.size + 7), 3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if family != "t5" and "norm" not in name:
                parameter.mul_(5)
    return Trained(model.eval(), family, pieces, "a model in memory")


def words_of(pieces: Tokenizer, ids: Sequence[int]) -> list[list[int]]:
    """By how pieces are spelled: of a lone mark of a space, only what follows begins with it."""
    words: list[list[int]] = []
    names = pieces.piece_names()
    for at, i in enumerate(ids):
        if at == 0 or names[i].startswith("\u2581") or names[i] in ".," or names[ids[at - 1]] == "\u2581":
            words.append([])
        words[-1].append(i)
    return words


def log_probability(logits: torch.Tensor, size: int, target: int) -> float:
    return float(logits[:size].double().log_softmax(-1)[target])


@torch.inference_mode()
def by_definition(found: Trained, text: str) -> float:
    """One sentence, one token at a time."""
    model: Any = found.model
    pieces, size = found.tokenizer, found.tokenizer.size
    ids, special = pieces.encode(text), pieces.special_ids
    total = 0.0
    if found.family in ("gpt", "composed"):
        for at, target in enumerate(ids):
            row = torch.tensor([[special["<|endoftext|>"], *ids[:at]]])
            total += log_probability(model(row)[0, -1], size, target)
    elif found.family == "bert":
        for at, target in enumerate(ids):
            masked = [*ids[:at], special["[MASK]"], *ids[at + 1 :]]
            row = torch.tensor([[special["[CLS]"], *masked, special["[SEP]"]]])
            total += log_probability(model(row)[0][0, at + 1], size, target)
    else:
        words = words_of(pieces, ids)
        assert [i for word in words for i in word] == ids
        for number, word in enumerate(words):
            before, after = (sum(part, list[int]()) for part in (words[:number], words[number + 1 :]))
            for at, target in enumerate(word):
                if found.family == "bart":
                    read = [special["<s>"], *before, special["<mask>"], *after, special["</s>"]]
                    said = [special["</s>"], special["<s>"], *before, *word[:at]]
                else:
                    read = [*before, special["<extra_id_0>"], *after, special["</s>"]]
                    said = [special["<pad>"], special["<extra_id_0>"], *word[:at]]
                total += log_probability(model(torch.tensor([read]), torch.tensor([said]))[0, -1], size, target)
    return total


@pytest.mark.parametrize("family", SHAPES)
def test_scores_are_those_of_the_definition(family: str, pieces_of_all: Tokenizer) -> None:
    found = trained_of(family, pieces_of_all)
    wanted = [by_definition(found, text) for text in SENTENCES]
    assert len({round(value, 3) for value in wanted}) == len(SENTENCES)
    assert sentence_scores(found, SENTENCES) == pytest.approx(wanted, abs=1e-5, rel=1e-6)
    assert any(len(word) > 1 for word in words_of(pieces_of_all, pieces_of_all.encode(SENTENCES[0])))


def pair(good: str, bad: str) -> str:
    return json.dumps({"sentence_good": good, "sentence_bad": bad, "pairID": "0"}) + "\n"


def write_set(path: Path, *pairs: tuple[str, str]) -> None:
    content = "".join(pair(*of) for of in pairs).encode()
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)


def test_accuracies_by_set_and_their_mean(tmp_path: Path, pieces_of_all: Tokenizer) -> None:
    found = trained_of("gpt", pieces_of_all)
    likelier, less = sorted(SENTENCES[:2], key=lambda text: -by_definition(found, text))
    write_set(tmp_path / "b_set.jsonl", (likelier, less), (less, likelier), (less, likelier), (likelier, likelier))
    write_set(tmp_path / "a_set.jsonl.gz", (likelier, less), (likelier, less))
    report = score(found, tmp_path)
    assert [(of.name, of.pairs, of.accuracy) for of in report.sets] == [("a_set", 2, 1.0), ("b_set", 4, 0.375)]
    assert report.pairs == 6
    assert report.mean == 0.6875
    assert report.standard_error == pytest.approx((0.375 * 0.625 / 4) ** 0.5 / 2)
    first = score(found, tmp_path, pairs=1)
    assert [(of.pairs, of.accuracy) for of in first.sets] == [(1, 1.0), (1, 1.0)]
    assert score(found, tmp_path, pairs=None) == report


@pytest.mark.parametrize("family", SHAPES)
def test_sentences_of_the_same_ids_tie_whatever_is_beside_them(
    family: str, tmp_path: Path, pieces_of_all: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path / "ties.jsonl", *((text, text) for text in SENTENCES))
    monkeypatch.setattr("training.evaluation.likelihood.TOKENS_PER_BATCH", {"cpu": 1})
    assert score(trained_of(family, pieces_of_all), tmp_path).mean == 0.5


def test_pairs_are_read_up_to_what_is_asked(tmp_path: Path) -> None:
    write_set(tmp_path / "one.jsonl.gz", ("a b", "b a"), ("c d", "d c"))
    (tmp_path / "README.md").write_text("not a set")
    with (tmp_path / "two.jsonl").open("w") as lines:
        lines.write(pair("é f", "f é") + "\n" + pair("g", "h") + "broken, but never looked at")
    assert read_sets(tmp_path, 2) == {
        "one": [Pair("a b", "b a"), Pair("c d", "d c")],
        "two": [Pair("é f", "f é"), Pair("g", "h")],
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", "line 2: is not a pair of sentences .*Expecting"),
        ('"text"', "line 2: is not a pair of sentences .*not an object"),
        ('{"sentence_good": "a"}', "line 2: is not a pair of sentences .*sentence_bad must be a text"),
        ('{"sentence_good": "a", "sentence_bad": 3}', "line 2: .*sentence_bad must be a text"),
        ('{"sentence_good": " ", "sentence_bad": "a"}', "line 2: .*sentence_good must be a text"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text(pair("a", "b") + line + "\n")
    with pytest.raises(BlimpError, match=f"a.jsonl: {message}"):
        read_sets(tmp_path)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BlimpError, match="holds no sets"):
        read_sets(tmp_path / "nowhere")
    whole = gzip.compress((pair("one", "two") + pair("three", "four")).encode())
    for content in (whole[:-20], whole[:-8] + bytes(8), b"\x1f\x8b no gzip"):
        (tmp_path / "a.jsonl.gz").write_bytes(content)
        with pytest.raises(BlimpError, match=r"a\.jsonl\.gz: line \d: cannot be read"):
            read_sets(tmp_path)
    (tmp_path / "a.jsonl.gz").unlink()
    (tmp_path / "B.JSONL.BZ2").write_bytes(bz2.compress(pair("one", "two").encode()))
    assert read_sets(tmp_path) == {"B": [("one", "two")]}
    (tmp_path / "B.JSONL.BZ2").unlink()
    write_set(tmp_path / "a.jsonl.gz")
    with pytest.raises(BlimpError, match=r"a\.jsonl\.gz: holds no pairs"):
        read_sets(tmp_path)
    (tmp_path / "a.jsonl.gz").unlink()
    (tmp_path / "a.jsonl").write_bytes(b'{"sentence_good": "\xff"}')
    with pytest.raises(BlimpError, match=r"a\.jsonl: line 1: cannot be read"):
        read_sets(tmp_path)
    write_set(tmp_path / "a.jsonl", ("a", "b"))
    write_set(tmp_path / "a.jsonl.gz", ("a", "b"))
    with pytest.raises(BlimpError, match="exists twice"):
        read_sets(tmp_path)


def test_a_sentence_longer_than_the_model_is_refused(tmp_path: Path, pieces_of_all: Tokenizer) -> None:
    write_set(tmp_path / "long.jsonl", ("the river " * 40, "the"))
    with pytest.raises(ValueError, match="the model 40 positions"):
        score(trained_of("bart", pieces_of_all), tmp_path)


def test_the_published_sets_are_read() -> None:
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not there")
    sets = read_sets(REAL, None)
    assert len(sets) == 34
    assert {len(of) for of in sets.values()} == {1000}
    assert {len(of) for of in read_sets(REAL).values()} == {blimp.PAIRS} == {50}
