"""The peer of benchmarks/ingest.py, in a virtual environment of its own (extra `bench`).

    python benchmarks/ingest_peer.py INPUT OUTPUT WORKERS

The steps and settings of datatrove's examples/fineweb.py, without the two that fetch something: lists of addresses and the
language model. The last line on stdout is JSON.
"""

# pyright: reportMissingImports=false
# The peers are installed in another environment.

import json
import sys
import time
from pathlib import Path

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.readers import WarcReader
from datatrove.pipeline.writers.jsonl import JsonlWriter


def main(root: str, out: str, workers: int) -> dict[str, float]:
    """Read, extract, filter and write; a task a file, as ours has a unit a file."""
    steps = [
        WarcReader(root, glob_pattern="*.warc"),
        Trafilatura(favour_precision=True),
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
        JsonlWriter(f"{out}/kept", compression=None),
    ]
    files = len(list(Path(root).glob("*.warc")))
    start = time.perf_counter()
    stats = LocalPipelineExecutor(pipeline=steps, tasks=files, workers=workers, logging_dir=f"{out}/logs").run()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "extracted": stats.stats[1].stats["forwarded"].total}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
