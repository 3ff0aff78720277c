"""Decontamination on planted items: what is found of each way to hide one, and what is found that is none.

    make bench-decontamination

Items of MMLU and GSM8K from ../shared/data/decontamination are planted into pages of English books: as they are, as a paragraph,
in lines of five words, within a paragraph, with every twelfth word changed, with HTML in them, with words divided at the end of
lines; items of 6 to 12 words alone and before their answer. What must not be found: the longest sentence of a passage (up to
60 words) that some pages quote without its question, sentences that many items share (templates), and pages without any item.

The items are divided in two halves by a hash; `--half 1` are those on which the settings were chosen, `--half 0` (the default)
were only measured. All items are in the index. Beside it is GPT-3's published rule: 13 words in a row (arXiv 2005.14165, appendix
C).
"""

import argparse
import hashlib
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.config import DecontaminateSection
from pipelines.stages.decontaminate import rules
from pipelines.text.copies.contamination import SIGN_LENGTH, Benchmarks, Frequencies, Signs, matches, weights
from pipelines.text.copies.item_grams import collected, grams, hits, index, run_hashes

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
PARAGRAPHS = 6  # of a page
QUOTED_WORDS = 60
FILLER = ("house", "river", "green", "seven", "table", "paper", "cloud", "music", "ladder", "simple", "garden", "winter")
GOALS = {
    **dict.fromkeys(("verbatim", "paragraph", "lines", "embedded"), ">=1.0"),
    **dict.fromkeys(("edited", "html", "hyphens", "short", "short_with_answer"), ">=.90"),
    **dict.fromkeys(("quotation", "template", "clean"), "<=.05"),
}


class Item(NamedTuple):
    """A question of a benchmark with its answer."""

    question: str
    answer: str

    @property
    def words(self) -> int:
        """The words of the question."""
        return len(re.findall(r"\w+", self.question))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--half", type=int, choices=(0, 1), default=0)
    parser.add_argument("--items", type=int, default=300, help="planted items of each kind")
    parser.add_argument("--copies", type=int, default=5, help="pages with the same quotation or template")
    options = parser.parse_args()
    if not (options.data / "decontamination").exists():
        sys.exit(f"{options.data}/decontamination is not there; --data names the folder")
    items = read_items(options.data / "decontamination")
    half = [item for item in items if hashlib.blake2b(item.question.encode()).digest()[0] % 2 == options.half]
    pages = read_pages(options.data / "books" / "en")
    documents = [*planted(half, pages, options.items), *harmless(half, pages, options.copies)]
    documents += [("clean", page) for page in pages]
    texts = pa.array([text for _, text in documents])
    section = DecontaminateSection()
    benchmarks = weighed(items, texts, section)
    matches(texts.slice(0, 10), benchmarks, rules(section))
    began = time.perf_counter()
    found = matches(texts, benchmarks, rules(section))
    seconds = time.perf_counter() - began
    report(documents, set(found.rows.tolist()), thirteen_words(items, texts))
    words = len(found.words.hashes)
    print(f"{len(documents):,} documents of {words / len(documents):.0f} words; {len(items):,} items; one core")
    print(f"RESULT\tdecontaminate_us_per_500_words\t{seconds / (words / 500) * 1e6:.1f}\tus\t<=40")


def read_items(folder: Path) -> list[Item]:
    lines = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    return [Item(line["question"], str(line.get("correct") or line.get("answer") or "")) for line in lines]


def read_pages(folder: Path) -> list[str]:
    """Groups of six paragraphs of books, shuffled."""
    pages: list[str] = []
    for path in sorted(folder.iterdir()):
        paragraphs = [p for p in re.split(r"\n\s*\n", path.read_text(errors="replace")) if len(p) > 80]
        pages += ["\n\n".join(paragraphs[i : i + PARAGRAPHS]) for i in range(0, len(paragraphs), PARAGRAPHS)]
    random.Random(0).shuffle(pages)
    return pages


