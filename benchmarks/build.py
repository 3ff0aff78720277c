"""The whole build on 500 MB of HTML: documents/s and MB/s by dataset, and where the time goes.

    make bench-build

The pages of ../shared/data/extraction are repeated under new record ids until there are 500 MB of HTML; in each copy
every seventh longer word is replaced by one of the copy's own, so that to deduplication it is a text of its own. One
build with two workers is timed; then one build in one process runs under py-spy, whose samples say which share of the
time lies in the text functions (pipelines/text and the libraries it calls), in reading, and in Beam, Arrow and
bookkeeping.
"""

import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecordType

from flows.program import corpusmill

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT.parent / "shared" / "data" / "extraction" / "pages.warc.gz"
CONFIG = """# made by benchmarks/build.py
[corpus]
name = "bench"
[[sources]]
name = "pages"
kind = "common_crawl"
root = "{root}"
snapshot = "bench"
[quality]
classifier = false            # there is one source
[[vocabularies]]
name = "gpt"
size = 16000
sample_bytes = 20_000_000
[tokens]
text_bytes_per_unit = 16_777_216
"""


def main() -> None:
    arguments = parser_of(__doc__, "bench-build").parse_args()
    config, html_bytes = write_input(arguments)

    timed = build(config, arguments.folder / "timed", arguments.set, workers=2)
    profile = arguments.folder / "stacks.txt"
    spy = [
        str(Path(sys.executable).parent / "py-spy"),
        "record",
        "--rate",
        "100",
        "--format",
        "raw",
        "--output",
        str(profile),
        "--",
    ]
    build(config, arguments.folder / "profiled", arguments.set, workers=1, prefix=spy)
    report(timed, arguments.folder / "timed", html_bytes, shares(profile))


def parser_of(description: str | None, name: str, megabytes: float = 500) -> argparse.ArgumentParser:
    """Return the parser of a benchmark that builds a corpus of repeated pages."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=megabytes, help="of HTML")
    parser.add_argument("--pages", type=Path, default=PAGES, help="a WARC file of HTML pages, which are repeated")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="for our builds")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / name)
    return parser


def write_input(options: argparse.Namespace, files_of_a_copy: int = 2) -> tuple[Path, int]:
    """Write the pages and a config into the folder, which is emptied first; return the config's path and the bytes of HTML."""
    if not options.pages.exists():
        sys.exit(f"{options.pages} is not there; --pages names a WARC file of HTML pages")
    shutil.rmtree(options.folder, ignore_errors=True)
    pages, config = options.folder / "pages", options.folder / "bench.toml"
    html_bytes = write_copies(options.pages, pages, int(options.megabytes * 10**6), files_of_a_copy)
    config.write_text(CONFIG.format(root=pages))
    return config, html_bytes


def write_copies(pages: Path, folder: Path, wanted_bytes: int, files_of_a_copy: int = 2) -> int:
    """Copies of the real pages, by default two WARC files a copy, for equal shares of two workers; returns the bytes of HTML."""
    folder.mkdir(parents=True)
    originals = list(read_pages(pages))
    written = copy = 0
    while written < wanted_bytes:
        for share in range(files_of_a_copy):
            pages_of_share = list(enumerate(originals))[share::files_of_a_copy]
            if not pages_of_share:
                continue
            with (folder / f"copy-{copy:03}-{share}.warc").open("wb") as target:
                for number, (url, payload) in pages_of_share:
                    body = payload if copy == 0 else disguised(payload, copy)
                    target.write(warc_record(f"{copy:04}{number:08}", url, body))
                    written += len(body)
        copy += 1
    return written


