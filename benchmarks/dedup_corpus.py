"""Documents with planted near-duplicates, written as JSON Lines: what benchmarks/dedup.py reads.

The novels of ../shared/data/books/en are cut every 500 words (about 7,400 documents, with their own white space). That is
fewer than wanted, so further documents are composed: for each further pass over the books, the running text is cut into runs
of 25 words, beginning at another word in each pass, the runs of all books are shuffled, and 20 of them in a row are a
document. Two such documents share a run or two at most (5-gram Jaccard below .1), and the books' own cuts share nothing.

Of N documents a sixth are planted: copies of other documents with three of their words, at random places, replaced by other
words of the books. All documents are shuffled. Equal sizes give equal bytes; the seed is fixed.
"""

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

WORDS_PER_DOCUMENT = 500
WORDS_PER_RUN = 25
WORDS_CHANGED = 3
DOCUMENTS_PER_FILE = 10_000  # about; the number of files is even and their sizes equal, so that two workers have as much to do
SEED = 20_261_123
_WORD = re.compile(r"\S+\s*")  # with the white space after it


def write(books: Path, folder: Path, documents: int) -> int:
    """Write the files; the number of planted documents. Ids are base-N, and copy-N for the planted copy of base-N."""
    generator = np.random.default_rng(SEED)
    texts = [_WORD.findall(path.read_text(encoding="utf-8")) for path in sorted(books.glob("*.txt"))]
    planted = documents // 6
    base = list(islice(_base(texts, generator), documents - planted))
    vocabulary = sorted({word.strip() for words in texts for word in words})
    originals = np.sort(generator.choice(len(base), planted, replace=False))
    rows = [(f"base-{number:07}", "".join(words).strip()) for number, words in enumerate(base)]
    for number in originals.tolist():
        rows.append((f"copy-{number:07}", "".join(_changed(base[number], vocabulary, generator)).strip()))
    order = generator.permutation(len(rows))
    folder.mkdir(parents=True, exist_ok=True)
    for number, chosen in enumerate(np.array_split(order, 2 * -(-len(rows) // (2 * DOCUMENTS_PER_FILE)))):
        with (folder / f"documents-{number:03}.jsonl").open("w", encoding="utf-8") as target:
            for row in chosen.tolist():
                target.write(json.dumps({"id": rows[row][0], "text": rows[row][1]}, ensure_ascii=False) + "\n")
    return planted


def read(folder: Path) -> dict[str, str]:
    """The texts by id."""
    lines = (line for path in sorted(folder.glob("*.jsonl")) for line in path.open(encoding="utf-8"))
    return {row["id"]: row["text"] for row in map(json.loads, lines)}


def _base(texts: list[list[str]], generator: np.random.Generator) -> Iterator[list[str]]:
    """The books' own cuts, then shuffled runs without end."""
    for words in texts:
        for start in range(0, len(words) - WORDS_PER_DOCUMENT + 1, WORDS_PER_DOCUMENT):
            yield words[start : start + WORDS_PER_DOCUMENT]
    runs_per_document = WORDS_PER_DOCUMENT // WORDS_PER_RUN
    for turn in range(10**6):
        offset = turn * 7 % WORDS_PER_RUN  # 7 and 25 have no common divisor: every offset comes in its turn
        places = [
            (book, start)
            for book, words in enumerate(texts)
            for start in range(offset, len(words) - WORDS_PER_RUN + 1, WORDS_PER_RUN)
        ]
        order = generator.permutation(len(places)).tolist()
        for first in range(0, len(order) - runs_per_document + 1, runs_per_document):
            chosen = (places[index] for index in order[first : first + runs_per_document])
            yield [word for book, start in chosen for word in texts[book][start : start + WORDS_PER_RUN]]


def _changed(words: list[str], vocabulary: list[str], generator: np.random.Generator) -> list[str]:
    """The words, three of them replaced; the white space stays."""
    changed = list(words)
    for place in generator.choice(len(words), WORDS_CHANGED, replace=False).tolist():
        old = changed[place].rstrip()
        new = next(word for word in iter(lambda: vocabulary[int(generator.integers(len(vocabulary)))], None) if word != old)
        changed[place] = new + changed[place][len(old) :]
    return changed
