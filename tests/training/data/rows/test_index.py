import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.contract.manifest import DatasetError, Part
from pipelines.contract.shards import ShardError, ShardRun
from training.data import maps as maps_module
from training.data.gather import copy_spans, cut_stream, sentence_places
from training.data.maps import RUN, Maps, PartOfStream, check_sentences, maps_of_table
from training.data.rows import index as rows_module
from training.data.rows.batch import RowBatch
from training.data.rows.index import Layout, RowIndex, Stream, Verify, open_rows
from training.data.shards import TokenDataset, open_dataset, open_runs

END = 0


def joined(runs: Sequence[ShardRun], end: int | None) -> list[int]:
    """The definition: every document, then one separator."""
    after = [] if end is None else [end]
    return [
        int(t) for run in runs for d in range(run.documents) for t in [*run.tokens[run.offsets[d] : run.offsets[d + 1]], *after]
    ]


def cut(stream: list[int], tokens: int, overlap: int) -> list[list[int]]:
    """The definition: a row every `tokens - overlap` tokens, as long as it holds more than the overlap."""
    return [stream[at : at + tokens] for at in range(0, len(stream), tokens - overlap) if at + overlap < len(stream)]


def as_lists(batch: RowBatch) -> list[list[int]]:
    return [batch.ids[first:last].tolist() for first, last in zip(batch.rows[:-1], batch.rows[1:], strict=True)]


def _layout(dataset: TokenDataset, tokens: int = 17) -> Layout:
    return Layout("concatenate", tokens=tokens, overlap=1, separator=dataset.end_of_text())


def _open(dataset: TokenDataset, folder: Path, tokens: int = 17, seed: int = 1) -> RowIndex:
    return open_rows(dataset, "train", folder, _layout(dataset, tokens), seed=seed)


@pytest.mark.parametrize(("tokens", "overlap", "separated"), [(33, 1, True), (32, 0, True), (50, 7, False), (7, 0, False)])
def test_a_dataset_is_cut_source_by_source(
    dataset_folder: Path, tmp_path: Path, tokens: int, overlap: int, separated: bool
) -> None:
    dataset = open_dataset(str(dataset_folder))
    layout = Layout("concatenate", tokens, overlap, dataset.end_of_text() if separated else None)
    index = open_rows(dataset, "train", tmp_path, layout, seed=1)
    expected = []
    for stream in index.streams:
        source = cut(joined(open_runs(dataset, "train", stream.source), layout.separator), tokens, overlap)
        assert (stream.first, stream.rows) == (len(expected), len(source))
        expected += source
    assert [stream.source for stream in index.streams] == ["books", "wiki"]
    order = np.random.default_rng(1).permutation(len(expected))
    assert as_lists(index.gather(order)) == [expected[n] for n in order]
    total = index.figures()[-1]
    assert total.rows == len(index) == len(expected) and total.tokens_in_rows == sum(map(len, expected))
    assert total.tokens_in_rows - overlap * (total.rows - 2) == total.tokens  # nothing is lost
    assert {path.name for path in tmp_path.rglob("*.npy")} == {"runs.npy"}  # concatenated rows are not stored


