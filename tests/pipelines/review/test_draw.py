from pathlib import Path

import pytest
from reviewed import corpus, document

from pipelines.contract.schema import sampling_key
from pipelines.review import draw as module
from pipelines.review.draw import draw
from pipelines.review.where import Where, WhereError
from pipelines.units.context import Dataset

CODES = ("en", "de", None)
POOR = {"stage": "quality", "reason": "poor_signs", "rule": "poor_signs"}
ROWS = [
    *(document(n, f"The house {n} is old. " * (n + 1), language=CODES[n % 3], quality_score=n / 40) for n in range(40)),
    document(
        50,
        "Call 0171 2345678 or write to jane@mail.org today.",
        language="en",
        stage="quality",
        reason="poor_signs",
        rule="poor_signs",
    ),
    document(51, "Gone text.", language="en", stage="exclude", reason="excluded", url="https://a.org/wiki/x"),
    document(52, "A copy.", "wiki", language="de", stage="deduplicate", reason="near_duplicate", detail="of 3"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return corpus(tmp_path_factory.mktemp("drawn"), ROWS, group=7)


def numbers(made: Dataset, where: str | None, count: int = 100, dropped: bool = False) -> list[int]:
    drawn = draw(made, where, count, dropped=dropped)
    return sorted(int(one["origin"].removeprefix("f#")) for one in drawn.documents)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("language == 'de'", [n for n in range(40) if n % 3 == 1]),
        ("language == 'und'", [n for n in range(40) if n % 3 == 2]),
        ("language != 'de' and words > 150", [n for n in range(40) if n % 3 != 1 and 5 * (n + 1) > 150]),
        ("words / lines < 11 and not language in ['de', 'und']", [0]),
        ("5 < words <= 15", [1, 2]),
        ("quality_score > 0.94", [38, 39]),
        ("'wiki' in url", []),
        ("title == 'x' or characters < 50", [0, 1]),
        ("reason == 'poor_signs'", [50]),
        ("fate == 'dropped'", [50, 52]),
        ("fate == 'kept' and words == 5", [0]),
        ("rule == 'poor_signs' or stage in ('deduplicate', 'exclude')", [50, 52]),
        ("1 < 2 and 'co' in detail or 'of' in detail", [52]),
    ],
)
def test_an_expression_means_documents(made: Dataset, where: str, expected: list[int]) -> None:
    assert numbers(made, where) == expected


def test_drops_are_there_only_if_they_are_meant(made: Dataset) -> None:
    assert numbers(made, None) == list(range(40))
    assert numbers(made, None, dropped=True) == [*range(40), 50, 52]
    drawn = draw(made, None, 5, dropped=True)
    assert (len(drawn.documents), drawn.matched, drawn.hidden) == (5, 43, 1)


def test_the_lowest_hashes_are_drawn_whatever_the_row_groups(made: Dataset, tmp_path: Path) -> None:
    import pyarrow as pa

    ids = [row["id"] for row in ROWS[:40]]
    keys = sampling_key(pa.array(ids, pa.binary(16)))
    lowest = [ids[n].hex() for n in sorted(range(40), key=lambda n: keys[n])[:6]]
    assert [one["id"] for one in draw(made, None, 6).documents] == lowest
    assert draw(corpus(tmp_path / "one", ROWS), None, 6).documents == draw(made, None, 6).documents


def test_no_more_rows_are_held_than_are_drawn(made: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    original = module._lowest  # pyright: ignore[reportPrivateUsage]

    def noted(*arguments):  # pyright: ignore
        held = original(*arguments)
        sizes.append(held.num_rows)
        return held

    monkeypatch.setattr(module, "_lowest", noted)
    draw(made, None, 3, dropped=True)
    assert len(sizes) > 6 and max(sizes) == 3


def test_private_data_is_masked_and_texts_are_cut(made: Dataset) -> None:
    (one,) = draw(made, "reason == 'poor_signs'", 1, most_characters=30).documents
    assert len(one["text"]) == 30 and "2345678" not in one["text"]
    (whole,) = draw(made, "reason == 'poor_signs'", 1).documents
    assert "jane@mail.org" not in whole["text"] and whole["text"].endswith("today.")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("word > 5", "did you mean 'words'"),
        ("words >", "is no expression; write it like"),
        ("words", "is neither true nor false"),
        ("language > 5", "cannot be compared so"),
        ("language in 'de'", "cannot be compared so"),
        ("words in ['a']", "cannot be compared so"),
        ("language + 'x' == 'y'", "a number must be here"),
        ("words and lines > 1", "something true or false must be here"),
        ("__import__('os').system('x') == 1", "is not allowed"),
        ("[n for n in 'x'] == 1", "is not allowed"),
        ("words > 1" + "0" * 400, "is no expression"),
        ("words > 1 or " * 300 + "words > 1", "at most 2,000 are read"),
    ],
)
def test_a_mistake_is_named(where: str, message: str) -> None:
    with pytest.raises(WhereError, match=message.replace("(", r"\(")):
        Where(where)
