"""The ledger: how many documents and characters entered and left each stage, and why.

Two conservation laws hold for every line, and a dataset whose lines break one is not written:

    documents_in  + documents_split  = documents_out  + sum(documents_dropped)
    characters_in + sum(characters_added) = characters_out + sum(characters_dropped) + sum(characters_removed)

and between the lines: what leaves a stage enters the next. A character is a Unicode code point of `text`. The text of a web page
is a part of what the page shows; a ledger also counts the whole, and no more is kept than is visible.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from pipelines.contract.reasons import PageCount


def _counter(value: object) -> object:
    return Counter(value) if isinstance(value, dict) else value


# Serialised in the order of the names, without zeros, so that equal counts are equal bytes.
Counts = Annotated[
    Counter[str],
    BeforeValidator(_counter),
    PlainSerializer(lambda c: {str(k): c[k] for k in sorted(c) if c[k]}, return_type=dict[str, int]),
]


class ConservationError(ValueError):
    """Documents or characters were lost, or appeared, without a reason."""


class Line(BaseModel):
    """One stage's counts."""

    model_config = ConfigDict(extra="forbid")

    documents_in: int = 0
    documents_split: int = 0  # documents gained by cutting long ones: each counts its pieces after the first
    documents_out: int = 0
    documents_dropped: Counts = Field(default_factory=Counter)  # by DropReason
    characters_in: int = 0
    characters_out: int = 0
    characters_added: Counts = Field(default_factory=Counter)  # by Change
    characters_removed: Counts = Field(default_factory=Counter)  # by Change
    characters_dropped: Counts = Field(default_factory=Counter)  # by DropReason

    def check(self, stage: str) -> None:
        """Raise ConservationError unless both laws hold."""
        gained, lost = self.documents_in + self.documents_split, self.documents_out + self.documents_dropped.total()
        if gained != lost:
            raise ConservationError(f"stage {stage}: {gained:,} documents went in, {lost:,} are accounted for")
        gained = self.characters_in + self.characters_added.total()
        lost = self.characters_out + self.characters_dropped.total() + self.characters_removed.total()
        if gained != lost:
            raise ConservationError(f"stage {stage}: {gained:,} characters went in, {lost:,} are accounted for")

    def beside(self, other: "Line") -> "Line":
        """Add the line of the same stage over other documents."""
        return Line(
            documents_in=self.documents_in + other.documents_in,
            documents_out=self.documents_out + other.documents_out,
            characters_in=self.characters_in + other.characters_in,
            characters_out=self.characters_out + other.characters_out,
            **self._reasons(other),
        )

    def then(self, other: "Line") -> "Line":
        """Append a second step of the same stage over the same documents: the output of `self` is the input of `other`."""
        if (self.documents_out, self.characters_out) != (other.documents_in, other.characters_in):
            raise ConservationError("the second step does not take what the first one left")
        return Line(
            documents_in=self.documents_in,
            documents_out=other.documents_out,
            characters_in=self.characters_in,
            characters_out=other.characters_out,
            **self._reasons(other),
        )

    def _reasons(self, other: "Line") -> dict[str, Any]:
        return {
            "documents_split": self.documents_split + other.documents_split,
            "documents_dropped": self.documents_dropped + other.documents_dropped,
            "characters_added": self.characters_added + other.characters_added,
            "characters_removed": self.characters_removed + other.characters_removed,
            "characters_dropped": self.characters_dropped + other.characters_dropped,
        }


class Ledger(BaseModel):
    """The lines of one source, in the order of the stages, and what the reader skipped."""

    model_config = ConfigDict(extra="forbid")

    lines: dict[str, Line] = Field(default_factory=dict)  # by stage
    skipped: Counts = Field(default_factory=Counter)  # records that are not documents, by SkipReason
    bytes_read: int = 0  # of the input, as stored (compressed)
    pages: Counts = Field(default_factory=Counter)  # what the reader saw of web pages, by PageCount

    def record(self, stage: str, line: Line) -> "Ledger":
        """Return this ledger with one more step; a second step of the same stage continues its line."""
        line.check(stage)
        known = self.lines.get(stage)
        lines = {**self.lines, stage: known.then(line) if known else line}
        return self.model_copy(update={"lines": lines})

    def check(self) -> None:
        """Raise ConservationError unless every line holds and each stage's input is the output of the stage before it."""
        self._check_pages()
        before: tuple[str, Line] | None = None
        for stage, line in self.lines.items():
            line.check(stage)
            if before and (before[1].documents_out, before[1].characters_out) != (line.documents_in, line.characters_in):
                raise ConservationError(
                    f"{before[0]} handed on {before[1].documents_out:,} documents and {before[1].characters_out:,} characters,"
                    f" {stage} took {line.documents_in:,} and {line.characters_in:,}"
                )
            before = (stage, line)

    def _check_pages(self) -> None:
        pages = self.pages
        for part, whole in (
            (PageCount.KEPT_CHARACTERS, PageCount.VISIBLE_CHARACTERS),
            (PageCount.FALLBACKS, PageCount.PAGES),
            (PageCount.WITHOUT_MAIN_TEXT, PageCount.PAGES),
        ):
            if pages[part] > pages[whole]:
                raise ConservationError(f"web pages: {pages[part]:,} {part}, more than {pages[whole]:,} {whole}")

    @property
    def documents_out(self) -> int:
        """The number of documents that left the last stage."""
        return next(reversed(self.lines.values())).documents_out if self.lines else 0

    @property
    def characters_out(self) -> int:
        """The number of characters that left the last stage."""
        return next(reversed(self.lines.values())).characters_out if self.lines else 0

    @property
    def documents_dropped(self) -> int:
        """The number of documents dropped by all stages."""
        return self.dropped_by_reason.total()

    @property
    def dropped_by_reason(self) -> Counter[str]:
        """Documents dropped by any stage, by reason."""
        return sum((line.documents_dropped for line in self.lines.values()), Counter[str]())


def add(ledgers: Iterable[Ledger]) -> Ledger:
    """Sum ledgers of different documents, stage by stage, in the order in which stages first appear."""
    lines: dict[str, Line] = {}
    skipped: Counter[str] = Counter()
    pages: Counter[str] = Counter()
    bytes_read = 0
    for ledger in ledgers:
        for stage, line in ledger.lines.items():
            lines[stage] = lines[stage].beside(line) if stage in lines else line
        skipped.update(ledger.skipped)
        pages.update(ledger.pages)
        bytes_read += ledger.bytes_read
    return Ledger(lines=lines, skipped=skipped, bytes_read=bytes_read, pages=pages)
