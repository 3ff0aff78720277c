"""Strip the marks of transcription from Aozora Bunko's Japanese books.

Readings (《…》) and their starting mark (｜), the transcriber's notes (［＃…］), the explanation of the marks between two
rules, and the colophon from 底本： on are removed. A character that the original encoding lacked is restored if its note
gives the code point. Rules: https://www.aozora.gr.jp/annotation/. Other texts are returned unchanged.

Limits: a character whose note only describes it becomes 〓, as printers set it.
"""

import re
import unicodedata
from functools import lru_cache

_HEAD, _TAIL = 4000, 6000  # characters that are searched for the explanation and the colophon
_EXPLANATION = re.compile(r"^-{20,}\n【テキスト中に現れる記号について】.*?^-{20,}\n", re.M | re.S)
_COLOPHON = re.compile(r"^底本：", re.M)
_MARKS = ("【テキスト中に現れる記号について】", "青空文庫")
_UNKNOWN = "〓"

_NOTE = r"［＃[^［］]*(?:［[^［］]*］[^［］]*)*］"
_CHARACTER = re.compile(rf"※(?:{_NOTE})")
_CODE_POINT = re.compile(r"U\+([0-9A-Fa-f]{4,6})")
_JIS = re.compile(r"(?<![\d-])([12])-(\d{1,2})-(\d{1,2})(?![\d-])")
_NOTE_LINE = re.compile(rf"^(?:{_NOTE})+\n", re.M)
_SIDE_HEADING = re.compile(r"［＃「[^［］]*」は窓(?:大|中|小)見出し］")
_ANY_NOTE = re.compile(_NOTE)
_READING = re.compile(r"《[^《》\n]*》")
_KANA = re.compile(r"(?:小書き(?:片仮名|平仮名)|変体仮名)(.)")  # kana without a code, or with one that fonts lack
_FOREIGN = re.compile(r"〔([^〔〕\n]*[A-Za-z][^〔〕\n]*)〕")  # Latin words whose accents are written after the letters
_ACCENT = re.compile(r"(?<![qQ])([AEIOUYaeiouy])(['`^:])|([ANOano])(~)|([CcSs])(,)(?=[a-z])|([Aa])(&)")
_COMBINING = {"'": "\u0301", "`": "\u0300", "^": "\u0302", ":": "\u0308", "~": "\u0303", ",": "\u0327", "&": "\u030a"}
_REPEATS = (("／″＼", "〲"), ("／＼", "〱"))  # the kana repeat marks of vertical writing


def strip_aozora(text: str) -> str:
    r"""Return the book alone if this is an Aozora text; else the text unchanged.

    >>> strip_aozora("題\n\n吾輩《わがはい》は※［＃「口＋世」、U+546D］｜猫《ねこ》\n\n底本：「本」青空文庫")
    '題\n\n吾輩は呭猫'
    """
    if not any(mark in text[:_HEAD] or mark in text[-_TAIL:] for mark in _MARKS):
        return text
    text = _EXPLANATION.sub("", text, count=1)
    colophons = [match for match in _COLOPHON.finditer(text) if text[: match.start()].endswith("\n")]
    if colophons:
        text = text[: colophons[0].start()]
    text = _CHARACTER.sub(lambda match: _described_character(match[0]), text)
    text = _SIDE_HEADING.sub("\n", _NOTE_LINE.sub("", text))
    text = _READING.sub("", _ANY_NOTE.sub("", text)).replace("｜", "")
    text = _FOREIGN.sub(_accent_words, text)
    for mark, sign in _REPEATS:
        text = text.replace(mark, sign)
    return text.strip("\n")


def _accent_words(bracket: re.Match[str]) -> str:
    """Turn 〔me'daillon〕 into médaillon; a bracket without such accents is unchanged."""

    def composed(pair: re.Match[str]) -> str:
        letter, mark = (group for group in pair.groups() if group)
        return unicodedata.normalize("NFC", letter + _COMBINING[mark])

    words = _ACCENT.sub(composed, bracket[1])
    return bracket[0] if words == bracket[1] else words


@lru_cache(maxsize=4096)
def _described_character(note: str) -> str:
    """Return the character that a note describes, by its Unicode or JIS X 0213 code."""
    if code_point := _CODE_POINT.search(note):
        value = int(code_point[1], 16)
        return chr(value) if value < 0x110000 and not 0xD800 <= value < 0xE000 else _UNKNOWN
    if jis := _JIS.search(note):
        plane, row, cell = map(int, jis.groups())
        if 1 <= row <= 94 and 1 <= cell <= 94:
            stored = (b"\x8f" if plane == 2 else b"") + bytes([0xA0 + row, 0xA0 + cell])
            try:
                return stored.decode("euc_jis_2004")
            except UnicodeDecodeError:
                return _UNKNOWN
    kana = _KANA.search(note)
    return kana[1] if kana else _UNKNOWN
