"""Hugging Face datasets: a folder for `datasets.load_from_disk`, which memory-maps it.

    dataset_dict.json             {"splits": ["train", "validation"]}
    train/data-00000-of-00002.arrow   one uncompressed Arrow stream per part of the tokens dataset, in the same batches
    train/state.json, train/dataset_info.json

Columns: input_ids (text ids only, no specials), id (32 hex digits), source, language, utf8_bytes. The features follow from
the Arrow schema in every release of `datasets`, which is not needed to write them.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contract import files, shards
from pipelines.contract.shards import ShardRun
from pipelines.exports.streams import TokenStreams

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def write(streams: TokenStreams, splits: Sequence[str], out: str) -> None:
    """Write a folder for each split, and dataset_dict.json beside them."""
    for split in splits:
        folder = files.join(out, split)
        names = _write_parts(streams, split, folder)
        files.write_text(files.join(folder, "state.json"), _json(_state(streams, split, names)))
        files.write_text(files.join(folder, "dataset_info.json"), _json(_info(streams)))
    files.write_text(files.join(out, "dataset_dict.json"), _json({"splits": list(splits)}))


def _write_parts(streams: TokenStreams, split: str, folder: str) -> list[str]:
    wanted = _schema(streams)
    sources = shards.sources(streams.manifest, split)
    count = sum(part.rows > 0 for source in sources for part in shards.stream(streams.manifest, split, source))
    names = [f"data-{number:05}-of-{count:05}.arrow" for number in range(count)]
    runs = (run for source in sources for run in streams.runs(split, source))
    for name, (_, of_part) in zip(names, groupby(runs, key=lambda run: run.path), strict=True):
        with files.writing(files.join(folder, name)) as stream, pa.PythonFile(stream, mode="w") as sink:
            _write_stream(sink, wanted, of_part)
    return names


def _write_stream(sink: pa.NativeFile, wanted: pa.Schema, runs: Iterator[ShardRun]) -> None:
    with pa.ipc.new_stream(sink, wanted) as writer:
        for run in runs:
            writer.write_batch(_rows(run, wanted))


def _schema(streams: TokenStreams) -> pa.Schema:
    ids = pa.from_numpy_dtype(streams.dtype)
    return pa.schema(
        [
            ("input_ids", pa.list_(ids)),
            ("id", pa.string()),
            ("source", pa.string()),
            ("language", pa.string()),
            ("utf8_bytes", pa.uint32()),
        ]
    )


def _rows(run: ShardRun, wanted: pa.Schema) -> pa.RecordBatch:
    columns = [
        pa.ListArray.from_arrays(pa.array(run.offsets), pa.array(run.tokens), type=wanted.field("input_ids").type),
        _strings(hexadecimal(run.ids)),
        _constant(run.source, run.documents),
        _constant(run.language, run.documents),
        pa.array(run.utf8_bytes),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=wanted)


def hexadecimal(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert (N, 16) bytes to (N, 32) hexadecimal digits."""
    return np.stack([_HEX[ids >> 4], _HEX[ids & 15]], axis=2).reshape(len(ids), 32)


def _strings(characters: NDArray[np.uint8]) -> pa.Array:
    """Return (N, width) ASCII characters as N strings."""
    count, width = characters.shape
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(characters)))


def _constant(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), count)


def _state(streams: TokenStreams, split: str, names: Sequence[str]) -> dict[str, Any]:
    """Return what Dataset.load_from_disk reads; `datasets` names the caches of later steps by the fingerprint."""
    return {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": f"{streams.manifest.fingerprint[:32]}-{split}",
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": split,
    }


def _info(streams: TokenStreams) -> dict[str, Any]:
    return {"description": f"{streams.manifest.dataset} of corpusmill, fingerprint {streams.manifest.fingerprint}"}


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"
