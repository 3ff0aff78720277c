"""Telephone numbers, of all countries in which phonenumbers knows the numbering plan.

Three kinds of evidence, each enough: an international prefix before a number of the country's length; a word such as "phone" or
"fax" beside it; or a written form that other numbers do not have, with digits that a plan assigns.
"""

import functools
import re
from collections.abc import Iterator

import phonenumbers

from pipelines.text.judgement.private.evidence import HYPHENS, OF_THINGS, SPACES, in_address, is_glued
from pipelines.text.judgement.private.findings import PrivateType
from pipelines.text.judgement.private.windows import Found, Window
from pipelines.text.judgement.private.words import words

_GAP = rf"\)?(?:[{SPACES}]?[{HYPHENS}./][{SPACES}]?|[{SPACES}])?\(?"
_NUMBER = re.compile(rf"(?:\+|\(\+?)?\d(?:{_GAP}\d){{5,16}}")
_EXTENSION = re.compile(r"\s?(?:x|ext\.?|extension|#|доб\.?|durchwahl|poste|int\.)\s?\d{1,6}\b", re.IGNORECASE)
_MEANT = words(
    "phone* telephone* tel tél telefo* téléphone* telemóvel teléfono*",
    "mobile* mob cell cellphone cellular celular* fax* handy",
    "mobil mobiltelefon* rufnummer* durchwahl móvil movil cellulare hotline helpline whatsapp viber sms gsm",
    "call_us toll-free freephone landline switchboard office_phone tlf tfn puhelin* puh tfno fono komórk* kom téléc* telefax*",
    "тел телефон* моб факс* звоните телефону τηλ* τηλέφωνο* κιν* φαξ 电话",
    "電話 手机 手機 传真 傳真 携帯 팩스 전화 휴대폰 연락처 โทร* điện_thoại",
    "đt फोन फ़ोन मोबाइल ফোন هاتف جوال تلفن تليفون موبايل فاكس טלפון נייד פקס telepon simu ☎ 📞 ✆",
)
_ALSO_MEANT = words(  # words that speak of calls; a number beside them must have the form of one
    "call calling callback* reservation* booking* appointment* dial dialling dialing",
    "text reach reached ring contact answer* messages_to message_to registered desk office home work",
    "portable kontakt* anruf* ruf rufen contacter appelez appeler llame llamar",
    "llámanos contacto ligue contato contatto chiama chiamare",
    "zadzwoń* zadzwonić volejte volat bel bellen ringa soita* hívja hívj* sunați ara arayın связ* звон*",
)
_AFTERWARDS = re.compile(
    r"\s?[-–,(\[]{0,2}\s?(?:(?:office|fax|mobile|cell|home|work|phone|tel|voice|handy|mobil|portable|gsm)\b|"
    r"is (?:my|our|his|her|the) (?:new |old )?(?:phone |cell |mobile |home |work )?number)",
    re.IGNORECASE,
)
_LONG_NUMBER, _AND = re.compile(r"\d{3,}"), re.compile(r"[\s/,;&|+(]{0,4}(?:(?:or|and|und|oder|et|ou|y|o|e|i|и)\s)?[+(]?")
_LEADING_TO = re.compile(r"(?:\b(?:at|on|to|unter|auf|au|al|en|em|no|op|på|pod|на|по)|:)\s?\Z", re.IGNORECASE)
_NORTH_AMERICAN = re.compile(
    r"(?:1[\s.-]?)?(?:\([2-9]\d{2}\)\s?[2-9]\d{2}[-.\s]\d{4}|[2-9]\d{2}([-.])[2-9]\d{2}\1\d{4}|[2-9]\d{2}\s[2-9]\d{2}[-.]\d{4})"
)
_DATE = re.compile(
    r"(?:1[5-9]|20|21)\d\d([-./ ])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?:\D.*)?|"
    r"(?:0?[1-9]|[12]\d|3[01])([-./ ]{1,2})(?:0?[1-9]|[12]\d|3[01])\2(?:1[5-9]|20|21)\d\d(?:\D.*)?|(?:19|20)\d{6}|(?:19|20)\d{12}"
)
_DATE_AFTER = re.compile(r".*\b(?:0?[1-9]|[12]\d|3[01])[./-](?:0?[1-9]|[12]\d|3[01])[./-](?:19|20)\d\d")
_POSTCODE = re.compile(r"\d{5}-\d{4}")  # ZIP+4
_FRACTION = re.compile(r"\d+\.\d+")
_RANGE = re.compile(rf"\d+0[{HYPHENS}]\d+0")
_THOUSANDS = re.compile(rf"\+\d{{1,3}}(?:[{SPACES}.]\d{{3}})+")
_DECIMAL = re.compile(r"\+?\d+\.\d{1,6}")
_BOOK = re.compile(r"(?:97[89][- ]?)?\d{1,5}[- ]\d{1,7}[- ]\d{1,6}[- ][\dX]")
_BOOK_BEFORE = re.compile(r"(?:isbn|issn|ean|doi|oclc|lccn|pmid|arxiv|asin)\W{0,3}(?:1[03])?\W{0,3}\Z", re.IGNORECASE)
_LEAST_ALONE = 9  # digits of one run without a word near it: no country has shorter numbers with a prefix
# Numbering plans that are tried for a number without a prefix; those of the text's language come first.
_REGIONS = [
    *("US", "GB", "DE", "FR", "IT", "ES", "NL", "BE", "CH", "AT", "PL", "SE", "NO", "DK", "FI"),
    *("IE", "PT", "CZ", "HU", "RO", "GR", "BG", "UA", "RU", "TR", "IL", "IN", "CN", "JP", "KR"),
    *("TW", "HK", "SG", "MY", "ID", "PH", "TH", "VN", "AU", "NZ", "ZA", "BR", "MX", "AR", "CL"),
    *("CO", "EG", "NG", "KE"),
]
_OF_LANGUAGE = {
    "en": "US GB AU IE NZ ZA IN",
    "de": "DE AT CH",
    "fr": "FR BE CH LU",
    "it": "IT CH",
    "es": "ES MX AR CL CO PE",
    "pt": "BR PT",
    "nl": "NL BE",
    "pl": "PL",
    "sv": "SE FI",
    "no": "NO",
    "nb": "NO",
    "nn": "NO",
    "da": "DK",
    "fi": "FI",
    "cs": "CZ",
    "sk": "SK",
    "hu": "HU",
    "ro": "RO MD",
    "el": "GR CY",
    "bg": "BG",
    "uk": "UA",
    "ru": "RU KZ BY",
    "tr": "TR",
    "he": "IL",
    "hi": "IN",
    "zh": "CN TW HK",
    "ja": "JP",
    "ko": "KR",
    "vi": "VN",
    "th": "TH",
    "id": "ID",
    "ms": "MY",
    "hr": "HR",
    "sr": "RS",
    "sl": "SI",
    "lt": "LT",
    "lv": "LV",
    "et": "EE",
    "ar": "EG SA AE MA",
    "fa": "IR",
}


