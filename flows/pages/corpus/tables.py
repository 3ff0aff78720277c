"""Tables of all documents, counted from columns: by source, language, host, licence and year; and their lengths."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flows.pages.elements import section, table, text
from flows.pages.figures import large
from pipelines.review.counts import LENGTHS, Counter, Sums

SHOWN = 300  # rows of a table: those of the most documents
_NOTE = "Click a heading to sort, type to search."
_NOTHING = "<small>none stated</small>"
_NAMES = ("found", "kept", "of found", "characters kept", "of all kept")


def counted_sections(counter: Counter) -> list[str]:
    """Return a section for each count that says something."""
    lengths = _lengths(counter.lengths)
    return [
        section("Languages", _table(counter.languages, ("language",)), _said(counter.languages, ("language",))),
        section("Lengths", lengths, "Documents by characters, as they were measured."),
        section("Licences", _table(counter.licenses, ("source", "license"))),
        section("Years", _years(counter.years), "By the date that a document has of itself."),
        section("Hosts", _table(counter.hosts, ("host",)), _said(counter.hosts, ("host",))),
    ]


def _said(sums: Sums, keys: Sequence[str]) -> str:
    rows = _by(sums, keys).num_rows
    if rows <= 1:
        return ""
    partly = " Hosts with few documents were not counted to the end." if sums.is_partial else ""
    first = f"The {SHOWN:,} with the most documents of {rows:,}. " if rows > SHOWN else ""
    return f"{first}{_NOTE}{partly}"


def _by(sums: Sums, keys: Sequence[str]) -> pa.Table:
    """Return the sums by some of their keys, those of the most documents first."""
    whole = sums.table()
    names = ("documents", "characters", "kept", "kept_characters")
    grouped = whole.group_by(list(keys), use_threads=False).aggregate([(name, "sum") for name in names])
    grouped = grouped.rename_columns([name.removesuffix("_sum") for name in grouped.column_names])
    order = [("documents", "descending"), *((key, "ascending") for key in keys)]
    return grouped.sort_by(order)


def _table(sums: Sums, keys: Sequence[str]) -> str:
    found = _by(sums, keys)
    if pc.all(pc.is_null(found[keys[-1]])).as_py() is not False:
        return ""
    characters = max(1, pc.sum(found["kept_characters"]).as_py() or 0)
    cells = [
        [*(_NOTHING if row[key] is None else text(row[key]) for key in keys), *_cells(row, characters)]
        for row in found.slice(0, SHOWN).to_pylist()
    ]
    names = (*("licence" if key == "license" else key for key in keys), *_NAMES)
    return table(names, cells, numbers=range(len(keys), len(names)), kind="sortable")


def _cells(row: Mapping[str, Any], characters: int) -> list[str]:
    found, kept = row["documents"], row["kept"]
    return [
        f"{found:,}",
        f"{kept:,}",
        f'<span class="meter"><i style="width:{100 * kept / max(1, found):.1f}%"></i></span> {kept / max(1, found):.1%}',
        f"{row['kept_characters']:,}",
        f"{row['kept_characters'] / characters:.1%}",
    ]


def _years(sums: Sums) -> str:
    rows = sorted((row for row in _by(sums, ("year",)).to_pylist() if row["year"]), key=lambda row: row["year"])
    return columns([(row["year"], row["kept"], row["documents"] - row["kept"]) for row in rows][-120:])


def _lengths(sums: Sums) -> str:
    found = {row["length"]: row for row in _by(sums, ("length",)).to_pylist()}
    if not found:
        return ""
    edges = (0, *LENGTHS)
    bars = [
        (f"from {large(edges[n])}", row["kept"] if row else 0, row["documents"] - row["kept"] if row else 0)
        for n in range(min(found), max(found) + 1)
        for row in (found.get(n),)
    ]
    return columns(bars)


def columns(bars: Sequence[tuple[str, int, int]]) -> str:
    """Return a small chart of columns: a label, the kept documents, the dropped ones."""
    if not bars:
        return ""
    highest = max(1, *(kept + dropped for _, kept, dropped in bars))
    made = "".join(
        f'<div class="column" title="{label}: {kept:,} kept, {dropped:,} dropped"><span class="stack">'
        f'<i class="gone" style="height:{100 * dropped / highest:.2f}%"></i>'
        f'<i class="kept" style="height:{100 * kept / highest:.2f}%"></i>'
        f"</span><small>{label}</small></div>"
        for label, kept, dropped in bars
    )
    key = '<p class="key"><i class="kept"></i>kept <i class="gone"></i>dropped</p>'
    return f'{key}<div class="wide"><div class="columns">{made}</div></div>'
