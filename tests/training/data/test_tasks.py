import bz2
import itertools
import json
import lzma
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contract.manifest import DatasetError
from pipelines.contract.tokenizers.loading import Tokenizer
from training.data import tasks as tasks_module
from training.data.config import TaskSection
from training.data.rows.layout import Stream
from training.data.shards import open_dataset
from training.data.tasks import TaskBatch, TaskError, TaskIndex, mixture_rates, open_tasks, task_mixture

RIVER = [
    {"inputs": "the old house", "targets": "near the river", "id": 3},
    {"inputs": "", "targets": "many stories"},
    {"inputs": "the people\nof the town — <extra_id_0>", "targets": "évening"},
]
TOWN = [{"inputs": f"the town {n}", "targets": "about it " * (n + 1)} for n in range(5)]


@pytest.fixture(scope="module")
def tokenizer(dataset_folder: Path) -> Tokenizer:
    return open_dataset(str(dataset_folder)).tokenizer


def write(path: Path, examples: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(example, ensure_ascii=False) + "\n" for example in examples), encoding="utf-8")
    return str(path)


@pytest.fixture
def sections(tmp_path: Path) -> tuple[TaskSection, ...]:
    river, town = write(tmp_path / "river.jsonl", RIVER), write(tmp_path / "town.jsonl", TOWN)
    return TaskSection(name="river", path=river, prefix="tell: "), TaskSection(name="town", path=town)


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress, zstandard.compress])
def test_a_compressed_file_has_the_same_examples(tokenizer: Tokenizer, tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "river.jsonl"
    plain = open_tasks((TaskSection(name="river", path=write(path, RIVER)),), tokenizer, tmp_path / "plain")
    whole = pack(path.read_bytes())
    path.write_bytes(whole)
    packed = open_tasks((TaskSection(name="river", path=str(path)),), tokenizer, tmp_path / "packed")
    assert read(packed.gather(np.arange(3))) == read(plain.gather(np.arange(3)))
    path.write_bytes(whole[:-9])
    with pytest.raises(TaskError, match=r"river\.jsonl: breaks off after line \d \(the \w+ stream is cut off\); fetch it again$"):
        open_tasks((TaskSection(name="river", path=str(path)),), tokenizer, tmp_path / "cut")


def split(ids: np.ndarray, offsets: np.ndarray) -> list[list[int]]:
    return [part.tolist() for part in np.split(ids, offsets[1:-1])] if len(offsets) > 1 else []


def read(batch: TaskBatch) -> list[tuple[list[int], list[int]]]:
    return list(zip(split(batch.inputs, batch.input_offsets), split(batch.targets, batch.target_offsets), strict=True))


def definition(tokenizer: Tokenizer) -> list[tuple[list[int], list[int]]]:
    examples = [("tell: ", example) for example in RIVER] + [("", example) for example in TOWN]
    return [(tokenizer.encode(prefix + e["inputs"]), tokenizer.encode(e["targets"])) for prefix, e in examples]


def test_examples_are_encoded_with_their_prefix(sections: tuple[TaskSection, ...], tokenizer: Tokenizer, tmp_path: Path) -> None:
    index = open_tasks(sections, tokenizer, tmp_path / "rows")
    expected = definition(tokenizer)
    tokens = [len(inputs) + len(targets) for inputs, targets in expected]
    assert index.streams == (Stream("task:river", 0, 3, sum(tokens[:3])), Stream("task:town", 3, 5, sum(tokens[3:])))
    assert len(index) == 8
    assert read(index.gather(np.arange(8))) == expected
    mixed = np.array([7, 0, 4, 4, 2])
    assert read(index.gather(mixed)) == [expected[n] for n in mixed]
    assert index.gather(mixed).inputs.dtype == np.int32
    none = index.gather(np.empty(0, np.int64))
    assert len(none) == 0 and len(none.inputs) == len(none.targets) == 0
    with pytest.raises(IndexError, match=r"examples 0 \.\. 7; requested: 8 \.\. 8"):
        index.gather(np.array([8]))


def test_many_examples_and_blank_lines(tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "EXAMPLES_PER_CHUNK", 4)
    path = tmp_path / "many.jsonl"
    lines = [json.dumps({"inputs": f"the river {n}", "targets": "near " * (n % 3 + 1)}) for n in range(21)]
    path.write_bytes(b"\xef\xbb\xbf" + "\n\n \n".join(lines).encode())  # a byte order mark; no line end at the end
    index = open_tasks([TaskSection(name="many", path=str(path))], tokenizer, tmp_path / "rows")
    expected = [(tokenizer.encode(f"the river {n}"), tokenizer.encode("near " * (n % 3 + 1))) for n in range(21)]
    assert read(index.gather(np.arange(21))) == expected
    assert index.place(20) == (str(path), 61)  # three lines an example, from 1


def test_a_file_is_encoded_once(sections: tuple[TaskSection, ...], tokenizer: Tokenizer, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    open_tasks(sections, tokenizer, folder)
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert len(written) == 6
    again = open_tasks(sections, tokenizer, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == written
    assert all(isinstance(task.ids.base, np.memmap) for task in again.tasks)
    assert again.fingerprint == open_tasks(sections, tokenizer, folder).fingerprint
    other = sections[0].model_copy(update={"prefix": "say: "})
    assert len({open_tasks(found, tokenizer, folder).fingerprint for found in (sections, sections[1:], [other])}) == 3
    assert read(open_tasks([other], tokenizer, folder).gather(np.array([0])))[0][0] == tokenizer.encode("say: the old house")
    write(Path(sections[1].path), TOWN[:2])
    assert len(open_tasks(sections[1:], tokenizer, folder)) == 2
    assert len(list(folder.iterdir())) == 4  # nothing temporary is left


def test_an_index_travels_to_another_process(sections: tuple[TaskSection, ...], tokenizer: Tokenizer, tmp_path: Path) -> None:
    index = open_tasks(sections, tokenizer, tmp_path / "rows")
    travelled: TaskIndex = pickle.loads(pickle.dumps(index))
    assert len(pickle.dumps(index)) < 2000 and travelled.streams == index.streams
    assert read(travelled.gather(np.arange(8))) == read(index.gather(np.arange(8)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{nonsense", r'line 2: is not JSON \(.*\); a line is an object like \{"inputs": "…", "targets": "…"\}'),
        (b'{"a": ' + b"[" * 200_000, r"line 2: is not JSON \(.*\); a line is an object"),
        (b'{"inputs": ' + b"1" * 5_000 + b"}", r"line 2: has no text `inputs`"),
        (b'["a", "b"]', r"line 2: has no text `inputs`; every line needs the string fields `inputs` and `targets`"),
        (b'{"inputs": "a"}', r"line 2: has no text `targets`"),
        (b'{"inputs": "a", "targets": 3}', r"line 2: has no text `targets`"),
        (b'{"inputs": "a", "targets": ""}', r"line 2: `targets` is empty, so there is nothing to predict; remove the line"),
        (b'{"inputs": "a", "targets": "\xff"}', r"line 2: is not UTF-8; save the file in that encoding"),
        (rb'{"inputs": "\ud83d", "targets": "a"}', r"line 2: `inputs` has half of a surrogate pair"),
    ],
)
def test_lines_that_are_no_examples(line: bytes, message: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_bytes(b'{"inputs": "a", "targets": "b"}\n' + line + b"\n")
    with pytest.raises(TaskError, match=r"broken\.jsonl: " + message):
        open_tasks([TaskSection(name="broken", path=str(path))], tokenizer, tmp_path / "rows")
    assert list((tmp_path / "rows").iterdir()) == []


def test_files_that_are_no_tasks(sections: tuple[TaskSection, ...], tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"nowhere\.jsonl: objective\.tasks 'a' has no such file"):
        open_tasks([TaskSection(name="a", path=str(tmp_path / "nowhere.jsonl"))], tokenizer, tmp_path)
    with pytest.raises(TaskError, match=r"objective\.tasks 'a' has no such file"):
        open_tasks([TaskSection(name="a", path=str(tmp_path))], tokenizer, tmp_path)
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(TaskError, match=r"empty\.jsonl: has no example; write one JSON object per line, or remove the task 'a'"):
        open_tasks([TaskSection(name="a", path=str(tmp_path / "empty.jsonl"))], tokenizer, tmp_path)
    with pytest.raises(TaskError, match=r"two are named 'town'"):
        open_tasks([sections[1], sections[1]], tokenizer, tmp_path)


def test_a_damaged_folder_says_so(sections: tuple[TaskSection, ...], tokenizer: Tokenizer, tmp_path: Path) -> None:
    open_tasks(sections[:1], tokenizer, tmp_path / "rows")
    path = next((tmp_path / "rows").rglob("ids.npy"))
    whole = path.read_bytes()
    np.save(path, np.load(path)[:-1])
    with pytest.raises(DatasetError, match=r"ids\.npy holds .* remove this folder, and it is built again"):
        open_tasks(sections[:1], tokenizer, tmp_path / "rows")
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DatasetError, match=r"ids\.npy has changed since it was written"):
        open_tasks(sections[:1], tokenizer, tmp_path / "rows")
    path.write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"ids\.npy cannot be read"):
        open_tasks(sections[:1], tokenizer, tmp_path / "rows")


def test_mixture_rates_are_t5s() -> None:
    # Limits of 2^19 as in T5's table 11: the text and the large task count as much as each other.
    counts = {"text": 10**9, "mnli": 392_702, "wmt": 4_500_000, "wsc": 554}
    rates = mixture_rates(counts, 2**19)
    total = 2**19 + 392_702 + 2**19 + 554
    assert rates == pytest.approx({"text": 2**19 / total, "mnli": 392_702 / total, "wmt": 2**19 / total, "wsc": 554 / total})
    warm = mixture_rates({"a": 16, "b": 1}, 100, temperature=2)
    assert warm == pytest.approx({"a": 0.8, "b": 0.2})
    assert mixture_rates({"a": 16, "none": 0}, 100) == {"a": 1}


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 10**9), min_size=1), st.integers(1, 10**6), st.floats(1, 50))
def test_rates_add_up_and_keep_the_order(counts: dict[str, int], limit: int, temperature: float) -> None:
    rates = mixture_rates(counts, limit, temperature)
    assert sum(rates.values()) == pytest.approx(1)
    ordered = sorted(counts, key=counts.__getitem__)
    assert all(rates[a] <= rates[b] for a, b in itertools.pairwise(ordered))


def test_sources_of_text_share_the_rate_of_text() -> None:
    tasks = [Stream("task:a", 0, 50, 900), Stream("task:b", 50, 1000, 9000)]
    weights = task_mixture({"wiki": 3.0, "books": 1.0}, 10**6, tasks, limit=100)
    assert weights == pytest.approx({"wiki": 0.3, "books": 0.1, "task:a": 0.2, "task:b": 0.4})
