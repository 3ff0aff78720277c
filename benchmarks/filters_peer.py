"""The peer of benchmarks/filters.py, in a virtual environment of its own (extra `bench`).

    python benchmarks/filters_peer.py TEXTS.jsonl

datatrove's filters of examples/fineweb.py, each on every text. The last line on stdout is JSON: by set, the CPU seconds and the
reason for each text (null: kept).
"""

# pyright: reportMissingImports=false
# The peers are installed in another environment.

import json
import sys
import time
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.filters import C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter

FILTERS = {
    "c4": C4QualityFilter(filter_no_terminal_punct=False),
    "gopher": GopherQualityFilter(),
    "gopher_repetition": GopherRepetitionFilter(),
    "fineweb": FineWebQualityFilter(),
}


def main(path: str) -> dict[str, Any]:
    """Judge the texts by every filter."""
    texts = [json.loads(line)["text"] for line in Path(path).read_text(encoding="utf-8").splitlines()]
    found: dict[str, Any] = {}
    for name, judge in FILTERS.items():
        judge.filter(Document(text=texts[0], id="0"))  # loads the tokenizer
        start = time.process_time()
        verdicts = [judge.filter(Document(text=text, id=str(i))) for i, text in enumerate(texts)]
        seconds = time.process_time() - start
        found[name] = {"seconds": seconds, "reasons": [None if verdict is True else verdict[1] for verdict in verdicts]}
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
