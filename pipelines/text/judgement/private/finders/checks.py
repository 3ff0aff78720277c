"""Checks of identity numbers that python-stdnum lacks, or whose answer there depends on the day on which it is given.

Each takes the letters and digits of a number and returns whether they can be one. The others come from python-stdnum.
"""

import functools
import re
from collections.abc import Callable
from importlib import import_module

from stdnum import luhn
from stdnum.exceptions import ValidationError
from stdnum.iso7064 import mod_11_2

Check = Callable[[str], bool]


@functools.cache
def from_stdnum(module: str) -> Check:
    """Return the check of a module of python-stdnum, such as "pl.pesel"."""
    validate = import_module(f"stdnum.{module}").validate

    def check(number: str) -> bool:
        try:
            return bool(validate(number))
        except (ValidationError, LookupError, ValueError):  # some modules look parts of a number up before they check it
            return False

    return check


def belgian(number: str) -> bool:
    """Numéro national: a day of birth (or 00), a serial number, 97 minus the rest by 97; with a 2 before it from 2000 on."""
    first, check = int(number[:9]), int(number[9:])
    return _is_day(number[2:4], number[4:6], unknown=True) and check in (97 - first % 97, 97 - (2_000_000_000 + first) % 97)


def norwegian(number: str) -> bool:
    """Fødselsnummer: a day of birth (D-numbers add 40), two check digits modulo 11."""
    digits = [int(digit) for digit in number]
    day = int(number[:2]) % 40
    first = -sum(map(int.__mul__, (3, 7, 6, 1, 8, 9, 4, 5, 2), digits)) % 11
    second = -sum(map(int.__mul__, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2), digits)) % 11
    return int(number[:2]) < 72 and _is_day(number[2:4], f"{day:02}") and [first, second] == digits[9:]


def danish(number: str) -> bool:
    """CPR: a day of birth; its check digit is no longer kept since 2007."""
    return _is_day(number[2:4], number[:2])


def finnish(number: str) -> bool:
    """HETU; "-", which says that the century is the twentieth, is no letter or digit and so not in the number."""
    return from_stdnum("fi.hetu")(f"{number[:6]}-{number[6:]}" if len(number) == 10 else number)


def swedish(number: str) -> bool:
    """Personnummer: a day of birth (coordination numbers add 60), Luhn's check digit."""
    number = number[-10:]
    return _is_day(number[2:4], f"{int(number[4:6]) % 60:02}") and luhn.is_valid(number)


def south_african(number: str) -> bool:
    """A day of birth, citizen or resident, Luhn's check digit."""
    return _is_day(number[2:4], number[4:6]) and number[10] in "012" and luhn.is_valid(number)


def korean(number: str) -> bool:
    """주민등록번호: a day of birth, a century and sex; no check digit, which numbers given since October 2020 lack."""
    return _is_day(number[2:4], number[4:6])


def chinese(number: str) -> bool:
    """居民身份证 (GB 11643): a province, a day of birth, ISO 7064 MOD 11-2."""
    is_place = number[0] in "1234568" and number[1] != "0" and number[6:8] in ("18", "19", "20")
    return is_place and _is_day(number[10:12], number[12:14]) and mod_11_2.is_valid(number)


def french(number: str) -> bool:
    """NIR: sex, year, month, place (2A and 2B on Corsica), serial number, 97 minus the rest by 97."""
    digits = number.replace("2A", "19").replace("2B", "18")
    month = int(digits[3:5])
    is_month = 1 <= month <= 12 or 20 <= month <= 42 or month >= 50
    return digits[0] in "123478" and is_month and 97 - int(digits[:13]) % 97 == int(digits[13:])


def russian_insurance(number: str) -> bool:
    """СНИЛС: nine digits weighted by nine to one, modulo 101, 100 as 0."""
    total = sum(map(int.__mul__, range(9, 0, -1), map(int, number)))
    return total % 101 % 100 == int(number[9:])


def british_insurance(number: str) -> bool:
    """National Insurance number: no checksum; ZZ and T are those of examples."""
    return re.fullmatch(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-DT]", number) is not None


def starts_with_nine(number: str) -> bool:
    """ITIN, and social security numbers of examples: no checksum."""
    return number[0] == "9"


def hungarian(number: str) -> bool:
    """Személyi azonosító: sex and century, a day of birth, digits weighted by their place (from 1997 on, counted backwards)."""
    digits = list(map(int, number))
    weights = range(10, 0, -1) if digits[0] in (3, 4) or (number[0] in "12" and number[1:3] >= "97") else range(1, 11)
    total = sum(map(int.__mul__, weights, digits)) % 11
    return number[0] in "12345678" and _is_day(number[3:5], number[5:7]) and total == digits[10]


def singaporean(number: str) -> bool:
    """NRIC and FIN: digits weighted, the check letter by the first letter's series."""
    total = sum(map(int.__mul__, (2, 7, 6, 5, 4, 3, 2), map(int, number[1:8])))
    series = {
        "S": (0, "JZIHGFEDCBA"),
        "T": (4, "JZIHGFEDCBA"),
        "F": (0, "XWUTRQPNMLK"),
        "G": (4, "XWUTRQPNMLK"),
        "M": (3, "KLJNPQRTUWX"),
    }
    if number[0] not in series:
        return False
    offset, letters = series[number[0]]
    rest = (total + offset) % 11
    return letters[10 - rest if number[0] == "M" else rest] == number[8]


def hong_kong(number: str) -> bool:
    """HKID of one letter: letter and digits weighted by eight to two, modulo 11, 10 as A."""
    total = 36 * 9 + (ord(number[0]) - 55) * 8 + sum(map(int.__mul__, range(7, 1, -1), map(int, number[1:7])))
    return "0A987654321"[total % 11] == number[7]


def taiwanese(number: str) -> bool:
    """身分證: the letter's number and the digits weighted, modulo 10."""
    place = 10 + "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(number[0])
    weighted = sum(map(int.__mul__, (8, 7, 6, 5, 4, 3, 2, 1, 1), map(int, number[1:])))
    return number[1] in "1289" and (place // 10 + place % 10 * 9 + weighted) % 10 == 0


def pakistani(number: str) -> bool:
    """CNIC: a province, no checksum."""
    return number[0] in "1234567" and number[1:5] != "0000"


def _is_day(month: str, day: str, *, unknown: bool = False) -> bool:
    """Return whether there is such a day; with `unknown`, 00 stands for a month or a day that is not known."""
    if unknown and (month == "00" or day == "00"):
        return int(month) <= 12 and int(day) <= 31
    return 1 <= int(month) <= 12 and 1 <= int(day) <= (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[int(month) - 1]
