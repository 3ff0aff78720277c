"""What `corpusmill explain` prints: why a document is in the corpus or not. pipelines.lookup.explanation collects the facts."""

from collections.abc import Iterator, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.pages.shown import MEANINGS, is_right_to_left, visible
from pipelines.contract.reasons import DropReason
from pipelines.lookup.explanation import Answer, Copy, Explanation, Survivor
from pipelines.lookup.find import Document
from pipelines.text.copies.differences import Fold, Kind, Stretch, folded

TWO_COLUMNS = 120  # width of a terminal from which two texts are shown side by side
SHOWN_CHARACTERS = 600  # of a text without one to compare it with
SHOWN_DIFFERENCES = 40
SHOWN_REMOVED, SHOWN_OF_REMOVED = 20, 160  # stretches that were cut; characters of one
SHOWN_MASKS = 40
_STRETCH_CHARACTERS = 1200  # of one stretch: a word can be a million characters long
_LABEL = 12
_STYLES: Mapping[Kind, str] = {"equal": "", "removed": "red", "added": "green"}
_MARKS: Mapping[Kind, tuple[str, str]] = {"equal": ("", ""), "removed": ("[-", "-]"), "added": ("{+", "+}")}  # as git writes them


def explain_console() -> Console:
    """Return a console on standard output; if that is not a terminal, it shows one column and breaks no line."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=TWO_COLUMNS - 1, soft_wrap=True)


def show(console: Console, answer: Answer) -> None:
    """Print an answer with at least one document."""
    if answer.documents:
        _show_list(console, answer)
    for number, explanation in enumerate(answer.explanations):
        if number:
            console.print()
        _show_explanation(console, explanation)


def unknown(answer: Answer, out: str) -> str:
    """Return the message for a key that matches no document."""
    near = f"; the nearest ids are {' and '.join(answer.near)}" if answer.near else ""
    return f"{visible(answer.key, 200)}: no document of {out} has this id, URL or origin, in the corpus or among the drops{near}"


def _show_list(console: Console, answer: Answer) -> None:
    what = {"id": "ids begin with it", "work": "pieces of this work", "file": "records of this file"}.get(answer.how, "documents")
    console.print(Text(f"{visible(answer.key, 200)}: {answer.count:,} {what}; name one to see more"))
    for document, _part in answer.documents:
        columns = document.columns
        named = visible(columns["title"] or columns["url"] or "", 80)
        where = f"{visible(columns['source'])}  {visible(columns['origin'], 80)}"
        console.print(Text(f"{document.id}  {_fate(document):<32}  {where}  {named}".rstrip()), soft_wrap=True)
    if answer.count > len(answer.documents):
        console.print(f"… and {answer.count - len(answer.documents):,} more")


def _fate(document: Document) -> str:
    return f"{document.columns['stage']}: {document.columns['reason']}" if document.is_dropped else "kept"


# One document


def _show_explanation(console: Console, explanation: Explanation) -> None:
    for label, value in _facts(explanation):
        _line(console, label, value)
    if explanation.removal is not None:
        _show_survivor(console, explanation)
    elif explanation.document.text:
        console.print()
        console.print(Text(visible(explanation.document.text, SHOWN_CHARACTERS)))
    if explanation.cuts:
        words = sum(stretch.words for stretch in explanation.cuts if stretch.kind == "removed")
        console.print()
        _line(console, "cut", f"{words:,} words, marked [-like this-]")
        show_differences(console, explanation.cuts, None)
    if explanation.removed:
        _show_removed(console, explanation)
    if explanation.masks:
        _show_masks(console, explanation)
    if explanation.copies_count:
        _show_copies(console, explanation.copies, explanation.copies_count)


def _line(console: Console, label: str, value: str) -> None:
    console.print(Text(f"{label:<{_LABEL}}{value}"), soft_wrap=True)


def _facts(explanation: Explanation) -> Iterator[tuple[str, str]]:
    """Yield labels and values in the order in which they are shown; unknown facts are left out."""
    document, columns = explanation.document, explanation.document.columns
    yield "id", document.id if columns["work"] == document.id else f"{document.id}, a piece of the work {columns['work']}"
    if document.is_dropped:
        yield "dropped", f"at {columns['stage']}: {columns['reason']} ({MEANINGS[DropReason(columns['reason'])]})"
        if columns["detail"]:
            yield "detail", visible(columns["detail"], 500)
    else:
        yield "kept", f"in the corpus, {explanation.split} split"
    yield "part", f"{explanation.part}, row {document.place.row:,}"
    yield from _origin(document)
    yield from _scores(explanation)
    yield "text", f"{len(document.text):,} characters"


def _origin(document: Document) -> Iterator[tuple[str, str]]:
    columns = document.columns
    yield "source", visible(f"{columns['source']} ({columns['snapshot']})")
    for name in ("origin", "url", "canonical_url", "title", "author", "date", "retrieved", "license", "opt_outs"):
        value = columns.get(name)  # an earlier corpus lacks some of them
        if value:
            yield name.removesuffix("_url").replace("_", " "), visible(value if isinstance(value, str) else ", ".join(value), 500)


def _scores(explanation: Explanation) -> Iterator[tuple[str, str]]:
    columns = explanation.document.columns
    if columns["language"]:
        yield "language", f"{columns['language']}, score {columns['language_score']:.3f}"
    if columns.get("languages"):  # an earlier corpus lacks it
        yield "languages", ", ".join(f"{one['language']} {one['share']:.0%}" for one in columns["languages"])
    if columns["rule"]:
        drops = "drops" if columns["rule"].partition(":")[0] == columns.get("reason") else "would drop"
        measured = "" if columns["rule_value"] is None else f", measured {columns['rule_value']:.4g}"
        yield "rule", f"{columns['rule']} {drops} it{measured}"
        if explanation.signs:
            yield "signs", ", ".join(f"{name} {value:.4g} (limit {limit:g})" for name, value, limit in explanation.signs)
    elif columns["language"]:
        yield "rule", "no rule would drop it"
    if columns["quality_score"] is not None:
        threshold = "" if explanation.threshold is None else f" (threshold {explanation.threshold:.4f})"
        yield "quality", f"{columns['quality_score']:.4f}{threshold}"
    if columns.get("scores"):  # an earlier corpus has none
        yield "scores", ", ".join(f"{score['model']} {score['score']:.4f}" for score in columns["scores"])


# A copy beside its survivor


def _show_survivor(console: Console, explanation: Explanation) -> None:
    removal, survivor = explanation.removal, explanation.survivor
    assert removal is not None
    console.print()
    grain = f", {removal.grain}" if removal.grain else ""
    _line(console, "copy of", f"{removal.survivor}, similarity {removal.similarity:.4f}{grain}")
    if removal.cluster:
        others = (
            "no other document was"
            if not removal.others
            else f"{removal.others:,} other document{'s were' if removal.others > 1 else ' was'}"
        )
        _line(console, "cluster", f"{removal.cluster}: {others} removed from it")
    if survivor is None:
        _line(console, "survivor", _missing(removal.corpus))
        console.print()
        console.print(Text(visible(explanation.document.text, SHOWN_CHARACTERS)))
        return
    _line(console, "survivor", _survivor_fate(survivor))
    for label, value in _origin(survivor.document):
        _line(console, f"  {label}", value)
    _line(console, "differences", _summary(explanation.differences))
    console.print()
    show_differences(console, explanation.differences, (explanation.document.text, survivor.text))


def _missing(corpus: str | None) -> str:
    if corpus is None:
        return "not found in this build"
    return f"in the earlier corpus {visible(corpus, 200)}; name that build's folder with --against to see it"


def _survivor_fate(survivor: Survivor) -> str:
    where = f"{survivor.part}, row {survivor.document.place.row:,}"
    if survivor.corpus is not None:
        return f"in the earlier corpus {visible(survivor.corpus, 200)}: {where}"
    if survivor.document.is_dropped:
        return f"itself dropped later, at {_fate(survivor.document)}: {where}"
    return f"in the corpus: {where}"


def _summary(stretches: Sequence[Stretch]) -> str:
    words: dict[Kind, int] = {"equal": 0, "removed": 0, "added": 0}
    for stretch in stretches:
        words[stretch.kind] += stretch.words
    if not words["removed"] and not words["added"]:
        return f"none: all {words['equal']:,} words are equal"
    return (
        f"{words['equal']:,} words equal, {words['removed']:,} only here [-like this-],"
        f" {words['added']:,} only in the survivor {{+like this+}}"
    )


def show_differences(console: Console, stretches: Sequence[Stretch], texts: tuple[str, str] | None) -> None:
    """Print stretches of two texts: side by side in a wide terminal if both `texts` are given, else marked as git marks words."""
    wide = console.is_terminal and console.width >= TWO_COLUMNS and texts is not None
    hunks = list(_hunks(folded(stretches)))
    if wide and texts is not None and not any(is_right_to_left(text) for text in texts):
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
        table.add_column("this document", ratio=1, overflow="fold")
        table.add_column("its survivor", ratio=1, overflow="fold")
        for hunk in hunks[:SHOWN_DIFFERENCES]:
            table.add_row(_text(hunk, ("equal", "removed")), _text(hunk, ("equal", "added")))
        console.print(table)
    else:
        for hunk in hunks[:SHOWN_DIFFERENCES]:
            console.print(_text(hunk, ("equal", "removed", "added")))
    if len(hunks) > SHOWN_DIFFERENCES:
        console.print(f"… and {len(hunks) - SHOWN_DIFFERENCES:,} more places that differ")


def _hunks(pieces: Sequence[Stretch | Fold]) -> Iterator[list[Stretch | Fold]]:
    """Group the stretches that are shown together; a fold of equal words is its own group."""
    hunk: list[Stretch | Fold] = []
    for piece in pieces:
        if isinstance(piece, Fold) and piece.kind == "equal":
            if hunk:
                yield hunk
            yield [piece]
            hunk = []
        else:
            hunk.append(piece)
    if hunk:
        yield hunk


def _text(hunk: Sequence[Stretch | Fold], kinds: tuple[Kind, ...]) -> Text:
    text = Text()
    shown = [piece for piece in hunk if piece.kind in kinds]
    for piece, after in zip(shown, [*shown[1:], None], strict=True):
        opening, closing = _MARKS[piece.kind]
        style = _STYLES[piece.kind]
        if isinstance(piece, Fold):
            what = "words equal" if piece.kind == "equal" else "more words"
            text.append(f"{opening}… {piece.words:,} {what} …{closing} ", style=style or "dim")
            continue
        words = visible(piece.text.strip(), _STRETCH_CHARACTERS)
        text.append(f"{opening}{words}{closing}", style=style)
        # The stretch that replaces this one brings the gap.
        is_replaced = piece.kind == "removed" and after is not None and after.kind == "added"
        text.append(_gap(piece.text) if not is_replaced else " ")
    text.rstrip()
    return text


def _gap(text: str) -> str:
    """Return the gap between this stretch and the next: empty in a script without spaces."""
    space = text[len(text.rstrip()) :]
    return " ¶ " if "\n" in space else " " if space else ""


def _show_removed(console: Console, explanation: Explanation) -> None:
    """Print what the stages cut out of the text, each with its stage, its reason and its place in the text of that stage."""
    console.print()
    for cut in explanation.removed[:SHOWN_REMOVED]:
        item = f" ({visible(cut.detail)})" if cut.detail else ""
        place = f"{cut.stage}: {cut.change}{item} at character {cut.start:,}"
        _line(console, "removed", f"{place}: “{visible(cut.text, SHOWN_OF_REMOVED)}”")
    left = len(explanation.removed) - SHOWN_REMOVED
    if left > 0:
        _line(console, "", f"… and {left:,} more")


def _show_masks(console: Console, explanation: Explanation) -> None:
    """Print the place of each mask in the published text, and what kind of private data it covers."""
    console.print()
    count = len(explanation.masks)
    _line(console, "masked", f"{count:,} {'place' if count == 1 else 'places'} with private data")
    for mask in explanation.masks[:SHOWN_MASKS]:
        kind = "" if mask.kind == mask.type else f" ({mask.kind})"
        _line(console, "", f"{mask.type}{kind} at character {mask.start:,}, {mask.characters:,} characters")
    if count > SHOWN_MASKS:
        _line(console, "", f"… and {count - SHOWN_MASKS:,} more")


def _show_copies(console: Console, copies: Sequence[Copy], count: int) -> None:
    console.print()
    _line(console, "copies", f"{count:,} {'document was' if count == 1 else 'documents were'} dropped for this one")
    for copy in copies:
        columns = copy.document.columns if copy.document is not None else {}
        named = visible(columns.get("url") or columns.get("title") or "", 120)
        origin = visible(columns.get("origin") or "", 120)
        _line(
            console, "", f"{copy.removal.id}  {copy.removal.grain:<5}  {copy.removal.similarity:.4f}  {origin}  {named}".rstrip()
        )
    if count > len(copies):
        _line(console, "", f"… and {count - len(copies):,} more")
