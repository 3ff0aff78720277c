"""Find the private data in texts: detectors judge the anchors, and of overlapping occurrences one stays."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters.code_points import buffers
from pipelines.text.judgement.private import anchors
from pipelines.text.judgement.private.anchors import ACCOUNT, AT, COLONS, DEGREE, KEY_BLOCK, NUMBER, SCHEME, TOKEN
from pipelines.text.judgement.private.finders import accounts, emails, internet, keys, national_ids, phones, places, urls
from pipelines.text.judgement.private.findings import TYPES, Findings, PrivateType
from pipelines.text.judgement.private.windows import Found, Window, window

VERSION = 4


class _Span(NamedTuple):
    """An occurrence in the data of all texts."""

    row: int
    start: int  # bytes
    end: int
    type: int  # index into TYPES
    kind: str

    @property
    def weight(self) -> tuple[int, int]:
        return self.end - self.start, -self.type


Detector = Callable[[Window], Iterator[Found]]

_NUMBER_REACH = (160, 80)  # bytes
_REACHES: Mapping[int, tuple[int, int]] = {
    AT: emails.REACH,
    NUMBER: _NUMBER_REACH,
    COLONS: (0, 8),
    SCHEME: urls.REACH,
    TOKEN: _NUMBER_REACH,
    KEY_BLOCK: keys.BLOCK_REACH,
    ACCOUNT: accounts.ACCOUNT_REACH,
    DEGREE: places.DEGREE_REACH,
}


def find(
    texts: pa.Array,
    types: Collection[PrivateType] = TYPES,
    *,
    languages: pa.Array | None = None,
    public_addresses_only: bool = True,
) -> Findings:
    """Return the occurrences of these types in a StringArray without nulls; `languages` are the texts' codes (nulls: unknown).

    >>> found = find(pa.array(["Write to jane@mail.org, or call +49 30 901820."]))
    >>> [TYPES[code].value for code in found.types], found.starts.tolist(), found.ends.tolist()
    (['email', 'phone'], [9, 32], [22, 45])
    """
    chosen = frozenset(types)
    candidates = anchors.anchors(texts, urls=PrivateType.URL in chosen)
    detectors = _detectors(chosen, public_addresses_only)
    wanted = np.isin(candidates.kinds, [kind for kind, functions in detectors.items() if functions])
    order = np.flatnonzero(wanted)
    codes = _codes(languages, candidates.rows[order])
    data, offsets = buffers(texts)
    view, bounds = data.data, offsets.tolist()
    spans: list[_Span] = []
    columns = (candidates.kinds, candidates.rows, candidates.starts, candidates.ends)
    for kind, row, start, stop, code in zip(*(column[order].tolist() for column in columns), codes, strict=True):
        seen = window(view, bounds[row], bounds[row + 1], start, stop, _REACHES[kind], code)
        spans += [
            _Span(row, seen.byte(found.start), seen.byte(found.end), TYPES.index(found.type), found.kind)
            for detect in detectors[kind]
            for found in detect(seen)
        ]
    return _findings(_without_overlaps(spans), offsets.astype(np.int64))


def joined(first: Findings, second: Findings) -> Findings:
    """Return the occurrences of both in the same texts; of two that overlap the longer one stays."""
    if not len(second):
        return first
    spans = [
        _Span(*span)
        for one in (first, second)
        for span in zip(*(c.tolist() for c in (one.rows, one.starts, one.ends, one.types)), one.kinds.to_pylist(), strict=True)
    ]
    nowhere = np.zeros(max(span.row for span in spans) + 1, np.int64)  # the spans' places are already those in their texts
    return _findings(_without_overlaps(spans), nowhere)


def _codes(languages: pa.Array | None, rows: NDArray[np.int64]) -> list[str | None]:
    """Return the language of each row without script and region ("zh-Hant": "zh")."""
    if languages is None:
        return [None] * len(rows)
    return [code.split("-")[0].split("_")[0] if code else None for code in languages.take(pa.array(rows)).to_pylist()]


def _detectors(types: frozenset[PrivateType], public_only: bool) -> dict[int, list[Detector]]:
    """Return the detectors of each kind of anchor."""
    table: tuple[tuple[int, PrivateType, Detector], ...] = (
        (AT, PrivateType.EMAIL, emails.emails),
        (NUMBER, PrivateType.IP, partial(internet.ipv4, public_only=public_only)),
        (NUMBER, PrivateType.CARD, accounts.cards),
        (NUMBER, PrivateType.NATIONAL_ID, national_ids.national_ids),
        (NUMBER, PrivateType.COORDINATES, places.decimals),
        (DEGREE, PrivateType.COORDINATES, places.degrees),
        (NUMBER, PrivateType.PHONE, phones.phones),
        (COLONS, PrivateType.IP, partial(internet.ipv6, public_only=public_only)),
        (SCHEME, PrivateType.URL, urls.urls),
        (TOKEN, PrivateType.SECRET, keys.keys),
        (TOKEN, PrivateType.NATIONAL_ID, national_ids.national_ids),
        (KEY_BLOCK, PrivateType.SECRET, keys.key_blocks),
        (ACCOUNT, PrivateType.IBAN, accounts.accounts),
    )
    chosen: dict[int, list[Detector]] = {kind: [] for kind in _REACHES}
    for kind, type_, detector in table:
        if type_ in types or (kind == AT and PrivateType.SECRET in types):
            chosen[kind].append(_only(types, detector) if kind == AT else detector)
    return chosen


def _only(types: frozenset[PrivateType], detector: Detector) -> Detector:
    """Return the detector without what it finds of other types."""
    return lambda seen: (found for found in detector(seen) if found.type in types)


def _without_overlaps(spans: Sequence[_Span]) -> list[_Span]:
    """Return the spans in order; of two that overlap the longer one stays, of equal ones the type that comes first."""
    kept: list[_Span] = []
    for span in sorted(spans, key=lambda s: (s.row, s.start, -s.end, s.type, s.kind)):
        while kept and _overlap(kept[-1], span) and span.weight > kept[-1].weight:
            kept.pop()
        if not kept or not _overlap(kept[-1], span):
            kept.append(span)
    return kept


def _overlap(first: _Span, second: _Span) -> bool:
    return first.row == second.row and first.end > second.start


def _findings(spans: Sequence[_Span], offsets: NDArray[np.int64]) -> Findings:
    rows = np.array([span.row for span in spans], np.int64)
    return Findings(
        rows,
        np.array([span.start for span in spans], np.int64) - offsets[rows],
        np.array([span.end for span in spans], np.int64) - offsets[rows],
        np.array([span.type for span in spans], np.uint8),
        pa.array([span.kind for span in spans], pa.string()),
    )
