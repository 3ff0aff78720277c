"""Sentence starts in many languages, found by rules in one compiled pass over the UTF-8 bytes.

A sentence ends
- at a line end, unless the line is wrapped: it does not end like a sentence and the next begins with a lower-case letter;
- after 。！？｡ and the like, which need no space after them, unless the sentence continues after the closing bracket
  (Japanese 「…。」と言った);
- after . ! ? … ؟ । ۔ and the like, closing quotes and brackets included, if white space follows and then anything but a
  lower-case letter. A full stop does not end a sentence
  - after an abbreviation ("Dr.", "z.B."); but after a single letter or an abbreviation that may end a sentence ("etc.",
    "U.S.", "руб.") it does if a word follows that begins sentences ("The", "Die", "Это");
  - after the number of a section or a list item ("8.1. Title", "XI. Title", "Fig. 3.1. Caption");
  - after a German ordinal ("vom 3. Mai"), and after a short capitalised word before a number ("Abs. 2").

Sentences cover the text: the first starts at 0, each ends where the next one starts, and white space belongs to the
sentence before it.

Measured on novels, Wikipedia, web pages and a handbook:
- Wrong boundaries by version 1 (170 to 185 sentences each) and version 2 (60 to 180): en 6 and 1 %, de 4 and 0 %,
  ru 4 and 0 %, zh 1 and 0 %, ja 1 and 1 %. Version 2 is wrong a few times more than version 1 in tr, cs, es, el and vi.
- Starts missed of about 245 web sentences joined by spaces, in en, ru and fr: version 1 16, 10 and 12; version 2 14, 4 and 11
  (half of them after fragments that end in "Mr." or a bracket); blingfire 0.1.8 15, 1 and 13, but 180 of 246 in Hindi, at a
  fourth of the speed or less; pysbd 0.3.4 31, 7 and 18, over a hundred times slower; sentencex 1.0.32 32, 9 and 136, at times
  faster in en and ru.

Limits: rules, not a model. Names such as "Yahoo! Inc." are cut, and "Mr." at the end of a line is not; abbreviations of
unlisted languages are taken for sentence ends; Chinese 「…。」 is always cut before the speaker; scripts without sentence marks
(Thai) are cut at line ends only. Quoted speech is cut into its sentences, too.
"""

import unicodedata
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.kernels import jit

VERSION = 2

# Character classes; _OTHER are letters of scripts without case and all else.
_OTHER, _LOWER, _UPPER, _DIGIT, _SPACE, _NEWLINE, _STOP, _END, _FULL_END, _CLOSE, _OPEN, _COMMA = range(12)

_ENDS = (
    "!?\u2026\u203d\u203c\u2047\u2048\u2049\u061f\u06d4\u0589"
    "\u0964\u0965\u1362\u1367\u1368\u104a\u104b\u17d4\u17d5\u0df4\u1803\u1809"
)
_FULL_ENDS = "\u3002\uff01\uff1f\uff61\uff0e"
_CLOSES = "\"')]}\u201d\u2019\u00bb\u203a\u300d\u300f\u3011\u3009\u300b\u3015\uff09\uff3d\uff5d\u201c"  # “ closes in German
_OPENS = (  # dashes too: « … ! » — said he
    "([{\u00ab\u2039\u201e\u201a\u300c\u300e\u3010\u3008\u300a\u3014\uff08\uff3b\uff5b\u00bf\u00a1\u2018\u2013\u2014"
)
_COMMAS = ",;:\u3001\uff0c\uff1b\uff1a\u060c\u061b"
# One of these follows the closing bracket if a Japanese sentence continues after a quotation.
_CONTINUING = "\u3068\u3063\u306a\u306e\u3092\u306b\u306f\u304c\u3082\u3067"

# Kinds of words that decide whether a full stop ends a sentence, as bits.
_NEVER, _MAYBE, _STARTER, _ORDINAL, _COUNTED = (1 << i for i in range(5))