def phones(window: Window) -> Iterator[Found]:
    """Yield the telephone numbers in a NUMBER."""
    if not window.has_words and window.value.isdigit() and len(window.value) < _LEAST_ALONE:
        return
    at = max(0, window.at - 3)
    while (match := _NUMBER.search(window.text, at)) and match.start() < window.stop:
        start, end = _trimmed(window.text, match.start(), match.end())
        if end > window.stop:  # another number begins here
            break
        kind = _kind(window, start, end)
        if kind:
            extension = _EXTENSION.match(window.text, end)
            yield Found(PrivateType.PHONE, kind, start, extension.end() if extension else end)
        at = match.end()


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the span without an opening bracket that is not closed, or one closed before it."""
    if text[start] == "(" and ")" not in text[start:end]:
        start += 1
    elif ")" in text[start:end] and "(" not in text[start:end] and start and text[start - 1] == "(":
        start -= 1
    return start, end


def _kind(window: Window, start: int, end: int) -> str | None:
    """Return what the number is as a telephone number; None if it is none."""
    text = window.text[start:end]
    digits = re.sub(r"\D", "", text)
    if not 6 <= len(digits) <= 15 or len(set(digits)) < 3 or _FRACTION.fullmatch(text) or _is_other(window, start, end, text):
        return None
    groups = re.findall(r"\d+", text)
    if _is_international(text, digits, is_grouped=len(groups) > 1):
        return "international"
    if _is_named(window, start, end):
        return "named"
    line = window.text.rfind("\n", 0, start) + 1
    if window.names(_ALSO_MEANT, start, min(40, start - line)) and _has_form(window.text[line:start], text, groups):
        return "spoken_of"
    return None if window.names(OF_THINGS, start, 24) else _by_form(window, text, digits, groups)


def _has_form(before: str, text: str, groups: list[str]) -> bool:
    """Return whether digits are grouped as a telephone number may be, or follow "at", "on" or a colon in one run."""
    lengths = [len(group) for group in groups]
    if len(groups) > 1:
        is_range = _RANGE.fullmatch(text) is not None and int(groups[0]) < int(groups[1])
        return not is_range and max(lengths) <= 8 and sum(lengths) >= 7 and lengths.count(1) <= 1
    return 8 <= lengths[0] <= 12 and _LEADING_TO.search(before) is not None


def _is_named(window: Window, start: int, end: int) -> bool:
    between = _LONG_NUMBER.split(window.text[max(0, start - 24) : start])[-1]  # a word before another number is that number's
    reach = 24 if _AND.fullmatch(between) else len(between)
    return window.names(_MEANT, start, reach) or (window.has_words and _AFTERWARDS.match(window.text, end) is not None)


def _is_other(window: Window, start: int, end: int, text: str) -> bool:
    """Return whether it is a date, the number of a book, or a part of something longer."""
    before = window.text[max(0, start - 16) : start]
    glued = is_glued(window, start, end) and not _AFTERWARDS.match(window.text, end)
    if (
        glued
        and not (before.endswith(("/", ":", "-", "–", "#")) and window.names(_MEANT, start, 16))
        and not _EXTENSION.match(window.text, end)
    ):
        return True
    is_book = _BOOK.fullmatch(text) is not None and not _is_named(window, start, end)
    return bool(
        _DATE.fullmatch(text)
        or _DATE_AFTER.fullmatch(text)
        or is_book
        or _BOOK_BEFORE.search(before)
        or in_address(window, start)
    )


def _is_international(text: str, digits: str, *, is_grouped: bool) -> bool:
    """Return whether it begins with "+", "00" or "011" and a country's code, and has about as many digits as there."""
    has_plus = text.lstrip("(").startswith("+")
    prefix = next((prefix for prefix in ("00", "011") if text.startswith(prefix)), None)
    if (not has_plus and (prefix is None or len(digits) < 11)) or _DECIMAL.fullmatch(text):
        return False
    try:
        parsed = phonenumbers.parse(re.sub(r"\(0\)", "", text) if has_plus else "+" + digits.removeprefix(prefix or ""))
    except phonenumbers.NumberParseException:
        return False
    if not has_plus or (not is_grouped and len(digits) < _LEAST_ALONE):
        return phonenumbers.is_valid_number(parsed)
    if len(digits) >= _LEAST_ALONE and len(re.findall(r"\d+", text)) >= 3 and not _THOUSANDS.fullmatch(text):
        return True  # also one digit too many or too few: it is meant as a telephone number
    return phonenumbers.is_possible_number_with_reason(parsed) == phonenumbers.ValidationResult.IS_POSSIBLE


