"""Numbers of persons: identity cards, tax, social insurance, with their countries' checksums.

A number of ten digits that passes one check digit is seldom a person's: one in ten of all would be. So a form counts for more the
less often a chance number has it and passes (`make bench-private` prints these shares): `sure` forms need nothing else, `likely`
ones a word for identity numbers near them or the country's language, `doubtful` ones a word for this very number.
In a form, 0 stands for a digit, A for a capital letter.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.text.judgement.private.evidence import OF_THINGS, in_address, is_glued
from pipelines.text.judgement.private.finders import checks
from pipelines.text.judgement.private.finders.checks import Check, from_stdnum
from pipelines.text.judgement.private.findings import PrivateType
from pipelines.text.judgement.private.windows import Found, Window
from pipelines.text.judgement.private.words import Words, words


@dataclass(frozen=True, slots=True)
class NationalId:
    """A kind of number."""

    name: str
    check: Check
    names: str  # words for it, divided by spaces
    languages: str = ""
    sure: str = ""  # forms, divided by "|"
    likely: str = ""
    doubtful: str = ""


def _std(module: str) -> Check:
    return lambda number: from_stdnum(module)(number)  # the module is imported when a number needs it


KINDS = (
    # Europe
    NationalId("at_svnr", _std("at.vnr"), "svnr vsnr sozialversicherung* versicherungsnummer", "",
               doubtful="0000 000000|0000000000"),
    NationalId("be_nn", checks.belgian, "niss rijksregister* registre_national", "nl fr", "00.00.00-000.00|00 00 00 000 00",
               "00000000000"),
    NationalId("bg_egn", _std("bg.egn"), "егн egn", "bg", likely="0000000000"),
    NationalId("ch_ahv", _std("ch.ssn"), "ahv avs", "", "000.0000.0000.00|0000000000000|000 0000 0000 00"),
    NationalId("cz_rc", _std("cz.rc"), "rodné_číslo rodne_cislo rč", "cs sk", "000000/0000", doubtful="0000000000"),
    NationalId("de_idnr", _std("de.idnr"), "steuer* idnr", "de", likely="00 000 000 000|00000000000"),
    NationalId("dk_cpr", checks.danish, "cpr personnummer cpr-nr", "da", likely="000000-0000", doubtful="0000000000"),
    NationalId("ee_ik", _std("ee.ik"), "isikukood*", "et", likely="00000000000"),
    NationalId("es_dni", _std("es.dni"), "dni nif documento*", "es ca gl eu", likely="00000000A|00000000-A|00.000.000-A"),
    NationalId("es_nie", _std("es.nie"), "nie", "es ca gl eu", "A0000000A|A-0000000-A|A-0000000A"),
    NationalId("fi_hetu", checks.finnish, "hetu henkilötunnus*", "fi", "000000-000A|000000-0000|000000A000A|000000A0000"),
    NationalId("fr_nir", checks.french, "nir sécu* sécurité_sociale securite_sociale", "fr",
               "0 00 00 00 000 000 00|0 00 00 0A 000 000 00", 
               "000000000000000|0 00 00 00 000 000|000000A00000000|0000000000000 00"),
    NationalId("gb_nhs", _std("gb.nhs"), "nhs", "", doubtful="000 000 0000|0000000000|000-000-0000"),
    NationalId("gb_nino", checks.british_insurance, "nino ni national_insurance insurance", "",
               likely="AA 00 00 00 A|AA000000A|AA 000000 A"),
    NationalId("gr_amka", _std("gr.amka"), "αμκα amka", "el", likely="00000000000"),
    NationalId("hr_oib", _std("hr.oib"), "oib", "", doubtful="00000000000"),
    NationalId("hu_szemelyi", checks.hungarian, "személyi* személyazonosító* szig", "hu",
               likely="00000000000|0-000000-0000|0 000000 0000"),
    NationalId("ie_pps", _std("ie.pps"), "pps ppsn personal_public_service", "ga", doubtful="0000000A|0000000AA"),
    NationalId("is_kennitala", _std("is_.kennitala"), "kennitala kt", "is", "000000-0000", "0000000000"),
    NationalId("it_cf", _std("it.codicefiscale"), "codice_fiscale", "it", "AAAAAA00A00A000A"),
    NationalId("lt_ak", _std("lt.asmens"), "asmens_kod*", "lt", likely="00000000000"),
    NationalId("lv_pk", _std("lv.pvn"), "personas_kod*", "lv", likely="000000-00000"),
    NationalId("nl_bsn", _std("nl.bsn"), "bsn burgerservice* sofi*", "", doubtful="000000000|0000.00.000|0000 00 000"),
    NationalId("no_fnr", checks.norwegian, "fødselsnummer personnummer fnr", "no nb nn", "00000000000|000000 00000"),
    NationalId("pl_pesel", _std("pl.pesel"), "pesel", "pl", likely="00000000000"),
    NationalId("pt_nif", _std("pt.nif"), "nif contribuinte", "", doubtful="000000000|000 000 000"),
    NationalId("pt_cc", _std("pt.cc"), "cartão_de_cidadão cc", "pt", likely="00000000 0 AA0|000000000AA0"),
    NationalId("ro_cnp", _std("ro.cnp"), "cnp", "ro", "0000000000000"),
    NationalId("ru_inn", _std("ru.inn"), "инн inn", "ru", likely="000000000000"),
    NationalId("ru_snils", checks.russian_insurance, "снилс snils", "ru", "000-000-000 00",
               doubtful="00000000000|000-000-000-00"),
    NationalId("se_pnr", checks.swedish, "personnummer pnr personnr", "sv", "000000-0000|000000+0000|00000000-0000",
               "0000000000|000000000000"),
    NationalId("si_emso", _std("si.emso"), "emšo emso jmbg матични", "sl hr sr bs mk", likely="0000000000000"),
    NationalId("sk_rc", _std("sk.rc"), "rodné_číslo", "sk", "000000/0000"),
    NationalId("tr_tckn", _std("tr.tckimlik"), "tc tckn kimlik t.c.", "tr", likely="00000000000"),
    NationalId("ua_rntrc", _std("ua.rntrc"), "рнокпп іпн ідентифікаційний", "", doubtful="0000000000"),
    # the Americas
    NationalId("ar_cuit", _std("ar.cuit"), "cuit cuil", "es", "00-00000000-0", "00000000000"),
    NationalId("br_cpf", _std("br.cpf"), "cpf", "pt", "000.000.000-00", "00000000000|000000000-00"),
    NationalId("ca_sin", _std("ca.sin"), "sin social_insurance nas assurance_sociale", "",
               doubtful="000-000-000|000 000 000|000000000"),
    NationalId("cl_rut", _std("cl.rut"), "rut run", "es", "00.000.000-0|0.000.000-0|00.000.000-A|0.000.000-A",
               "00000000-0|00000000-A"),
    NationalId("do_cedula", _std("do.cedula"), "cédula cedula", "es", likely="000-0000000-0", doubtful="00000000000"),
    NationalId("ec_ci", _std("ec.ci"), "cédula cedula ci", "", doubtful="0000000000|000000000-0"),
    NationalId("mx_curp", _std("mx.curp"), "curp", "es", "AAAA000000AAAAAA00|AAAA000000AAAAAAA0"),
    NationalId("mx_rfc", _std("mx.rfc"), "rfc", "es",
               likely="AAAA000000AAA|AAAA000000AA0|AAAA000000A00|AAAA000000A0A|AAAA0000000A0|AAAA00000000A|AAAA000000000"),
    NationalId("us_ssn", _std("us.ssn"), "ssn social_security soc_sec", "", "000-00-0000", doubtful="000000000|000 00 0000"),
    NationalId("us_itin", checks.starts_with_nine, "itin taxpayer", "", likely="000-00-0000", doubtful="000000000"),
    # Africa, Asia, Australia
    NationalId("au_tfn", _std("au.tfn"), "tfn tax_file", "", doubtful="000 000 000|000-000-000|000000000"),
    NationalId("cn_ric", checks.chinese, "身份证", "zh",
               "000000000000000000|00000000000000000A|000000 00000000 0000|000000 00000000 000A"),
    NationalId("hk_id", checks.hong_kong, "hkid 身份證", "", "A000000(0)|A000000(A)", doubtful="A0000000|A000000A"),
    NationalId("id_nik", _std("id.nik"), "nik ktp", "id", likely="0000000000000000"),
    NationalId("il_id", _std("il.idnr"), "תעודת_זהות ת.ז teudat zehut", "", doubtful="000000000|00000000-0"),
    NationalId("in_aadhaar", _std("in_.aadhaar"), "aadhaar aadhar uid uidai आधार", "hi bn ta te mr gu kn ml pa ur",
               likely="0000 0000 0000|0000-0000-0000", doubtful="000000000000"),
    NationalId("jp_my_number", _std("jp.in_"), "マイナンバー 個人番号 my_number", "",
               doubtful="000000000000|0000 0000 0000|0000-0000-0000"),
    NationalId("kr_rrn", checks.korean, "주민등록번호 주민번호 rrn resident_registration", "ko", likely="000000-0000000",
               doubtful="0000000000000"),
    NationalId("my_nric", _std("my.nric"), "mykad nric kad_pengenalan", "ms", "000000-00-0000", doubtful="000000000000"),
    NationalId("pk_cnic", checks.pakistani, "cnic nadra", "ur", "00000-0000000-0", doubtful="0000000000000"),
    NationalId("sg_nric", checks.singaporean, "nric fin", "", likely="A0000000A"),
    NationalId("th_pin", _std("th.pin"), "บัตรประชาชน เลขประจำตัว", "th", "0-0000-00000-00-0|0 0000 00000 00 0",
               "0000000000000"),
    NationalId("tw_id", checks.taiwanese, "身分證 身份證", "zh", likely="A000000000"),
    NationalId("za_id", checks.south_african, "rsa_id", "af zu xh", "0000000000000|000000 0000 000|000000 0000 00 0"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Form:
    id: NationalId
    level: str  # "sure", "likely" or "doubtful"
    names: Words


def _forms() -> dict[str, list[_Form]]:
    forms: dict[str, list[_Form]] = {}
    for entry in KINDS:
        names = words(entry.names)
        for level in ("sure", "likely", "doubtful"):
            for form in filter(None, getattr(entry, level).split("|")):
                forms.setdefault(form, []).append(_Form(entry, level, names))
    return forms


_FORMS = _forms()
_LONGEST = max(map(len, _FORMS))
_GENERAL = words(
    "identity identification identifier national citizen* personal passport social insurance tax taxpayer tin ssn",
    "ausweis* personalausweis* id-nummer identité identite identidad identidade documento fiscal identità codice kimlik dowód",
    "паспорт* ταυτότητα* 證号 证号 身份 osobní osobný",
)
_CLOSE = words(  # words of many numbers: only right before one of a person
    "id ids number* no nr nummer* numéro numero número numer* číslo номер* αριθμός 番号 號碼 号码 번호 nomor n° no.",
)
_IDENTITY = words(
    "identity identification national_id id_number id_no personal_id patient_id ssn social_security tax_id taxpayer tin"
)
_TOKEN = re.compile(r"\S+")
_BEFORE, _AFTER = (
    re.compile(r"(?<![A-Za-z0-9])(?:[A-Z]{1,6}[- ]?)\Z"),
    re.compile(r" ?[A-Z]{1,6}(?![A-Za-z0-9])|[A-Z]\d{3}[0-9A-Z]\b|\([0-9A]\)|\)| ?[A-Z]{2}\d(?![A-Za-z0-9])"),
)
_BESIDE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ -")
_SPACES = str.maketrans("\u00a0\u202f\u2010\u2011\u2013", "  ---")
_TO_FORM = str.maketrans("123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0" * 9 + "A" * 26)
_MACHINES = re.compile(r"[_=<>{}]|[\"'][\s:]")  # `"id": 123`, `user_id=123`: keys of databases
_RIGHT_BEFORE = 16  # characters
_NEAR = 60  # characters before a number in which a word counts; 24 after it


def national_ids(window: Window) -> Iterator[Found]:
    """Yield the first identity number in a NUMBER or TOKEN and the letters beside it."""
    for start, end in _candidates(window):
        text = window.text[start:end].translate(_SPACES)
        for form in _FORMS.get(text.translate(_TO_FORM), ()):
            if form.level != "sure" and not (window.has_words or window.language):
                continue
            if form.id.check(re.sub(r"[^0-9A-Z]", "", text)) and _is_meant(window, start, end, form):
                yield Found(PrivateType.NATIONAL_ID, form.id.name, start, end)
                return


def _candidates(window: Window) -> Iterator[tuple[int, int]]:
    """Yield the spans that may be one number: with letters and without, the whole and its parts between spaces."""
    text, at, stop = window.text, window.at, window.stop
    while stop > at and not text[stop - 1].isalnum():  # "." after a token
        stop -= 1
    before = _BEFORE.search(text, max(0, at - 8), at) if at and text[at - 1] in _BESIDE else None
    after = _AFTER.match(text, stop)
    starts = [before.start(), at] if before else [at]
    ends = [after.end(), stop] if after else [stop]
    for start in starts:
        for end in ends:
            if end - start <= _LONGEST + 6:
                yield start, end
    if " " in window.value:
        for match in _TOKEN.finditer(window.text, starts[0], ends[0]):
            if match.end() - match.start() >= 7:
                yield match.span()


def _is_meant(window: Window, start: int, end: int, form: _Form) -> bool:
    if len(set(window.text[start:end]) & set("0123456789")) < 3:
        return False
    if window.names(form.names, start, _NEAR, end, 24):
        return True
    if is_glued(window, start, end) or in_address(window, start):
        return False
    if form.level == "doubtful":
        return window.names(_IDENTITY, start, 40)
    if form.level == "sure" or (window.language or "-") in form.id.languages.split():
        return True
    line = start - window.text.rfind("\n", 0, start) - 1
    close = window.text[max(0, start - _RIGHT_BEFORE) : start]
    if _MACHINES.search(close):
        return False
    is_said = window.names(_GENERAL, start, min(_NEAR, line)) or window.names(_CLOSE, start, min(_RIGHT_BEFORE, line))
    return is_said and not window.names(OF_THINGS, start, min(_NEAR, line))
