"""`corpusmill tune`: what other thresholds would keep of a finished build."""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flows.commands.arguments import Commands, output

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from pipelines.review.tune import Tuned

SHOWN_GROUPS = 40  # rows of sources and languages
_CHARACTERS = 200  # of an example


def add_commands(commands: Commands) -> None:
    """Add `tune`."""
    tune = commands.add_parser(
        "tune",
        help="what other thresholds would keep of a finished build, without building",
        description="Judge all documents of a build again by their stored columns, and print what would be gained and lost:"
        " documents and characters, by source, language and reason, with examples, and the lines for the config. What was dropped"
        " before the languages and rules are judged stays dropped.",
    )
    tune.add_argument("out", help="an output folder")
    tune.add_argument(
        "change",
        nargs="+",
        help='gopher.min_words=30, signs.max_signs=false, language.score_limit=0.5, \'language.keep=["en", "de"]\','
        " keep_share=0.5, 'keep=dclm > 0.02', or any other key of [quality] and [language] that acts on columns",
    )
    tune.add_argument("-n", type=int, default=3, metavar="N", help="examples of gained and of lost documents (3)")
    tune.add_argument("--json", action="store_true", help="one JSON object with all numbers and examples")
    tune.set_defaults(run=_tune)


def _tune(arguments: argparse.Namespace) -> int:
    from flows.commands.corpora.console import plain_console
    from flows.commands.corpora.review import published
    from pipelines.review.tune import tune

    built = published(output(arguments.out))
    corpus = built["corpus"]
    tuned = tune(corpus, built.get("classifier"), built.get("clusters"), arguments.change, max(0, arguments.n))
    lines = toml_lines(corpus.manifest.config, arguments.change)
    if arguments.json:
        print(json.dumps(_as_json(tuned, lines), ensure_ascii=False))
        return 0
    _show(plain_console(), tuned, lines)
    return 0


def toml_lines(config: Mapping[str, Any], changes: Sequence[str]) -> str:
    """Return the changes as tables of a config. A changed `[quality.rules]` is whole, to replace the list or table there."""
    import tomli_w

    from pipelines.contract.settings import override
    from pipelines.review.trial import changed, full

    written: dict[str, Any] = {}
    for change in changes:
        override(written, full(change))
    if "rules" in written.get("quality", {}):
        written["quality"]["rules"] = _rules(changed(config, changes)["quality"]["rules"])
    return tomli_w.dumps(written).strip()


def _rules(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rules as the shortest table that a config can have: what differs from the defaults."""
    from pipelines.rule_thresholds import RuleSets

    rules, defaults = RuleSets.model_validate(recorded), RuleSets()
    published = RuleSets.model_validate(list(RuleSets.model_fields))
    table: dict[str, Any] = {}
    for name in RuleSets.model_fields:
        section = getattr(rules, name)
        if section is None and getattr(defaults, name) is not None:
            table[name] = False
        if section is not None:
            values = {key: value for key, value in section if value != getattr(getattr(published, name), key)}
            if values or getattr(defaults, name) is None:
                table[name] = {key: _written(value) for key, value in values.items()}
    return table


def _written(value: float | None) -> float | int | bool:
    if value is None:
        return False
    return int(value) if value == int(value) else value


def _as_json(tuned: "Tuned", lines: str) -> dict[str, Any]:
    from dataclasses import asdict

    examples = {
        name: [{**facts, "title": excerpt.title, "url": excerpt.url, "text": excerpt.text} for facts, excerpt in found]
        for name, found in tuned.examples.items()
    }
    return {**asdict(tuned), "examples": examples, "toml": lines}


def _show(console: "Console", tuned: "Tuned", lines: str) -> None:
    totals = tuned.totals
    after = totals["characters"] + totals["characters_gained"] - totals["characters_lost"]
    console.print(f"documents   {totals['kept']:,} → {totals['would']:,}   {_change(totals)}")
    change = _change(totals, "characters_")
    console.print(f"characters  {totals['characters']:,} → {after:,}   {change}")
    if totals["gained"] or totals["lost"]:
        console.print(_groups(tuned))
        for name, before in (("gained", "before"), ("lost", "after")):
            rows = [f"{row[name]:,} {row[before]}" for row in getattr(tuned, name)]
            if rows:
                said = "had been dropped for" if name == "gained" else "would be dropped for"
                console.print(f"{name}, {said}: {', '.join(rows)}", soft_wrap=True)
        _show_examples(console, tuned)
    for note in _notes(tuned):
        console.print(f"note: {note}", soft_wrap=True)
    console.print("\nlines for the config:\n")
    console.print(lines, markup=False, soft_wrap=True)


def _change(row: Mapping[str, int], prefix: str = "") -> str:
    return f"+{row[f'{prefix}gained']:,} −{row[f'{prefix}lost']:,}"


def _groups(tuned: "Tuned") -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from flows.pages.shown import visible

    changed = [row for row in tuned.groups if row["gained"] or row["lost"]]
    title = "by source and language" + (f" ({SHOWN_GROUPS} of {len(changed):,})" if len(changed) > SHOWN_GROUPS else "")
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name in ("source", "language", "kept", "would be", "gained", "lost", "characters"):
        table.add_column(name, justify="left" if name in ("source", "language") else "right")
    for row in changed[:SHOWN_GROUPS]:
        numbers = [f"{row[name]:,}" for name in ("kept", "would", "gained", "lost")]
        difference = row["characters_gained"] - row["characters_lost"]
        table.add_row(
            Text(visible(row["source"])), Text(visible(row["language"])), *numbers, f"{difference:+,}".replace("-", "−")
        )
    return table


def _show_examples(console: "Console", tuned: "Tuned") -> None:
    from rich.text import Text

    from flows.pages.shown import visible

    for name, examples in tuned.examples.items():
        for facts, excerpt in examples:
            named = visible(excerpt.title or excerpt.url, 80)
            head = f"{name} {facts['id']}  {facts['source']}  {facts['language']}  {facts['reason']}  {named}"
            console.print(Text(visible(head).rstrip(), style="bold"), soft_wrap=True)
            console.print(Text(f"  {visible(excerpt.text[:_CHARACTERS])}{' …' if excerpt.is_cut else ''}"), soft_wrap=True)


def _notes(tuned: "Tuned") -> list[str]:
    notes: list[str] = []
    if tuned.unscored:
        notes.append(
            f"{tuned.unscored:,} of the gained have no score of the classifier yet, and a build may drop them for theirs"
        )
    if tuned.survivors:
        notes.append(f"{tuned.survivors:,} of the lost had copies that were dropped for them; a build keeps a copy that passes")
    return notes
