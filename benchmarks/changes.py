"""What a change costs: user CPU of a build after it, beside a build of everything.

    make bench-changes
    make bench-changes OPTIONS="--megabytes 2000"

A crawl in about 100 WARC files (the pages of ../shared/data/extraction, repeated, with changed words) is built, without
one of them. Then each change is made alone, into the same output folder: settings, a document taken down by its id, a file more.
`corpusmill build` runs as a user runs it, gates included, with one worker; time is the user CPU of the process and its children.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
from build import CONFIG, PAGES, ROOT, write_copies

from flows.program import corpusmill

FILES_OF_A_COPY = 8  # of 77 MB
# Name, changes of the config, the share of a whole build that it may take.
CHANGES = (
    ("threshold", ("language.score_limit=0.7",), 0.15),
    ("rule", ('quality.rules=["gopher", "gopher_repetition", "signs", "fineweb"]',), 0.15),
    ("keep", ('quality.keep="words > 60"',), 0.15),
    ("licence", ('sources.0.license="CC0-1.0"',), 0.15),
    ("priority", ("sources.0.priority=3",), 0.15),
    ("curated", ("sources.0.curated=true",), 0.15),
    ("takedown", (), 0.10),
    ("one_file", (), 0.05),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=1000, help="of HTML")
    parser.add_argument("--pages", type=Path, default=PAGES, help="a WARC file of HTML pages, which are repeated")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="for all builds")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench-changes")
    options = parser.parse_args()
    if not options.pages.exists():
        sys.exit(f"{options.pages} is not there; --pages names a WARC file of HTML pages")
    shutil.rmtree(options.folder, ignore_errors=True)
    pages = options.folder / "pages"
    html_bytes = write_copies(options.pages, pages, int(options.megabytes * 10**6), FILES_OF_A_COPY)
    config = options.folder / "bench.toml"
    config.write_text(CONFIG.format(root=pages))
    out, later = options.folder / "out", options.folder / "later.warc"
    last = sorted(pages.iterdir())[-1]
    last.rename(later)

    whole = build(config, out, *options.set)
    print(f"\n{html_bytes / 1e6:.0f} MB of HTML in {len(list(pages.iterdir()))} files, one worker; {os.cpu_count()} cores")
    print(f"{'':<12}{'user CPU (s)':>14}{'share':>8}")
    print(f"{'everything':<12}{whole:>14.1f}{1:>8.2f}", flush=True)
    shares: list[tuple[str, float, float]] = []
    for name, changes, goal in CHANGES:
        if name == "takedown":
            changes = (f"exclude.ids={json.dumps([an_id(out)])}",)
        if name == "one_file":
            later.rename(last)
        seconds = build(config, out, *options.set, *changes)
        shares.append((name, seconds / whole, goal))
        print(f"{name:<12}{seconds:>14.1f}{seconds / whole:>8.2f}", flush=True)
    print(f"{'nothing':<12}{build(config, out, *options.set):>14.1f}")
    for name, share, goal in shares:
        print(f"RESULT\tchange_{name}\t{share:.3f}\tof a whole build\t<={goal}")


def build(config: Path, out: Path, *changes: str) -> float:
    """Build, and return the user CPU in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    sets = [word for change in changes for word in ("--set", change)]
    command = corpusmill("build", str(config), "--out", str(out), "--workers", "1", *sets)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def an_id(out: Path) -> str:
    """Return the id of a published document."""
    release = json.loads((out / "release.json").read_text())
    part = sorted((out / release["corpus"] / "documents").glob("*.parquet"))[0]
    return pq.read_table(part, columns=["id"])["id"][0].as_py().hex()


if __name__ == "__main__":
    main()