# Abbreviations whose full stop never ends a sentence, because what they belong to follows. Written without the stop and in
# lower case; they match capitalised, too. English, German, French, Spanish, Italian, Polish, Russian.
_NEVER_ENDS = """
mr mrs ms dr MR MRS DR ST prof st messrs mt ft gen col capt lt sgt rev hon gov sen rep fr vs fig figs vol vols ch pp no nos
dept est approx ca cf al ed eds trans repr jan feb mar apr jun jul aug sep sept oct nov dec op cit ibid e.g i.e c.f v.s
bzw nr str hr frl geb gest bd ggf evtl sog vgl abb hrsg aufl inkl exkl mio mrd tel z.b d.h u.a v.a s.o s.u i.d.r o.g
m mm mme mlle mll mgr av env sra srta dña ud uds pág núm art arts ee sig dott avv ing
tzn np ul św ks zob wg abp bp fot godz pt pl ang hab m.in čl doc tzv např spol
ул стр см им рис табл гл т.е т.н т.к пр пер просп тел акад ст пос проф арх
"""

# Abbreviations whose full stop may end a sentence: it does if a word of _STARTERS follows.
_MAY_END = """
jr sr etc inc ltd co corp usw usf jh itd itp ok tys proc
т г гг в вв д др пр тыс млн млрд руб коп н э проч
"""

# Words that begin sentences, but hardly ever a name or (in German) a noun phrase after an abbreviation.
_STARTERS = """
The This That These Those It He She They We You If In On At But And As For When While There What Which Who How Why Then However
Its His Her Their Our My Some Many Most After Before Since Because So Now Another Each Both Although Though Until With From By
Also I
Die Der Das Ein Eine Es Er Sie Wir Im Auf Auch Aber Und Oder Wenn Als Nach Bei Mit Für Dies Diese Dieser Dieses Dann Hier Man Nun
Seit Während Trotzdem Danach Dabei Damit Doch Wie Wer Weil Ich
Les Il Elle Ils Elles On Ce Cette Ces Mais Et Dans En Pour Avec Quand Comme Après Nous Vous Une Un
Los Las Una Este Esta Pero Con Por Para Cuando Como Se Su Sus Nel Nella Ma Per Quando Questo Questa Non
W Na Nie To Po Jest Jego Jej Ale Gdy Jak Do
В На И Но Он Она Оно Они Это Эти Этот Эта Эту Мы Вы Я Как Если Когда Что Где По При Для За Из От До После Так Также Тут Там Все
Всё Кроме Однако Или С К О У Не Поэтому Его Её Их Под Во Ко Со Сейчас Теперь
"""

# German: a number with a full stop is an ordinal after one of the first or before one of the second ("vom 3. Mai", "7. Auflage").
_BEFORE_ORDINALS = (
    "am den dem der des die das vom zum zur im ins beim bis ab seit und ein eine einen einem einer sein seine ihr ihre"
)
_COUNTED_NOUNS = (
    "januar februar märz april mai juni juli august september oktober november dezember jahrhundert jahrhunderts auflage"
)


