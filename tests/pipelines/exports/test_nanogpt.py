"""nanoGPT's own reading: np.memmap and slices of it (its train.py, get_batch)."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.exports.export import export


@pytest.fixture(scope="module")
def exported(write_tokens: Callable[..., Path], sentencepiece_model: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import sentencepiece

    size = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model).get_piece_size()
    special_ids = {"<unk>": 0, "<|endoftext|>": 1}
    folder = tmp_path_factory.mktemp("nanogpt")
    tokens = write_tokens(folder / "tokens", size=size, model=sentencepiece_model, special_ids=special_ids)
    export(str(tokens), None, "nanogpt", str(folder / "out"))
    return folder / "out"


def test_files_are_what_get_batch_reads(exported: Path, train_documents: list[tuple[str, str, list[int]]]) -> None:
    data = np.memmap(exported / "train.bin", dtype=np.uint16, mode="r")
    assert data.tolist() == [i for _, _, ids in train_documents for i in [*ids, 1]]
    block = 8
    x, y = data[3 : 3 + block].astype(np.int64), data[4 : 4 + block].astype(np.int64)
    assert x.tolist() == [1, 1, 2, 3, 1, 1, 4, 1]  # the end of [7, 8, 9]; [1, 2, 3]; the empty document; [4]
    assert y.tolist() == [1, 2, 3, 1, 1, 4, 1, 5]
    assert (exported / "val.bin").read_bytes() == np.array([20, 21, 1], "<u2").tobytes()


def test_meta_sizes_the_model_and_decodes(exported: Path) -> None:
    meta = pickle.loads((exported / "meta.pkl").read_bytes())
    assert meta["vocab_size"] == len(meta["itos"])
    the = meta["stoi"][" the"]
    assert "".join(meta["itos"][i] for i in [the, meta["stoi"][" "], meta["stoi"]["t"]]) == " the t"
