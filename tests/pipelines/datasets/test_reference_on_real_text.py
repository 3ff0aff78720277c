"""Passages and questions of SQuAD planted in real books: all are found, named and cut out, and nothing else is."""

import gzip
import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from places import SHARED

from pipelines.config import CorpusConfig
from pipelines.contract.batch import born, documents_from
from pipelines.contract.schema import document_id
from pipelines.datasets import reference
from pipelines.stages import decontaminate
from pipelines.stages.decontaminate import Named
from pipelines.text.copies.contamination import Benchmarks, weights
from pipelines.text.copies.item_grams import index
from pipelines.units.context import Context

DATA = SHARED
SQUAD, BOOKS = DATA / "downstream" / "squad" / "train.json.gz", DATA / "books" / "en"
pytestmark = pytest.mark.skipif(not (SQUAD.exists() and BOOKS.exists()), reason="../shared/data is not here")

PLANTED = 50
DISGUISES: list[Callable[[str], str]] = [
    str.upper,
    lambda text: text.replace(" ", "\n"),
    lambda text: re.sub(r"[^\w\s]", " ", text).title(),
    lambda text: "“" + text.replace(" ", " — ") + "”",
    lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),  # full-width forms
]


def passages() -> list[tuple[str, str]]:
    """Kind and text of SQuAD's contexts and questions, in the order of the file that `written` makes."""
    articles = json.loads(gzip.decompress(SQUAD.read_bytes()))["data"]
    return [
        item
        for article in articles
        for paragraph in article["paragraphs"]
        for item in [("context", paragraph["context"]), *(("question", qa["question"]) for qa in paragraph["qas"])]
    ]


def test_all_that_is_planted_is_found_and_nothing_else(tmp_path: Path) -> None:
    items = passages()
    (tmp_path / "squad.jsonl").write_text("".join(json.dumps({kind: text}) + "\n" for kind, text in items))
    pages = [page for book in sorted(BOOKS.iterdir())[:8] for page in _pages(book.read_text(errors="replace"))]
    draw = random.Random(1)
    # The beginning of a passage, a question whole; one that no other has.
    texts = [" ".join(text.split()[:60]) if kind == "context" else text for kind, text in items]
    known = {text: number for number, text in enumerate(texts)}
    long_enough = [n for n, text in enumerate(texts) if len(re.findall(r"\w+", text)) >= 13 and known[text] == n]
    chosen = dict(zip(draw.sample(range(len(pages)), PLANTED), draw.sample(long_enough, PLANTED), strict=True))
    given = list(pages)
    for number, (page, item) in enumerate(chosen.items()):
        before, behind = pages[page].split("\n\n", 1)
        given[page] = f"{before}\n\n{DISGUISES[number % len(DISGUISES)](texts[item])}\n\n{behind}"

    ids = [document_id("s", str(i)) for i in range(len(given))]
    columns = {"id": ids, "work": ids, "source": ["s"] * len(ids), "snapshot": ["1"] * len(ids), "origin": ["o"] * len(ids)}
    batch = born("read", documents_from({**columns, "text": pa.array(given)}))
    source = {"name": "s", "kind": "books", "root": ".", "snapshot": "1"}
    for action in ("drop", "cut"):
        section = {"paths": [str(tmp_path / "squad.jsonl")], "action": action}
        config = CorpusConfig.model_validate({"corpus": {"name": "c"}, "sources": [source], "decontaminate": section})
        made = reference.build(Context(config, str(tmp_path / "out")))
        known = reference.load(made.uri)
        worth = weights(known.items, None, decontaminate.rules(config.decontaminate))
        benchmarks = Benchmarks(index(known.items, ngram=known.ngram), known.signs, worth)
        result = decontaminate.removing(Named(benchmarks, known.names), config.decontaminate)(batch)
        result.ledger.check()
        if action == "cut":
            assert result.documents["text"].to_pylist() == pages
        else:
            drops = {row["id"]: row["detail"] for row in result.drops[0].to_pylist()}
            assert set(drops) == {ids[page] for page in chosen}
            for page, item in chosen.items():
                assert drops[ids[page]].startswith(f"squad.jsonl:{item + 1} {items[item][0]}, ")


def _pages(book: str) -> list[str]:
    """About 3,000 characters each, of whole paragraphs: at least two that have words."""
    paragraphs = [p.strip() for p in re.split(r"\n\s*\n", book) if re.search(r"\w", p)]
    pages: list[str] = []
    page: list[str] = []
    for paragraph in paragraphs:
        page.append(paragraph)
        if len(page) > 1 and sum(map(len, page)) > 3_000:
            pages.append("\n\n".join(page))
            page = []
    return pages