def sentence_starts(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    r"""Return the starts of the sentences of N texts.

    Args:
        data: the UTF-8 bytes of all texts, concatenated.
        offsets: N + 1: text n is data[offsets[n]:offsets[n + 1]].

    Returns:
        The byte offsets in `data` at which sentences start, ascending, and N + 1 offsets into them by text. Every text
        but an empty one has at least one sentence.

    >>> text = b"Dr. Who left. He said: \"Go!\" Then 3.5 km.\nEnd"
    >>> starts, _ = sentence_starts(np.frombuffer(text, np.uint8), np.array([0, len(text)]))
    >>> starts.tolist()
    [0, 14, 29, 42]
    """
    classes, continues, keys, kinds = _tables()
    return _scan(data, offsets, classes, continues, keys, kinds)


@lru_cache(maxsize=1)
def _tables() -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.uint64], NDArray[np.uint8]]:
    """Return, by code point below 0x20000, its class and whether it continues a quotation; the word hashes and their bits."""
    classes = np.zeros(0x20000, np.uint8)
    for code in range(0x20000):
        category = unicodedata.category(chr(code))
        if category == "Ll":
            classes[code] = _LOWER
        elif category in ("Lu", "Lt"):
            classes[code] = _UPPER
        elif category == "Nd":
            classes[code] = _DIGIT
        elif category == "Zs" or code in (0x09, 0x0B, 0x0C, 0x0D, 0x85):
            classes[code] = _SPACE
    for characters, kind in ((_ENDS, _END), (_FULL_ENDS, _FULL_END), (_CLOSES, _CLOSE), (_OPENS, _OPEN), (_COMMAS, _COMMA)):
        classes[[ord(c) for c in characters]] = kind
    classes[0x0A], classes[ord(".")] = _NEWLINE, _STOP
    continues = np.zeros(0x20000, np.bool_)
    continues[[ord(c) for c in _CONTINUING + _COMMAS]] = True
    return classes, continues, *_words()


def _words() -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Return the hashes of the listed words, ascending, and their bits."""
    bits: dict[int, int] = {}
    lists = ((_NEVER_ENDS, _NEVER), (_MAY_END, _MAYBE), (_BEFORE_ORDINALS, _ORDINAL), (_COUNTED_NOUNS, _COUNTED))
    forms = [(form, bit) for text, bit in lists for word in text.split() for form in (word, word.capitalize())]
    for form, bit in (*forms, *((word, _STARTER) for word in _STARTERS.split())):
        key = _fnv(form.encode())
        bits[key] = bits.get(key, 0) | bit
    keys = sorted(bits)
    return np.array(keys, np.uint64), np.array([bits[key] for key in keys], np.uint8)


def _fnv(data: bytes) -> int:
    key = 0xCBF29CE484222325
    for byte in data:
        key = ((key ^ byte) * 0x100000001B3) % 2**64
    return key


@jit
def _character(data: Any, position: int, end: int) -> Any:  # pragma: no cover (compiled)
    """Return the code point at a position and its number of bytes."""
    lead = np.int64(data[position])
    if lead < 0x80:
        return lead, 1
    size = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if position + size > end:
        return np.int64(0xFFFD), 1
    code = lead & (0x7F >> size)
    for i in range(1, size):
        code = (code << 6) | (np.int64(data[position + i]) & 0x3F)
    return code, size


@jit
def _skip(data: Any, position: int, end: int, classes: Any, kinds: int) -> int:  # pragma: no cover (compiled)
    """Return the first position from `position` on whose character's class is not in the bit set `kinds`."""
    while position < end:
        code, size = _character(data, position, end)
        kind = classes[code] if code < 0x20000 else 0
        if not (kinds >> kind) & 1:
            break
        position += size
    return position


@jit
def _class_at(data: Any, position: int, end: int, classes: Any) -> int:  # pragma: no cover (compiled)
    if position >= end:
        return _OTHER
    code, _ = _character(data, position, end)
    return classes[code] if code < 0x20000 else _OTHER


@jit
def _word_bits(data: Any, start: int, end: int, keys: Any, kinds: Any) -> int:  # pragma: no cover (compiled)
    """Return the bits of the word in these bytes; 0 if it is not listed."""
    key = np.uint64(0xCBF29CE484222325)
    for place in range(start, end):
        key = (key ^ np.uint64(data[place])) * np.uint64(0x100000001B3)
    first, last = 0, len(keys)  # np.searchsorted takes seconds to compile
    while first < last:
        middle = (first + last) // 2
        if keys[middle] < key:
            first = middle + 1
        else:
            last = middle
    return int(kinds[first]) if first < len(keys) and keys[first] == key else 0


