"""Entities and triples of a corpus, merged from what its sentences say.

An entity is a normalised name and a type: NFKC, case folded, one space between words. It is shown in its most frequent form. A
triple is a subject, a relation and an object; it keeps the most probable sentences that back it, and counts all.

The confidence of a triple is that of its most probable sentence. A noisy-or, 1 - prod(1 - p), would take the sentences for
independent witnesses, but one model reads them all, and misreads the same names in the same way: twenty sentences of
probability .2 would make .99. The count is beside the confidence for those who want to weigh it.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

FORMS = 5  # of an entity's name that are shown


class Key(NamedTuple):
    """What makes two mentions one entity."""

    name: str  # normalised
    type: str


class Source(NamedTuple):
    """A sentence, and the document that has it."""

    sentence: str
    title: str | None
    url: str | None
    document: str  # its id, hexadecimal


@dataclass(slots=True)
class Entity:
    """An entity's mentions."""

    forms: Counter[str] = field(default_factory=Counter[str])
    documents: int = 0
    confidence: float = 0.0  # of the most probable mention
    last: str = ""  # document that was counted last

    @property
    def names(self) -> list[str]:
        """The most frequent forms, at most FORMS; of equally frequent ones the first in the alphabet."""
        return sorted(self.forms, key=lambda form: (-self.forms[form], form))[:FORMS]


@dataclass(slots=True)
class Triple:
    """A triple's sentences: how many there are, and the most probable ones."""

    count: int = 0
    backing: list[tuple[float, Source]] = field(default_factory=list[tuple[float, Source]])

    @property
    def confidence(self) -> float:
        """That of the most probable sentence."""
        return self.backing[0][0]


@dataclass(slots=True)
class Graph:
    """All entities and triples. Documents must be added one after the other."""

    kept: int  # sentences of a triple
    entities: dict[Key, Entity] = field(default_factory=dict[Key, Entity])
    triples: dict[tuple[Key, str, Key], Triple] = field(default_factory=dict[tuple[Key, str, Key], Triple])

    def mention(self, key: Key, form: str, confidence: float, document: str) -> None:
        """Add a mention of an entity."""
        entity = self.entities.setdefault(key, Entity())
        entity.forms[" ".join(form.split())] += 1
        entity.documents += entity.last != document
        entity.last = document
        entity.confidence = max(entity.confidence, confidence)

    def say(self, triple: tuple[Key, str, Key], confidence: float, source: Source) -> None:
        """Add a sentence that says a triple."""
        backed = self.triples.setdefault(triple, Triple())
        backed.count += 1
        backed.backing.append((confidence, source))
        backed.backing.sort(key=lambda one: -one[0])  # stable: of equal ones the first stays
        del backed.backing[self.kept :]

    def entity_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the entities, the most frequent first."""
        for key in self.ordered_entities():
            entity = self.entities[key]
            names = entity.names
            yield {
                "name": names[0],
                "type": key.type,
                "count": entity.forms.total(),
                "documents": entity.documents,
                "confidence": entity.confidence,
                "forms": names,
            }

    def triple_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the triples, the surest first."""
        for (subject, relation, object_), triple in self.ordered():
            yield {
                "subject": self.entities[subject].names[0],
                "subject_type": subject.type,
                "relation": relation,
                "object": self.entities[object_].names[0],
                "object_type": object_.type,
                "confidence": triple.confidence,
                "count": triple.count,
                "sentences": [{**source._asdict(), "confidence": one} for one, source in triple.backing],
            }

    def ordered_entities(self) -> list[Key]:
        """Return the entities, the most frequent first; of equally frequent ones by name."""
        return sorted(self.entities, key=lambda key: (-self.entities[key].forms.total(), key))

    def ordered(self) -> list[tuple[tuple[Key, str, Key], Triple]]:
        """Return the triples, the surest first; of equally sure ones the more frequent, then by name."""
        return sorted(self.triples.items(), key=lambda item: (-item[1].confidence, -item[1].count, item[0]))


def key_of(text: str, type: str) -> Key:
    """Return what makes mentions one entity.

    >>> key_of("The  ＲＩＶＥＲ", "place") == key_of("the river", "place")
    True
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return Key(" ".join(folded.split()), type)
