"""Explain why a document is in the corpus or not, from a published build and earlier ones."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from pipelines.contract.reasons import DropReason
from pipelines.contract.schema import MEASURES
from pipelines.lookup.find import Build, Cut, Document, Mask, Match, Place, Removal, read, read_without_text
from pipelines.rule_thresholds import RuleSets
from pipelines.text.copies.differences import Stretch, differences

SHOWN_COPIES = 20  # of one document
SHOWN_DOCUMENTS = 40  # of one key

# The detail that stages.deduplicate writes for a copy; used if the clusters were not retained.
_DETAIL = re.compile(
    r"of (?P<survivor>[0-9a-f]{32})(?: in corpus (?P<corpus>.*))?, similarity (?P<similarity>[0-9.]+)", re.DOTALL
)
_GRAINS = {DropReason.EXACT_DUPLICATE: "exact", DropReason.NEAR_DUPLICATE: "near", DropReason.SAME_URL: "url"}


@dataclass(frozen=True, slots=True)
class Survivor:
    """The document that was kept in place of a copy."""

    document: Document
    text: str  # as it was compared, before lines or words were cut
    corpus: str | None  # the earlier corpus that has it; None: this one
    part: str  # path below the output folder


@dataclass(frozen=True, slots=True)
class Copy:
    """A document that was dropped as a copy."""

    removal: Removal
    document: Document | None  # without its text


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything known about one row of documents or drops."""

    document: Document
    part: str  # below the output folder
    split: str | None = None  # of a kept document
    threshold: float | None = None  # of the quality classifier
    removal: Removal | None = None  # of a copy
    survivor: Survivor | None = None  # None: not a copy, or not found
    differences: Sequence[Stretch] = ()  # from the document to its survivor
    cuts: Sequence[Stretch] = ()  # from the text before the corpus stages cut it to the published or dropped one
    removed: Sequence[Cut] = ()  # what the stages cut, each with its reason
    masks: Sequence[Mask] = ()  # over private data
    signs: Sequence[tuple[str, float, float]] = ()  # of quality.rules.signs: name, value, threshold
    copies: Sequence[Copy] = ()  # the first SHOWN_COPIES
    copies_count: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The documents that a key matches."""

    key: str
    how: str  # "id", "work", "url", …; "" if nothing matches
    count: int  # of rows
    explanations: Sequence[Explanation] = ()  # if it matches one document
    documents: Sequence[tuple[Document, str]] = ()  # if it matches several; without text, each with its part
    near: Sequence[str] = field(default=())  # ids next to an unknown one


def explain(build: Build, keys: Sequence[str], against: Sequence[Build] = ()) -> list[Answer]:
    """Return an answer for each key; survivors are looked up in this build and in the earlier builds `against`.

    Raises ValueError for a key that cannot be one.
    """
    return [_answer(build, match, against) for match in build.find(keys)]


def _answer(build: Build, match: Match, against: Sequence[Build]) -> Answer:
    if not match.count:
        return Answer(match.key, "", 0, near=match.near)
    if len(set(match.ids)) > 1:
        documents = read_without_text(match.places[:SHOWN_DOCUMENTS])
        listed = [(document, build.relative(document.place)) for document in documents]
        return Answer(match.key, match.how, match.count, documents=listed)
    explanations = [_explanation(build, place, against) for place in match.places]
    return Answer(match.key, match.how, match.count, explanations)


def _explanation(build: Build, place: Place, against: Sequence[Build]) -> Explanation:
    document = read(place)
    part, threshold = build.relative(place), build.quality_threshold()
    removal = _removal(build, document) if document.is_dropped else None
    signs = _signs(build, document)
    before = build.before_cuts(document) if removal is None else None
    cuts = differences(before, document.text) if before is not None else []
    if not document.is_dropped:
        copies, count = _copies(build, document)
        split, masks = build.split(document), build.masks(document)
        return Explanation(
            document,
            part,
            split,
            threshold,
            cuts=cuts,
            removed=build.cuts(document),
            masks=masks,
            signs=signs,
            copies=copies,
            copies_count=count,
        )
    survivor = _survivor(build, removal, against) if removal is not None else None
    different = differences(document.text, survivor.text) if survivor is not None else []
    return Explanation(
        document, part, None, threshold, removal, survivor, different, cuts, removed=build.cuts(document), signs=signs
    )


def _signs(build: Build, document: Document) -> list[tuple[str, float, float]]:
    """Return the signs for which a document was dropped; none if another rule dropped it, or none did."""
    columns = document.columns
    if columns.get("rule") != DropReason.POOR_SIGNS or not columns.get("measures"):
        return []
    from pipelines.text.judgement.rules import signs  # with compiled kernels, which other documents do not need

    quality = build.settings("quality")
    changed = quality.get("rules_by_language", {}).get(columns.get("language"))
    rules = RuleSets.model_validate(quality["rules"])
    thresholds = rules.thresholds(RuleSets.model_validate(changed) if changed else None)
    return signs.of_text(pa.array([columns["measures"]], MEASURES), thresholds.get("signs", {}))


def _removal(build: Build, document: Document) -> Removal | None:
    if document.columns["stage"] != "deduplicate":
        return None
    rows = [removal for removal in build.removals(removed=[document.id]) if removal.id == document.id]
    if rows:
        return rows[0]
    detail = _DETAIL.fullmatch(document.columns["detail"] or "")
    if detail is None:
        return None
    grain = _GRAINS.get(document.columns["reason"], "")
    return Removal(document.id, "", detail["survivor"], float(detail["similarity"]), grain, detail["corpus"])


def _survivor(build: Build, removal: Removal, against: Sequence[Build]) -> Survivor | None:
    candidates = (
        [build] if removal.corpus is None else sorted(against, key=lambda earlier: not _is_named(earlier, str(removal.corpus)))
    )
    for candidate in candidates:
        place = candidate.by_id([removal.survivor]).get(removal.survivor)
        if place is not None:
            document = read(place)
            text = candidate.before_cuts(document) if not document.is_dropped else None
            corpus = None if candidate is build else candidate.name
            return Survivor(document, document.text if text is None else text, corpus, candidate.relative(place))
    return None


def _is_named(build: Build, corpus: str) -> bool:
    """Return whether the build is this corpus; corpora of the same name carry a fingerprint: "news/3f9a1c20b77e"."""
    return corpus in (build.name, f"{build.name}/{build.index_fingerprint()}")


def _copies(build: Build, document: Document) -> tuple[list[Copy], int]:
    removals = build.removals(survivors=[document.id])
    shown = removals[:SHOWN_COPIES]
    places = build.by_id(removal.id for removal in shown)
    return [Copy(r, read_without_text([places[r.id]])[0] if r.id in places else None) for r in shown], len(removals)


# For machines


def as_json(answer: Answer) -> dict[str, Any]:
    """Return the answer as plain values."""
    return {
        "asked": answer.key,
        "found_as": answer.how or None,
        "rows": answer.count,
        "near": list(answer.near),
        "documents": [_explanation_json(entry) for entry in answer.explanations]
        or [_document_json(document, part) for document, part in answer.documents],
    }


def _document_json(document: Document, part: str) -> dict[str, Any]:
    columns = dict(document.columns)
    characters = {"characters": len(document.text)} if "text" in columns else {}
    fate = "dropped" if document.is_dropped else "kept"
    return {"fate": fate, "dataset": document.place.dataset, "part": part, "row": document.place.row, **columns, **characters}


def _explanation_json(entry: Explanation) -> dict[str, Any]:
    values: dict[str, Any] = _document_json(entry.document, entry.part)
    values |= {"split": entry.split, "quality_threshold": entry.threshold, "copy_of": None}
    if entry.removal is not None:
        survivor = entry.survivor
        values["copy_of"] = {
            **_removal_json(entry.removal),
            "document": _document_json(survivor.document, survivor.part) if survivor is not None else None,
            "differences": _stretches_json(entry.differences),
        }
    values["removed"] = [asdict(cut) for cut in entry.removed]
    if not entry.document.is_dropped:
        values["cut"] = _stretches_json(entry.cuts)
        values["masks"] = [asdict(mask) for mask in entry.masks]
        values["copies"] = [_removal_json(copy.removal) for copy in entry.copies]
        values["copies_count"] = entry.copies_count
    return values


def _removal_json(removal: Removal) -> Mapping[str, Any]:
    return {
        "id": removal.id,
        "survivor": removal.survivor,
        "similarity": round(removal.similarity, 6),
        "grain": removal.grain,
        "cluster": removal.cluster or None,
        "others_removed_from_cluster": removal.others,
        "corpus": removal.corpus,
    }


def _stretches_json(stretches: Sequence[Stretch]) -> list[dict[str, Any]]:
    """Return the stretches; equal ones without their text, which the document has."""
    return [
        {"kind": stretch.kind, "words": stretch.words, **({} if stretch.kind == "equal" else {"text": stretch.text})}
        for stretch in stretches
    ]
