"""The tasks by name."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from pipelines.contract.tokenizers.families import Family
from training.tasks.encoders.cloze import Cloze, ClozeSection
from training.tasks.encoders.named_entities import NamedEntities, NamedEntitiesSection
from training.tasks.encoders.question_answering import QuestionAnswering, QuestionAnsweringSection
from training.tasks.encoders.relations import Relations, RelationsSection
from training.tasks.encoders.similarity import Similarity, SimilaritySection
from training.tasks.labels.classification import Classification, ClassificationSection
from training.tasks.labels.text_labels import TextLabels
from training.tasks.task import Task
from training.tasks.texts.dialogue import Dialogue, DialogueSection
from training.tasks.texts.summarization import Summarization, SummarizationSection
from training.tasks.texts.text_to_text import TextToText, TextToTextSection
from training.tasks.texts.translation import Translation, TranslationSection

TaskSection = Annotated[
    ClassificationSection
    | NamedEntitiesSection
    | RelationsSection
    | QuestionAnsweringSection
    | SimilaritySection
    | TextToTextSection
    | SummarizationSection
    | TranslationSection
    | DialogueSection
    | ClozeSection,
    Field(discriminator="kind"),
]

KINDS: Mapping[str, type[Task]] = {
    "classification": Classification,
    "named_entities": NamedEntities,
    "text_to_text": TextToText,
    "summarization": Summarization,
    "translation": Translation,
    "dialogue": Dialogue,
    "relations": Relations,
    "question_answering": QuestionAnswering,
    "similarity": Similarity,
    "cloze": Cloze,
}
EXAMPLES: Mapping[str, str] = {  # configs of configs/finetune, for messages
    "named_entities": "wnut17_bert",
    "relations": "semeval2010_bert",
    "question_answering": "squad_bert",
}
IN_WORDS: Mapping[str, type[Task]] = {  # for T5, which has no heads
    "classification": TextLabels,
}


def kind_of(section: Any, family: Family) -> type[Task]:
    """Return the class of a task for the models of a family."""
    return IN_WORDS.get(section.kind, KINDS[section.kind]) if family == "t5" else KINDS[section.kind]
