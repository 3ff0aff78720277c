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


def test_counts_of_pages_are_added_and_no_part_is_more_than_the_whole() -> None:
    pages = {"pages": 2, "visible_characters": 9, "kept_characters": 9, "without_main_text": 1}
    total = add([Ledger(pages=pages), Ledger(), Ledger(pages=pages)])
    total.check()
    assert total.pages == {"pages": 4, "visible_characters": 18, "kept_characters": 18, "without_main_text": 2}
    assert Ledger.model_validate_json(Ledger().model_dump_json()).pages == {}
    for part, more, whole in (
        ("kept_characters", 10, "9 visible_characters"),
        ("fallbacks", 3, "2 pages"),
        ("without_main_text", 3, "2 pages"),
    ):
        with pytest.raises(ConservationError, match=f"web pages: {more} {part}, more than {whole}"):
            Ledger(pages={**pages, part: more}).check()


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


def line(first: int) -> Line:
    """A line in which every number is another one; its laws do not hold."""
    numbers = iter(range(first, first + 9))
    return Line(
        documents_in=next(numbers),
        documents_split=next(numbers),
        documents_out=next(numbers),
        documents_dropped={"empty": next(numbers)},
        characters_in=next(numbers),
        characters_out=next(numbers),
        characters_added={"control": next(numbers)},
        characters_removed={"control": next(numbers)},
        characters_dropped={"empty": next(numbers)},
    )


def numbers_of(line: Line) -> list[int]:
    return [value if isinstance(value, int) else sum(value.values()) for value in line.model_dump().values()]


def test_a_new_line_and_a_new_ledger_count_nothing() -> None:
    assert numbers_of(Line()) == [0] * 9
    Line().check("read")
    assert Ledger().model_dump() == {"lines": {}, "skipped": {}, "bytes_read": 0, "pages": {}}
    assert (Ledger().documents_out, Ledger().characters_out, Ledger().documents_dropped) == (0, 0, 0)
    assert add([]) == Ledger()


def test_lines_of_other_documents_are_added_and_steps_are_chained() -> None:
    assert numbers_of(line(10).beside(line(100))) == [110, 112, 114, 116, 118, 120, 122, 124, 126]
    second = line(100).model_copy(update={"documents_in": 12, "characters_in": 15})
    assert numbers_of(line(10).then(second)) == [10, 112, 102, 116, 14, 105, 122, 124, 126]


def test_ledgers_are_added_by_stage() -> None:
    one = Ledger(lines={"read": line(10), "quality": line(20)}, skipped={"redirect": 1}, bytes_read=5)
    other = Ledger(lines={"read": line(100), "language": line(30)}, skipped={"redirect": 2, "namespace": 4}, bytes_read=9)
    total = add([one, other])
    assert total.lines == {"read": line(10).beside(line(100)), "quality": line(20), "language": line(30)}
    assert list(total.lines) == ["read", "quality", "language"]
    assert (total.skipped, total.bytes_read) == ({"redirect": 3, "namespace": 4}, 14)
    assert (total.documents_out, total.characters_out, total.documents_dropped) == (32, 35, 116 + 23 + 33)


OUT = {"documents": 5, "characters": 50}


@pytest.mark.parametrize("field", OUT)
@pytest.mark.parametrize("difference", [-1, 1])
def test_one_document_or_character_between_two_steps_is_noticed(field: str, difference: int) -> None:
    first = Line(documents_in=5, documents_out=5, characters_in=50, characters_out=50)
    counts = OUT | {field: OUT[field] + difference}
    second = Line(**{f"{name}_{side}": n for name, n in counts.items() for side in ("in", "out")})
    with pytest.raises(ConservationError, match="the second step does not take what the first one left"):
        first.then(second)
    with pytest.raises(ConservationError, match="second step"):
        Ledger(lines={"read": first}).record("read", second)
    found = f"read handed on 5 documents and 50 characters, quality took {counts['documents']} and {counts['characters']}"
    with pytest.raises(ConservationError, match=found):
        Ledger(lines={"read": first, "quality": second}).check()
    Ledger(lines={"read": first, "quality": first, "language": first}).check()


@pytest.mark.parametrize("counts", [["empty"], "empty", 3, None])
def test_counts_are_given_by_name(counts: object) -> None:
    with pytest.raises(ValueError, match="documents_dropped"):
        Line.model_validate({"documents_dropped": counts})
