"""Cards of the data on which runs were trained."""

from collections.abc import Iterable, Sequence

from flows.pages.elements import table, text
from flows.pages.runs.cells import NOTHING, count, decimal, fingerprint, named, share
from flows.pages.runs.data_card import DataCard, SourceCard
from flows.pages.runs.loading import Run


def cards(runs: Sequence[Run]) -> str:
    """Return a card for every tokens dataset, with the runs that were trained on it."""
    groups: dict[str, list[int]] = {}
    described: dict[str, DataCard] = {}
    for number, run in enumerate(runs):
        assert run.card is not None
        name = run.card.fingerprint or run.card.where
        groups.setdefault(name, []).append(number)
        described.setdefault(name, run.card)
    return "".join(_card(described[name], [(number, runs[number]) for number in numbers]) for name, numbers in groups.items())


def _card(card: DataCard, runs: Sequence[tuple[int, Run]]) -> str:
    head = f"<h3>{', '.join(named(number, run) for number, run in runs)}</h3>"
    if card.problem is not None:
        known = next((known for _, run in runs if (known := fingerprint(run))), None)
        was = f" Its fingerprint was <span class=id>{text(known)}</span>." if known else ""
        return f"<article>{head}<p>The dataset cannot be read: {text(card.problem)}.{was}</p></article>"
    others = [run for _, run in runs if fingerprint(run) != card.fingerprint]
    warned = "".join(
        f'<p class="verdict failed">{text(run.name)} was trained on another dataset,'
        f" <span class=id>{text(fingerprint(run))}</span>; this card describes the dataset that is there now.</p>"
        for run in others
    )
    facts = "".join(f"<tr><th>{name}</th><td>{text(value)}</td></tr>" for name, value in card.facts)
    return f'<article>{head}{warned}{_sources(card.sources)}<table class="facts">{facts}</table></article>'


def _sources(sources: Sequence[SourceCard]) -> str:
    all_tokens = max(1, sum(source.train["tokens"] for source in sources))
    cells = [
        [
            text(source.name),
            text(source.kind or NOTHING),
            text(source.snapshot or NOTHING),
            text(source.license or "not stated"),
            text(", ".join(source.languages) or NOTHING),
            *map(count, (source.found, source.published, source.train["tokens"])),
            share(source.train["tokens"] / all_tokens),
            *map(count, (source.validation["tokens"], source.train["utf8_bytes"] + source.validation["utf8_bytes"])),
            decimal(source.bytes_per_token, 2),
        ]
        for source in sources
    ]
    heads = (
        *("source", "kind", "snapshot", "licence", "languages", "documents found", "published"),
        *("train tokens", "share", "validation tokens", "bytes", "bytes per token"),
    )
    totals = _totals(sources) if len(sources) > 1 else []
    return table(heads, [*cells, *totals], numbers=range(5, 12), totals=len(totals))


def _totals(sources: Sequence[SourceCard]) -> list[list[str]]:
    def add(values: Iterable[int | None]) -> str:
        there = [value for value in values if value is not None]
        return count(sum(there)) if there else NOTHING

    train = [source.train for source in sources]
    held_out = [source.validation for source in sources]
    tokens, size = sum(n["tokens"] for n in train), sum(n["utf8_bytes"] for n in train)
    numbers = [
        add(source.found for source in sources),
        add(source.published for source in sources),
        count(tokens),
        share(1.0),
        add(n["tokens"] for n in held_out),
        add(n["utf8_bytes"] for n in (*train, *held_out)),
        decimal(size / tokens if tokens else None, 2),
    ]
    return [["all", "", "", "", "", *numbers]]
