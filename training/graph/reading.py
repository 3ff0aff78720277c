"""Read a corpus sentence by sentence: named entities, then a relation for each pair of them in a sentence.

    sentence   Mary was born in Ulm.
    entities   Mary (person, .98)   Ulm (place, .95)
    pair       <e1>Mary</e1> was born in <e2>Ulm</e2>.   -> born-in(e1,e2), .9
    triple     Mary, born-in, Ulm: .98 x .95 x .9 = .84

A sentence says a triple if both entities and the relation are right, which the product of their probabilities takes for
independent. Pairs of the label `no_relation` say nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.contract.errors import UserError
from training.graph.triples import Graph, Key, Source, key_of
from training.run.device import Device
from training.search.sentences import SENTENCE
from training.tasks.encoders.named_entities import NamedEntities
from training.tasks.encoders.relations import Relations, relation_of, with_marks
from training.tasks.input.records import of_columns
from training.tasks.predict import AT_ONCE, answered
from training.tasks.tuned import TunedModel

REACH = 16  # entities after one in its sentence with which it makes pairs: a list of a thousand names has not a million
COLUMNS = ("id", "title", "url", "text")  # of documents


class GraphError(UserError):
    """A graph cannot be made of a corpus with these runs."""


@dataclass(slots=True)
class Counts:
    """What was read, and what was left out and why."""

    documents: int = 0
    sentences: int = 0
    sentences_in_windows: int = 0  # longer than the model of entities, which read them in windows that overlap
    sentences_with_cropped_words: int = 0  # a word is longer than the model of entities; its end was not read
    mentions: int = 0
    improbable_mentions: int = 0  # left out
    pairs: int = 0
    cropped_pairs: int = 0  # in sentences longer than the model of relations, which read the part around both entities
    distant_pairs: int = 0  # left out: more than REACH entities apart
    unrelated_pairs: int = 0
    improbable_relations: int = 0  # left out


class Mention(NamedTuple):
    """An entity in a sentence."""

    key: Key
    begin: int
    end: int
    score: float


class Pair(NamedTuple):
    """Two mentions in a sentence, in the order of the relation's label."""

    sentence: int
    first: Mention
    second: Mention


@dataclass(frozen=True, slots=True)
class Readers:
    """The two models, and how sure they must be: `least` is the least confidence of a mention, and of a sentence for a triple."""

    entities: TunedModel
    relations: TunedModel
    device: Device
    least: float

    def __post_init__(self) -> None:
        """Raise GraphError for labels of words that are no spans."""
        assert isinstance(self.entities.task, NamedEntities) and isinstance(self.relations.task, Relations)
        if not self.entities.task.has_spans:
            raise GraphError(
                f"{self.entities.where}: labels words, not spans; --entities needs a run whose labels have B- and I-"
            )


def read(
    batches: Iterable[pa.RecordBatch], readers: Readers, kept: int, limit: int | None = None
) -> Iterator[tuple[Graph, Counts]]:
    """Yield what was found so far, the same two objects each time, after every few thousand sentences and at the end.

    `batches` have the documents with COLUMNS; `kept` is the number of sentences that a triple keeps, `limit` that of documents.
    """
    graph, counts = Graph(kept), Counts()
    sources = _sources(batches, limit, counts)
    while part := list(islice(sources, AT_ONCE)):
        counts.sentences += len(part)
        _read_part(part, readers, graph, counts)
        yield graph, counts


def _sources(batches: Iterable[pa.RecordBatch], limit: int | None, counts: Counts) -> Iterator[Source]:
    """Yield the sentences of the first documents."""
    for batch in batches:
        left = batch.num_rows if limit is None else limit - counts.documents
        rows = batch.slice(0, left)
        for id, title, url, text in zip(*(rows[name].to_pylist() for name in COLUMNS), strict=True):
            counts.documents += 1
            for sentence in SENTENCE.finditer(text):
                yield Source(sentence.group(), title, url, id.hex())
        if limit is not None and counts.documents == limit:
            return


def _read_part(part: Sequence[Source], readers: Readers, graph: Graph, counts: Counts) -> None:
    """Add what some sentences say to the graph."""
    mentions = _mentions(part, readers, counts)
    for source, found in zip(part, mentions, strict=True):
        for one in found:
            graph.mention(one.key, source.sentence[one.begin : one.end], one.score, source.document)
    pairs = _pairs(mentions, _has_directions(readers.relations.task), counts)
    said: dict[tuple[int, tuple[Key, str, Key]], float] = {}  # a sentence says a triple once, however often it names both
    while some := list(islice(pairs, AT_ONCE)):
        for sentence, triple, confidence in _triples(some, part, readers, counts):
            said[sentence, triple] = max(confidence, said.get((sentence, triple), 0.0))
    for (sentence, triple), confidence in said.items():
        graph.say(triple, confidence, part[sentence])


def _mentions(part: Sequence[Source], readers: Readers, counts: Counts) -> list[list[Mention]]:
    """Return the entities of each sentence, in its order."""
    records = of_columns({"text": [source.sentence for source in part]}, "the corpus")
    answers, rows = answered(readers.entities, records, readers.device)
    counts.sentences_in_windows += int(np.count_nonzero(np.bincount(rows.records) > 1))
    counts.sentences_with_cropped_words += rows.cropped
    found = [[_mention(entity) for entity in answer["entities"]] for answer in answers]
    sure = [[one for one in mentions if one.score >= readers.least] for mentions in found]
    counts.mentions += sum(map(len, sure))
    counts.improbable_mentions += sum(map(len, found)) - sum(map(len, sure))
    return sure


def _mention(entity: dict[str, Any]) -> Mention:
    return Mention(key_of(entity["text"], entity["label"]), entity["begin"], entity["end"], entity["score"])


def _pairs(mentions: Sequence[Sequence[Mention]], directed: bool, counts: Counts) -> Iterator[Pair]:
    """Yield the pairs of different entities of each sentence, in both orders unless the labels say which is the subject."""
    for sentence, found in enumerate(mentions):
        for at, first in enumerate(found):
            counts.distant_pairs += max(0, len(found) - at - 1 - REACH)
            for second in found[at + 1 : at + 1 + REACH]:
                if first.key != second.key:
                    counts.pairs += 1
                    yield Pair(sentence, first, second)
                    if not directed:
                        yield Pair(sentence, second, first)


def _triples(
    pairs: Sequence[Pair], part: Sequence[Source], readers: Readers, counts: Counts
) -> Iterator[tuple[int, tuple[Key, str, Key], float]]:
    """Yield the sentence, the triple and its confidence for each pair with a relation."""
    texts = [with_marks(part[pair.sentence].sentence, pair.first[1:3], pair.second[1:3]) for pair in pairs]
    answers, rows = answered(readers.relations, of_columns({"text": texts}, "the corpus"), readers.device)
    counts.cropped_pairs += rows.cropped
    for pair, answer in zip(pairs, answers, strict=True):
        label, (sentence, first, second) = answer["label"], pair
        if label == readers.relations.section.no_relation:
            counts.unrelated_pairs += 1
            continue
        confidence = round(answer["probability"] * first.score * second.score, 4)
        if confidence < readers.least:
            counts.improbable_relations += 1
            continue
        subject, object_ = (second, first) if label.endswith("(e2,e1)") else (first, second)
        yield sentence, (subject.key, relation_of(label), object_.key), confidence


def _has_directions(task: Any) -> bool:
    return any(label != relation_of(label) for label in task.labels)
