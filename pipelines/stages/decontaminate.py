"""Keep benchmarks out of the corpus: drop the documents that hold a benchmark's item, or cut the item out."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.config import DecontaminateSection
from pipelines.contract.batch import Batch, sift
from pipelines.contract.reasons import Change, DropReason
from pipelines.stages.base import BatchFunction, ForUnit, Stage, for_every_unit
from pipelines.stages.removed import cut
from pipelines.text.copies import contamination, cuts, removed
from pipelines.text.copies.contamination import Benchmarks, Matches, Rules
from pipelines.text.copies.removed import Stretches
from pipelines.text.copies.substrings import covered

VERSION = f"3/contamination-{contamination.VERSION}/cuts-{cuts.VERSION}/removed-{removed.VERSION}"
NAME = "decontaminate"

WORDS_SHOWN, CHARACTERS_SHOWN = 25, 250  # limits of the excerpt in a drop's detail
EXAMPLES_SHOWN = 5  # for each benchmark
_ROUNDS = 20  # of cutting: what remains after a cut may hold another item, or a copy of the same


@dataclass(frozen=True, slots=True)
class Named:
    """The benchmarks, and the items' names."""

    benchmarks: Benchmarks
    names: pa.Array  # [items] strings


def rules(section: DecontaminateSection) -> Rules:
    """Return when a document is contaminated."""
    return Rules(section.share, section.short_words, section.frequent)


def stage(load: Callable[[], Named] | None, fingerprint: dict[str, str] | None, section: DecontaminateSection) -> Stage:
    """Return the stage; `load` opens the datasets of these fingerprints (None if no benchmarks are configured)."""
    settings = section.model_dump(mode="json", include={"action", "share", "short_words", "frequent"})
    return Stage(
        {NAME: VERSION},
        partial(_open, load, section),
        {NAME: {**fingerprint, **settings} if fingerprint else None},
        runs=load is not None,
    )


def _open(load: Callable[[], Named] | None, section: DecontaminateSection) -> ForUnit:
    assert load is not None, "the stage does not run without benchmarks"
    return for_every_unit(removing(load(), section))


def removing(named: Named, section: DecontaminateSection) -> BatchFunction:
    """Sift CONTAMINATED (detail: the item with the largest share, the share, its words, and the number of other items).

    With `section.action = "cut"`, cut the items out of the texts and sift texts that become empty as EMPTY, and those that still
    hold an item after _ROUNDS cuts as CONTAMINATED.
    """

    def run(batch: Batch) -> Batch:
        texts = batch.documents["text"]
        found = contamination.matches(texts, named.benchmarks, rules(section))
        details = _details(texts, found, named.names)
        reasons = pc.if_else(pc.is_valid(details), DropReason.CONTAMINATED.value, _NONE)
        if section.action == "cut":
            texts, rows = _without(texts, found, named.benchmarks, rules(section))
            batch = cut(batch, NAME, Change.CONTAMINATION, texts, partial(_items_of, found, named.names))
            left = _at_rows(len(texts), rows, [DropReason.CONTAMINATED.value] * len(rows))
            reasons = pc.if_else(pc.and_(pc.equal(texts, ""), pc.is_valid(details)), DropReason.EMPTY.value, left)
        return sift(batch, NAME, reasons, pc.if_else(pc.is_valid(reasons), details, _NONE))

    return run


