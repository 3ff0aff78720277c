"""The text around an anchor, as detectors see it."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from pipelines.text.judgement.private.findings import PrivateType
from pipelines.text.judgement.private.words import Words

_LETTER = re.compile(
    r"[^\W\d_]{2}|[^\x00-\u25ff]"
)  # two, as "1.5e-05" has no word; one sign, or letter of a script without spaces
_NEAR = 64  # characters


class Found(NamedTuple):
    """An occurrence in a window: text[start:end]."""

    type: PrivateType
    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a text around an anchor, text[at:stop]. A cut character at either end is left out."""

    text: str
    at: int
    stop: int
    first_byte: int  # of the window, in the data of all texts
    language: str | None  # of the whole text
    has_words: bool  # whether words are near the anchor

    @property
    def value(self) -> str:
        """The text of the anchor."""
        return self.text[self.at : self.stop]

    def byte(self, index: int) -> int:
        """Return the byte of a character, in the data of all texts."""
        return self.first_byte + (index if self.text.isascii() else len(self.text[:index].encode()))

    def names(self, words: Words, start: int, before: int, end: int = 0, after: int = 0) -> bool:
        """Return whether one of the words is among the characters before `start`, or after `end`."""
        if not self.has_words:
            return False
        is_before = words.are_in(self.text, max(0, start - before), start)
        return is_before or (after > 0 and words.are_in(self.text, end, end + after))


def window(data: memoryview, begin: int, end: int, start: int, stop: int, reach: tuple[int, int], language: str | None) -> Window:
    """Return the window of an anchor, data[start:stop] of the text data[begin:end], with `reach` bytes before and after it."""
    first, last = max(begin, start - reach[0]), min(end, stop + reach[1])
    while first > begin and data[first] & 0xC0 == 0x80:
        first += 1
    seen = bytes(data[first:last])
    before, value, after = seen[: start - first], seen[start - first : stop - first], seen[stop - first :]
    if seen.isascii():
        at, after_at, text = len(before), len(before) + len(value), seen.decode("ascii")
    else:
        at, after_at = len(before.decode()), len(before.decode()) + len(value.decode())
        text = before.decode() + value.decode() + after.decode(errors="ignore")
    has_words = bool(_LETTER.search(text, max(0, at - _NEAR), at) or _LETTER.search(text, after_at, after_at + _NEAR))
    return Window(text, at, after_at, first, language, has_words)
