"""Labelled sentences with private data in many languages and forms, for benchmarks/private.py. All of it is made up.

Numbers get their checksums here; telephone numbers are examples of their plans (phonenumbers) with other last digits.
"""

import random
import re
import string
from collections.abc import Callable
from dataclasses import dataclass

import phonenumbers
from stdnum import iban, luhn

from pipelines.text.judgement.private.finders.national_ids import KINDS, NationalId


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text with one occurrence, text[start:end], of a type."""

    text: str
    language: str
    type: str
    kind: str  # a country, a service, a form
    start: int
    end: int


MARK = "\0"  # between what comes before an occurrence and the occurrence

SENTENCES = {
    "phone": {
        "en": ("Please call {} after six.", "Phone: {}", "You can text me at {}, I am home.", "Fax {} for orders"),
        "de": ("Rufen Sie bitte {} an, Telefon ist besser.", "Tel.: {}", "Fax {}"),
        "fr": ("Appelez le {} avant midi.", "Tél. : {}", "Téléphone {} (accueil)"),
        "es": ("Llame al {} por la mañana.", "Teléfono: {}", "Móvil {}"),
        "it": ("Chiamate il telefono {} dopo le nove.", "Tel. {}", "cellulare: {}"),
        "pt": ("Ligue para {} hoje.", "Telefone: {}", "Celular {}"),
        "nl": ("Bel {} voor een afspraak.", "Telefoon: {}"),
        "pl": ("Zadzwoń pod {} po południu.", "Telefon: {}", "tel. kom. {}"),
        "sv": ("Ring {} i morgon.", "Telefon: {}"),
        "cs": ("Volejte {} po desáté.", "Telefon: {}"),
        "ru": ("Звоните {} после шести.", "Тел.: {}", "Телефон {}"),
        "tr": ("Bizi {} telefon numarasından arayın.", "Tel: {}"),
        "zh": ("电话：{}，欢迎咨询。", "手机 {}"),
        "ja": ("電話は{}です。", "携帯：{}"),
        "ko": ("전화 {}로 문의하세요.", "휴대폰: {}"),
    },
    "other": {
        "en": ("Mine is {}, thanks.", "{} is the one", "see {} for it", "It says {} (new)."),
        "de": ("Es ist {}, danke.", "hier: {}"),
        "fr": ("C’est {}, merci.", "voir {} ici"),
        "es": ("Es {}, gracias.", "aquí: {}"),
        "ru": ("Вот {}, спасибо.", "это {}"),
        "zh": ("是 {} 吗？", "见：{}"),
        "ja": ("これは {} です。", "例：{}"),
    },
    "national_id": {
        "en": ("My identity number is {}.", "National ID: {}", "social security number {} was stolen"),
        "de": ("Meine Ausweisnummer: {}", "ID-Nummer {}"),
        "fr": ("Mon numéro d’identité est {}.", "Numéro : {}"),
        "es": ("Mi documento de identidad: {}", "número {}"),
    },
}
DISTRACTORS = (
    "Order 4401928 of 2023-05-17 cost 1,234,567.00.",
    "Version 2.14.3 came on 17.05.2023 at 12:30:45.",
    "ISBN 978-3-16-148410-0, pages 112-118.",
    "Between 1914 and 1918 it grew from 1 234 567 to 2 345 678.",
    "See commit 3f9a1c20b77e4d5f8a9b and #4523.",
    "",
    "",
)
REGIONS = (  # of which phonenumbers has examples
    "US GB DE FR IT ES NL BE CH AT PL SE NO DK FI IE PT CZ HU RO GR BG UA RU TR IL "
    "IN CN JP KR TW HK SG MY ID TH VN AU NZ ZA BR MX AR CL"
)
IBAN_FORMS = {
    "AT": "n16",
    "BE": "n12",
    "BG": "a4 n6 c8",
    "CH": "n5 c12",
    "CY": "n8 c16",
    "CZ": "n20",
    "DE": "n18",
    "DK": "n14",
    "EE": "n16",
    "ES": "n20",
    "FI": "n14",
    "FR": "n10 c11 n2",
    "GB": "a4 n14",
    "GR": "n7 c16",
    "HR": "n17",
    "HU": "n24",
    "IE": "a4 n14",
    "IS": "n22",
    "IT": "a1 n10 c12",
    "LI": "n5 c12",
    "LT": "n16",
    "LU": "n3 c13",
    "LV": "a4 c13",
    "MT": "a4 n5 c18",
    "NL": "a4 n10",
    "NO": "n11",
    "PL": "n24",
    "PT": "n21",
    "RO": "a4 c16",
    "SE": "n20",
    "SI": "n15",
    "SK": "n20",
    "TR": "n6 c16",
    "SA": "n2 c18",
    "AE": "n19",
}
CARDS = (("4", 16), ("51", 16), ("2221", 16), ("37", 15), ("6011", 16), ("3530", 16), ("6221", 16), ("36", 14))
KEYS: dict[str, tuple[str, str, int]] = {  # prefix, alphabet, characters
    "aws": ("AKIA", string.ascii_uppercase + "234567", 16),
    "github": ("ghp_", string.ascii_letters + string.digits, 36),
    "gitlab": ("glpat-", string.ascii_letters + string.digits, 20),
    "google": ("AIza", string.ascii_letters + string.digits + "_-", 35),
    "stripe": ("sk_live_", string.ascii_letters + string.digits, 24),
    "npm": ("npm_", string.ascii_letters + string.digits, 36),
    "hugging_face": ("hf_", string.ascii_letters, 34),
    "slack": ("xoxb-123456789012-", string.ascii_letters + string.digits, 24),
    "assigned": (f'api_key = "{MARK}', string.ascii_letters + string.digits, 32),
}


def labelled(seed: int, each: int) -> list[Labelled]:
    """Return `each` sentences of every form of every type."""
    rng = random.Random(seed)
    made: list[Labelled] = []
    for type_, kind, values in _forms():
        for _ in range(each):
            made.append(_sentence(rng, type_, kind, values(rng)))
    return made


def _forms() -> list[tuple[str, str, Callable[[random.Random], str]]]:
    forms: list[tuple[str, str, Callable[[random.Random], str]]] = []
    for region in REGIONS.split():
        forms += [("phone", f"{region}_{form}", _phone(region, form)) for form in ("international", "e164", "national")]
    forms += [("iban", country, _iban(country, form)) for country, form in IBAN_FORMS.items()]
    forms += [("card", prefix, _card(prefix, length)) for prefix, length in CARDS for _ in range(4)]
    forms += [("national_id", kind.name, _national_id(kind)) for kind in KINDS for _ in range(2)]
    forms += [("email", "email", _email)] * 60 + [("ip", "ipv4", _ipv4)] * 40 + [("ip", "ipv6", _ipv6)] * 30
    forms += [("url", "url", _url)] * 40 + [("coordinates", "decimal", _coordinates)] * 20
    forms += [("secret", name, _key(*form)) for name, form in KEYS.items() for _ in range(3)]
    return forms


def _sentence(rng: random.Random, type_: str, kind: str, value: str) -> Labelled:
    sentences = SENTENCES.get(type_, SENTENCES["other"])
    language = rng.choice(sorted(sentences))
    template = rng.choice(sentences[language])
    if type_ == "coordinates":
        language, template = "en", "The location is {} on the map."
    before, after = rng.choice(DISTRACTORS), rng.choice(DISTRACTORS)
    prefix, _, label = value.rpartition(MARK)
    closing = '"' if kind == "assigned" else ""
    opening = (f"{before}\n" if before else "") + template[: template.index("{}")] + prefix
    text = opening + label + closing + template[template.index("{}") + 2 :] + (f" {after}" if after else "")
    return Labelled(text, language, type_, kind, len(opening), len(opening) + len(label))


def _phone(region: str, form: str) -> Callable[[random.Random], str]:
    formats = phonenumbers.PhoneNumberFormat
    code = {"international": formats.INTERNATIONAL, "e164": formats.E164, "national": formats.NATIONAL}[form]

    def value(rng: random.Random) -> str:
        kind = rng.choice((phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE))
        number = phonenumbers.example_number_for_type(region, kind)
        assert number is not None, region
        for _ in range(20):
            other = phonenumbers.PhoneNumber()
            other.merge_from(number)
            other.national_number = (number.national_number or 0) // 10_000 * 10_000 + rng.randrange(10_000)
            if phonenumbers.is_valid_number(other):
                number = other
                break
        return phonenumbers.format_number(number, code)

    return value


def _iban(country: str, form: str) -> Callable[[random.Random], str]:
    alphabets = {"n": string.digits, "a": string.ascii_uppercase, "c": string.digits + string.ascii_uppercase}

    def value(rng: random.Random) -> str:
        account = "".join(rng.choice(alphabets[part[0]]) for part in form.split() for _ in range(int(part[1:])))
        number = country + iban.calc_check_digits(f"{country}00{account}") + account
        iban.validate(number, check_country=False)
        return iban.format(number) if rng.random() < 0.5 else number

    return value


def _card(prefix: str, length: int) -> Callable[[random.Random], str]:
    def value(rng: random.Random) -> str:
        digits = prefix + "".join(rng.choice(string.digits) for _ in range(length - len(prefix) - 1))
        digits += luhn.calc_check_digit(digits)
        if length == 14:
            return f"card {MARK}{digits}"
        if rng.random() < 0.4:
            return digits
        sign = rng.choice(" -")
        groups = (4, 6, 5) if length == 15 else (4, 4, 4, 4)
        starts = [sum(groups[:at]) for at in range(len(groups))]
        return sign.join(digits[start : start + size] for start, size in zip(starts, groups, strict=True))

    return value


def _national_id(kind: NationalId) -> Callable[[random.Random], str]:
    form = (kind.sure or kind.likely or kind.doubtful).split("|")[0]
    word = kind.names.split()[0].replace("_", " ").rstrip("*")

    def value(rng: random.Random) -> str:
        while True:
            number = "".join(
                rng.choice(string.digits) if sign == "0" else rng.choice(string.ascii_uppercase) if sign == "A" else sign
                for sign in form
            )
            number = _likely_parts(kind.name, number, rng)
            digits = re.sub(r"\D", "", number)
            if len(set(digits)) >= 4 and kind.check(re.sub("[^0-9A-Z]", "", number)):
                return number if not kind.doubtful or kind.sure or kind.likely else f"{word} {MARK}{number}"

    return value


def _likely_parts(name: str, number: str, rng: random.Random) -> str:
    """Return a number with parts that chance alone would seldom give."""
    day = f"{rng.randrange(50, 99):02}{rng.randrange(1, 13):02}{rng.randrange(1, 28):02}"
    consonants = "BCDFGLMNPRST"
    if name == "ch_ahv":
        return "756" + number[3:]
    if name == "cn_ric":
        return f"11010519{day}{number[14:]}"
    if name == "fi_hetu":
        return f"{day[4:]}{day[2:4]}{day[:2]}{number[6:]}"
    if name == "mx_curp":
        letters = "".join(rng.choice(consonants) for _ in range(3))
        return f"{rng.choice(consonants)}{rng.choice('AEIOU')}{number[2:4]}{day}{rng.choice('HM')}JC{letters}{number[16:]}"
    if name == "it_cf":
        letters = "".join(rng.choice(consonants) for _ in range(6))
        return f"{letters}{day[:2]}{rng.choice('ABCDEHLMPRST')}{day[4:]}H501{number[15]}"
    return number


def _email(rng: random.Random) -> str:
    names = ("jane", "o.müller", "a_b", "x-1", "anna.maria.lopez", "ivan+news", "k", "wang2024", "иван", "JohnDoe")
    hosts = ("mail.org", "sub.example.co.uk", "größe.de", "x1.io", "uni-y.edu", "firma.com.br", "почта.рф", "a.museum")
    form = rng.choice(("{}@{}", "{}@{}", "{}@{}", "{}@{}", "<{}@{}>"))
    return form.format(rng.choice(names), rng.choice(hosts)).strip("<>")


def _ipv4(rng: random.Random) -> str:
    numbers = (
        rng.choice((5, 31, 46, 62, 81, 93, 109, 151, 185, 212)),
        rng.randrange(256),
        rng.randrange(256),
        rng.randrange(1, 255),
    )
    return ".".join(map(str, numbers))


def _ipv6(rng: random.Random) -> str:
    groups = [f"{rng.randrange(1, 65536):x}" for _ in range(8)]
    groups[0] = rng.choice(("2001", "2a00", "2607", "2404", "2a02:908"))
    groups = ":".join(groups).split(":")[:8]
    if rng.random() < 0.4:
        groups = [*groups[:4], "", *groups[7:]]
    address = ":".join(groups)
    return address.upper() if rng.random() < 0.2 else address


def _url(rng: random.Random) -> str:
    start = rng.choice(("http://", "https://", "https://www.", "www."))
    return start + rng.choice(("example.org/a", "site.co.uk", "x.io/p?id=12&q=a", "почта.рф/путь", "host.net:8080/x_(y)"))


def _coordinates(rng: random.Random) -> str:
    return f"{rng.uniform(-80, 80):.5f}, {rng.uniform(-170, 170):.5f}"


def _key(prefix: str, alphabet: str, length: int) -> Callable[[random.Random], str]:
    def value(rng: random.Random) -> str:
        digits = "2737" if "7" in alphabet else "Qx"
        return prefix + "".join(rng.choice(alphabet) for _ in range(length - len(digits))) + digits

    return value


# A sentence each of numbers that are nobody's: "#" is a digit, "?" a digit that is not 0, "#8-12" a number of so many digits.
OTHERS = (
    *('{"id": #7-19, "name": "x"}', '"user_id": "#7-19",', "/a?id=#7-16&x=1", "twitter.com/a/status/#19", "facebook.com/#15"),
    *("Order ##7-12 was shipped", "Your order number is #7-12.", "Case No. ##-#######", "Ref: #8-13", "ticket number #7-12"),
    *("Tracking: #22", "Invoice 2021-##-#####", "Part Number: ?##-?##-####", "P/N ###-#####", "UPC #12", "EAN: #13", "IMEI #15"),
    *("ISBN 978-#-####-####-#", "ISBN #-#####-###-#", "ISSN ####-####", "Vol. 12, pp. ####-####", "###(#):####-####"),
    *(
        "#7-9 views",
        "at 16######## s",
        '"ts": 16###########',
        "16########.######",
        "2021-05-17 12:30:15.######",
        "2021####T######",
    ),
    *("It cost ? ### ### euros", "?.###.###,## Euro", "population of ? ### ### in 2010", "CAS #####-##-#", "PMID: ########"),
    *("doi:10.####/s#####-###-####-#", "arXiv:####.#####", "Grant No. #11", "grant ##-##-#####", "U.S. Patent No. ?,###,###"),
    *("## ## ## ## ##", "Numbers: ##-##-##-##-##-##", "#3-11\t#3-11\t#3-11\t#3-11\t#3-11", "#6-12;#6-12;#6-12;#6-12"),
    *(
        "Version ?.##.#.1##",
        "Firmware ?.##.1##.1## released",
        "Chrome 1##.0.1##.1##",
        "?.1?.1?.? Method",
        "Springfield, IL ?####-####",
    ),
    *(
        "P.O. Box #7",
        "account #10 opened",
        "student number #9",
        "Member ID #10",
        "VAT DE#9",
        "Art.-Nr. #10",
        "Catalog: ?##.?##.####",
    ),
    *(
        "#7 x #8 = #15",
        "3.#30",
        "?.#######e-##",
        "the integer #9-19 is prime",
        "0x########",
        "?### x ?### x ?### mm",
        "WH-####XM#",
    ),
    *(
        "sort code ##-##-##",
        "código de barras #13",
        "expediente número #8",
        "dossier n° #9",
        "Aktenzeichen ## ### ####",
        "a grant of $#7",
    ),
)


def others(seed: int, each: int) -> list[str]:
    """Return `each` sentences of every form of numbers in which there is nothing to find."""
    rng = random.Random(seed)

    def digits(match: re.Match[str]) -> str:
        least, most = int(match[1]), int(match[2] or match[1])
        return rng.choice("123456789") + "".join(rng.choice(string.digits) for _ in range(rng.randint(least, most) - 1))

    made = []
    for form in OTHERS * each:
        text = re.sub(r"#(\d+)(?:-(\d+))?(?!\d|[-.:/]#)", digits, form)
        text = re.sub(r"\?(?=[#\d., ])", lambda _: rng.choice("123456789"), text)
        made.append(f"Here it is. {re.sub('#', lambda _: rng.choice(string.digits), text)} And so on.")
    return made
