"""The tasks by name."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from training.tasks.classification import Classification, ClassificationSection
from training.tasks.named_entities import NamedEntities, NamedEntitiesSection
from training.tasks.reading import Reader
from training.tasks.task import Task
from training.tasks.text_labels import TextLabels

TaskSection = Annotated[
    ClassificationSection | NamedEntitiesSection,
    Field(discriminator="kind"),
]

KINDS: Mapping[str, type[Task]] = {
    "classification": Classification,
    "named_entities": NamedEntities,
}
IN_WORDS: Mapping[str, type[Task]] = {  # for T5, which has no heads
    "classification": TextLabels,
}


def kind_of(section: Any, reader: Reader) -> type[Task]:
    """Return the class of a task for a model."""
    return IN_WORDS.get(section.kind, KINDS[section.kind]) if reader.family == "t5" else KINDS[section.kind]
