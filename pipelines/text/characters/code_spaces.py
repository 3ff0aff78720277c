r"""The white space of code inside prose, kept through extraction and normalisation.

Extraction knows what is code; normalisation collapses the white space of the prose around it. So an extractor writes the
spaces, tabs and line ends of code as stand-ins, which no other step takes for white space, and `normalize` turns them back
last. Stand-ins are noncharacters (Unicode 23.7: never text), one for one, so no count of characters changes.

    >>> code = protected("if a:\n    b")
    >>> code == "if a:\ufdef\ufded\ufded\ufded\ufdedb", restored(code) == "if a:\n    b"
    (True, True)

A single space between two characters that are not white space needs no stand-in.
"""

import re

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.text.characters.code_points import buffers

SPACE, TAB, NEWLINE = "\ufded", "\ufdee", "\ufdef"
STAND_INS = re.compile(f"[{SPACE}{TAB}{NEWLINE}]+")

_KEPT = re.compile(r"[ \t\xa0\n]{2,}|[\t\n\xa0]|\A[ ]|[ ]\Z")
_STAND_IN = str.maketrans({" ": SPACE, "\xa0": SPACE, "\t": TAB, "\n": NEWLINE})
_CHARACTER = {ord(SPACE): " ", ord(TAB): "\t", ord(NEWLINE): "\n"}


def protected(code: str) -> str:
    r"""Return code with stand-ins; line ends become "\n" first, no-break spaces count as spaces."""
    code = code.replace("\r\n", "\n").replace("\r", "\n")
    return _KEPT.sub(lambda match: match[0].translate(_STAND_IN), code)


def without_stand_ins(text: str) -> str:
    """Return an input's text without the characters that are used as stand-ins here."""
    if text.isascii() or not any(stand_in in text for stand_in in (SPACE, TAB, NEWLINE)):  # a search is faster
        return text
    return STAND_INS.sub("", text)


def restored(text: str) -> str:
    """Return a text with white space in place of its stand-ins."""
    return text if text.isascii() else text.translate(_CHARACTER)


def restore(texts: pa.Array) -> pa.Array:
    """Return `restored` for a StringArray without nulls; the same array if there are no stand-ins."""
    data, _ = buffers(texts)
    if not (data == 0xEF).any():
        return texts
    marked = pc.match_substring_regex(texts, STAND_INS.pattern)
    if not pc.any(marked).as_py():
        return texts
    for stand_in, character in ((SPACE, " "), (TAB, "\t"), (NEWLINE, "\n")):
        texts = pc.replace_substring(texts, stand_in, character)
    return texts
