"""Public extractors on decoded pages; run by extract.py with the Python of their own environment.

usage: extract_peers.py PEER PAGES.jsonl TEXTS.jsonl

PAGES holds {"url", "markup"} a line, TEXTS gets {"url", "text"}. The last line printed is JSON: the peer's version, seconds of
user CPU time for the whole, and pages on which it failed (their text is empty). A peer that is not installed: exit status 3.
"""

# pyright: reportMissingImports=false

import importlib.metadata
import json
import logging
import resource
import sys
from collections.abc import Callable
from itertools import chain

Extract = Callable[[str, str], str | None]  # of an address and a page


def resiliparse() -> Extract:
    from resiliparse.extract.html2text import extract_plain_text

    return lambda _, markup: extract_plain_text(markup, main_content=True)


def trafilatura() -> Extract:
    import trafilatura

    return lambda _, markup: trafilatura.extract(markup)


def trafilatura_markdown() -> Extract:
    import trafilatura

    return lambda _, markup: trafilatura.extract(markup, output_format="markdown", include_formatting=True)


def magic_html() -> Extract:
    """Its result is HTML of the main part; Resiliparse makes all of that text."""
    from magic_html import GeneralExtractor
    from resiliparse.extract.html2text import extract_plain_text

    extractor = GeneralExtractor()

    def text(url: str, markup: str) -> str:
        found = extractor.extract(markup, base_url=url).get("html")
        return extract_plain_text(found, main_content=False, alt_texts=False) if found else ""

    return text


PEERS: dict[str, tuple[str, Callable[[], Extract]]] = {
    "resiliparse": ("resiliparse", resiliparse),
    "trafilatura": ("trafilatura", trafilatura),
    "trafilatura-markdown": ("trafilatura", trafilatura_markdown),
    "magic-html": ("magic-html", magic_html),
}


def main(peer: str, pages_path: str, texts_path: str) -> None:
    package, opened = PEERS[peer]
    try:
        extract = opened()
    except ImportError as error:
        print(error)
        sys.exit(3)
    logging.disable(logging.CRITICAL)
    failed, seconds = 0, 0.0
    with open(pages_path, encoding="utf-8") as lines, open(texts_path, "w", encoding="utf-8") as texts:
        first = next(lines)
        warm_up(extract, json.loads(first))
        for page in map(json.loads, chain([first], lines)):
            start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
            try:
                text = extract(page["url"], page["markup"]) or ""
            except Exception:  # whatever a page does to a peer is the peer's result: counted and printed
                text, failed = "", failed + 1
            seconds += resource.getrusage(resource.RUSAGE_SELF).ru_utime - start
            texts.write(json.dumps({"url": page["url"], "text": text}, ensure_ascii=False) + "\n")
    print(json.dumps({"version": importlib.metadata.version(package), "seconds": seconds, "failed": failed}))


def warm_up(extract: Extract, page: dict[str, str]) -> None:
    """Load what a peer loads with its first page."""
    try:
        extract(page["url"], page["markup"])
    except Exception as error:
        print(f"{type(error).__name__} on the first page: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
