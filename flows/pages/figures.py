"""The figures of a closing report (pipelines.release.closing_report) as rows, the same for the console, the page and Prefect."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Report = Mapping[str, Any]

SHOWN_UNMATCHED = 10  # names of [exclude]
REMOVED_COLUMNS = ("source", "compared", "exact", "near", "same URL", "removed", "share")
WEB_PAGES_COLUMNS = ("source", "pages", "visible text", "kept", "share", "fallbacks", "without main text")


class Removed(NamedTuple):
    """The documents of a source that deduplication removed."""

    source: str
    documents: int
    exact: int
    near: int
    url: int

    @property
    def removed(self) -> int:
        """Documents removed, all grains together."""
        return self.exact + self.near + self.url

    @property
    def share(self) -> float:
        """Share of the documents that deduplication compared."""
        return self.removed / self.documents if self.documents else 0.0


def removed_by_source(report: Report) -> list[Removed]:
    """Return a row for every source and one for all together; no row if deduplication is off."""
    clusters = report["clusters"]
    if not clusters.get("enabled"):
        return []
    grains = ("exact", "near", "url")
    rows = [Removed(name, n["documents"], *(n[grain] for grain in grains)) for name, n in sorted(clusters["sources"].items())]
    sums = [sum(column) for column in zip(*(row[1:] for row in rows), strict=True)] if rows else [0, 0, 0, 0]
    return [*rows, Removed("all", *sums)]


class Bar(NamedTuple):
    """A bin of a histogram."""

    label: str
    number: int
    documents: int = 0


def sizes(report: Report) -> list[Bar]:
    """Return the clusters by number of members."""
    bins: Sequence[Mapping[str, int]] = report["clusters"].get("sizes", [])
    return [
        Bar(
            f"{entry['least']:,}" if entry["least"] == entry["most"] else f"{entry['least']:,} to {entry['most']:,}",
            entry["clusters"],
            entry["documents"],
        )
        for entry in bins
    ]


def similarities(report: Report) -> list[Bar]:
    """Return the removed documents by similarity to their survivor."""
    bins: Sequence[Mapping[str, Any]] = report["clusters"].get("similarities", [])
    return [Bar(_range(entry["from"], entry["to"]), entry["removed"]) for entry in bins]


def _range(start: float, end: float) -> str:
    return f"{end:g}" if start == end else f"below {end:g}" if start == 0 else f"{start:g} to {end:g}"


def notes(report: Report) -> list[tuple[str, int, str]]:
    """Return name, number and meaning of the counts of verification that are not zero."""
    clusters = report["clusters"]
    named = [
        ("edges_verified", "pairs whose similarity reaches the threshold"),
        ("edges_failed", "pairs that shared a band and are not similar enough"),
        ("restar_rounds", "largest number of new centres of a bucket"),
        ("restar_unresolved", "members of buckets that reached the limit of centres; pairs among them may be missed"),
        ("capped_buckets", "buckets beyond deduplicate.bucket_limit"),
        ("capped_members", "members of these buckets, each compared with one document only"),
    ]
    return [(name.replace("_", " "), clusters[name], meaning) for name, meaning in named if clusters.get(name)]


def earlier(report: Report) -> list[tuple[str, int, int]]:
    """Return for each earlier corpus its name, its documents, and the documents of this build that it already has."""
    corpora: Mapping[str, Mapping[str, int]] = report["clusters"].get("earlier", {})
    return [(name, counts["documents"], counts["removed"]) for name, counts in sorted(corpora.items())]


class Repeated(NamedTuple):
    """A line or paragraph that occurs in many documents."""

    kind: str
    documents: int
    text: str


def repeated(report: Report, most: int) -> list[Repeated]:
    """Return the most frequent lines, then the most frequent paragraphs."""
    repeats = report.get("repeats", {})
    return [
        Repeated(kind.removesuffix("s"), entry["documents"], entry["text"])
        for kind in ("lines", "paragraphs")
        for entry in repeats.get(kind, {}).get("most", [])[:most]
    ]


def largest(report: Report) -> list[Mapping[str, Any]]:
    """Return the largest clusters, the largest first."""
    return list(report["clusters"].get("largest_clusters", []))


def name_of(cluster: Mapping[str, Any]) -> str:
    """Return the survivor's title, else its URL, else its id."""
    excerpt = cluster["excerpt"] or {}
    return str(excerpt.get("title") or excerpt.get("url") or cluster["survivor"] or cluster["cluster"])


