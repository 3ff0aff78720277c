"""`corpusmill fit-rules`: the stop words and thresholds of languages, from curated texts, as a config has them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from flows.commands.arguments import KINDS, Commands, positive

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.rule_thresholds import RuleSets

TEXTS_PER_LANGUAGE = 20_000  # held in memory
FEWEST_TEXTS = 50


def add_commands(commands: Commands) -> None:
    """Add `fit-rules`."""
    fit = commands.add_parser(
        "fit-rules",
        help="stop words and thresholds of quality rules for languages, derived from curated texts",
        description="Read curated texts (a Wikipedia dump, books, records) and write [quality] tables for a config: the stop"
        " words of each language, and the thresholds that a small share of its texts miss, where the published ones are stricter."
        " Files are read as `corpusmill extract` reads them. docs/rules.md has the recipe.",
    )
    fit.add_argument("file", nargs="+", help="a file or URI of curated texts")
    fit.add_argument("--kind", choices=KINDS, help="what the files are; by default, their first bytes and names say it")
    fit.add_argument("--out", metavar="FILE", help="where the TOML goes; by default, to standard output")
    fit.add_argument("--language", metavar="CODE", help="the language of all texts; by default, it is identified")
    fit.add_argument("--sets", nargs="+", metavar="SET", help="the sets of rules; by default, those that are on by default")
    fit.add_argument(
        "--tail", type=float, default=0.02, metavar="SHARE", help="of curated texts that may miss a threshold (0.02)"
    )
    fit.add_argument("--limit", type=positive, metavar="N", help="the first N documents of each file")
    fit.add_argument("--language-model", metavar="FILE", help="lid.176.ftz; by default, where a build has put it")
    fit.set_defaults(run=_fit)


def _fit(arguments: argparse.Namespace) -> int:
    import tomli_w

    from pipelines.contract.errors import UserError
    from pipelines.contract.settings import validated
    from pipelines.rule_thresholds import RuleSets

    if not 0 < arguments.tail < 0.5:
        raise UserError(f"--tail {arguments.tail}: give a share of the curated texts between 0 and 0.5, such as 0.02")
    if arguments.out is not None and not Path(arguments.out).absolute().parent.is_dir():
        raise UserError(f"--out {arguments.out}: its folder does not exist; make it first, or name another")
    published = RuleSets() if arguments.sets is None else validated(RuleSets, arguments.sets, "--sets")
    texts = _texts(arguments)
    few = {language: len(found) for language, found in texts.items() if len(found) < FEWEST_TEXTS}
    for language, count in sorted(few.items()):
        print(f"{language}: only {count:,} texts, {FEWEST_TEXTS:,} are needed: left out", file=sys.stderr)
    fitted = {language: _of_language(language, found, published, arguments.tail) for language, found in sorted(texts.items())
              if language not in few}  # fmt: skip
    if not fitted:
        raise UserError(f"no language has {FEWEST_TEXTS:,} texts in {', '.join(arguments.file)}; name more files, or --language")
    tables = {
        "stop_words": {language: list(words) for language, (words, _) in fitted.items()},
        "rules_by_language": {language: limits for language, (_, limits) in fitted.items() if limits},
    }
    written = tomli_w.dumps({"quality": {name: table for name, table in tables.items() if table}})
    if arguments.out is None:
        print(written, end="")
    else:
        Path(arguments.out).write_text(written, encoding="utf-8")
    return 0


def _texts(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """Return the first texts of each language."""
    from flows.commands.corpora.extract import language_model
    from pipelines.extract import Extraction, opened

    model = None if arguments.language else language_model(arguments.language_model)
    extraction = Extraction(model, (), arguments.limit)
    found: dict[str, list[str]] = {}
    with TemporaryDirectory(prefix="corpusmill-fit-") as folder:
        for path in arguments.file:
            for row in extraction.rows(opened(path, folder, arguments.kind)):
                language = arguments.language or row.get("language")
                known = found.setdefault(language, []) if row.get("text") and language else []
                if len(known) < TEXTS_PER_LANGUAGE:
                    known.append(row["text"])
    return found


def _of_language(
    language: str, texts: Sequence[str], published: "RuleSets", tail: float
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the stop words of a language and its thresholds, and print what they would drop of its texts."""
    import pyarrow as pa

    from pipelines.rule_thresholds import ENGLISH_STOP_WORDS
    from pipelines.text.judgement.measures import measure
    from pipelines.text.judgement.rules import fitting
    from pipelines.text.judgement.words import WordLists

    column = pa.array(texts, pa.string())
    words = ENGLISH_STOP_WORDS if language == "en" else fitting.stop_words(column)
    lists = WordLists.of({language: words})
    measured = measure(column, pa.array([language] * len(column)), lists, WordLists.of({}))
    limits = published.thresholds()
    changed = fitting.thresholds(measured, limits, tail)
    before, after = (_dropped(measured, used) for used in (limits, _merged(limits, changed)))
    print(
        f"{language}: {len(column):,} texts, {len(words)} stop words; the published thresholds drop {before:.1%} of the texts,"
        f" these {after:.1%}",
        file=sys.stderr,
    )
    return words, changed


def _merged(limits: dict[str, dict[str, float]], changed: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {name: {**values, **changed.get(name, {})} for name, values in limits.items()}


def _dropped(measured: "pa.StructArray", limits: dict[str, dict[str, float]]) -> float:
    from pipelines.text.judgement.rules.verdict import judge

    reasons = judge(measured, limits)[0]
    return 1 - reasons.null_count / len(reasons)
