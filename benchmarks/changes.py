"""What a change costs: user CPU of a build after it, beside a build of everything.

    make bench-changes
    make bench-changes OPTIONS="--megabytes 2000"

A crawl in about 100 WARC files (the pages of ../shared/data/extraction, repeated, with changed words) is built, without
one of them. Then each change is made alone, into the same output folder: settings, a document taken down by its id, a file more.
`corpusmill build` runs as a user runs it, gates included, with one worker; time is the user CPU of the process and its children.
"""

import json
import os
import resource
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
from build import parser_of, write_input

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
    options = parser_of(__doc__, "bench-changes", megabytes=1000).parse_args()
    config, html_bytes = write_input(options, FILES_OF_A_COPY)
    pages = options.folder / "pages"
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
