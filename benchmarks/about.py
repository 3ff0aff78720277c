"""Titles, authors and dates of web pages, beside trafilatura's metadata.

    make bench-about
    make bench-about OPTIONS="--pages a.warc.gz --truth a.jsonl"

A truth file has {"url", "title", "author", "date"} a line (null: not labelled). Sites are divided by a hash into two halves: the
rules were chosen by reading pages of the half "seen"; the figures of the other one are those that count. A title is right if its
words are, an author if all names are, a date if the day is. F1 counts what is said about pages without a label as wrong, although
it often is not: labels are incomplete. trafilatura runs in its own environment, on the same decoded pages.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import extract_ours

from pipelines.text.extraction import html
from pipelines.text.extraction.pages.about import about
from pipelines.text.extraction.pages.tree import parse

ROOT = Path(__file__).resolve().parents[1]
SETS = ROOT.parent / "shared" / "data" / "extraction"
FIELDS = ("title", "author", "date")
RETRIEVED = "2026-04-01"  # after every labelled page
Said = dict[str, dict[str, str | None]]  # by URL

# Run with the Python of the peers: pages on stdin, {"url", "title", "author", "date"} a line on stdout.
PEER = """
import json, logging, sys
from trafilatura.metadata import extract_metadata
logging.disable(logging.CRITICAL)
for page in map(json.loads, sys.stdin):
    found = extract_metadata(page["markup"], default_url=page["url"])
    print(json.dumps({"url": page["url"], "title": found.title, "author": found.author, "date": found.date}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=Path, default=SETS / "wcxb-dev.warc.gz")
    parser.add_argument("--truth", type=Path, default=SETS / "wcxb-dev.truth.jsonl")
    parser.add_argument("--peers-python", type=Path, default=ROOT / ".venv-bench" / "bin" / "python")
    options = parser.parse_args()
    for path in (options.pages, options.truth):
        if not path.exists():
            sys.exit(f"{path} is not there; name a labelled set with --pages and --truth")
    truth = {row["url"]: row for row in map(json.loads, options.truth.read_text(encoding="utf-8").strip().split("\n"))}
    pages = {url: html.decode_html(body, charset) or "" for url, body, charset in extract_ours.responses(options.pages)}
    said = {"ours": ours(pages)}
    if options.peers_python.exists():
        said["trafilatura"] = theirs(pages, options.peers_python)
    for half in ("seen", "unseen"):
        urls = [url for url in truth if url in pages and half_of(url) == half]
        print(f"\n{half} sites: {len(urls):,} pages        " + "  ".join(f"{field:>24}" for field in FIELDS))
        for who, found in said.items():
            figures = {field: score(truth, found, urls, field) for field in FIELDS}
            print(f"{who:<28}" + "  ".join(f"{right:>5} right  F1 {f1:.3f}".rjust(24) for right, f1 in figures.values()))
            for field, (_, f1) in figures.items():
                peer = score(truth, said["trafilatura"], urls, field)[1] if "trafilatura" in said else 0
                print(f"RESULT\tabout_{half}_{field}_{who}\t{f1:.3f}\tF1\t{f'>{peer:.3f}' if who == 'ours' else '-'}")


def ours(pages: dict[str, str]) -> Said:
    trees = {url: parse(markup.encode("utf-8", "replace")) for url, markup in pages.items()}
    for tree in trees.values():  # compiles the kernels
        about(tree)
    start = time.process_time()
    found = {url: about(tree, url, retrieved=RETRIEVED) for url, tree in trees.items()}
    seconds = time.process_time() - start
    print(f"RESULT\tabout_ms_a_page\t{1000 * seconds / len(pages):.3f}\tms\t<0.3")
    return {url: {field: getattr(said, field) for field in FIELDS} for url, said in found.items()}


def theirs(pages: dict[str, str], python: Path) -> Said:
    lines = "".join(json.dumps({"url": url, "markup": markup}) + "\n" for url, markup in pages.items())
    done = subprocess.run([str(python), "-c", PEER], input=lines, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"trafilatura failed:\n{done.stderr[-3000:]}")
    return {row["url"]: row for row in map(json.loads, done.stdout.strip().split("\n"))}


def score(truth: dict[str, Any], said: Said, urls: list[str], field: str) -> tuple[int, float]:
    """Return how many are right, and F1."""
    same = SAME[field]
    labelled = sum(bool(truth[url].get(field)) for url in urls)
    given = sum(bool(said[url][field]) for url in urls)
    right = sum(bool(truth[url].get(field)) and same(truth[url][field]) == same(said[url][field] or "") for url in urls)
    return right, 2 * right / max(1, labelled + given)


def half_of(url: str) -> str:
    site = ".".join((urlsplit(url).hostname or "").split(".")[-2:])
    return "unseen" if hashlib.md5(site.encode()).digest()[0] & 1 else "seen"


def words(text: str) -> str:
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()


def names(text: str) -> frozenset[str]:
    return frozenset(filter(None, map(words, re.split(r"[;,&]|\band\b", text))))


def day(text: str) -> str:
    return text[:10]


SAME: dict[str, Callable[[str], object]] = {"title": words, "author": names, "date": day}


if __name__ == "__main__":
    main()
