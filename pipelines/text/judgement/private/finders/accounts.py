"""Numbers of payment cards and bank accounts (IBAN), both with a checksum."""

import re
from collections.abc import Iterator

from stdnum import iban, luhn
from stdnum.exceptions import ValidationError

from pipelines.text.judgement.private.evidence import LETTERS, SPACES, in_address
from pipelines.text.judgement.private.findings import PrivateType
from pipelines.text.judgement.private.windows import Found, Window
from pipelines.text.judgement.private.words import words

ACCOUNT_REACH = (160, 50)
_LEAST_ACCOUNT = 14  # characters; the shortest, Norway's, has 15
_ACCOUNT_NEAR = words(
    "iban account accounts konto kontonummer compte cuenta conto conta rekening* konta",
    "банк* счет* счёт* bank* transfer* überweis*",
)
_ACCOUNT = re.compile(rf"(?<![{LETTERS}])[A-Z]{{2}}\d{{2}}(?:[{SPACES}-]?[A-Z0-9]){{11,30}}")

# The issuers' first digits, as ranges of the first six, with the lengths of their numbers (ISO/IEC 7812-1; the issuers' pages).
_ISSUERS = (
    ("visa", ((400000, 499999),), (13, 16, 19)),
    ("mastercard", ((510000, 559999), (222100, 272099)), (16,)),
    ("amex", ((340000, 349999), (370000, 379999)), (15,)),
    ("diners", ((300000, 305999), (309500, 309599), (360000, 369999), (380000, 399999)), (14, 16)),
    ("discover", ((601100, 601199), (622126, 622925), (644000, 659999)), (16, 19)),
    ("jcb", ((350000, 359999),), (16, 17, 18, 19)),
    ("jcb", ((180000, 180099), (213100, 213199)), (15,)),
    ("unionpay", ((620000, 629999), (810000, 817199)), (16, 17, 18, 19)),
    ("mir", ((220000, 220499),), (16, 17, 18, 19)),
    ("rupay", ((508500, 508999), (606900, 608500), (652100, 653099)), (16,)),
    ("maestro", ((500000, 509999), (560000, 589999), (630400, 630499), (639000, 639099), (670000, 679999)), tuple(range(12, 20))),
)
_GROUPED = re.compile(
    rf"(?<![{LETTERS}.])(?:\d{{4}}([{SPACES}-])\d{{4}}\1\d{{4}}\1\d{{4}}(?:\1\d{{3}})?|\d{{4}}([{SPACES}-])\d{{6}}\2\d{{4,5}})(?![{LETTERS}]|[.,]\d)"
)
_BARE = re.compile(rf"(?<![{LETTERS}./-])\d{{12,19}}(?![{LETTERS}]|[.,]\d)")
_CARD_NEAR = words(
    "card cards cc ccn credit debit visa mastercard maestro amex american_express",
    "discover diners jcb unionpay mir payment* pan cvv cvc",
    "kreditkarte* karte* kartennummer carte* tarjeta* cartão cartao carta scheda karta* karty kártya kort* kaart kart* kortti*",
    "κάρτα* карт* כרטיס بطاقة 卡 カード 카드 บัตร thẻ",
)
_LISTED_BEFORE, _LISTED_AFTER = re.compile(rf"\d[{SPACES}-]\Z"), re.compile(rf"[{SPACES}-]\d")  # one of many numbers
_PAID_NEAR = words("paid pay paying charge charged exp expir*")
_LEAST_CARD = 12  # digits
_SURE_LENGTHS = (15, 16)  # of one run of digits without a word beside it


def cards(window: Window) -> Iterator[Found]:
    """Yield the card numbers in a NUMBER: Luhn's check digit (ISO/IEC 7812-1, annex B), and an issuer's prefix or a word."""
    if len(window.value) < _LEAST_CARD:
        return
    for pattern, is_grouped in ((_GROUPED, True), (_BARE, False)):
        for match in pattern.finditer(window.text, window.at, len(window.text)):
            if match.start() >= window.stop:
                break
            digits = "".join(filter(str.isdigit, match[0]))
            if luhn.is_valid(digits) and _is_card(window, match, digits, is_grouped):
                yield Found(PrivateType.CARD, _issuer(digits) or "card", *match.span())


def _issuer(digits: str) -> str | None:
    first = int(digits[:6])
    for name, ranges, lengths in _ISSUERS:
        if len(digits) in lengths and any(low <= first <= high for low, high in ranges):
            return name
    return None


def _is_card(window: Window, match: re.Match[str], digits: str, is_grouped: bool) -> bool:
    start = match.start()
    if in_address(window, start) or len(set(digits)) < 3:
        return False
    if window.names(_CARD_NEAR, start, 60, match.end(), 30):
        return True
    is_listed = _LISTED_BEFORE.search(window.text, max(0, start - 2), start) or _LISTED_AFTER.match(window.text, match.end())
    if is_grouped and is_listed:
        return False
    is_paid = window.names(_PAID_NEAR, start, 60, match.end(), 30)
    is_decimal = start >= 2 and window.text[start - 1] == "," and window.text[start - 2].isdigit()
    issuer = _issuer(digits)
    is_sure = len(digits) in _SURE_LENGTHS and issuer != "maestro"  # whose ranges are wide
    return issuer is not None and not is_decimal and (is_grouped or is_paid or is_sure)


def accounts(window: Window) -> Iterator[Found]:
    """Yield the IBAN at an ACCOUNT (ISO 13616: the country's form, and ISO 7064 MOD 97-10)."""
    match = _ACCOUNT.match(window.text, window.at)
    if match is None:
        return
    for end in range(match.end(), window.at + _LEAST_ACCOUNT - 1, -1):
        is_whole = window.text[end - 1].isalnum() and not (
            window.text[end : end + 1].isascii() and window.text[end : end + 1].isalnum()
        )
        number = "".join(filter(str.isalnum, window.text[window.at : end])) if is_whole else ""
        if number and _has_checksum(number) and (window.names(_ACCOUNT_NEAR, window.at, 60) or _is_of_country(number)):
            yield Found(PrivateType.IBAN, "iban", window.at, end)
            return


def _has_checksum(number: str) -> bool:
    return int("".join([_DIGITS[character] for character in number[4:] + number[:4]])) % 97 == 1


def _is_of_country(number: str) -> bool:
    """Return whether the country has numbers of this form; a word beside the number says enough without it."""
    try:
        return bool(iban.validate(number, check_country=False))
    except ValidationError:
        return False


_DIGITS = {character: str(int(character, 36)) for character in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"}  # ISO 7064, MOD 97-10
