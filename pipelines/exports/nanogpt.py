"""nanoGPT: one file per split, all ids as uint16, an end of text after each document (data/openwebtext/prepare.py).

    train.bin    nanoGPT's get_batch reads it by np.memmap("train.bin", dtype=np.uint16, mode="r")
    val.bin
    meta.pkl     {"vocab_size", "itos", "stoi"}: train.py sizes the model by it, sample.py decodes with it

The sources of a split follow one another; nanoGPT draws offsets at random.

Limits: sample.py encodes its prompt character by character and prints byte pieces as "<0xE2>".
"""

import pickle
from collections.abc import Sequence

import numpy as np

from pipelines.contract import files, shards
from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.spelling import SPACE_MARK
from pipelines.exports.streams import ExportError, TokenStreams, joined

_FILES = {"train": "train.bin", "validation": "val.bin"}
_PICKLE_PROTOCOL = 4  # fixed, so that the bytes do not depend on the Python version


def write(streams: TokenStreams, splits: Sequence[str], out: str) -> None:
    """Write train.bin, val.bin and meta.pkl. Raise ExportError if the ids do not fit uint16."""
    if streams.dtype != np.uint16:
        raise ExportError(
            f"{streams.uri}: nanoGPT reads uint16, but the vocabulary has {streams.vocabulary_size:,} pieces; "
            "use one of at most 65,536, or export to megatron, mds or huggingface"
        )
    end_of_text = streams.end_of_text("nanogpt")
    for split in splits:
        with files.writing(files.join(out, _FILES.get(split, f"{split}.bin"))) as stream:
            for source in shards.sources(streams.manifest, split):
                for run in streams.runs(split, source):
                    stream.write(joined(run, end_of_text).tobytes())
    with files.writing(files.join(out, "meta.pkl")) as stream:
        stream.write(_meta(streams))


def _meta(streams: TokenStreams) -> bytes:
    tokenizer = loading.load(streams.uri, streams.manifest)
    pieces = [piece.replace(SPACE_MARK, " ") for piece in tokenizer.piece_names()]
    stoi = {piece: number for number, piece in reversed(list(enumerate(pieces)))}  # the first of equal pieces
    meta = {"vocab_size": streams.vocabulary_size, "itos": dict(enumerate(pieces)), "stoi": stoi}
    return pickle.dumps(meta, protocol=_PICKLE_PROTOCOL)
