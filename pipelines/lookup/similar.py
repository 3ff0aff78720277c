"""Which published documents are like a text: candidates by their signatures, then the exact similarity of the texts.

similar("build/demo", ["Some text …"], top=3)[0][0].jaccard
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.lookup.find import Build, Document, read
from pipelines.lookup.signatures import Signatures
from pipelines.text.copies.differences import Stretch, differences

_CANDIDATES = 4  # for each document wanted: an estimate of 112 values is off by .05


@dataclass(frozen=True, slots=True)
class Similar:
    """A published document that is like a text."""

    document: Document
    text: str  # as it was compared, before the corpus cut lines or words of it
    jaccard: float  # of the two sets of word n-grams
    contained: float  # share of the text's n-grams that the document has

    @classmethod
    def of(cls, document: Document, text: str, asked: NDArray[np.uint64], held: NDArray[np.uint64]) -> Self:
        """Compare sets of n-grams, each distinct and sorted."""
        both = len(np.intersect1d(asked, held, assume_unique=True))
        return cls(document, text, both / (len(asked) + len(held) - both), both / len(asked))

    def differences(self, text: str) -> list[Stretch]:
        """Return what turns a text into the document's."""
        return differences(text, self.text)

    def as_json(self) -> Mapping[str, Any]:
        """Return plain values."""
        columns = self.document.columns
        named = {name: columns[name] for name in ("id", "source", "origin", "url", "title")}
        return {**named, "jaccard": round(self.jaccard, 4), "contained": round(self.contained, 4), "text": self.text}


def similar(
    out: str, texts: Sequence[str], *, top: int = 10, redis: str | None = None, threshold: float = 0.5
) -> list[list[Similar]]:
    """Return, for each text, the `top` documents of the build in `out` that are most like it, the most similar first.

    Every signature is compared; with `redis` (an address), the candidates come from a datasketch index there instead, which has
    those of at least about `threshold`. Raises UserError if the build has no index.
    """
    signatures, build = Signatures(out), Build(out)
    if redis is None:
        likely = signatures.most_similar(texts, _CANDIDATES * top)
        ids = [[candidate.id for candidate in found] for found in likely]
    else:
        index = signatures.lsh(redis, threshold)
        ids = [sorted(map(str, index.query(signatures.signature(text)))) for text in texts]
    places = build.by_id({key for found in ids for key in found})
    documents = {key: read(place) for key, place in places.items() if place.table == "documents"}
    return [
        _compared(build, signatures, text, [documents[key] for key in found if key in documents], top)
        for text, found in zip(texts, ids, strict=True)
    ]


def _compared(build: Build, signatures: Signatures, text: str, candidates: Sequence[Document], top: int) -> list[Similar]:
    """Return the best of the candidates by the exact similarity."""
    texts = [before if (before := build.before_cuts(document)) is not None else document.text for document in candidates]
    scan = signatures.scan([text, *texts])
    sets = [np.unique(scan.shingles[a:b]) for a, b in zip(scan.offsets[:-1], scan.offsets[1:], strict=True)]
    found = [Similar.of(one, whole, sets[0], held) for one, whole, held in zip(candidates, texts, sets[1:], strict=True)]
    return sorted(found, key=lambda one: (-one.jaccard, -one.contained, one.document.id))[:top]
