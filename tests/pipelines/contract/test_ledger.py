import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contract.ledger import ConservationError, Ledger, Line, add

counts = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(1, 1000))


@st.composite
def sound_lines(draw: st.DrawFn) -> Line:
    dropped, split, out = draw(counts), draw(st.integers(0, 50)), draw(st.integers(50, 1000))
    text_dropped, added, removed = draw(counts), draw(counts), draw(counts)
    text_out = draw(st.integers(3000, 10_000))
    return Line(
        documents_in=out + sum(dropped.values()) - split,
        documents_split=split,
        documents_out=out,
        documents_dropped=dropped,
        characters_in=text_out + sum(text_dropped.values()) + sum(removed.values()) - sum(added.values()),
        characters_out=text_out,
        characters_added=added,
        characters_removed=removed,
        characters_dropped=text_dropped,
    )


@given(st.lists(sound_lines(), min_size=1))
def test_the_laws_survive_addition_and_the_order_does_not_matter(lines: list[Line]) -> None:
    ledgers = [Ledger(lines={"quality": line}) for line in lines]
    total = add(ledgers)
    total.check()
    assert total.model_dump_json() == add(reversed(ledgers)).model_dump_json()
    assert total.documents_out == sum(line.documents_out for line in lines)


@given(sound_lines(), st.sampled_from(["documents_out", "characters_out", "documents_in", "characters_in"]))
def test_one_document_or_character_too_few_is_noticed(line: Line, field: str) -> None:
    broken = line.model_copy(update={field: getattr(line, field) - 1})
    with pytest.raises(ConservationError, match=r"stage quality: .* went in, .* are accounted for"):
        Ledger(lines={"quality": broken}).check()


def test_a_stage_must_take_what_the_one_before_handed_on() -> None:
    line = Line(documents_in=2, documents_out=2)
    lost = Line(documents_in=1, documents_out=1)
    with pytest.raises(ConservationError, match="read handed on 2 documents and 0 characters, language took 1 and 0"):
        Ledger(lines={"read": line, "language": lost}).check()
    with pytest.raises(ConservationError, match="second step"):
        line.then(lost)


def test_equal_counts_are_equal_bytes() -> None:
    one = Ledger(skipped={"redirect": 1, "namespace": 2})
    other = Ledger(skipped={"namespace": 2, "http_status": 0, "redirect": 1})
    assert one.model_dump_json() == other.model_dump_json()
    assert Ledger.model_validate_json(one.model_dump_json()) == one