def _without(texts: pa.Array, found: Matches, benchmarks: Benchmarks, rules: Rules) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the texts without the items in them, and the rows that hold items even so."""
    rows = np.arange(len(texts))
    changed = texts
    for _ in range(_ROUNDS):
        here = np.unique(found.rows)
        if not len(here):
            break
        flags = covered(found.words.offsets, found.rows, found.first, found.last + 1)
        changed = cuts.remove_words(changed, found.words, flags).take(pa.array(here))
        rows = rows[here]
        places = np.arange(len(texts))
        places[rows] = len(texts) + np.arange(len(rows))
        texts = pa.concat_arrays([texts, changed]).take(pa.array(places))
        found = contamination.matches(changed, benchmarks, rules)
    return texts, rows[np.unique(found.rows)]


def met(details: Iterable[str], cuts: Iterable[tuple[bytes, str]], items: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Return what is known of each benchmark; `items`: how many are searched for, by file.

    `details` are those of dropped documents, `cuts` the ids of documents of which items were cut out, with the cuts' details.

    >>> dropped = ["a.jsonl:3 question, 100%: “Who?”", "a.jsonl:3 question, 40%: “Who …” (and 2 more)"]
    >>> met(dropped, [(b"1", "a.jsonl:3 question, 100%: “Who?”")], {"a.jsonl": 9})
    {'a.jsonl': {'items': 9, 'met': 1, 'documents': 2, 'cut': 1, 'examples': ['a.jsonl:3 question, 100%: “Who?”']}}
    """
    by_file: dict[str, dict[str, str]] = {name: {} for name in items}  # the first detail of each place
    dropped = Counter[str]()
    documents: dict[str, set[bytes]] = {name: set() for name in items}
    for detail, cut_from in sorted([*((detail, b"") for detail in details), *((detail, id_) for id_, detail in cuts)]):
        name, place = re.match(_DETAIL, detail, re.DOTALL).groups()  # pyright: ignore[reportOptionalMemberAccess]
        by_file[name].setdefault(place, detail)
        dropped[name] += not cut_from
        documents[name] |= {cut_from} if cut_from else set()
    return {
        name: {
            "items": items[name],
            "met": len(places),
            "documents": dropped[name],
            "cut": len(documents[name]),
            "examples": list(places.values())[:EXAMPLES_SHOWN],
        }
        for name, places in by_file.items()
    }


_DETAIL = r"(.*?):(\d+ .*?), \d+%: “"  # file, line and field of the item that a detail names first
_NONE = pa.scalar(None, pa.string())


def _at_rows(length: int, rows: NDArray[np.int64], values: list[str]) -> pa.Array:
    """Return a column with these values at these rows and null elsewhere."""
    places = np.full(length, -1)
    places[rows] = np.arange(len(rows))
    return pa.array(values, pa.string()).take(pa.array(places, mask=places < 0))


def _details(texts: pa.Array, found: Matches, names: pa.Array) -> pa.Array:
    """Return what is said of each text that holds an item; null for the others."""
    return _at_rows(len(texts), np.unique(found.rows), list(_said(texts, found, names)))


def _said(texts: pa.Array, found: Matches, names: pa.Array) -> Iterator[str]:
    """Yield the detail of each text that holds an item."""
    for text, places in _by_text(texts, found):
        most = places.start + int(np.lexsort((-found.shares[places], found.first[places] - found.last[places]))[0])
        shown = _shown(text[found.starts[most] : found.ends[most]].decode())
        items = len(np.unique(found.items[places]))
        more = f" (and {items - 1} more)" if items > 1 else ""
        yield f"{names[int(found.items[most])].as_py()}, {found.shares[most]:.0%}: “{shown}”{more}"


def _items_of(found: Matches, names: pa.Array, stretches: Stretches) -> pa.Array:
    """Return for each stretch what is said of the item there; of a text's largest one, if the stretch is of a later round."""
    said: list[str] = []
    for row, start, end in zip(stretches.rows.tolist(), stretches.starts.tolist(), stretches.ends.tolist(), strict=True):
        places = np.flatnonzero(found.rows == row)
        here = places[(found.starts[places] < end) & (found.ends[places] > start)]
        chosen = here if len(here) else places
        most = chosen[np.lexsort((-found.shares[chosen], found.first[chosen] - found.last[chosen]))[0]]
        said.append(f"{names[int(found.items[most])].as_py()}, {found.shares[most]:.0%}")
    return pa.array(said, pa.string())


def excerpt(detail: str, text: str) -> str:
    """Return what is said of an item that was cut out, as of one for which a document was dropped."""
    return f"{detail}: “{_shown(text)}”"


def _shown(text: str) -> str:
    words = text.split(None, WORDS_SHOWN)
    short = " ".join(words[:WORDS_SHOWN])
    is_all = len(words) <= WORDS_SHOWN and len(short) <= CHARACTERS_SHOWN
    return short if is_all else short[:CHARACTERS_SHOWN] + "…"


def _by_text(texts: pa.Array, found: Matches) -> Iterator[tuple[bytes, slice]]:
    """Yield each text with matches, and the slice of its matches."""
    rows = np.unique(found.rows)
    begins, ends = np.searchsorted(found.rows, rows), np.searchsorted(found.rows, rows, "right")
    for row, begin, end in zip(rows.tolist(), begins.tolist(), ends.tolist(), strict=True):
        yield texts[row].as_py().encode(), slice(begin, end)