@jit
def _token_start(data: Any, begin: int, end: int) -> int:  # pragma: no cover (compiled)
    """Return the start of the token that ends at `end`; only ASCII white space separates tokens here."""
    while end > begin and data[end - 1] > 0x20:
        end -= 1
    return end


@jit
def _starter_bits(data: Any, start: int, end: int, classes: Any, keys: Any, kinds: Any) -> int:  # pragma: no cover (compiled)
    """Return the bits of the word at `start`; 0 for a single letter before a full stop, which is an initial."""
    stop = _skip(data, start, end, classes, (1 << _UPPER) | (1 << _LOWER))
    if stop < end and data[stop] == 0x2E and _character(data, start, end)[1] == stop - start:
        return 0
    return _word_bits(data, start, stop, keys, kinds)


@jit
def _count_letters(data: Any, start: int, end: int, classes: Any) -> Any:  # pragma: no cover (compiled)
    """Return a word's digits, other characters but stops, capitals, Roman digits, stops; whether it is like "U.S" or "p.m"."""
    digits, letters, uppers, romans, symbols, stops, segment, longest = 0, 0, 0, 0, 0, 0, 0, 0
    while start < end:
        code, size = _character(data, start, end)
        kind = classes[code] if code < 0x20000 else _OTHER
        digits += kind == _DIGIT
        uppers += kind == _UPPER
        letters += kind not in (_DIGIT, _STOP)
        romans += code in (0x49, 0x56, 0x58, 0x4C, 0x43)  # I V X L C
        symbols += kind == _OTHER and code < 0x80
        stops += kind == _STOP
        segment = 0 if kind == _STOP else segment + 1
        longest = max(longest, segment)
        start += size
    return digits, letters, uppers, romans, stops, stops > 0 and longest <= 2 and symbols == 0


@jit
def _is_inner_stop(  # pragma: no cover (compiled)
    data: Any, begin: int, position: int, after: int, following: int, end: int, classes: Any, keys: Any, kinds: Any
) -> Any:  # fmt: skip
    """Return whether the full stop at `position`, in a sentence that starts at `begin`, does not end the sentence.

    Closing characters reach to `after`; the next word starts at `following`.
    """
    for place in range(position + 1, after):
        if data[place] != 0x29 and data[place] != 0x5D and data[place] != 0x7D:  # ) ] }
            return False  # after an ellipsis or a closing quote, the sentence ends
    opening = (1 << _OPEN) | (1 << _CLOSE) | (1 << _COMMA)
    start = _skip(data, _token_start(data, begin, position), position, classes, opening)
    digits, letters, uppers, romans, stops, is_dotted = _count_letters(data, start, position, classes)
    if start == position:
        return False
    before_end = start
    while before_end > begin and data[before_end - 1] <= 0x20:
        before_end -= 1
    before_start = _skip(data, _token_start(data, begin, before_end), before_end, classes, opening)
    is_first = before_start >= before_end
    is_second = not is_first and before_start <= _skip(data, begin, end, classes, opening | (1 << _SPACE))
    next_bits = _starter_bits(data, following, end, classes, keys, kinds)
    if letters == 0:
        if stops or digits > 2 or is_first or is_second:
            return is_first or (is_second and (stops > 0 or digits <= 2))  # "8.1. Title", "Fig. 3.1. Title"
        return (_word_bits(data, before_start, before_end, keys, kinds) & _ORDINAL) != 0 or (next_bits & _COUNTED) != 0
    if is_first and romans == letters and not digits and not stops:
        return True  # "XI. Title"
    if digits and stops:
        return is_first and letters <= 2  # "B.1. Title"
    starts_sentence = (next_bits & _STARTER) != 0
    bits = _word_bits(data, start, position, keys, kinds)
    if bits & _NEVER:
        return True
    if bits & _MAYBE or is_dotted:  # "U.S.", "p.m.", "т.д."
        return not starts_sentence
    first = _class_at(data, start, position, classes)
    if letters == 1 and not digits and not stops:
        return first in (_UPPER, _LOWER) and (is_first or is_second or not starts_sentence)
    if letters <= 3 and not digits and not stops and first == _UPPER and uppers < letters:
        return _class_at(data, following, end, classes) == _DIGIT  # "Eph. 6:15", "Abs. 2"
    return False


