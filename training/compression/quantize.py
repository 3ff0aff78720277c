"""Compress a model: `corpusmill compress RUN --to int8 --out DIR` writes a checkpoint in 8 or 4 bits, and a table beside the run.

    int8            8 bits; layers multiply whole numbers (training/models/quantized.py, dynamic): smaller and faster
    int8-weights    8 bits; layers multiply floats: smaller, as fast as before
    int4-weights    4 bits, the embedding 8; layers multiply floats: smallest

With --prune-heads instead of --to, heads of attention are taken out (prune.py).

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
from training.checkpoints import store as checkpoints
from training.checkpoints import trained
from training.checkpoints.remote import here
from training.checkpoints.store import Checkpoint
from training.checkpoints.trained import BODY, COMPRESSED, TASK
from training.compression.measured import Measured, beside, table
from training.compression.prune import PRUNED, prune
from training.compression.small import whole, write
from training.models import families, quantized
from training.models.quantized import Arithmetic
from training.run.device import prepare

WAYS: Mapping[str, tuple[int, Arithmetic]] = {
    "int8": (8, "dynamic"),
    "int8-weights": (8, "weights"),
    "int4-weights": (4, "weights"),
}
COMPRESSION = "compression.json"  # in the folder: the table


def compress(run: str | Path, to: str, out: str | Path) -> Path:
    """Write the compressed checkpoint of a run, an import or a checkpoint into a new folder; return the checkpoint's path.

    Raises CheckpointError, CompressionError if it cannot be read, is compressed already, or the folder is taken.
    """
    bits, arithmetic = WAYS[to]
    found = whole(run, out)
    described = {COMPRESSED: {"to": to, "arithmetic": arithmetic, "of": str(found.path)}}
    return write(run, out, found, _weights(found, bits), described, checkpoints.COMPRESSED)


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
    if arguments.prune_heads is None:
        path = compress(arguments.folder, arguments.to, arguments.out)
    else:
        path = prune(arguments.folder, arguments.prune_heads, arguments.out, arguments.data, arguments.judge_rows, device)
    lines = beside(
        {"original": here(arguments.folder), arguments.to or PRUNED: Path(arguments.out)},
        arguments.records,
        arguments.rows,
        device,
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
