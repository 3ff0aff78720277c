"""Words that say what a number beside them is."""

import re
from dataclasses import dataclass

_WORD = re.compile(r"[^\W\d_]+")
_WITHOUT_SPACES = "\u0e00"  # from Thai on, scripts are written without spaces, or words have endings


@dataclass(frozen=True, slots=True)
class Words:
    """Words to look for: sets are faster than a regular expression of a hundred alternatives."""

    whole: frozenset[str]
    stems: tuple[str, ...]
    others: re.Pattern[str] | None  # of several words, with signs, or of scripts written without spaces

    def are_in(self, text: str, start: int, end: int) -> bool:
        """Return whether one of the words is in text[start:end]."""
        part = text[start:end].lower()
        if self.others is not None and self.others.search(part):
            return True
        return any(word in self.whole or word.startswith(self.stems) for word in _WORD.findall(part))


def words(*alternatives: str) -> Words:
    """Return the words, which spaces divide; "*" stands for any ending, "_" for a space, a hyphen or nothing."""
    listed = " ".join(alternatives).lower().split()
    simple = [word for word in listed if _WORD.fullmatch(word.rstrip("*")) and max(word) < _WITHOUT_SPACES]
    others = "|".join(_pattern(word) for word in listed if word not in simple)
    return Words(
        frozenset(word for word in simple if not word.endswith("*")),
        tuple(word.rstrip("*") for word in simple if word.endswith("*")),
        re.compile(others) if others else None,
    )


def _pattern(word: str) -> str:
    begins, ends = word[0].isalpha() and word[0] < _WITHOUT_SPACES, word[-1].isalpha() and word[-1] < _WITHOUT_SPACES
    middle = re.escape(word.rstrip("*")).replace("_", r"[\s_-]?")
    return ("(?<![^\\W\\d_])" if begins else "") + middle + ("(?![^\\W\\d_])" if ends else "")
