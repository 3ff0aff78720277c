"""The table: every ancestor and our own runs on a small corpus, kept and made again, and wrong input."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from training.ancestors.history import ANCESTORS, Row, coverage, history, table
from training.ancestors.vectors import read_vectors
from training.ancestors.words import AncestorError, read
from training.arguments import add_ancestors, parse
from training.data.shards import open_dataset
from training.run.pretrain import pretrain

CHEAP = ("random", "1-gram", "3-gram", "skipgram", "glove")


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    (folder / "wordsim353.tsv").write_text("# words\nhouse\triver\t3\nold\ttown\t1\npeople\ttold\t7\nhouse\tsea\t2\n")
    (folder / "simlex999.txt").write_text("old\tnear\t1\nmany\tevery\t6\nstood\ttold\t4\n")
    (folder / "questions-words.txt").write_text(": all\nold house many stories\nold house new sea\n")
    return folder


@pytest.fixture(scope="module")
def sst2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sst2")
    good, bad = "the old house stood", "people told many stories"
    for name, size in (("train", 12), ("dev", 4), ("test", 6)):
        (folder / f"{name}.tsv").write_text("sentence\tlabel\n" + f"{good}\t1\n{bad}\t0\n" * size)
    return folder


def test_the_ancestors_of_a_small_corpus(dataset_folder: Path, tmp_path: Path, sets: Path, sst2: Path):
    rows = {row.name: row for row in history(str(dataset_folder), tmp_path, sets=sets, sst2=sst2, only=CHEAP)}
    assert tuple(rows) == CHEAP
    assert {name for name, row in rows.items() if row.bits_per_byte is not None} == {"1-gram", "3-gram"}
    one, three = rows["1-gram"], rows["3-gram"]
    assert one.bits_per_byte is not None and three.bits_per_byte is not None and three.perplexity is not None
    assert three.bits_per_byte < one.bits_per_byte / 2  # the text repeats itself
    held_out = read(open_dataset(str(dataset_folder)), "validation")
    nats = math.log(three.perplexity) * len(held_out.stream())
    assert three.bits_per_byte == pytest.approx(nats / math.log(2) / held_out.utf8_bytes)
    for name in ("random", "skipgram", "glove"):
        row = rows[name]
        assert {key: (score.used, score.size) for key, score in row.words.items()} == {
            "wordsim353": (3, 4), "simlex999": (3, 3), "analogies": (1, 2),
        }  # fmt: skip
        assert row.sst2 == 1.0  # two sentences without a common word
        assert read_vectors(tmp_path / f"{name}.vec").vocabulary[0] == "the"
    assert [row["name"] for row in json.loads((tmp_path / "ancestors.json").read_text())] == list(CHEAP)


def test_finished_rows_are_kept_until_something_changes(dataset_folder: Path, tmp_path: Path, sets: Path):
    first = history(str(dataset_folder), tmp_path, sets=sets, only=("random", "1-gram"))
    path = tmp_path / "rows" / "1-gram.json"
    kept = json.loads(path.read_text())
    kept["row"]["perplexity"] = 7.0
    path.write_text(json.dumps(kept))
    again = history(str(dataset_folder), tmp_path, sets=sets, only=("random", "1-gram"))
    assert again[0] == first[0] and again[1].perplexity == 7.0
    other = history(str(dataset_folder), tmp_path, sets=sets, only=("random", "1-gram"), seed=2)
    assert other[0].words != first[0].words and other[1].perplexity == first[1].perplexity


def test_elmo_and_our_runs_beside_each_other(
    make_dataset: Callable[..., Path], documents: object, tmp_path: Path, tiny_config: Path, sets: Path, sst2: Path
):
    data = make_dataset(tmp_path / "tokens", documents, families=("gpt", "bert"))
    shared = (f'data.tokens="{data}"', "sample.tokens=0", "train.steps=4")
    pretrain(tiny_config, (*shared, f'run.out="{tmp_path / "gpt"}"'))
    bert = ('model.family="bert"', 'objective.name="masked_lm"', 'rows.packing="pairs"', f'run.out="{tmp_path / "bert"}"')
    pretrain(tiny_config, (*shared, *bert, 'sample.prompt="the [MASK]"'))
    runs = [tmp_path / "gpt", tmp_path / "bert"]
    rows = history(str(data), tmp_path / "out", runs=runs, sets=sets, sst2=sst2, only=("elmo",), limit=3000)
    assert [row.name for row in rows] == ["elmo", "gpt", "bert"]
    assert [len(row.mix) for row in rows] == [3, 3, 3] and all(sum(row.mix) == pytest.approx(1) for row in rows)
    elmo, gpt, bert_row = rows
    assert elmo.bits_per_byte is not None and gpt.bits_per_byte is not None and bert_row.bits_per_byte is None
    assert abs(elmo.bits_per_byte / gpt.bits_per_byte - 1) < 0.5
    assert (tmp_path / "out" / "elmo.pt").exists()
    assert all(row.words["wordsim353"].used == elmo.words["wordsim353"].used for row in rows)


def test_the_table_has_a_line_for_each():
    lines = table([Row("random", 10, 0.2, 0), Row("5-gram", 2000, 3.4, 1, 2.1234, 98.76)])
    assert [len(line) for line in lines] == [len(lines[0])] * 3
    assert lines[2].split() == ["5-gram", "Chen", "and", "Goodman", "1998", "2,000", "3", "s", "1.0", "2.123", "98.8"]
    assert coverage([]) == ""


def test_wrong_names_and_data_are_refused(dataset_folder: Path, tmp_path: Path):
    with pytest.raises(AncestorError, match="7gram: is no ancestor; name some of random, 1-gram"):
        history(str(dataset_folder), tmp_path, only=("7gram",))
    with pytest.raises(AncestorError, match="bytes: must be 1 or more, not 0"):
        history(str(dataset_folder), tmp_path, limit=0)
    with pytest.raises(AncestorError, match=r"sst2/train.tsv: there is no such file"):
        history(str(dataset_folder), tmp_path, sst2=tmp_path / "sst2", only=())
    assert parse(add_ancestors, ["data", "--out", "out"]).only is None
    assert set(ANCESTORS) >= {"skipgram", "cbow", "glove", "elmo", "5-gram"}


def test_a_run_of_another_tokenizer_is_refused(
    dataset_folder: Path, make_dataset: Callable[..., Path], documents: object, tmp_path: Path, tiny_config: Path
):
    pretrain(tiny_config, ("sample.tokens=0", "train.steps=3"))
    other = make_dataset(tmp_path / "tokens", documents, vocabulary=280)
    with pytest.raises(AncestorError, match="has another tokenizer than the data"):
        history(str(other), tmp_path / "out", runs=[tmp_path / "run"], only=())
