"""The dataset `documents` beside datatrove's own pipeline for web pages: the same WARC files, the same two workers.

    make bench-ingest

500 MB of HTML, made as for `make bench-build`. Ours reads the WARC files, extracts, normalises, judges language and rules, signs
with MinHash and writes Parquet; time is that of the dataset `documents/pages` in the build's timings.jsonl. datatrove 0.10 runs
what examples/fineweb.py has between its reader and its writer and works without a download: Trafilatura, the rules of Gopher, C4
and FineWeb, JSON Lines; no language, no signatures. Its start, and ours, are outside both times. The two run one after the other.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

from build import ROOT, build, parser_of, write_input


def main() -> None:
    parser = parser_of(__doc__, "bench-ingest")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peers-python", type=Path, default=ROOT / ".venv-bench" / "bin" / "python")
    parser.add_argument("--no-peers", action="store_true", help="ours alone")
    options = parser.parse_args()
    config, html_bytes = write_input(options)

    seconds = build(config, options.folder / "ours", options.set, workers=options.workers)["documents/pages"]
    first = json.loads((options.folder / "ours" / "report.json").read_text())["funnel"]["pages"][0]

    print(f"\n{html_bytes / 1e6:.0f} MB of HTML; {options.workers} workers on {os.cpu_count()} cores")
    print(f"{'':<12}{'seconds':>9}{'MB/s':>8}{'pages with text':>17}")
    print(f"{'ours':<12}{seconds:>9.1f}{html_bytes / 1e6 / seconds:>8.1f}{first['documents_in']:>17,}")
    print(f"RESULT\tdocuments_html_mb_per_second\t{html_bytes / 1e6 / seconds:.2f}\tMB/s\t-", flush=True)
    if options.no_peers:
        return
    theirs = peer(options, options.folder / "pages")
    print(f"{'datatrove':<12}{theirs['seconds']:>9.1f}{html_bytes / 1e6 / theirs['seconds']:>8.1f}{theirs['extracted']:>17,}")
    print(f"RESULT\tdocuments_vs_datatrove\t{theirs['seconds'] / seconds:.1f}\tx\t>=10")


def peer(options: argparse.Namespace, pages: Path) -> dict[str, float]:
    """Run datatrove; returns its seconds and the number of pages that it found text in."""
    script = Path(__file__).with_name("ingest_peer.py")
    command = [options.peers_python, script, pages, options.folder / "datatrove", str(options.workers)]
    done = subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