@jit
def _next_start(  # pragma: no cover (compiled)
    data: Any, begin: int, position: int, end: int, kind: int, ended: bool, classes: Any, continues: Any, keys: Any, kinds: Any
) -> int:  # fmt: skip
    """Return the start of the next sentence if the character at `position` (of class `kind`) ends one; else -1."""
    spaces, ends = (1 << _SPACE) | (1 << _NEWLINE), (1 << _STOP) | (1 << _END) | (1 << _FULL_END) | (1 << _CLOSE)
    if kind == _NEWLINE:
        start = _skip(data, position, end, classes, spaces)
        single = start < position + 2 or data[position + 1] != 0x0A
        wrapped = single and not ended and _class_at(data, start, end, classes) == _LOWER
        return -1 if wrapped else start
    after = _skip(data, position, end, classes, ends)
    if kind == _FULL_END:
        for place in range(position, after - 2):
            if data[place] == 0xE2 and data[place + 1] == 0x80 and data[place + 2] == 0x9C:  # “ closes in German only
                after = place
                break
    if after >= end:
        return -1
    if kind == _FULL_END:
        code, _ = _character(data, after, end)
        closed = after > position + 3
        if closed and code < 0x20000 and continues[code]:
            return -1
        return _skip(data, after, end, classes, spaces)
    following = _class_at(data, after, end, classes)
    if following != _SPACE:
        return -1  # a line end is decided at the newline
    start = _skip(data, after, end, classes, 1 << _SPACE)
    opened = _skip(data, start, end, classes, (1 << _OPEN) | (1 << _CLOSE) | (1 << _SPACE))
    first = _class_at(data, opened, end, classes)
    if first in (_LOWER, _COMMA, _NEWLINE, _STOP, _END):  # ". . ."
        return -1
    if kind == _STOP and _is_inner_stop(data, begin, position, after, opened, end, classes, keys, kinds):
        return -1
    return start


@jit
def _scan(  # pragma: no cover (compiled)
    data: Any, offsets: Any, classes: Any, continues: Any, keys: Any, kinds: Any
) -> Any:  # fmt: skip
    starts, count = np.empty(len(data) // 16 + 16, np.int64), 0
    counts = np.zeros(len(offsets), np.int64)
    for text in range(len(offsets) - 1):
        begin, end = offsets[text], offsets[text + 1]
        position, start, ended = begin, begin, False
        while position < end:
            if position == start:
                if count == len(starts):
                    larger = np.empty(2 * count, np.int64)
                    for j in range(count):  # a slice takes seconds to compile (its error message)
                        larger[j] = starts[j]
                    starts = larger
                starts[count] = start
                count += 1
                begin = start
            code, size = _character(data, position, end)
            kind = classes[code] if code < 0x20000 else _OTHER
            if kind in (_NEWLINE, _STOP, _END, _FULL_END):
                following = _next_start(data, begin, position, end, kind, ended, classes, continues, keys, kinds)
                if following > position:
                    position = start = following
                    ended = False
                    continue
            if kind not in (_SPACE, _CLOSE):
                ended = kind in (_STOP, _END, _FULL_END)
            position += size
            if kind in (_STOP, _END):  # the marks after it end no sentence either: read a line of dots only once
                position = _skip(data, position, end, classes, (1 << _STOP) | (1 << _END) | (1 << _CLOSE))
        counts[text + 1] = count
    return starts[:count], counts