def begins(cluster: Mapping[str, Any]) -> str:
    """Return the beginning of the survivor's text without its title; empty if the survivor is in an earlier corpus."""
    excerpt = cluster["excerpt"] or {}
    text, title = str(excerpt.get("text") or ""), str(excerpt.get("title") or "")
    return text.removeprefix(title).lstrip() or text


def alike(cluster: Mapping[str, Any]) -> str:
    """Return the least and greatest similarity of removed members to their survivors."""
    similarity = cluster["similarity"]
    if similarity is None:
        return ""
    low, high = similarity["least"], similarity["greatest"]
    return f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"


def takedown(report: Report) -> list[str]:
    """Return a line for each kind of names in the config's `[exclude]`, with the first names that matched no document."""
    lines: list[str] = []
    for kind, counts in report.get("exclude", {}).items():
        left, shown = counts["names"] - counts["matched"], counts["unmatched"][:SHOWN_UNMATCHED]
        more = f" and {left - len(shown):,} more" if left > len(shown) else ""
        missing = f"; no document for {', '.join(shown)}{more}" if left else ""
        lines.append(f"{counts['matched']:,} of {counts['names']:,} {kind} matched a document{missing}")
    return lines


def benchmarks(report: Report) -> list[str]:
    """Return a line for each benchmark that the corpus was cleaned of, and one for each example of an item that was met."""
    lines: list[str] = []
    for name, counts in report.get("benchmarks", {}).items():
        cut = f", cut out of {counts['cut']:,} others" if counts.get("cut") else ""
        lines.append(
            f"{name}: {counts['met']:,} of {counts['items']:,} items met, in {counts['documents']:,} dropped documents{cut}"
        )
        lines += [f"  {example}" for example in counts["examples"]]
    return lines


class ShareLimit(NamedTuple):
    """Where a share of scores ends in a language."""

    share: str
    language: str
    scored: int
    within: int
    value: float


def limits(report: Report) -> list[ShareLimit]:
    """Return the limits of the shares in `quality.keep`, of each share those of the languages with the most documents first."""
    rows = [
        ShareLimit(share, language, limit["scored"], limit["within"], limit["value"])
        for share, languages in report.get("limits", {}).items()
        for language, limit in languages.items()
    ]
    return sorted(rows, key=lambda row: (row.share, -row.scored, row.language))


def masks(report: Report) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """Return the types of masked private data, and a row of counts for every language and one for all together."""
    by_language: Mapping[str, Mapping[str, int]] = report.get("private", {})
    types = sorted({type_ for counts in by_language.values() for type_ in counts})
    rows = [(language, [counts.get(type_, 0) for type_ in types]) for language, counts in by_language.items()]
    sums = [sum(counts[column] for _, counts in rows) for column in range(len(types))]
    return types, [*rows, ("all", sums)] if rows else []


def masked(report: Report) -> str:
    """Return the masks of all languages in a line; empty if there are none."""
    types, rows = masks(report)
    return ", ".join(f"{count:,} {type_}" for type_, count in zip(types, rows[-1][1], strict=True)) if rows else ""


def stages(report: Report) -> list[str]:
    """Return all stages in the order in which they run; a stage that some sources lack comes after the one before it."""
    order: list[str] = []
    for lines in report["funnel"].values():
        place = 0
        for line in lines:
            if line["stage"] not in order:
                order.insert(place, line["stage"])
            place = order.index(line["stage"]) + 1
    return order