def _by_form(window: Window, text: str, digits: str, groups: list[str]) -> str | None:
    """Return the kind of a number that nothing but its form shows to be one."""
    if _NORTH_AMERICAN.fullmatch(text):
        return "north_american"
    are_pairs = len(groups) > 3 and max(map(len, groups)) == 2  # as the French write them, and all write scores
    if _POSTCODE.fullmatch(text) or (are_pairs and window.language not in ("fr", "und", None)):
        return None
    has_code = text.startswith("(") or (digits[0] == "0" and len(groups[0]) >= 2)
    if has_code and 9 <= len(digits) <= 11 and 2 <= len(groups) <= 5 and min(map(len, groups)) >= 2:
        regions = (*_OF_LANGUAGE.get(window.language or "", "").split(), *_REGIONS)
        return "national" if any(_is_assigned(digits, region) for region in dict.fromkeys(regions)) else None
    if len(groups) == 1 and window.language == "zh" and re.fullmatch(r"1[3-9]\d{9}", digits):
        return "national"
    return None


@functools.lru_cache(maxsize=65536)
def _is_assigned(digits: str, region: str) -> bool:
    """Return whether a region's plan has fixed or mobile numbers with these digits, with or without the trunk prefix."""
    prefix, patterns = _plan(region)
    national = digits[len(prefix) :] if prefix and digits.startswith(prefix) else digits
    return any(pattern.fullmatch(national) for pattern in patterns)


@functools.cache
def _plan(region: str) -> tuple[str, tuple[re.Pattern[str], ...]]:
    """Return a region's trunk prefix and the patterns of its fixed and mobile numbers."""
    plan = phonenumbers.PhoneMetadata.metadata_for_region(region)
    assert plan is not None, region
    kinds = (plan.fixed_line, plan.mobile)
    patterns = [kind.national_number_pattern for kind in kinds if kind is not None and kind.national_number_pattern]
    return plan.national_prefix or "", tuple(map(re.compile, patterns))