def test_an_index_is_built_once_for_what_it_is_made_of(dataset_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(dataset_folder))
    first = _open(dataset, tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    assert _open(dataset, tmp_path).fingerprint == first.fingerprint
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == written
    others = {_open(dataset, tmp_path, tokens=9).fingerprint, _open(dataset, tmp_path, seed=2).fingerprint, first.fingerprint}
    assert len(others) == 3
    assert len(list(tmp_path.iterdir())) == 3  # nothing temporary is left


def test_an_index_travels_to_another_process(dataset_folder: Path, tmp_path: Path) -> None:
    index = _open(open_dataset(str(dataset_folder)), tmp_path)
    numbers = np.array([5, 0, 7])
    assert pickle.loads(pickle.dumps(index)).gather(numbers).ids.tolist() == index.gather(numbers).ids.tolist()


def test_a_row_outside_is_refused(dataset_folder: Path, tmp_path: Path) -> None:
    index = _open(open_dataset(str(dataset_folder)), tmp_path)
    for number in (-1, len(index)):
        with pytest.raises(IndexError, match="were requested from an index of"):
            index.gather(np.array([number]))
    empty = index.gather(np.empty(0, np.int64))
    assert len(empty) == 0 and empty.ids.dtype == np.int32


def test_an_empty_split_says_so(dataset_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(dataset_folder))
    with pytest.raises(DatasetError, match=r"the split 'test' is empty; the dataset has \['train', 'validation'\]"):
        open_rows(dataset, "test", tmp_path, _layout(dataset), seed=1)


def test_a_source_without_a_row_is_left_out(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    documents = {("train", "big", "en"): [["the old house stood near the river " * 40]], ("train", "tiny", "en"): [[""]]}
    dataset = open_dataset(str(make_dataset(tmp_path / "tokens", documents, vocabulary=280)))
    index = _open(dataset, tmp_path / "rows")
    assert [(stream.source, stream.rows) for stream in index.streams][1] == ("tiny", 0)
    assert index.figures()[1].cropped == 1  # its separator stands in no row
    alone = make_dataset(tmp_path / "alone", {("train", "tiny", "en"): [["", ""]], **_unseen()}, vocabulary=280)
    with pytest.raises(DatasetError, match=r"the split 'train' has 2 tokens, too few for one row"):
        open_rows(open_dataset(str(alone)), "train", tmp_path / "rows", Layout("document", 17, 1, END), seed=1)


def _unseen() -> dict[tuple[str, str, str], list[list[str]]]:
    return {("other", "big", "en"): [["the old house stood near the river " * 40]]}


LAYOUTS = [
    Layout("concatenate", 17, 1, END, sentences=True),
    Layout("best_fit", 17, 1, END),
    Layout("document", 17, 0, END),
    Layout("document", 17, long_documents="crop"),
    Layout("sentences", 17, sentences=True),
    Layout("pairs", 17, copies=2),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.packing}-{layout.long_documents}")
def test_rows_hold_what_their_places_say(dataset_folder: Path, tmp_path: Path, layout: Layout) -> None:
    dataset = open_dataset(str(dataset_folder))
    index = open_rows(dataset, "train", tmp_path, layout, seed=1)
    numbers = np.random.default_rng(2).permutation(len(index))
    batch, places = index.gather(numbers), index.places(numbers)
    assert len(batch) == len(places) == len(numbers)
    assert batch.ids.dtype == np.int32 and np.diff(batch.rows).max() <= 17 and (np.diff(batch.spans) > 0).all()
    assert np.isin(batch.rows, batch.spans).all()
    assert [len(of) for of in places] == np.diff(batch.row_spans).tolist()
    shards = {run.path: [] for source in ("books", "wiki") for run in open_runs(dataset, "train", source)}
    for source in ("books", "wiki"):
        for run in open_runs(dataset, "train", source):
            shards[run.path] += [(run, document) for document in range(run.documents)]
    for span, place in enumerate(place for of in places for place in of):
        run, document = shards[place.path][place.document]
        text = run.tokens[run.offsets[document] : run.offsets[document + 1]]
        expected = text[place.first_token : place.first_token + place.tokens].tolist()
        ids = batch.ids[batch.spans[span] : batch.spans[span + 1]].tolist()
        at_end = layout.separator is not None and place.first_token + place.tokens == len(text)
        assert ids in ([expected, [*expected, END]] if at_end else [expected])
        assert (place.id, place.source, place.language) == (run.document(document), run.source, run.language)
        assert f"/{place.source}/{place.language}/" in place.path
    if layout.sentences:  # the test's documents have one sentence each
        assert batch.sentences.tolist() == batch.spans[:-1].tolist()
    else:
        assert batch.sentences.size == 0
    assert (batch.random_next is not None) == (layout.packing == "pairs")


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.packing}-{layout.long_documents}")
def test_figures_are_those_of_the_rows(dataset_folder: Path, tmp_path: Path, layout: Layout) -> None:
    dataset = open_dataset(str(dataset_folder))
    index = open_rows(dataset, "train", tmp_path, layout, seed=1)
    batch = index.gather(np.arange(len(index)))
    *figures, total = index.figures()
    assert [of.source for of in figures] == ["books", "wiki"] and total.source is None
    separators = dataset.totals("train")["rows"] * (layout.separator is not None)
    assert total.documents == dataset.totals("train")["rows"] and total.tokens == dataset.totals("train")["tokens"] + separators
    assert [of.rows for of in figures] == [stream.rows for stream in index.streams] and total.rows == len(batch)
    assert total.tokens_in_rows == len(batch.ids) and total.row_tokens == 17 * len(batch)
    assert total.padding_share == pytest.approx(1 - len(batch.ids) / (17 * len(batch)))
    if layout.packing != "pairs" and not layout.overlap:
        assert total.tokens_in_rows + total.cropped == total.tokens
    if layout.packing != "pairs":  # of the test's documents, one long sentence each, pairs drop most
        assert bool(total.cropped) == (layout.long_documents == "crop")


def test_sentences_of_rows(make_maps: Callable[..., Maps]) -> None:
    """Sentences of 3 and 4 tokens, and of 2, 2 and 3, each document followed by 0; rows of 6."""
    maps = make_maps({("a", "en"): [[[3, 4]], [[2, 2, 3]]]}, True)
    spans = cut_stream(maps, np.array([0, 6, 12]), np.array([6, 6, 4]), separated=True)
    ids, highest, wrong = copy_spans(maps, spans, END)
    assert (highest, wrong) == (14, -1)
    assert ids.tolist() == [1, 2, 3, 4, 5, 6, 7, 0, 8, 9, 10, 11, 12, 13, 14, 0]
    assert sentence_places(maps, spans).tolist() == [0, 3, 6, 8, 10, 12]  # 6 and 12: rows begin there; 12 within no sentence
    assert spans.row_spans.tolist() == [0, 1, 3, 4]


def test_a_crash_while_building_leaves_no_index(dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    dataset = open_dataset(str(dataset_folder))
    with monkeypatch.context() as patched:
        patched.setattr(rows_module, "best_fit_rows", crash)
        with pytest.raises(KeyboardInterrupt):
            open_rows(dataset, "train", tmp_path, LAYOUTS[1], seed=1)
    assert list(tmp_path.iterdir()) == []
    assert len(open_rows(dataset, "train", tmp_path, LAYOUTS[1], seed=1)) > 0


def test_two_processes_build_the_same(dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(str(dataset_folder))
    build: Any = vars(rows_module)["_build"]

    def second(*arguments: Any, **named: Any) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(rows_module, "_build", build)
            open_rows(dataset, "train", tmp_path, LAYOUTS[1], seed=1)  # another is first
        build(*arguments, **named)

    monkeypatch.setattr(rows_module, "_build", second)
    assert len(open_rows(dataset, "train", tmp_path, LAYOUTS[1], seed=1)) > 0
    assert len(list(tmp_path.iterdir())) == 1


def _cut_short(folder: Path) -> None:
    path = folder / "spans.npy"
    path.write_bytes(path.read_bytes()[:-16])


def _shorter(folder: Path) -> None:
    np.save(folder / "rows.npy", np.load(folder / "rows.npy")[:-1])


def _other_spans(folder: Path) -> None:
    spans = np.load(folder / "spans.npy")
    spans["tokens"] += 500
    np.save(folder / "spans.npy", spans)


def _other_documents(folder: Path) -> None:
    spans = np.load(folder / "spans.npy")
    spans["document"] += 10**6
    np.save(folder / "spans.npy", spans)


def _other_split(folder: Path) -> None:
    content = json.loads((folder / "index.json").read_text())
    content["identity"]["split"] = "validation"
    (folder / "index.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut_short, r"spans\.npy cannot be read"),
        (_shorter, r"rows\.npy holds"),
        (lambda folder: (folder / "index.json").unlink(), r"index\.json cannot be read"),
        (lambda folder: (folder / "index.json").write_text("[]"), r"index\.json cannot be read"),
        (_other_split, "it was made from another split"),
        (_other_spans, r"a span of its rows lies outside a document of .*\.arrow"),
        (_other_documents, "its rows name documents that do not exist"),
    ],
)
def test_a_damaged_index_is_named(dataset_folder: Path, tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    dataset = open_dataset(str(dataset_folder))
    open_rows(dataset, "train", tmp_path, LAYOUTS[1], seed=1)
    (folder,) = tmp_path.iterdir()
    damage(folder)
    with pytest.raises(DatasetError, match=rf"{folder.name}: is not a usable index: {message}.*; remove this folder"):
        open_rows(dataset, "train", tmp_path, LAYOUTS[1], seed=1, verify="never").gather(np.arange(4))


def test_other_rows_of_the_same_size_are_refused(dataset_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(dataset_folder))
    open_rows(dataset, "train", tmp_path, LAYOUTS[1], seed=1)
    (path,) = tmp_path.glob("*/rows.npy")
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        DatasetError, match=r"rows\.npy has changed since it was written .*; remove this folder, and it is built again"
    ):
        open_rows(dataset, "train", tmp_path, LAYOUTS[1], seed=1)
    index = json.loads((path.parent / "index.json").read_text())
    (path.parent / "index.json").write_text(json.dumps({name: value for name, value in index.items() if name != "sha256"}))
    open_rows(dataset, "train", tmp_path, LAYOUTS[1], seed=1)  # of an earlier release


def _flip_an_id(dataset: TokenDataset) -> Path:
    """The highest byte of the first id of the second part: an id outside the vocabulary, with the size as it was."""
    run = next(run for run in open_runs(dataset, "train", "wiki") if run.documents > 2)
    path = Path(run.path)
    content = bytearray(path.read_bytes())
    place = bytes(content).index(run.tokens[run.offsets[0] : run.offsets[0] + 8].tobytes())
    content[place + 1] = 0xFF
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("layout", [LAYOUTS[0], LAYOUTS[1]], ids=lambda layout: layout.packing)
def test_an_id_outside_the_vocabulary_is_refused(own_dataset: Path, tmp_path: Path, layout: Layout) -> None:
    dataset = open_dataset(str(own_dataset))
    path = _flip_an_id(dataset)
    index = open_rows(dataset, "train", tmp_path, layout, seed=1, verify="never")
    with pytest.raises(ShardError, match=rf"{path.name}: has the id 65\d+, but the vocabulary has 300 pieces"):
        index.gather(np.arange(len(index)))


@pytest.mark.parametrize("layout", [LAYOUTS[0], LAYOUTS[1]], ids=lambda layout: layout.packing)
def test_the_first_id_outside_the_vocabulary_is_its_size(own_dataset: Path, tmp_path: Path, layout: Layout) -> None:
    dataset = open_dataset(str(own_dataset))
    index = open_rows(dataset, "train", tmp_path, layout, seed=1)
    every = np.arange(len(index))
    highest = int(index.gather(every).ids.max())
    assert replace(index, vocabulary_size=highest + 1).gather(every).ids.max() == highest
    with pytest.raises(ShardError, match=rf"has the id {highest}, but the vocabulary has {highest} pieces"):
        replace(index, vocabulary_size=highest).gather(every)


@pytest.mark.parametrize("high", [60_000, 2**31 + 5])
def test_ids_of_32_bits_are_compared_whole(high: int) -> None:
    run = ShardRun("wide", np.array([1, 2, high], np.uint32), np.array([0, 3], np.int32), "a", "en")
    part = PartOfStream(Part(table="tokens/train/a/en", unit="0", path="", rows=1, bytes=1, sha256=""), "a", "en")
    maps = maps_of_table([part], np.array([(0, 1, 3)], RUN), lambda _: [run], separated=False)
    spans = cut_stream(maps, np.array([0]), np.array([3]), separated=False)
    ids, highest, wrong = copy_spans(maps, spans, None)
    assert ids[:2].tolist() == [1, 2] and (highest, wrong) == (high, -1)


def test_shards_are_verified_once_always_or_never(own_dataset: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(own_dataset))
    layout = _layout(dataset)
    open_rows(dataset, "train", tmp_path / "before", layout, seed=1)
    _flip_an_id(dataset)
    open_rows(dataset, "train", tmp_path / "before", layout, seed=1)  # an index is there: verified when it was built
    open_rows(dataset, "train", tmp_path / "never", layout, seed=1, verify="never")
    cases: list[tuple[str, Verify]] = [("before", "always"), ("new", "once"), ("new", "always")]
    for folder, verify in cases:
        with pytest.raises(ShardError, match="its sha256 is not the manifest's"):
            open_rows(dataset, "train", tmp_path / folder, layout, seed=1, verify=verify)
    assert not (tmp_path / "new").exists() or not list((tmp_path / "new").iterdir())


def test_many_parts_are_opened_when_asked_for(own_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(str(own_dataset))
    eager = _open(dataset, tmp_path)
    monkeypatch.setattr(maps_module, "EAGER_PARTS", 1)
    lazy = _open(dataset, tmp_path)
    assert lazy.maps.opened() == 0
    assert as_lists(lazy.gather(np.array([0]))) == as_lists(eager.gather(np.array([0])))
    assert lazy.maps.opened() == 1 < eager.maps.opened()
    everything = np.arange(len(eager))
    assert as_lists(lazy.gather(everything)) == as_lists(eager.gather(everything))
    Path(dataset.uri, dataset.parts("train", "wiki")[-1].path).write_bytes(b"short")
    with pytest.raises(ShardError, match="has 5 bytes, the manifest says"):
        _open(dataset, tmp_path)


def test_sentence_starts_are_looked_at(make_maps: Callable[..., Maps]) -> None:
    for starts in ([0, 2, 2], [0, 3, 2], [1, 2, 3], [0, 2, 7]):
        run = make_maps({("a", "en"): [[[2, 2, 3]]]}, False).run(0)
        run.sentences[1:] = starts
        with pytest.raises(ShardError, match="a/en/0: the sentence starts of a document do not ascend from 0"):
            check_sentences(run)
    check_sentences(make_maps({("a", "en"): [[[], [2, 2, 3], [1], []]]}, False).run(0))


def test_ten_billion_rows_cost_their_runs() -> None:
    """10^10 rows of 1,024 tokens in 20,000 parts of 125 runs of 2,000 documents (which are all the same one here)."""
    tokens = np.arange(2046 * 2000, dtype=np.uint32).astype(np.uint16)
    run = ShardRun("simulated", tokens, np.arange(0, 2046 * 2001, 2046, dtype=np.int32), "web", "en")
    table = np.zeros(2_500_001, RUN)
    table["part"], table["documents"], table["tokens"] = np.arange(len(table)) // 125, 2000, 2046 * 2000
    parts = [
        PartOfStream(Part(table="tokens/train/web/en", unit=str(n), path="", rows=1, bytes=1, sha256=""), "web", "en")
        for n in range(20_001)
    ]
    maps = maps_of_table(parts, table, lambda of: [run] * (1 if of.part.unit == "20000" else 125), separated=True)
    stream = Stream("web", 0, int(maps.joined[-1]) // 1024, int(maps.joined[-1]))
    layout = Layout("concatenate", 1024, separator=9)
    index = RowIndex("f", layout, 2**16, (stream,), Path(), maps, (), {}, ())
    rows = len(index)
    assert rows > 9_990_000_000
    numbers = np.array([len(index) - 1, 5_000_000_000, 0])
    batch = index.gather(numbers)
    for at, number in enumerate(numbers.tolist()):
        places = number * 1024 + np.arange(1024)
        document, place = places // 2047, places % 2047
        expected = np.where(place == 2046, 9, tokens[document % 2000 * 2046 + np.minimum(place, 2045)])
        assert np.array_equal(batch.ids[at * 1024 : at * 1024 + 1024], expected)
    assert maps.opened() == 3


@pytest.mark.parametrize(
    "numbers",
    [
        {"packing": "concatenate", "tokens": 8, "overlap": 8},
        {"packing": "sentences", "tokens": 8, "separator": 0},
        {"packing": "pairs", "tokens": 8, "overlap": 1},
    ],
)
def test_a_layout_that_contradicts_itself_is_refused(numbers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="rows"):
        Layout(**numbers)
