"""The config of the gates: limits, and a user's own expectations. The config and the suites read it."""

from typing import Annotated, Any

from pydantic import Field, field_validator

from pipelines.contract.settings import Section


class GateLimits(Section):
    """Limits of the gate: a dataset beyond one of them stops the build before anything is published."""

    min_documents_per_source: int = Field(default=1, ge=0)
    """Documents of each source in the corpus."""
    min_tokens_per_source: int = Field(default=1, ge=0)
    """Tokens of each source in the shards, both splits together."""
    dropped_share_limit: float = Field(default=0.999, ge=0, le=1)
    """Share of a source's documents that one stage may drop."""
    dropped_share_limit_by_stage: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict[str, float])
    """The same for the stages named here, e.g. { deduplicate = 0.5 }."""
    kept_share: tuple[float, float] = (0.0, 1.0)
    """Least and greatest share of the text that the pages of a web crawl show that the extractor may keep."""
    kept_share_by_source: dict[str, tuple[float, float]] = Field(default_factory=dict[str, tuple[float, float]])
    """The same for the sources named here, e.g. { forums = [0.5, 0.9] }."""
    kept_share_change_limit: float = Field(default=0.1, ge=0, le=1)
    """How far the kept share of a source may be from that of the release that was published before in the same output folder,
    e.g. of another snapshot: from 0.45 to 0.34 is 0.11. Sources with fewer than 100 pages are not compared."""
    bytes_per_token_min: float = Field(default=0.5, ge=0)
    """UTF-8 bytes per token, the mean of a part. A vocabulary that does not know the text gives 1; less is a bug."""
    bytes_per_token_max: float = Field(default=20.0, gt=0)
    """The same; English has 4 to 5 with 32,000 pieces."""
    sample_rows: int = Field(default=1000, ge=1)
    """Rows of a table that are checked one by one: those with the smallest hash of their id."""

    @field_validator("kept_share", "kept_share_by_source")
    @classmethod
    def _limits_are_shares(cls, value: Any) -> Any:
        for low, high in value.values() if isinstance(value, dict) else [value]:
            if not 0 <= low <= high <= 1:
                raise ValueError(f"[{low:g}, {high:g}] are no two shares, the least first: 0 to 1, e.g. [0.2, 0.7]")
        return value


class OwnExpectation(Section):
    """An expectation of the user's own, checked beside those of the suites."""

    dataset: str
    """A dataset's name, or the part of it before the slash: "documents", "corpus", "tokens", "report"."""
    table: str
    """A table of the gate: its overview page shows them, e.g. "documents" (figures by part) or "documents_sample" (rows)."""
    column: str | None = None
    expectation: str = Field(pattern=r"^expect_[a-z0-9_]+$")
    """Great Expectations' name, e.g. "expect_column_min_to_be_between"."""
    kwargs: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Its arguments, e.g. { min_value = 100 }."""
    why: str | None = None
    """Shown when it fails."""
