"""Compress a model: `corpusmill compress RUN --to int8 --out DIR` writes a checkpoint in 8 or 4 bits, and a table beside the run.

    int8            8 bits; layers multiply whole numbers (training/models/quantized.py, dynamic): smaller and faster
    int8-weights    8 bits; layers multiply floats: smaller, as fast as before
    int4-weights    4 bits, the embedding 8; layers multiply floats: smallest

`predict`, `generate` and `evaluate` compute with what is stored; `serve`, `export` and `finetune` take the floats that it stands
for. Low-rank adapters are added to their layers first.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.new_folder import is_taken
from training.checkpoints import store as checkpoints
from training.checkpoints import trained
from training.checkpoints.remote import here
from training.checkpoints.store import CHECKPOINTS, Checkpoint, Content
from training.checkpoints.trained import BODY, COMPRESSED, TASK
from training.compression.measured import Measured, beside, table
from training.models import families, quantized
from training.models.quantized import Arithmetic
from training.run.device import prepare
from training.run.state import CONFIG

WAYS: Mapping[str, tuple[int, Arithmetic]] = {
    "int8": (8, "dynamic"),
    "int8-weights": (8, "weights"),
    "int4-weights": (4, "weights"),
}
COMPRESSION = "compression.json"  # in the folder: the table


class CompressionError(UserError):
    """A model cannot be compressed; the message names the folder and the fix."""


def compress(run: str | Path, to: str, out: str | Path) -> Path:
    """Write the compressed checkpoint of a run, an import or a checkpoint into a new folder; return the checkpoint's path.

    Raises CheckpointError, CompressionError if it cannot be read, is compressed already, or the folder is taken.
    """
    bits, arithmetic = WAYS[to]
    if is_taken(str(out)):
        raise CompressionError(f"{out}: is not an empty folder; name another, or remove it")
    found = trained.find(here(run))
    if COMPRESSED in found.state:
        raise CompressionError(
            f"{found.path}: is compressed already ({found.state[COMPRESSED]['to']}); name the run it was made of"
        )
    state = {**_described(found), COMPRESSED: {"to": to, "arithmetic": arithmetic, "of": str(found.path)}}
    tokenizer = trained.tokenizer_files(trained.tokenizer_of(found))
    content = Content({"model": _weights(found, bits)}, state, tokenizer, checkpoints.COMPRESSED)
    path = checkpoints.save(Path(out) / CHECKPOINTS, 0, content, keep=1)
    if (config := here(run) / CONFIG).exists() and TASK not in found.state:
        files.write_text(str(Path(out) / CONFIG), config.read_text(encoding="utf-8"))  # for `evaluate`: the held-out text
    return path


def _described(found: Checkpoint) -> dict[str, Any]:
    """Return what a state says of model, tokenizer and task; the body of a task is no longer adapted."""
    kept = {name: found.state[name] for name in ("model", "tokenizer", "origin", TASK) if name in found.state}
    if TASK in kept and kept[TASK]["body"]["tuning"] == "lora":
        kept[TASK] = {**kept[TASK], "body": {**kept[TASK]["body"], "tuning": "full"}}
    return kept


def _weights(found: Checkpoint, bits: int) -> dict[str, Tensor]:
    """Return the weights of a checkpoint, those of the body compressed."""
    facts = found.fact("model")
    body = families.build(families.shape_of_dict(facts["family"], facts["shape"]))
    weights = trained.merged_weights(found.load("model"))
    if TASK not in found.state:
        return quantized.compressed(body, weights, bits)
    of_body = {name.removeprefix(BODY): tensor for name, tensor in weights.items() if name.startswith(BODY)}
    head = {name: tensor for name, tensor in weights.items() if not name.startswith(BODY)}
    return head | {BODY + name: tensor for name, tensor in quantized.compressed(body, of_body, bits).items()}


def run(arguments: argparse.Namespace) -> int:
    """Compress what the command line names (training.arguments.add_compress), print the table; return the exit code."""
    device = prepare(arguments.device, "float32", arguments.threads)
    path = compress(arguments.folder, arguments.to, arguments.out)
    lines = beside(
        {"original": here(arguments.folder), arguments.to: Path(arguments.out)}, arguments.records, arguments.rows, device
    )
    facts = {name: _json(measured) for name, measured in lines.items()}
    files.write_text(str(Path(arguments.out) / COMPRESSION), json.dumps(facts, indent=1) + "\n")
    if arguments.json:
        json.dump(facts, sys.stdout)
        print()
    else:
        print(table(lines), f"\nwritten  {path}", sep="\n")
    return 0


def _json(measured: Measured) -> dict[str, Any]:
    return {**measured.figures, "bytes": measured.bytes, "rows_per_second": round(measured.rows_per_second, 2)}
