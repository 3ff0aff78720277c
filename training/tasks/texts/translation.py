"""Translation: a model reads a `source` and writes its `target`, in another language. The vocabulary is shared by both languages.

Metrics: BLEU (Papineni et al. 2002) and chrF (Popović 2015) by sacrebleu, whose signatures the report has.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from training.tasks.input.records import Records
from training.tasks.input.rows import Rows
from training.tasks.texts.decoding import WritingSettings
from training.tasks.texts.figures import bleu_and_chrf
from training.tasks.texts.text_to_text import TextToText


class TranslationSection(WritingSettings):
    """The settings of a translation."""

    kind: Literal["translation"] = "translation"
    bleu_tokenizer: Literal["13a", "intl", "zh", "char"] = "13a"
    """sacrebleu's: 13a for languages with spaces, zh for Chinese, char for others without."""


class Translation(TextToText):
    """A translation. The outputs are the translations."""

    FIELDS: ClassVar[tuple[str, ...]] = ("source", "target")
    LABELS: ClassVar[tuple[str, ...]] = ("target",)

    @property
    def metric(self) -> str:
        """See Task."""
        return "bleu"

    def figures(self, outputs: Sequence[str], rows: Rows, records: Records) -> dict[str, float]:
        """See Task."""
        return bleu_and_chrf(outputs, records.texts("target"), self.section.bleu_tokenizer)[0]

    def signatures(self) -> dict[str, str]:
        """See TextToText."""
        return bleu_and_chrf(["a"], ["a"], self.section.bleu_tokenizer)[1]
