"""Sentences are found by rules, and cover their text."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.characters.sentences import sentence_starts


def sentences(text: str) -> list[str]:
    data = text.encode()
    starts, _ = sentence_starts(np.frombuffer(data, np.uint8), np.array([0, len(data)]))
    return [data[a:b].decode() for a, b in pairwise([*starts.tolist(), len(data)])]


@pytest.mark.parametrize(
    "expected",
    [
        ["Dr. Who left. ", 'He said: "Go!" ', "Then 3.5 km.\n", "End"],
        ["Mr. J. R. Brown came at 5 p.m. on Monday... and left. ", "(See Fig. 3 there.) ", "“Well?” ", "No."],
        ["The U.S. Army left in 1999. ", "It was e.g. late. ", "See Eph. 6:15 there."],
        ["Am 3. Oktober kam z.B. Hr. Müller. ", "„Gut!“ ", "Danach ging er."],
        ["«Да!» — сказал он. ", "Он жил в 1999 г. в Москве, т.е. там. ", "Конец."],
        ["他说：“好。”", "然后走了。", "真的？！", "是！", "对"],
        ["「行く。」と言った。", "そして、彼は来た！", "「はい。」", "彼女は笑った。"],
        ["क्या है। ", "हाँ।"],
        ["هل ذهبت؟ ", "نعم."],
        ["A line that\nis wrapped. ", "Heading\n", "Next line\n\n", "paragraph"],
        ["1. First item\n", "2. Second item"],
        ["XI. The heading\n", "She said it, MR. BROWN. ", "XII was next."],
        ["8.1.2. A heading\n", "Fig. 3.1. Its caption\n", "B.2. Another one"],
        ["They used version 2. ", "It was 3.5. ", "He was 12. ", "Then it ended."],
        ["Come at 5 p.m. on Monday or at 6 p.m. ", "We wait. ", "She left the U.S. ", "The Navy of the U.S. Army..."],
        ["Tea, milk, etc. ", "They drank it. ", "Smith Inc. Texas pays."],
        ["Plans A, B and C. ", "The rest is by J. C. Brown."],
        ["He waited . . . . and went. ", "See ex.example.org. ", "It is there."],
        ["„Nein.“ ", "Vom 3. Mai an, im 19. Jahrhundert, kam die 7. Auflage. ", "Es waren 33. ", "Er ging."],
        ["В США. ", "5 мая А. С. Иванов получил 3 тыс. руб. ", "Он ушёл и т. д. ", "Это всё."],
        ["他走了。", "“好。”", "她笑了。"],
        ["\n\n ", "a. b"],
    ],
)
def test_sentences(expected: list[str]) -> None:
    assert sentences("".join(expected)) == expected


@given(st.text(st.sampled_from("ab.A !?\n。」「と1 \u00e9\U0001f600\"'(),…"), max_size=40))
def test_sentences_cover_their_text(text: str) -> None:
    found = sentences(text)
    assert "".join(found) == text
    assert all(found)


def test_texts_do_not_touch_each_other() -> None:
    texts = ["One. Two", "", "three. Four.", "Five"]
    data = "".join(texts).encode()
    offsets = np.cumsum([0, *(len(text) for text in texts)])
    starts, by_text = sentence_starts(np.frombuffer(data, np.uint8), offsets)
    assert starts.tolist() == [0, 5, 8, 15, 20]
    assert by_text.tolist() == [0, 2, 2, 4, 5]


def test_a_long_line_of_dots_is_read_once() -> None:
    """In quadratic time, a million characters would take forever."""
    text = b"Contents" + b"." * 1_000_000 + b" 7 " + b"?!" * 500_000 + b"x " + b".)" * 500_000 + b"y"
    starts, _ = sentence_starts(np.frombuffer(text, np.uint8), np.array([0, len(text)]))
    assert starts.tolist() == [0, 1_000_009]