def funnel(report: Report) -> list[tuple[str, str, list[int]]]:
    """Stage, what is counted, documents by source: the funnel from what was found to what is in the corpus.

    The last two rows are the documents and the characters of the corpus.
    """
    lines: Mapping[str, Sequence[Mapping[str, Any]]] = report["funnel"]
    skipped: Mapping[str, Mapping[str, int]] = report["skipped"]
    rows = [
        ("", f"skipped: {reason}", [skipped[source].get(reason, 0) for source in lines])
        for reason in sorted({reason for counts in skipped.values() for reason in counts})
    ]
    rows.append(("read", "documents found", [entries[0]["documents_in"] if entries else 0 for entries in lines.values()]))
    for stage in stages(report):
        at = [next((line for line in entries if line["stage"] == stage), None) for entries in lines.values()]
        pieces = [line["documents_split"] if line else 0 for line in at]
        if any(pieces):
            rows.append((stage, "pieces added", pieces))
        for reason in sorted({reason for line in at if line for reason in line["documents_dropped"]}):
            rows.append((stage, f"- {reason}", [line["documents_dropped"].get(reason, 0) if line else 0 for line in at]))
    for counted in ("documents", "characters"):
        rows.append(("corpus", counted, [entries[-1][f"{counted}_out"] if entries else 0 for entries in lines.values()]))
    return rows


class WebPages(NamedTuple):
    """What was kept of the pages of a source; characters without white space."""

    source: str
    pages: int
    visible_characters: int
    kept_characters: int
    fallbacks: int
    without_main_text: int

    @property
    def kept_share(self) -> float:
        """Share of the visible characters that was kept."""
        return self.kept_characters / self.visible_characters if self.visible_characters else 0.0


def web_pages(report: Report) -> list[WebPages]:
    """Return a row for every source with web pages, and one for all together if there are several."""
    by_source: Mapping[str, Mapping[str, int]] = report.get("web_pages", {})
    rows = [WebPages(name, *(counts[field] for field in WebPages._fields[1:])) for name, counts in by_source.items()]
    return [*rows, WebPages("all", *map(sum, zip(*(row[1:] for row in rows), strict=True)))] if len(rows) > 1 else rows


def cuts(report: Report) -> list[tuple[str, str, list[int]]]:
    """Return stage, change and the characters that it removed from kept documents, by source, without rows of zeros."""
    lines: Mapping[str, Sequence[Mapping[str, Any]]] = report["funnel"]
    rows: dict[tuple[str, str], list[int]] = {}
    for number, entries in enumerate(lines.values()):
        for line in entries:
            for change, count in line.get("characters_removed", {}).items():
                rows.setdefault((line["stage"], change), [0] * len(lines))[number] += count
    order = stages(report)
    return [(*key, rows[key]) for key in sorted(rows, key=lambda key: (order.index(key[0]), key[1])) if any(rows[key])]


class Tokens(NamedTuple):
    """The tokens of one vocabulary, split and source."""

    vocabulary: str
    split: str
    source: str
    documents: int
    tokens: int
    utf8_bytes: int


def tokens(report: Report) -> list[Tokens]:
    """Return the tokens by vocabulary, split and source, all languages together."""
    return [
        Tokens(vocabulary, split, source, *(sum(n[key] for n in languages.values()) for key in ("rows", "tokens", "utf8_bytes")))
        for vocabulary, facts in report["tokens"].items()
        for split, by_source in facts["tokens"].items()
        for source, languages in by_source.items()
    ]


def large(number: int) -> str:
    """Return a number with at most three digits that count.

    >>> [large(number) for number in (987, 9876, 12345, 999_999, 1_234_567)]
    ['987', '9,876', '12.3 k', '1 M', '1.23 M']
    """
    for size, name in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= max(size, 10**4) and float(f"{number / size:.3g}") >= 1:
            return f"{number / size:.3g} {name}" if number / size < 999.5 else f"{number / (1000 * size):.3g} {_LARGER[name]}"
    return f"{number:,}"


_LARGER = {"k": "M", "M": "G", "G": "T", "T": "P"}
