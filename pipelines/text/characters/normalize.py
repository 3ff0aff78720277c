r"""Normalise characters: repair mojibake, unify line ends and spaces, remove invisible characters, compose to NFC.

Every function maps a StringArray to a StringArray of equal length and returns the same object if no row changes. A fast scan
finds the rows that need a change; the others are not touched.

The rules:

- Line ends: CR LF, CR, VT, FF, NEL, U+2028 and U+2029 become "\n".
- Removed: C0 and C1 controls, DEL, soft hyphens, zero-width spaces and joiners that carry no meaning (U+200B, U+2060 to
  U+2064, U+FEFF), all bidi controls (U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to U+206F: they only affect display,
  because text is stored in reading order), interlinear annotation and object replacement (U+FFF9 to U+FFFC), tag
  characters, private-use characters and noncharacters.
- Kept: ZWJ and ZWNJ beside a letter or sign that they affect (Arabic, Indic and other scripts, emoji), one in a row; a
  variation selector that does not follow another one (elsewhere both can only hide something, e.g. a mark of the page's
  reader); the tags that make a black flag that of England or
  another region, U+FFFD (it is counted: `garbled_share`).
- Spaces depend on what the text is (`Whitespace`):
  - "prose": every Unicode space becomes " "; a run of spaces and tabs becomes one " "; a single tab stays (it separates
    columns); lines are stripped on both sides; more than one blank line becomes one; the text is stripped.
  - "keep": every space, tab and blank line stays as it is, at the ends of lines and of the text, too.
  - "code": prose in which an extractor has marked code with stand-ins (`code_spaces`): the code keeps its white space.

`pyarrow.compute.utf8_normalize` is not used: in pyarrow 25.0 its NFC and NFKC decompose and do not compose again.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Literal

import ftfy
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ftfy.badness import BADNESS_RE
from numpy.typing import NDArray

from pipelines.contract.reasons import Change
from pipelines.text.characters import code_spaces
from pipelines.text.characters.code_points import (
    buffers,
    foreign,
    from_buffers,
    kinds,
    remove_invisible,
    unify_line_ends,
    unify_whitespace,
    untidy,
)

Whitespace = Literal["prose", "keep", "code"]

_STAND_INS = code_spaces.SPACE + code_spaces.TAB + code_spaces.NEWLINE
_BETWEEN_STAND_INS = re.compile(f"({code_spaces.STAND_INS.pattern})")
_BLANK_CHARACTERS = 32
_ROUNDS_LIMIT = 8  # for mojibake of mojibake of …; real text takes two

# Every character that NFC may change, alone or beside another: all marks, and the other characters for which Unicode's
# NFC_Quick_Check is No or Maybe (a test goes through all code points).
_NOT_SURELY_NFC = (
    r"[\pM\x{374}\x{37e}\x{387}\x{958}-\x{95f}\x{9dc}-\x{9df}\x{a33}-\x{a36}\x{a59}-\x{a5e}\x{b5c}\x{b5d}\x{f43}-\x{f69}"
    r"\x{1161}-\x{1175}\x{11a8}-\x{11c2}\x{1f71}-\x{1fef}\x{1ff9}-\x{1ffd}\x{2000}\x{2001}\x{2126}\x{212a}\x{212b}"
    r"\x{2329}\x{232a}\x{2adc}\x{f900}-\x{fad9}\x{fb1d}-\x{fb4e}\x{1d15e}-\x{1d164}\x{1d1bb}-\x{1d1c0}\x{2f800}-\x{2fa1d}]"
)


def normalize(texts: pa.Array, *, repair: bool = True, whitespace: Whitespace = "prose") -> pa.Array:
    r"""Apply all steps; idempotent, except for "code", whose stand-ins are gone after the first time.

    >>> normalize(pa.array(["cafe\u0301 \r\n\r\n\r\n  cafÃ©\u00a0!"])).to_pylist()
    ['café\n\ncafé !']
    >>> normalize(pa.array(["if a:\r\n    cafe\u0301()  "]), whitespace="keep").to_pylist()
    ['if a:\n    café()  ']
    """
    for _, changed in steps(texts, repair=repair, whitespace=whitespace):
        texts = changed
    return texts


def steps(texts: pa.Array, *, repair: bool = True, whitespace: Whitespace = "prose") -> Iterator[tuple[Change, pa.Array]]:
    """Yield the texts after each step that changed any of them, with the kind of change.

    The removal of a character may join two others into mojibake, so with `repair` the steps are repeated until there is
    none left.
    """
    changed = texts
    for change, changed in _repeated_steps(texts, repair, whitespace):
        yield change, changed
    if whitespace == "code" and (restored := code_spaces.restore(changed)) is not changed:
        yield Change.WHITESPACE, restored


def _repeated_steps(texts: pa.Array, repair: bool, whitespace: Whitespace) -> Iterator[tuple[Change, pa.Array]]:
    repaired = repair_encoding(texts) if repair else texts
    for _ in range(_ROUNDS_LIMIT):
        if repaired is not texts:
            yield Change.ENCODING, repaired
        texts = repaired
        for change, cleaned in _cleaning_steps(texts, whitespace):
            texts = cleaned
            yield change, texts
        # A text that is still suspicious but has not changed since its repair is not mojibake.
        repaired = _where(texts, pc.not_equal(texts, repaired), repair_encoding) if repair else texts
        if repaired is texts:
            return


def is_blank(text: str) -> bool:
    """Return whether nothing is left of a text after normalisation; a text of more than a few characters is not examined."""
    return len(text) <= _BLANK_CHARACTERS and not normalize(pa.array([text], pa.string()))[0].as_py()


def suspicious(texts: pa.Array) -> pa.Array:
    """Return which texts contain a sequence that ftfy takes for mojibake (ftfy.badness, as one RE2 scan)."""
    return _matches_beyond_ascii(texts, _BADNESS)


def repair_encoding(texts: pa.Array) -> pa.Array:
    """Undo mojibake, line by line, in the lines that ftfy finds bad."""
    return _where(texts, suspicious(texts), _repair_lines)


def compose(texts: pa.Array) -> pa.Array:
    """Compose to Unicode NFC (in the Unicode version of the running Python)."""
    mask = _matches_beyond_ascii(texts, _NOT_SURELY_NFC)
    return _where(texts, mask, lambda rows: pa.array((unicodedata.normalize("NFC", t) for t in rows.to_pylist()), rows.type))


def garbled_share(texts: pa.Array) -> pa.Array:
    """Return the share of U+FFFD among each text's characters (float64; 0 for an empty text)."""
    data, _ = buffers(texts)
    if not (data == 0xEF).any():  # the first of the three bytes of U+FFFD
        return pa.array(np.zeros(len(texts)))
    lengths = pc.max_element_wise(pc.utf8_length(texts), 1)
    return pc.divide(pc.count_substring(texts, "\ufffd").cast(pa.float64()), lengths.cast(pa.float64()))


