"""Identity numbers of every kind that is known. The numbers are made up and have the right checksums."""

import re

import pytest
from private_data import found_in

from pipelines.text.judgement.private.finders import checks
from pipelines.text.judgement.private.finders.national_ids import KINDS
from pipelines.text.judgement.private.findings import PrivateType

NUMBERS = {
    "at_svnr": "2758 929007",
    "be_nn": "39.01.26-833.18",
    "bg_egn": "2830027238",
    "ch_ahv": "756.8452.2997.39",
    "cz_rc": "727805/8018",
    "de_idnr": "29 314 833 064",
    "dk_cpr": "080203-6219",
    "ee_ik": "43412123711",
    "es_dni": "41181246E",
    "es_nie": "Z7989459T",
    "fi_hetu": "020794-139N",
    "fr_nir": "3 47 51 44 850 224 66",
    "gb_nhs": "340 491 6271",
    "gb_nino": "OH 77 90 35 C",
    "gr_amka": "29079524202",
    "hr_oib": "21985844589",
    "hu_szemelyi": "82012278456",
    "ie_pps": "2661187C",
    "is_kennitala": "080361-3510",
    "it_cf": "MBLCNN91P18H501T",
    "lt_ak": "93101158247",
    "lv_pk": "850155-57913",
    "nl_bsn": "369654031",
    "no_fnr": "22094771599",
    "pl_pesel": "87061992954",
    "pt_nif": "206394748",
    "pt_cc": "04730669 6 FG9",
    "ro_cnp": "3440908341062",
    "ru_inn": "937126435976",
    "ru_snils": "491-386-084 15",
    "se_pnr": "950601-4712",
    "si_emso": "1901257979963",
    "sk_rc": "749811/8001",
    "tr_tckn": "96394766684",
    "ua_rntrc": "2757845070",
    "ar_cuit": "30-28197909-0",
    "br_cpf": "807.208.870-03",
    "ca_sin": "292-046-588",
    "cl_rut": "20.069.212-8",
    "do_cedula": "105-3830691-0",
    "ec_ci": "5012307582",
    "mx_curp": "OOBG770221MNLFBR29",
    "mx_rfc": "XZCK760306RBT",
    "us_ssn": "857-59-0953",
    "us_itin": "933-38-4283",
    "au_tfn": "448 160 788",
    "cn_ric": "110105195104228049",
    "hk_id": "Y596266(6)",
    "id_nik": "9403808411633464",
    "il_id": "339417669",
    "in_aadhaar": "4101 9510 8314",
    "jp_my_number": "940763538357",
    "kr_rrn": "630829-2883339",
    "my_nric": "420707-02-2053",
    "pk_cnic": "40777-4469983-8",
    "sg_nric": "T3328902I",
    "th_pin": "4-1099-84050-57-4",
    "tw_id": "G917359173",
    "za_id": "5007108037052",
}
WITHOUT_CHECKSUM = {"us_ssn", "us_itin", "dk_cpr", "kr_rrn", "pk_cnic", "gb_nino", "id_nik", "mx_rfc", "my_nric"}
ID = PrivateType.NATIONAL_ID
BY_NAME = {entry.name: entry for entry in KINDS}


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_a_number_beside_the_word_for_it(name: str) -> None:
    word = BY_NAME[name].names.split()[0].replace("_", " ").rstrip("*")
    assert found_in(f"{word}: {NUMBERS[name]}, valid", types=[ID]) == [("national_id", NUMBERS[name])]


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_without_a_word_only_sure_forms_count(name: str) -> None:
    entry, number = BY_NAME[name], NUMBERS[name]
    form = re.sub("[A-Z]", "A", re.sub("[0-9]", "0", number))
    sure = {form for other in KINDS for form in other.sure.split("|") if other.name != name and other.check is entry.check}
    is_sure = form in entry.sure.split("|") or form in sure
    assert bool(found_in(f"and then {number}, he said", types=[ID])) == is_sure
    if form in entry.likely.split("|") and entry.languages:
        assert found_in(f"… {number} …", entry.languages.split()[0], types=[ID]) == [("national_id", number)]


@pytest.mark.parametrize("name", sorted(set(NUMBERS) - WITHOUT_CHECKSUM))
def test_a_wrong_digit_is_noticed(name: str) -> None:
    number = NUMBERS[name]
    at = next(at for at in range(len(number) - 3, 0, -1) if number[at].isdigit())
    wrong = number[:at] + str((int(number[at]) + 1) % 10) + number[at + 1 :]
    assert not BY_NAME[name].check(re.sub("[^0-9A-Z]", "", wrong))


@pytest.mark.parametrize(
    ("check", "number"),
    [  # examples that the authorities publish, or that everybody uses
        (checks.belgian, "85073003328"),
        (checks.norwegian, "15108695088"),
        (checks.swedish, "8112189876"),
        (checks.finnish, "131052308T"),
        (checks.south_african, "8001015009087"),
        (checks.chinese, "11010519491231002X"),
        (checks.french, "255081416802538"),
        (checks.russian_insurance, "11223344595"),
        (checks.singaporean, "S1234567D"),
        (checks.singaporean, "F1234567N"),
        (checks.singaporean, "G1234567X"),
        (checks.hong_kong, "A1234563"),
        (checks.taiwanese, "A123456789"),
    ],
)
def test_checks_agree_with_known_examples(check: checks.Check, number: str) -> None:
    assert check(number)


@pytest.mark.parametrize(
    "text",
    [
        "eBay item number: 335330783890",
        "Product ID (ePID) 27038656990",
        "timestamps 1665650640123 and 1665650641987",
        "ISBN 9780544103054",
        '{"id": 44051401359, "user_id": "44051401359"}, ?id=44051401359',
        "Grant No. 44051401359",
        "tables 123 456 789 and 234 567 890",
        "part no. 080-203-621",
        "from 1000000 to 2000000",
        "id 000-00-0000 and 111111111",
    ],
)
def test_other_numbers(text: str) -> None:
    assert found_in(text, "en", types=[ID]) == []


def test_every_kind_has_an_example() -> None:
    assert set(NUMBERS) == set(BY_NAME)
