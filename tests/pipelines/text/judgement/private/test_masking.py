"""Tokens in place of what was found: nothing else changes, and every place is known."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.judgement.private.find import find
from pipelines.text.judgement.private.findings import TOKENS, TYPES
from pipelines.text.judgement.private.masking import mask

MARKS = [TOKENS[type_] for type_ in TYPES]
PIECES = st.lists(
    st.text("ü電a \n", max_size=6) | st.sampled_from(["a@b.org ", " 8.45.77.120 ", "tel. 030 901820 ", " www.x.org "])
)


@given(st.lists(PIECES.map("".join), max_size=4))
def test_the_places_lead_back_to_the_text(texts: list[str]) -> None:
    found = find(pa.array(texts, pa.string()))
    masked = mask(pa.array(texts, pa.string()), found, MARKS)
    restored = masked.texts.to_pylist()
    rows = zip(found.rows, found.types, masked.starts, masked.starts_before, masked.characters, strict=True)
    for row, code, start, before, length in reversed(list(rows)):
        token = MARKS[code]
        assert restored[row][start : start + len(token)] == token
        restored[row] = restored[row][:start] + texts[row][before : before + length] + restored[row][start + len(token) :]
    assert restored == texts


@given(st.lists(PIECES.map("".join), max_size=4))
def test_masked_texts_have_nothing_to_mask(texts: list[str]) -> None:
    array = pa.array(texts, pa.string())
    assert len(find(mask(array, find(array), MARKS).texts)) == 0


def test_texts_without_findings_are_the_same_array() -> None:
    texts = pa.array(["x", ""])
    assert mask(texts, find(texts), MARKS).texts is texts


def test_an_empty_token_removes() -> None:
    texts = pa.array(["to a@b.org!", "ü", "c@d.org"])
    assert mask(texts, find(texts), [""] * len(TYPES)).texts.to_pylist() == ["to !", "ü", ""]
