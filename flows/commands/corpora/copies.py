"""Commands about copies in a built corpus: `similar` and `audit`."""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from flows.commands.arguments import KINDS, Commands, positive

if TYPE_CHECKING:
    from rich.table import Table

    from pipelines.lookup.audit import Audit
    from pipelines.lookup.similar import Similar

SHOWN_CHARACTERS = 100  # of a title or a text
_WORST = 5  # pairs of an audit


def add_commands(commands: Commands) -> None:
    """Add `similar` and `audit`."""
    similar = commands.add_parser(
        "similar",
        help="which published documents are like the text of a file, with their exact similarity",
        description="Files are read as `corpusmill extract` reads them. For each document of a file, the published documents that"
        " are most like it are listed: the Jaccard similarity of the word n-grams, and the share of the text's n-grams that the"
        " document has.",
    )
    similar.add_argument("out", help="an output folder")
    similar.add_argument("file", nargs="+", help="a file of any kind, or - for standard input")
    similar.add_argument("--kind", choices=KINDS, help="what the files are; by default, their first bytes and names say it")
    similar.add_argument("--top", type=positive, default=10, help="documents for each text (default: %(default)s)")
    similar.add_argument("--differences", action="store_true", help="show how the most similar document differs")
    similar.add_argument("--json", action="store_true", help="one line of JSON for each text, with the whole documents")
    similar.add_argument(
        "--redis", metavar="URL", help="take candidates from datasketch's MinHashLSH in this Redis server, filled at first use"
    )
    similar.add_argument(
        "--threshold",
        type=_similarity,
        default=0.5,
        help="--redis: least similarity, about (%(default)s)",
    )
    similar.set_defaults(run=_similar)

    audit = commands.add_parser(
        "audit",
        help="how often deduplication was wrong: removed pairs are drawn by similarity and compared exactly",
        description="A removal is false if the exact Jaccard similarity of the two texts is below deduplicate.threshold. Pairs"
        " are drawn by a hash of their ids, so every run draws the same.",
    )
    audit.add_argument("out", help="an output folder")
    audit.add_argument("--per-band", type=positive, default=200, help="pairs drawn from each band (default: %(default)s)")
    audit.add_argument("--json", action="store_true", help="the figures as JSON")
    audit.set_defaults(run=_audit)


def _similarity(text: str) -> float:
    """Parse a number between 0 and 1, for argparse."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number between 0 and 1")
    return value


def _similar(arguments: argparse.Namespace) -> int:
    from pipelines.contract import files
    from pipelines.lookup.similar import similar

    texts = list(_texts(arguments.file, arguments.kind))
    out = files.plain(arguments.out)
    found = similar(out, [text for _, text in texts], top=arguments.top, redis=arguments.redis, threshold=arguments.threshold)
    for (name, text), documents in zip(texts, found, strict=True):
        if arguments.json:
            print(json.dumps({"text": name, "documents": [document.as_json() for document in documents]}, ensure_ascii=False))
        else:
            _show(name, text, documents, with_differences=arguments.differences)
    return 0


def _texts(paths: Sequence[str], kind: str | None) -> Iterator[tuple[str, str]]:
    """Yield the origin and the text of each document of files."""
    from pipelines.contract.errors import UserError
    from pipelines.extract import Extraction, opened

    extraction = Extraction()
    with tempfile.TemporaryDirectory(prefix="corpusmill-similar-") as folder:
        for path in paths:
            rows = [row for row in extraction.rows(opened(path, folder, kind)) if row["text"]]
            if not rows:
                raise UserError(f"{path}: no document of it has text; `corpusmill extract {path}` shows why")
            yield from ((row["origin"], row["text"]) for row in rows)


def _show(name: str, text: str, documents: "Sequence[Similar]", *, with_differences: bool) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from flows.commands.corpora.explain import explain_console, show_differences
    from flows.pages.shown import visible

    console = explain_console()
    table = Table(title=Text(visible(name, 200)), title_justify="left", box=SIMPLE_HEAD)
    for heading in ("Jaccard", "contained", "id", "source", "document"):
        table.add_column(heading, justify="right" if heading in ("Jaccard", "contained") else "left", no_wrap=True)
    for one in documents:
        columns = one.document.columns
        shown = visible(columns["title"] or columns["url"] or one.text, SHOWN_CHARACTERS)
        table.add_row(f"{one.jaccard:.3f}", f"{one.contained:.3f}", one.document.id, visible(columns["source"]), Text(shown))
    console.print(table if documents else Text(f"{visible(name, 200)}: no published document is like it"))
    if with_differences and documents:
        show_differences(console, documents[0].differences(text), (text, documents[0].text))


def _audit(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.text import Text

    from pipelines.contract import files
    from pipelines.lookup.audit import sampled

    audit = sampled(files.plain(arguments.out), per_band=arguments.per_band)
    if arguments.json:
        print(json.dumps(audit.as_json()))
        return 0
    console = Console(highlight=False)
    if not audit.bands and not audit.earlier:
        console.print("deduplication removed no document: there is nothing to compare")
        return 0
    console.print(_bands(audit))
    measure = f"Jaccard, n-grams of {audit.ngram} words"
    console.print(Text(f"false: less similar than {audit.threshold:g} ({measure}); of all removals: {audit.false_share:.2%}"))
    if audit.earlier:
        console.print(Text(f"{audit.earlier:,} removals for a document of an earlier corpus were not compared"))
    for line in _worst(audit):
        console.print(Text(line), soft_wrap=True)
    return 0


def _bands(audit: "Audit") -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title="Removed documents beside their survivors", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("similarity", "removed", "drawn", "mean exact", "false", "share, 95 %"):
        table.add_column(heading, justify="left" if heading == "similarity" else "right")
    for band in audit.bands:
        low, high = band.interval
        drawn = f"{len(band.pairs):,}" + (f" (+{band.missing:,} not retained)" if band.missing else "")
        share = f"{low:.1%} to {high:.1%}" if band.pairs else ""
        table.add_row(band.name, f"{band.removed:,}", drawn, f"{band.mean:.3f}", f"{band.false:,}", share)
    return table


def _worst(audit: "Audit") -> Iterator[str]:
    """Yield a line for each of the least similar false removals."""
    false = [pair for band in audit.bands for pair in band.pairs if pair.jaccard < band.threshold]
    for pair in sorted(false, key=lambda pair: (pair.jaccard, pair.removed.id))[:_WORST]:
        similarity = f"{pair.similarity:.3f} as verified, {pair.jaccard:.3f} exact"
        yield f"{pair.removed.id} removed for {pair.survivor.id}: similarity {similarity}"
