"""Scripts: that of each letter, and those in which a language is written.

>>> [name_of(code) for code in letters()[[ord(c) for c in "aяか漢1"]]]
['Latn', 'Cyrl', 'Kana', 'Hani', None]
"""

import functools
import unicodedata

import langcodes
import numpy as np
from numpy.typing import NDArray

from pipelines.contract.schema import NO_LINGUISTIC_CONTENT, UNKNOWN_LANGUAGE
from pipelines.text.characters.code_points import CODE_POINTS, categories

# The first word of the names of a script's letters in Unicode, and the script (ISO 15924). Kana is both kanas, as in no language
# one of them is alone; letters of scripts that are not here are of the script "Zyyy", which refuses no verdict.
_SCRIPTS = {
    "LATIN": "Latn",
    "CYRILLIC": "Cyrl",
    "GREEK": "Grek",
    "ARMENIAN": "Armn",
    "HEBREW": "Hebr",
    "ARABIC": "Arab",
    "SYRIAC": "Syrc",
    "THAANA": "Thaa",
    "NKO": "Nkoo",
    "DEVANAGARI": "Deva",
    "BENGALI": "Beng",
    "GURMUKHI": "Guru",
    "GUJARATI": "Gujr",
    "ORIYA": "Orya",
    "TAMIL": "Taml",
    "TELUGU": "Telu",
    "KANNADA": "Knda",
    "MALAYALAM": "Mlym",
    "SINHALA": "Sinh",
    "THAI": "Thai",
    "LAO": "Laoo",
    "TIBETAN": "Tibt",
    "MYANMAR": "Mymr",
    "GEORGIAN": "Geor",
    "HANGUL": "Hang",
    "ETHIOPIC": "Ethi",
    "CHEROKEE": "Cher",
    "KHMER": "Khmr",
    "MONGOLIAN": "Mong",
    "TIFINAGH": "Tfng",
    "HIRAGANA": "Kana",
    "KATAKANA": "Kana",
    "CJK": "Hani",
    "IDEOGRAPHIC": "Hani",
    "YI": "Yiii",
    "CANADIAN": "Cans",
    "MEETEI": "Mtei",
    "OL": "Olck",
    "JAVANESE": "Java",
    "BALINESE": "Bali",
    "BOPOMOFO": "Bopo",
    "GOTHIC": "Goth",
}
NAMES = (*sorted(set(_SCRIPTS.values())), "Zyyy")
_UNKNOWN = len(NAMES)  # number of "Zyyy"; 0 is no letter
# Characters of these scripts hold about as much as two letters of an alphabet.
WIDE = frozenset({"Hani", "Hang", "Kana", "Yiii", "Bopo", "Ethi"})

# Scripts of codes of writing systems, and those in which languages are also written, beside the likeliest one.
_SYSTEMS = {"Jpan": ("Kana", "Hani"), "Kore": ("Hang", "Hani"), "Hans": ("Hani",), "Hant": ("Hani",), "Hira": ("Kana",)}
_UNLISTED = {"azb": "Arab", "xal": "Cyrl"}  # languages that CLDR does not have
_ALSO = """
az Cyrl Arab; be Latn; bs Cyrl; crh Cyrl; gom Latn; ha Arab; hak Hani; hif Deva; jv Java; kk Latn Arab; kmr Arab;
ks Deva; ku Arab Cyrl; kv Latn; ky Latn Arab; mn Mong; mni Mtei; mo Latn Cyrl; ms Arab; nan Hani; pa Arab; pi Latn Sinh Thai
Mymr; ro Cyrl; sa Latn Beng Telu Knda; sat Beng Deva; sd Deva; sh Cyrl Latn; sr Latn; su Arab; tg Arab Latn; tk Cyrl Arab; tt
Latn; ug Cyrl Latn; uz Cyrl Arab; wuu Hani; yo Arab; zh Bopo
"""


@functools.cache
def letters() -> NDArray[np.uint8]:
    """Return the number of its script for each code point: from 1, as in NAMES; 0 for what is no letter."""
    table = np.zeros(CODE_POINTS, np.uint8)
    numbers = {name: number for number, name in enumerate(NAMES, 1)}
    for code in np.flatnonzero(np.char.startswith(categories(), "L")).tolist():
        first = unicodedata.name(chr(code), "").split(" ")[0]
        script = _SCRIPTS.get(first) or _SCRIPTS.get(first.split("-")[0])
        table[code] = numbers[script] if script else _UNKNOWN
    for code in (0xAA, 0xBA, *range(0x2B0, 0x370)):  # ordinals and modifiers stand beside letters of any script
        table[code] = 0
    return table


def name_of(number: int) -> str | None:
    """Return the script of a number in `letters`, None for 0."""
    return NAMES[number - 1] if number else None


def written_in(language: str) -> frozenset[str]:
    """Return the scripts in which a language is written, of those in NAMES; a script in its code (`sr-Latn`) is the only one.

    It is empty if no script is known for the language, and for "und" and "zxx".
    """
    if language in (UNKNOWN_LANGUAGE, NO_LINGUISTIC_CONTENT):
        return frozenset()
    tag = langcodes.Language.get(language, normalize=False)
    script = tag.script or _UNLISTED.get(language) or tag.maximize().script
    if script is None:
        return frozenset()
    also = () if tag.script else _also().get(tag.language or "", ())
    return frozenset((*_SYSTEMS.get(script, (script,)), *also)) & frozenset(NAMES)


@functools.cache
def _also() -> dict[str, tuple[str, ...]]:
    rows = [row.split() for row in _ALSO.split(";")]
    return {language: tuple(scripts) for language, *scripts in rows}
