"""The published rules beside datatrove's filters: verdict by verdict on extracted pages, and their speed.

    make bench-filters
    make bench-filters OPTIONS="--documents 200 --pages a.warc.gz"
    make bench-filters OPTIONS="--tokens datatrove"    # ours by the words of datatrove's tokenizer

Both judge the same texts, as `corpusmill extract` wrote them, each set alone, on one core, with datatrove's thresholds where the
papers and its code differ. The table has the pages on which the two disagree, by their reasons; docs/rules.md explains them.
Ours measures everything once and judges by all sets. The peer's tokenizers load before the clock starts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rules_ours import extracted, measured, reasons

from pipelines.rule_thresholds import RuleSets

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data" / "extraction"
PAGES = (SHARED / "pages.warc.gz", SHARED / "wcxb-dev.warc.gz")
SETS = ("c4", "gopher", "gopher_repetition", "fineweb")
AS_DATATROVE = {"c4": {"min_sentences": 5}, "fineweb": {"max_duplicate_line_characters": 0.01}}
ALL_TOKENS = {"min_letter_words": False, "min_letter_tokens": 0.8}
SHOWN = 6  # kinds of disagreement of a set
FEWEST_SECONDS = 2.0  # ours is repeated until then


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=Path, nargs="*", default=list(PAGES))
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--tokens", choices=("corpusmill", "datatrove"), default="corpusmill")
    parser.add_argument("--peers-python", type=Path, default=ROOT / ".venv-bench" / "bin" / "python")
    options = parser.parse_args()
    missing = [path for path in options.pages if not path.exists()]
    if missing:
        sys.exit(f"{missing[0]} is not there; name archives of web pages with --pages")
    documents = extracted(options.pages)[: options.documents]
    texts = [document["text"] for document in documents]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    is_ours = options.tokens == "corpusmill"
    if not is_ours:
        sys.path += map(str, options.peers_python.parents[1].glob("lib/python3*/site-packages"))
    ours, seconds = judged(documents, options.tokens)
    print(f"{len(texts):,} pages, {megabytes:.1f} MB of text, one core")
    print(f"ours, all sets together: {megabytes / seconds:.1f} MB/s")
    if options.peers_python.exists():
        theirs = peer(texts, options.peers_python)
        total = sum(found["seconds"] for found in theirs.values())
        print("datatrove: " + ", ".join(f"{name} {megabytes / found['seconds']:.2f} MB/s" for name, found in theirs.items()))
        for name in SETS:
            compare(name, ours[name], theirs[name]["reasons"])
        print(f"RESULT\tfilters_vs_datatrove\t{total / seconds:.1f}\tx\t{'>=20' if is_ours else '-'}")
    print(f"RESULT\tfilters_mb_per_second\t{megabytes / seconds:.1f}\tMB/s\t{'>=30' if is_ours else '-'}")


def judged(documents: list[dict[str, Any]], tokens: str) -> tuple[dict[str, list[str | None]], float]:
    """Return our reasons by set, and the CPU seconds of measuring the texts once and judging by all sets."""
    texts, languages = [document["text"] for document in documents], [document["language"] for document in documents]
    own = {**dict.fromkeys(RuleSets.model_fields, True), **AS_DATATROVE}
    own |= {"gopher": ALL_TOKENS} if tokens == "datatrove" else {}
    every = RuleSets.model_validate(own).thresholds()
    reasons(measured(texts[:10], languages[:10], tokens), every)  # compiles the kernels
    start, rounds = time.process_time(), 0
    while True:
        measures = measured(texts, languages, tokens)
        reasons(measures, every)
        rounds += 1
        seconds = (time.process_time() - start) / rounds
        if seconds * rounds >= FEWEST_SECONDS:
            break
    return {name: reasons(measures, {name: every[name]}) for name in SETS}, seconds


def peer(texts: list[str], python: Path) -> dict[str, Any]:
    """Return datatrove's seconds and reasons by set."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        command = [str(python), str(ROOT / "benchmarks" / "filters_peer.py"), str(path)]
        output = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    return json.loads(output.splitlines()[-1])


def compare(name: str, ours: list[str | None], theirs: list[str | None]) -> None:
    """Print on how many pages the two agree, and their reasons where they do not."""
    pairs = list(zip(ours, theirs, strict=True))
    same = sum((a is None) == (b is None) for a, b in pairs)
    dropped = [sum(reason is not None for reason in found) for found in (ours, theirs)]
    print(f"\n{name}: ours drops {dropped[0]:,}, datatrove {dropped[1]:,}; the same verdict on {same / len(pairs):.1%}")
    for (a, b), count in Counter((a, b) for a, b in pairs if (a is None) != (b is None)).most_common(SHOWN):
        print(f"{count:>6,}  ours: {a or 'keeps':<28} datatrove: {b or 'keeps'}")
    print(f"RESULT\tfilters_agree_{name}\t{same / len(pairs):.3f}\tshare\t-")


if __name__ == "__main__":
    main()
