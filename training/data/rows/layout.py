"""The layout of a row index, and the small records that it returns."""

from dataclasses import dataclass
from typing import Literal

from pipelines.contract.errors import UserError
from training.data.config import Packing

SEPARATED: tuple[Packing, ...] = ("concatenate", "best_fit", "document")  # these may put a separator after each document


@dataclass(frozen=True)
class Layout:
    """How documents become rows. Raises ValueError if its numbers contradict each other."""

    packing: Packing
    tokens: int
    """Most tokens of a row; the objective sets it."""
    overlap: int = 0
    """Tokens that neighbouring rows of one document or stream share: 1 for causal_lm, so that no target is lost."""
    separator: int | None = None
    """Id put after each document; concatenate, best_fit and document only."""
    long_documents: Literal["split", "crop"] = "split"
    """best_fit, document and sentences only: a document longer than a row becomes several rows, or is cropped (and counted)."""
    copies: int = 1
    """pairs only: how many times each document is cut, with different draws."""
    short_share: float = 0.1
    """pairs only: share of the cuts that aim at shorter rows."""
    sentences: bool = False
    """Whether gather fills RowBatch.sentences."""

    def __post_init__(self) -> None:
        """Refuse rows that cannot exist."""
        if not 0 <= self.overlap < self.tokens or self.tokens < (3 if self.packing == "pairs" else 1):
            raise UserError(f"rows of {self.tokens} tokens with an overlap of {self.overlap} are too short; raise rows.length")
        if self.separator is not None and self.packing not in SEPARATED:
            raise UserError(f"rows.packing {self.packing!r} puts no separator between documents; {SEPARATED} do")
        if self.overlap and self.packing not in SEPARATED:
            raise UserError(f"rows.packing {self.packing!r} has no neighbouring rows that could share tokens")

    @property
    def stride(self) -> int:
        """Tokens from the start of a row to the start of the next."""
        return self.tokens - self.overlap


@dataclass(frozen=True, slots=True)
class Stream:
    """The rows of one source: `first .. first + rows` of the index."""

    source: str
    first: int
    rows: int
    tokens: int  # of the whole stream, including separators


@dataclass(frozen=True, slots=True)
class Place:
    """Where a span of a row comes from; `tokens` excludes the separator after the document (so it may be 0)."""

    path: str
    document: int  # row number in the part
    id: bytes  # 16
    first_token: int  # of the document
    tokens: int
    source: str
    language: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of the tokens of one source, or of all sources (source None). Separators count as tokens."""

    source: str | None
    documents: int
    tokens: int  # of the whole stream
    rows: int
    tokens_in_rows: int  # sum of the rows' lengths: a token in two rows counts twice
    row_tokens: int  # places in the rows: rows * layout.tokens
    cropped: int  # tokens of the stream in no row (pairs: in no row that was cut from their own document)

    @property
    def padding_share(self) -> float:
        """Share of places without a token."""
        return 1 - self.tokens_in_rows / self.row_tokens if self.row_tokens else 0.0

    @property
    def cropped_share(self) -> float:
        """Share of the stream's tokens that are in no row."""
        return self.cropped / self.tokens if self.tokens else 0.0
