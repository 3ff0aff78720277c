"""Summarization: a model reads an `article` and writes its `summary`, GPT after "TL;DR:" (GPT-2, Radford et al. 2019, 3.6).

Metrics: ROUGE-1, -2 and -L (Lin 2004) by rouge-score, and beside them those of the article's first three sentences (lead-3),
which are hard to surpass in news.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from training.tasks.input.records import Records
from training.tasks.input.rows import Rows
from training.tasks.texts.decoding import WritingSettings
from training.tasks.texts.figures import lead, rouge
from training.tasks.texts.text_to_text import TextToText


class SummarizationSection(WritingSettings):
    """The settings of a summarization."""

    kind: Literal["summarization"] = "summarization"
    separator: str = "\nTL;DR:\n"


class Summarization(TextToText):
    """A summarization. The outputs are the summaries."""

    FIELDS: ClassVar[tuple[str, ...]] = ("article", "summary")
    LABELS: ClassVar[tuple[str, ...]] = ("summary",)

    @property
    def metric(self) -> str:
        """See Task."""
        return "rougeL"

    def figures(self, outputs: Sequence[str], rows: Rows, records: Records) -> dict[str, float]:
        """See Task."""
        wanted = records.texts("summary")
        leads = rouge([lead(text) for text in records.texts("article")], wanted)
        return {**rouge(outputs, wanted), **{f"lead3_{name}": value for name, value in leads.items()}}

    def signatures(self) -> dict[str, str]:
        """See TextToText."""
        from importlib.metadata import version

        return {"rouge": f"rouge-score {version('rouge-score')}, stemmer, mean F"}
