"""Relations: marks, rows, the official score, answers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuning import SHAPES, WORDS, write_config, write_records

from pipelines.contract.tokenizers.loading import Tokenizer
from training.models.families import make
from training.run.device import Device
from training.tasks import tuned
from training.tasks.encoders.relations import (
    Relations,
    RelationsSection,
    _around,  # pyright: ignore[reportPrivateUsage]
    directed_macro_f1,
    marked_text,
)
from training.tasks.errors import TaskError
from training.tasks.finetune import finetune
from training.tasks.input.reading import reader
from training.tasks.input.records import Records
from training.tasks.predict import predict

SEMEVAL = Path(__file__).parents[5] / "shared/data/downstream/relations"
SECTION = RelationsSection(markers=("old", "[MASK]"))


def task_of(tokenizer: Tokenizer, train: Records, length: int = 32) -> Relations:
    return Relations.begin(SECTION, reader(make(SHAPES["bert"](tokenizer.size), 1), tokenizer, length), train)


def read(path: Path) -> Records:
    return tuned.read(Relations, SECTION, str(path))


def lines(count: int, seed: int = 0) -> str:
    """Sentences whose relation is from the river to the town, whichever comes first."""
    draws = np.random.default_rng(seed)
    out = ""
    for _ in range(count):
        nouns = ["river", "town"] if draws.random() < 0.5 else ["town", "river"]
        label = "Flow(e1,e2)" if nouns[0] == "river" else "Flow(e2,e1)"
        out += f"{label}\t<e1> {nouns[0]} </e1> {draws.choice(WORDS)} <e2>{nouns[1]}</e2>\n"
    return out


def test_a_bert_learns_the_direction_of_a_relation(bases: Mapping[str, Path], tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text(lines(300))
    (tmp_path / "test.tsv").write_text(lines(40, seed=1))
    more = f'test = "{tmp_path}/test.tsv"\nmarkers = ["near", "and"]'
    report = finetune(
        write_config(tmp_path, bases["bert"], "relations", tmp_path / "train.tsv", more),
        ("train.epochs=5", "train.eval_every=99"),
    )
    assert report["test"]["macro_f1"] > 0.9
    model = tuned.load(tmp_path / "run")
    write_records(tmp_path / "new.jsonl", [{"text": "the <e1> town </e1> told <e2> river </e2>"}])
    [answer] = predict(model, model.read(str(tmp_path / "new.jsonl"), labelled=False), Device("cpu", "float32"))
    assert (answer["label"], answer["first"], answer["second"]) == ("Flow(e2,e1)", "town", "river")


def test_marks_become_pieces_and_the_starts_are_theirs(tokenizer: Tokenizer, tmp_path: Path) -> None:
    texts = ["the <e1>house</e1> near the <e2>river</e2> every", "the <e2>house</e2> near the <e1>river</e1> every"]
    records = read(
        write_records(tmp_path / "a.jsonl", [{"text": text, "label": f"R(e{n},e{3 - n})"} for n, text in enumerate(texts, 1)])
    )
    rows = task_of(tokenizer, records).rows(records)
    batch = rows.batch(np.array([0, 1]))
    mask = tokenizer.special_ids["[MASK]"]
    old = tokenizer.encode("old")
    for number, (one, two) in enumerate([(old, [mask]), ([mask], old)]):
        head = [*tokenizer.encode("the"), *one, *tokenizer.encode("house"), *one, *tokenizer.encode("near the")]
        row = [*head, *two, *tokenizer.encode("river"), *two, *tokenizer.encode("every")]
        assert batch["inputs"][number].tolist()[1 : batch["lengths"][number] - 1] == row
        places = [1 + len(tokenizer.encode("the")), 1 + len(head)]
        assert batch["starts"][number].tolist() == (places if number == 0 else places[::-1])
    assert batch["labels"].tolist() == [0, 1]


@given(
    before=st.integers(0, 30),
    apart=st.integers(1, 40),
    size=st.integers(1, 9),
    after=st.integers(0, 30),
    room=st.integers(12, 40),
)
def test_a_long_row_keeps_both_starts(before: int, apart: int, size: int, after: int, room: int) -> None:
    ids = list(range(before + apart + size + after))
    first, second = before, before + apart
    kept, at = _around(ids, (first, second, second + size), room)
    assert len(kept) == min(len(ids), room)
    assert (kept[at[0]], kept[at[1]]) == (first, second)
    if second + size - first <= room:
        assert second + size - 1 in kept


def test_the_score_is_the_official_one() -> None:
    wanted = ["A(e1,e2)", "A(e1,e2)", "A(e2,e1)", "B(e1,e2)", "B(e2,e1)", "Other", "Other"]
    predicted = ["A(e1,e2)", "A(e2,e1)", "Other", "B(e1,e2)", "A(e1,e2)", "Other", "B(e1,e2)"]
    # A: 1 right; 3 predicted, one of them in the wrong direction, one a B; 3 wanted: P = R = F1 = 1/3
    # B: 1 right; 2 predicted, one of them Other; 2 wanted: P = R = F1 = 1/2
    assert directed_macro_f1(wanted, predicted) == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert directed_macro_f1(wanted, wanted) == 1.0
    assert directed_macro_f1(wanted, ["Other"] * 7) == 0.0
    assert directed_macro_f1(["A(e1,e2)"], ["B(e1,e2)"]) == 0.0, "a relation that is only predicted has no score of its own"


def test_texts_are_cut_at_their_marks() -> None:
    marked = marked_text("<e2>Books</e2> by <e1> her </e1>", "x")
    assert (marked.parts, marked.entities, marked.swapped) == (("", "Books", "by", "her", ""), ("her", "Books"), True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A\tthe <e1>a</e1> and <e2>b</e2>\nB\tthe <e1>a</e1>\n", "line 2: the text needs one <e1>…</e1> and one <e2>"),
        ("A\t<e1>a</e1> <e2>b</e2>\nB\t<e1>a <e2>b</e2></e1>\n", "line 2: the text needs"),
        ("A\t<e1>a</e1> <e2>b</e2>\nB\t<e1> </e1> <e2>b</e2>\n", "line 2: an entity is empty"),
        ("A\t<e1>a</e1> <e2>b</e2>\n<e1>a</e1> <e2>b</e2>\n", "line 2: is not a label, a tab and a sentence"),
        ("A\t<e1>a</e1> <e2>b</e2>\nA\t<e1>a</e1> <e2>b</e2>\n", "has only the label 'A'"),
    ],
)
def test_records_that_cannot_be_used_are_refused(text: str, message: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(TaskError, match=message):
        records = read(tmp_path / "a.tsv")
        task_of(tokenizer, records).rows(records)


@pytest.mark.skipif(not SEMEVAL.exists(), reason="the data of SemEval-2010 task 8 are not beside the checkout")
def test_semeval_is_read() -> None:
    counts = [len(read(SEMEVAL / name)) for name in ("train.tsv", "test.tsv")]
    texts = read(SEMEVAL / "test.tsv").texts("text")
    assert counts == [8000, 2717] and all(all(marked_text(text, "x").entities) for text in texts)