def read_pages(pages: Path) -> Iterator[tuple[str, bytes]]:
    """URL and HTTP message body of every page."""
    with pages.open("rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
            yield record.headers["WARC-Target-URI"], record.reader.read()


def disguised(html: bytes, copy: int) -> bytes:
    """The page with every seventh longer word turned round and marked by the copy; outside ASCII only marked."""
    pattern = re.compile(rb"(?<=[ \n])[a-z]{5,}(?=[ ,.\n])|[\x80-\xff]{9,30}")
    mark = b"q" + b"aeiou"[copy % 5 : copy % 5 + 1] * (1 + copy // 5)
    seen = 0

    def change(match: "re.Match[bytes]") -> bytes:
        nonlocal seen
        seen += 1
        word = match.group()
        if word[0] >= 0x80:  # a run of another script; the cut after 30 bytes may fall inside a character, so mark its end
            return word + mark if len(word) < 30 else word
        return word if seen % 7 else word[::-1] + mark

    return pattern.sub(change, html)


def warc_record(number: str, url: str, body: bytes) -> bytes:
    """One response record."""
    message = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + body
    head = (
        "WARC/1.0\r\nWARC-Type: response\r\n"
        f"WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-{number}>\r\nWARC-Target-URI: {url}\r\n"
        "WARC-Date: 2026-01-01T00:00:00Z\r\nContent-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(message)}\r\n\r\n"
    )
    return head.encode() + message + b"\r\n\r\n"


def build(config: Path, out: Path, changes: list[str], *, workers: int, prefix: list[str] | None = None) -> dict[str, float]:
    """Run the command line; seconds by dataset."""
    command = corpusmill("build", str(config), "--out", str(out), "--workers", str(workers))
    command += [word for change in changes for word in ("--set", change)]
    subprocess.run([*(prefix or []), *command], check=True, cwd=ROOT, env=os.environ | {"GX_ANALYTICS_ENABLED": "false"})
    lines = [json.loads(line) for line in (out / "timings.jsonl").read_text().splitlines()]
    return {line["dataset"]: line["seconds"] for line in lines}


def shares(profile: Path) -> dict[str, float]:
    """Shares of the samples taken inside the build's datasets, by what they were doing."""
    counts: collections.Counter[str] = collections.Counter()
    for line in profile.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        # Only work on units and on the keyed exchange: start-up, the gate and the one-process barriers are no part of it.
        if "pipelines/beam/" not in stack or "<module> (pipelines/" in stack or "(threading.py" in stack.rsplit(";", 1)[-1]:
            continue
        counts[kind(stack)] += int(count)
    total = counts.total()
    return {name: count / total for name, count in counts.most_common()}


def kind(stack: str) -> str:
    """Return what a stack of frames is doing: the innermost of our own folders decides."""
    for frame in reversed(stack.split(";")):
        if "pipelines/text/" in frame or "pipelines/contract/tokenizer" in frame:
            return "text functions"
        if "pipelines/sources/" in frame:
            return "reading"
        if re.search(r"pipelines/(units|contract|stages|datasets|clustering)", frame):
            return "Arrow and bookkeeping"
    return "Beam"


def report(seconds: dict[str, float], out: Path, html_bytes: int, where: dict[str, float]) -> None:
    release = json.loads((out / "release.json").read_text())
    closing = json.loads((out / "report.json").read_text())
    documents = closing["funnel"]["pages"][0]["documents_in"]
    text = closing["funnel"]["pages"][0]["characters_in"]
    kept = closing["funnel"]["pages"][-1]
    print(f"\n{html_bytes / 1e6:.0f} MB of HTML, {documents:,} pages, {text / 1e6:.0f} M characters of text; 2 workers")
    print(f"this machine: {os.cpu_count()} cores")
    print(f"{'dataset':<18}{'seconds':>9}{'documents/s':>13}{'M characters/s':>16}")
    for name, taken in seconds.items():
        if taken < 0.05:
            continue  # nothing was done
        rows, size = (kept["documents_out"], kept["characters_out"]) if name.startswith(("tokens", "voc")) else (documents, text)
        print(f"{name:<18}{taken:>9.1f}{rows / taken:>13,.0f}{size / taken / 1e6:>16.1f}")
    total = sum(seconds.values())
    print(f"{'all':<18}{total:>9.1f}{documents / total:>13,.0f}{text / total / 1e6:>16.1f}")
    print("share of the work on units: " + ", ".join(f"{name} {share:.1%}" for name, share in where.items()))
    outside = where.get("Beam", 0) + where.get("Arrow and bookkeeping", 0)
    print(f"RESULT\tbuild_html_mb_per_second\t{html_bytes / 1e6 / total:.2f}\tMB/s\t-")
    print(f"RESULT\tdocuments_html_mb_per_second\t{html_bytes / 1e6 / seconds['documents/pages']:.2f}\tMB/s\t-")
    print(f"RESULT\tbuild_share_outside_text\t{outside:.3f}\tshare\t<0.20")
    assert release["corpus"]


if __name__ == "__main__":
    main()
