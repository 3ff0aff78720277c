"""Answer records with a tuned model: `corpusmill predict RUN FILE`, JSON Lines in (or CSV, TSV, Parquet) and out."""

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from training.run.device import prepare
from training.tasks import tuned as tuning
from training.tasks.input.records import Records
from training.tasks.input.rows import Rows
from training.tasks.tuned import TunedModel

AT_ONCE = 10_000  # records that are encoded and sorted by length together


def predict(tuned: TunedModel, records: Records, device: Any) -> list[dict[str, Any]]:
    """Return the answer to each record, in their order; labels in the records are not read."""
    return answered(tuned, records, device)[0]


def answered(tuned: TunedModel, records: Records, device: Any) -> tuple[list[dict[str, Any]], Rows]:
    """Return the answer to each record, and the rows that the model read, which know what was too long for it."""
    rows = tuned.task.rows(records, labelled=False)
    return tuned.task.answers(tuning.in_order(tuning.outputs(tuned, rows, device)), rows, records), rows


def run(arguments: argparse.Namespace) -> int:
    """Answer the records that the command line names (training.arguments.add_predict); return the exit code."""
    device = prepare(arguments.device, "float32", arguments.threads)
    tuned = tuning.load(arguments.folder)
    tuned.model.to(device.name)
    records = tuned.read(arguments.file, labelled=False)
    with ExitStack() as stack:
        out = stack.enter_context(Path(arguments.out).open("w", encoding="utf-8")) if arguments.out else sys.stdout
        for first in range(0, len(records), AT_ONCE):
            part = records.part(first, AT_ONCE)
            given = part.table.to_pylist() if arguments.with_input else [{} for _ in range(len(part))]
            for record, answer in zip(given, predict(tuned, part, device), strict=True):
                out.write(json.dumps({**record, **answer}, ensure_ascii=False) + "\n")
    return 0
