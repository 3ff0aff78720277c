"""Each measure against a few lines of plain Python that say the same."""

import re
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa
from examples import many
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.text.characters.counts import BLANK, DIGIT, LETTER, SPACELESS, table
from pipelines.text.judgement.repetition import DUPLICATE, TOP, measure


def duplicates(items: Sequence[str]) -> tuple[int, int]:
    extra = [item for i, item in enumerate(items) if item in items[:i]]
    return len(extra), sum(map(len, extra))


def top(tokens: Sequence[str], n: int) -> int:
    counts = Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
    times, length = max(((times, sum(map(len, gram))) for gram, times in counts.items()), default=(1, 0))
    return min(sum(map(len, tokens)), times * length) if times > 1 else 0


def duplicate_ngrams(tokens: Sequence[str], n: int) -> int:
    seen: set[tuple[str, ...]] = set()
    found = i = 0
    while i <= len(tokens) - n:
        gram = tuple(tokens[i : i + n])
        if gram in seen:
            found += sum(map(len, gram))
            i += n
        else:
            seen.add(gram)
            i += 1
    return found


def assert_measures_are_the_definitions(text: str) -> None:
    """`text` has scripts with spaces only, so that its tokens are those of str.split."""
    got = measure(pa.array(["before", text, "after"]))
    lines = [" ".join(line.split()) for line in text.split("\n")]
    paragraphs = [p.strip("\n") for p in re.split(r"\n\n+", "\n".join(lines))]
    tokens = text.split()
    worded = [line for line in lines if any(c.isalnum() for c in line)]
    assert (got.duplicate_lines[1], got.duplicate_line_characters[1]) == duplicates(worded)
    assert got.line_characters[1] == sum(map(len, worded))
    assert got.token_characters[1] == sum(map(len, tokens))
    paragraphs = [p for p in paragraphs if p]
    assert (got.paragraphs[1], got.duplicate_paragraphs[1]) == (len(paragraphs), duplicates(paragraphs)[0])
    without_newlines = [p.replace("\n", "") for p in paragraphs]
    extra = sum(len(w) for i, (p, w) in enumerate(zip(paragraphs, without_newlines, strict=True)) if p in paragraphs[:i])
    assert got.duplicate_paragraph_characters[1] == extra
    assert got.paragraph_characters[1] == sum(map(len, without_newlines))
    assert got.top[1].tolist() == [top(tokens, n) for n in TOP]
    assert got.duplicate[1].tolist() == [duplicate_ngrams(tokens, n) for n in DUPLICATE]


@many
@given(st.lists(st.sampled_from(["a", "bb", "é", "word,", "#", "x1", "\n", "\n\n", "the same line\n", " \t"]), max_size=120))
def test_all_measures_are_those_of_the_definition(parts: list[str]) -> None:
    assert_measures_are_the_definitions(" ".join(parts))
    assert_measures_are_the_definitions("".join(parts))


def test_known_text() -> None:
    got = measure(pa.array(["same line\nother one\nsame line\n\nlast\n\nlast"]))
    assert got.duplicate_lines[0] == 2  # the second "same line" and the second "last"
    assert (got.duplicate_line_characters[0], got.line_characters[0]) == (13, 35)
    assert (got.duplicate_paragraphs[0], got.paragraphs[0]) == (1, 3)
    assert (got.top[0, 0], got.token_characters[0]) == (16, 32)  # "same line" twice


def test_characters_are_tokens_where_no_spaces_are_written() -> None:
    got = measure(pa.array(["天地玄黃。天地玄黃。天地玄黃。"]))  # 12 tokens, n half as large again
    assert got.token_characters[0] == 15
    assert got.top[0, 0] == 12  # "地玄黃。", three times
    assert got.duplicate[0, 0] == 10  # the 8-gram of the first two sentences begins again at the fifth token


def test_nothing_to_measure() -> None:
    got = measure(pa.array(["", " \n ", "one"]))
    assert got.duplicate_lines.tolist() == [0, 0, 0]
    assert got.top.tolist() == [[0, 0, 0]] * 3
    assert measure(pa.array([], pa.string())).duplicate.shape == (0, 6)


def test_a_slice_is_measured_like_its_copy() -> None:
    texts = pa.array(["a a a a", "b b b", "c d c d c d"])
    assert measure(texts.slice(1)).top.tolist() == measure(texts).top[1:].tolist()


def tokens_in_any_script(text: str) -> tuple[list[str], int]:
    """Tokens as `begins_token` says, one character after the other; how many have a letter of a script without spaces."""
    tokens: list[str] = []
    has_alnum = has_spaceless = False
    spaceless = 0
    for character in text:
        bits = int(table()[ord(character)])
        is_alnum, is_spaceless = bool(bits & (LETTER | DIGIT)), bool(bits & SPACELESS)
        if tokens and tokens[-1] and (bits & BLANK or (has_alnum if is_spaceless else has_spaceless and is_alnum)):
            tokens.append("")
        if bits & BLANK:
            continue
        if not tokens or not tokens[-1]:
            tokens, has_alnum, has_spaceless = tokens or [""], False, False
        tokens[-1] += character
        spaceless += is_spaceless and not has_spaceless
        has_alnum, has_spaceless = has_alnum or is_alnum, has_spaceless or is_spaceless
    return [token for token in tokens if token], spaceless


PARTS = ["天", "地", "玄黃", "。", "ก", "\u0e34", "\u3099", "ー", "word", "w", "1", "»", " ", "\n", "天地玄黃。"]


@many
@given(st.lists(st.sampled_from(PARTS), max_size=150), st.integers(0, 3))
@example(["»", "天", "地", " ", "»", "天", "地"], 0)  # a mark before a letter is of its token
def test_ngrams_are_longer_where_most_tokens_are_of_a_script_without_spaces(parts: list[str], words: int) -> None:
    text = "".join(parts) + " word 1" * words
    tokens, spaceless = tokens_in_any_script(text)
    stretch = (lambda n: (3 * n + 1) // 2) if 2 * spaceless > len(tokens) else (lambda n: n)
    got = measure(pa.array(["before", text]))
    assert got.top[1].tolist() == [top(tokens, stretch(n)) for n in TOP]
    assert got.duplicate[1].tolist() == [duplicate_ngrams(tokens, stretch(n)) for n in DUPLICATE]


def test_half_of_the_tokens_in_such_a_script_are_not_most() -> None:
    assert measure(pa.array(["天 a b 地 天 a b 地"])).top[0, 0] == 4  # pairs; threes if two more were Chinese
    assert measure(pa.array(["天 a 黃 地 天 a 黃 地"])).top[0, 0] == 6


def test_ngrams_of_every_length_have_a_table_of_their_own() -> None:
    """A text of 36 words in which every four come twice, and no five: in one table for all lengths there would be no room."""
    assert_measures_are_the_definitions(" ".join("00000100011001010011101011011111" + "0000"))