def _matches_beyond_ascii(texts: pa.Array, pattern: str) -> pa.Array:
    """Return which texts match a pattern that never matches ASCII; ASCII texts are skipped, seven times as fast."""
    is_ascii = np.asarray(pc.string_is_ascii(texts))
    if not is_ascii.any():
        return pc.match_substring_regex(texts, pattern)
    matches = np.zeros(len(texts), np.bool_)
    matches[~is_ascii] = np.asarray(pc.match_substring_regex(texts.filter(pa.array(~is_ascii)), pattern))
    return pa.array(matches)


def _cleaning_steps(texts: pa.Array, whitespace: Whitespace) -> Iterator[tuple[Change, pa.Array]]:
    """Yield the texts after each step that follows the repair (which needs the C1 controls: they were Windows-1252).

    Composition comes after the removal, which may join a letter and its accent; it creates no invisible characters and no
    whitespace. One scan finds the rows that the other two steps have to change.
    """
    table = kinds(_STAND_INS) if whitespace == "code" else kinds()
    scan, unify = (foreign, unify_line_ends) if whitespace == "keep" else (untidy, unify_whitespace)
    has_invisible, has_whitespace = scan(*buffers(texts), table)
    changed = _where(texts, has_invisible, lambda rows: from_buffers(*remove_invisible(*buffers(rows), table)))
    if changed is not texts:
        texts = changed
        yield Change.CONTROL, texts
    changed = _where(texts, has_whitespace, lambda rows: from_buffers(*unify(*buffers(rows), table)))
    if changed is not texts:
        texts = changed
        yield Change.WHITESPACE, texts
    changed = compose(texts)
    if changed is not texts:
        yield Change.COMPOSITION, changed


def _repair_lines(texts: pa.Array) -> pa.Array:
    lines = pc.split_pattern(texts, "\n")
    repaired = _where(lines.flatten(), suspicious(lines.flatten()), _repair_each)
    return pc.binary_join(pa.ListArray.from_arrays(lines.offsets, repaired), "\n")


def _repair_each(lines: pa.Array) -> pa.Array:
    return pa.array([_repair_line(line) for line in lines.to_pylist()], lines.type)


def _repair_line(line: str) -> str:
    """Repair what is between the stand-ins of code: with one of them, a line would not be in any legacy encoding."""
    parts = _BETWEEN_STAND_INS.split(line)
    return "".join(ftfy.fix_encoding(part) if number % 2 == 0 else part for number, part in enumerate(parts))


def _unless_equal(texts: pa.Array, changed: pa.Array) -> pa.Array:
    return texts if changed.equals(texts) else changed


def _where(texts: pa.Array, mask: pa.Array | NDArray[np.bool_], change: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Apply `change` to the rows in the mask; return the same object if it changes none."""
    hits = np.asarray(mask)
    if not hits.any():
        return texts
    if 2 * np.count_nonzero(hits) > len(hits):  # cheaper than selecting rows; `change` does not change the others
        return _unless_equal(texts, change(texts))
    rows = texts.filter(pa.array(hits))
    changed = change(rows)
    if changed.equals(rows):
        return texts
    order = np.arange(len(texts))
    order[hits] = len(texts) + np.arange(len(rows))
    return pa.concat_arrays([texts, changed]).take(pa.array(order))


def _as_re2(pattern: str) -> str:
    r"""Translate a Python regex in verbose mode to RE2: no blanks, no comments, \w and \s for all of Unicode."""
    spaces = r"[\s\v\x1c-\x1f\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
    classes = {r"\w": r"[\pL\pN_]", r"\s": spaces}
    tokens: list[str] = re.findall(r"\\.|\[(?:\\.|[^\]\\])+\]|#[^\n]*|\s+|[^\s]", pattern, re.DOTALL)
    return "".join(classes.get(token) or token for token in tokens if not token.startswith("#") and not token.isspace())


_BADNESS = _as_re2(BADNESS_RE.pattern)
