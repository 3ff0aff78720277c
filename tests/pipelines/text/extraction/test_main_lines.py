import unicodedata

import pyarrow as pa
import pytest
from examples import many
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.characters import counts as words
from pipelines.text.extraction import main_lines as lines
from pipelines.text.extraction.main_lines import main_lines

PROSE = "The old bridge over the river was closed on Monday for repairs that take a year."  # 81 wide
WIDE = "Bridges, ferries and tunnels of the lower river and its northern tributaries"  # no mark


def cut(text: str, title: str | None = None, prose_limit: float = 0.2) -> str:
    return main_lines(pa.array([text]), pa.array([title], pa.string()), prose_limit)[0].as_py()


def test_menus_and_residue_are_cut() -> None:
    assert cut(f"Home\nNews\n\n{PROSE}\n\n{PROSE}\n\nShare\nSponsored links") == f"{PROSE}\n\n{PROSE}"


def test_headings_lists_and_short_lines_between_are_kept() -> None:
    text = f"{PROSE}\n{PROSE}\n\nWhat follows\n\n• one\n• two\n\n{PROSE}\n{PROSE}\nHe said no.\n{PROSE}"
    assert cut(text) == text


def test_the_text_begins_at_the_line_that_is_in_the_title() -> None:
    page = f"Home\nBridge closed!\n4 March, by Ada\n\n{PROSE}"
    assert cut(page, "News | BRIDGE  CLOSED | Paper") == f"Bridge closed!\n4 March, by Ada\n\n{PROSE}"
    assert cut(page) == cut(page, "Ferry closed") == PROSE
    assert cut(f"News\n{PROSE}", "News of the bridge") == PROSE  # four letters are part of any title by chance
    assert cut(f"桥\n大桥关闭\n\n{PROSE}", "大桥关闭_新闻") == f"大桥关闭\n\n{PROSE}"  # four wide ones are not


def test_an_end_with_much_prose_is_cut_only_after_its_last_sentence() -> None:
    listing = "\n".join(f"line {i}" for i in range(20))
    page = f"Menu\n{PROSE}\n{PROSE}\n{PROSE}\n{listing}\n{PROSE}\nOK"
    assert cut(page, prose_limit=0.2) == page.removeprefix("Menu\n").removesuffix("\nOK")
    assert cut(page, prose_limit=0.25) == f"{PROSE}\n{PROSE}\n{PROSE}"
    head = f"Menu\n{PROSE}\n{listing}\n{PROSE}\n{PROSE}\n{PROSE}\nOK"
    assert cut(head, prose_limit=0.2) == head.removeprefix("Menu\n").removesuffix("\nOK")


def test_without_marks_the_last_wide_line_is_the_end() -> None:
    gap = "\n".join("abcdefg")
    assert cut(f"{WIDE}\n{gap}\n{WIDE}\nx") == f"{WIDE}\n{gap}\n{WIDE}"


def test_a_page_without_wide_lines_is_unchanged_and_not_copied() -> None:
    texts = pa.array(["A poem\nof short lines\n", "", PROSE, f"{PROSE}\n{PROSE}"])
    assert main_lines(texts, pa.array([None, "A poem", "x", None])) is texts


def test_thai_needs_no_marks() -> None:
    thai = "".join(chr(0x0E01 + 7 * i % 44) for i in range(60))
    assert cut(f"เมนู\n{thai}\n{thai}\nแชร์") == f"{thai}\n{thai}"


def test_slices_and_neighbours_do_not_matter() -> None:
    texts = pa.array(["x", f"a\n{PROSE}\nb", f"c\nBridge closed\n{PROSE}", "y"])
    titles = pa.array(["", None, "Bridge closed", None])
    assert main_lines(texts.slice(1, 2), titles.slice(1, 2)).to_pylist() == [PROSE, f"Bridge closed\n{PROSE}"]
    assert main_lines(texts, titles).to_pylist()[1:3] == [PROSE, f"Bridge closed\n{PROSE}"]
    assert main_lines(texts.slice(0, 0), titles.slice(0, 0)).to_pylist() == []


# --- a plain reference ------------------------------------------------------------------------------------------------


def has(c: str, bit: int) -> bool:
    return bool(words.table()[ord(c)] & bit)


def width(line: str) -> int:
    return sum(2 if has(c, words.SPACELESS) else 1 for c in line)


def finished(line: str) -> bool:
    rest = line.rstrip()
    while rest and (has(rest[-1], words.CLOSER) or rest[-1].isspace()) and not has(rest[-1], words.TERMINAL):
        rest = rest[:-1]
    return bool(rest) and has(rest[-1], words.TERMINAL | words.UNPUNCTUATED)


def letters(line: str) -> str:
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in line if unicodedata.category(c)[0] in "LN")


def reference(text: str, title: str, limit: float) -> str:
    rows = [line.strip() for line in text.split("\n") if line.strip()]
    points: list[float] = []
    short = 0
    for row in rows:
        if width(row) >= 60:
            short = 0
            points.append(min(width(row), 200) / 100 * (1.3 if finished(row) else 0.3))
        else:
            short += 1
            points.append(0 if short > 5 else -0.75 if finished(row) else -1.5)
    runs = [(sum(points[a:b]), b, a) for a in range(len(rows)) for b in range(a + 1, len(rows) + 1)]
    if not runs or max(runs)[0] <= 0:
        return text
    best = max(runs)[0]
    behind, first = min((b, -a) for score, b, a in runs if score > best - 1e-9)  # of equals the first, the shortest
    first = -first
    prose = [i for i, value in enumerate(points) if value > 0]
    total = sum(points[i] for i in prose)
    whole = [i for i in prose if finished(rows[i])] or prose
    if sum(points[i] for i in prose if i < first) > limit * total:
        first = prose[0]
    if sum(points[i] for i in prose if i >= behind) > limit * total:
        behind = max(behind, whole[-1] + 1)
    for above in range(first - 1, -1, -1):
        if width(letters(rows[above])) >= 8 and letters(rows[above]) in letters(title):
            first = above
            break
    return "\n".join(rows[first:behind])


_LINES = st.sampled_from(
    [PROSE, WIDE, PROSE * 3, "Menu", "He left.", "Bridge closed", "大桥关闭", "“Yes.” ", "", "大" * 31 + "。", "ก" * 61]
)


@many
@given(st.lists(_LINES, max_size=14), st.sampled_from(["", "BRIDGE CLOSED", "大桥关闭 Menu"]), st.sampled_from([0.0, 0.17, 1.0]))
def test_against_the_reference(rows: list[str], title: str, limit: float) -> None:
    text = "\n".join(rows).strip()
    got = cut(text, title, limit)
    assert got in text
    assert [row.strip() for row in got.split("\n") if row.strip()] == [
        row.strip() for row in reference(text, title, limit).split("\n") if row.strip()
    ]


@pytest.mark.parametrize("code", [0x130, 0x1E9E, 0x41, 0x10400])
def test_lower_case(code: int) -> None:
    lower = chr(code).lower()
    assert lines._lower_case()[code] == (ord(lower) if len(lower) == 1 else code)  # pyright: ignore[reportPrivateUsage]