def planted(items: Sequence[Item], pages: Sequence[str], count: int) -> Iterator[tuple[str, str]]:
    """Yield kind and text of pages that hold an item."""
    draw = random.Random(1)
    long = [item for item in items if item.words >= 13]
    short = [item for item in items if 6 <= item.words <= 12]
    for item in draw.sample(long, min(count, len(long))):
        question, words = item.question, item.question.split()
        page, other = draw.sample(pages, 2)
        paragraphs, sentences = page.split("\n\n"), page.split(". ")
        half, middle = len(paragraphs) // 2, len(sentences) // 2
        yield "verbatim", question
        yield "paragraph", "\n\n".join([*paragraphs[:half], question, *paragraphs[half:]])
        yield "lines", f"{page}\n" + "\n".join(" ".join(words[i : i + 5]) for i in range(0, len(words), 5)) + f"\n{other}"
        yield "embedded", ". ".join([*sentences[:middle], f"{question} {'. '.join(sentences[middle:])}"])
        edited = [draw.choice(FILLER) if n % 12 == 11 else word for n, word in enumerate(words)]
        yield "edited", f"{page}\n\n{' '.join(edited)}\n\n{other}"
        marked = [f"<b>{word}</b>" if n % 6 == 3 else word for n, word in enumerate(words)]
        html = " ".join(marked).replace("'", "&#39;").replace('"', "&quot;")
        yield "html", f"{page}\n\n{html}\n\n{other}"
        divided = [f"{w[: len(w) // 2]}-\n{w[len(w) // 2 :]}" if n % 9 == 8 and len(w) > 5 else w for n, w in enumerate(words)]
        yield "hyphens", f"{page}\n\n{' '.join(divided)}\n\n{other}"
    for item in draw.sample(short, min(count, len(short))):
        page, other = draw.sample(pages, 2)
        yield "short", f"{page}\n\n{item.question}\n\n{other}"
        yield "short_with_answer", f"{page}\n\n{item.question}\n{item.answer}\n\n{other}"


def harmless(items: Sequence[Item], pages: Sequence[str], copies: int) -> Iterator[tuple[str, str]]:
    """Yield kind and text of pages that share a sentence with items, and no item."""
    draw = random.Random(2)
    by_item = [(item, re.split(r"(?<=[.!?])\s+", item.question)) for item in items]
    in_passages = [[s for s in sentences if len(s.split()) <= QUOTED_WORDS] for item, sentences in by_item if item.words > 100]
    quoted = [max(sentences, key=len) for sentences in in_passages if sentences]
    shared = Counter(sentence for _, sentences in by_item for sentence in set(sentences) if len(sentence.split()) >= 10)
    for kind, sentences in (("quotation", quoted), ("template", [s for s, times in shared.most_common(40) if times > 1])):
        for sentence in sentences:
            for _ in range(copies):
                page, other = draw.sample(pages, 2)
                yield kind, f"{page}\n\nAs was said: “{sentence}” And so on.\n\n{other}"


def weighed(items: Sequence[Item], texts: pa.Array, section: DecontaminateSection) -> Benchmarks:
    """Return the items with the frequencies in these texts."""
    known = collected([grams(pa.array([item.question for item in items]), ngram=section.ngram)])
    reference = index(known, ngram=section.ngram)
    found, size = hits(texts, reference), len(known.hashes)
    documents = np.bincount(np.unique(found.rows * size + found.grams) % size, minlength=size)
    signs = Signs(np.arange(len(items) + 1), *run_hashes(pa.array([item.answer for item in items]), SIGN_LENGTH))
    return Benchmarks(reference, signs, weights(known, Frequencies(documents, len(texts)), rules(section)))


def thirteen_words(items: Sequence[Item], texts: pa.Array) -> set[int]:
    """Return the rows of texts that share 13 words in a row with an item."""
    known = grams(pa.array([item.question for item in items]), ngram=13).hashes
    held = grams(texts, ngram=13)
    return set(held.texts[np.isin(held.hashes, known)].tolist())


def report(documents: Sequence[tuple[str, str]], ours: set[int], theirs: set[int]) -> None:
    kinds = [kind for kind, _ in documents]
    results: list[str] = []
    print(f"{'':<20}{'pages':>8}{'ours':>8}{'13 words':>10}")
    for kind, goal in GOALS.items():
        rows = [row for row, own in enumerate(kinds) if own == kind]
        if not rows:
            continue  # of few items, none is a passage
        share, beside = (sum(row in found for row in rows) / len(rows) for found in (ours, theirs))
        print(f"{kind:<20}{len(rows):>8,}{share:>8.3f}{beside:>10.3f}")
        results.append(f"RESULT\tdecontaminate_{kind}\t{share:.3f}\tshare found\t{goal}")
    print("\n".join(results))


if __name__ == "__main__":
    main()
