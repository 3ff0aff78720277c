"""What is found of each type, and what only looks like it. The material is made up; the checksums are right."""

import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from private_data import found_in
from stdnum import luhn

from pipelines.text.judgement.private import anchors
from pipelines.text.judgement.private.find import find
from pipelines.text.judgement.private.findings import PrivateType

SECRET, EMAIL, IP, PHONE, URL = (PrivateType[name] for name in ("SECRET", "EMAIL", "IP", "PHONE", "URL"))
IBAN, CARD, COORDINATES = PrivateType.IBAN, PrivateType.CARD, PrivateType.COORDINATES


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("It was in 1914-1918 and 1939 – 1945, for 12 years and 345678 days", 0),
        ("the numbers 1914-1918 and 3914-1918", 1),
        ("1234567 | 2345678 | 0.1234567 | 3.4 5.6", 0),
        ("the number 1234567", 1),
        ("a table 12345.678, 9876.54321", 2),
        ("internationalisation_of_names and anotherlongword", 0),
        ("a1b2c3d4e5f6g7h8", 1),
        ("AB 12 34 56 C", 1),
        ("word @word, a@b, @ and note: std::vector at 12:30", 1),
    ],
)
def test_anchors(text: str, count: int) -> None:
    assert len(anchors.anchors(pa.array([text])).kinds) == count


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Write to jane.doe+news@mail.example.org.", "jane.doe+news@mail.example.org"),
        ("<müller@größe.de>", "müller@größe.de"),
        ("mailto:a_b@c-d.co.uk?subject=x", "a_b@c-d.co.uk"),
        ("'ann@b.org'", "ann@b.org"),
        ("Ask bob@site.com.Then wait.", "bob@site.com"),
        ("почта: иван@почта.рф, тел.", "иван@почта.рф"),
        ("mail jane (at) mail (dot) org", "jane (at) mail (dot) org"),
        ("jane[at]mail.org", "jane[at]mail.org"),
        ("邮箱jane@mail.org或电话", "jane@mail.org"),
    ],
)
def test_emails(text: str, address: str) -> None:
    assert found_in(text) == [("email", address)]


@pytest.mark.parametrize(
    "text",
    [
        "@property and @name.setter",
        "see logo@2x.png",
        "git clone git@github.com:owner/name",
        "x = a @ b.T + w@x.transpose(0)",
        "npm install package@1.2.3",
        "at (at) the end of the day",
        "@@@@ @. a@ @b",
    ],
)
def test_what_is_no_email(text: str) -> None:
    assert found_in(text) == []


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("from 81.198.191.251 with", "81.198.191.251"),
        ("http://93.184.216.34/x", "93.184.216.34"),
        ("host 93.184.216.34:8080", "93.184.216.34"),
        ("the server at 9.9.9.9", "9.9.9.9"),
        ("at 2a00:1450:4001:81b::200e now", "2a00:1450:4001:81b::200e"),
        ("[2607:f8b0:4005:805:0:0:0:200e]", "2607:f8b0:4005:805:0:0:0:200e"),
        ("from 2a02:908:2:a::1, port", "2a02:908:2:a::1"),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert found_in(text, types=[IP]) == [("ip", address)]


@pytest.mark.parametrize(
    "text",
    [
        "version 81.198.191.25",
        "Chrome 115.0.168.24 and Firefox 98.44.120.33",
        "Chrome/120.40.60.99",
        "v8.45.77.120 of the driver",
        "3.2.1.4 Results",
        "see section 12.30.40.2",
        "1.2.840.113549.1.9.16",
        "999.198.191.25",
        "at 192.168.0.17, 10.1.2.3, 127.0.0.1 and ::1",
        "224.0.0.251 and ff02::fb",
        "std::vector, a::b, dead::beef and abc::def",
        "12:30:45 or 00:1A:2B:3C:4D:5E",
        "the networks 192.52.193.0/24 and 2620:4f:8000::/48",
        "mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0",
    ],
)
def test_what_is_no_address(text: str) -> None:
    assert found_in(text, types=[IP]) == []


def test_private_addresses_on_request() -> None:
    assert found_in("at 192.168.0.17", types=[IP], public_addresses_only=False) == [("ip", "192.168.0.17")]


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_numbers_of_every_region_with_its_prefix(region: str) -> None:
    for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE):
        number = phonenumbers.example_number_for_type(region, kind)
        if number is None:
            continue
        for form in (phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.E164):
            written = phonenumbers.format_number(number, form)
            assert found_in(f"Reach us: {written}.", types=[PHONE]) == [("phone", written)]


@pytest.mark.parametrize(
    "region",
    [
        *("US", "GB", "DE", "FR", "IT", "ES", "NL", "BE", "CH", "AT", "PL", "SE", "DK", "FI", "PT"),
        *("CZ", "HU", "RO", "GR", "RU", "TR", "IL", "IN", "JP", "KR", "AU", "ZA", "BR", "MX"),
    ],
)
@pytest.mark.parametrize("word", ["Phone:", "tel.", "Fax"])
def test_national_numbers_beside_a_word(region: str, word: str) -> None:
    number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.FIXED_LINE)
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    assert found_in(f"{word} {written}\nOpen 9 to 5", types=[PHONE]) == [("phone", written)]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("or (512) 478-7176.", "(512) 478-7176"),
        ("John Smith, 415.658.8282, Main Street", "415.658.8282"),
        ("Paris, 01 42 68 53 00, ouvert", "01 42 68 53 00"),
        ("24 heures sur 24 : 06 12 34 50 01", "06 12 34 50 01"),
        ("+49 (0)30 901820 (Zentrale)", "+49 (0)30 901820"),
        ("Fax: 463-612-6138 x036", "463-612-6138 x036"),
        ("781 1704 office", "781 1704"),
        ("Call me at 5886356080 tomorrow", "5886356080"),
        ("手机：13714322387", "13714322387"),
        ("電話は+1 201-555-2471です。", "+1 201-555-2471"),
        ("전화 010-2000-8106로 문의하세요.", "010-2000-8106"),
        ("Fax +12015556101 Order 4401928", "+12015556101"),
        ("тел. 8 (495) 123-45-67", "8 (495) 123-45-67"),
        ("☎ 22 833 08 85", "22 833 08 85"),
    ],
)
def test_phones(text: str, number: str) -> None:
    assert found_in(text, types=[PHONE]) == [("phone", number)]


@pytest.mark.parametrize(
    "text",
    [
        "in 1914-1918 and 2003/2004",
        "on 2023-05-17 12:30, or 17.05.2023, or 05/17/2023",
        "between 07 - 12/08/2008",
        "ISBN 0-306-40615-2, ISBN 978-3-16-148410-0",
        "population 1 234 567 in 1 850 000 000 years",
        "+35236450.6 and +3.140000 and + 13.637.299",
        "it costs $1234567 or 1 500 000 EUR",
        "order 335330783890, id=20230517123045",
        "3.14159265358979 and 0.4532015112830366",
        "/article/0123-456-789 or https://x.org/020-7946-0958",
        "012 013 023 123",
        "Part number: 414-278-2320, catalog 808.683.9714",
        "Call it 800-1200 g, or 1557.96930 in all",
        "[0.056666662595, 0.00229729713223, 0.0000 1.0000 2.0000]",
        "0 -1.154701 -0.577350 and 00 01 02 03 04 05",
        "Boston, MA 02110-1301, USA",
        "factorial calls\n479001600",
        "doi 10.1000/182 and arXiv:2402.00159",
    ],
)
def test_what_is_no_phone(text: str) -> None:
    assert found_in(text, types=[PHONE]) == []


def iban(country: str, account: str) -> str:
    digits = "".join(str(int(character, 36)) for character in f"{account}{country}00")
    return f"{country}{98 - int(digits) % 97:02}{account}"


ACCOUNTS = [
    "DE370400440532013000",
    "FR20041010050500013M02606",
    "GBWEST12345698765432",
    "NLABNA0417164300",
    "ES21000418450200051332",
    "ITX0542811101000000123456",
    "BE539007547034",
    "CH00762011623852957",
    "AT1904300234573201",
    "PL105000997603123456789123",
    "SE50000000058398257466",
    "NO86011117947",
    "DK00400440116243",
    "FI12345600000785",
    "PT000201231234567890154",
    "IEAIBK93115212345678",
    "CZ08000000192000145399",
    "HU117730161111101800000000",
    "ROAAAA1B31007593840000",
    "GR01101250000000012300695",
    "BGBNBG96611020345678",
    "HR10010051863000160",
    "SI263300012039086",
    "SK12000000198742637541",
    "EE2200221020145685",
    "LVBANK0000435195001",
    "LT1000011101001000",
    "LU0019400644750000",
    "MTMALT011000012345MTLCAST001S",
    "TR0006100519786457841326",
    "SA80000000608010167519",
    "AE0331234567890123456",
]


@pytest.mark.parametrize("account", ACCOUNTS, ids=lambda account: account[:2])
def test_ibans_of_countries_with_and_without_spaces(account: str) -> None:
    number = iban(account[:2], account[2:])
    spaced = " ".join(number[at : at + 4] for at in range(0, len(number), 4))
    for written in (number, spaced):
        assert found_in(f"Pay {written}, please.", types=[IBAN]) == [("iban", written)]
    wrong = number[:-1] + ("1" if number[-1] != "1" else "2")
    assert found_in(f"IBAN {wrong}", types=[IBAN]) == []


@pytest.mark.parametrize(
    "number",
    [
        *("4539 1488 0343 6467", "4539-1488-0343-6467", "4539148803436467", "5425233430109903", "2223000048410010"),
        *("374245455400126", "3742 454554 00126", "6011000990139424", "3530111333300000", "6250941006528599"),
    ],
)
def test_cards(number: str) -> None:
    assert found_in(f"I gave {number} to them", types=[CARD]) == [("card", number)]


@pytest.mark.parametrize(
    "text",
    [
        "4539148803436468 fails the checksum",
        "0.4539148803436467 is a fraction",
        "4111-1111-1111-111",
        "at 4917610000000 in one, 1665650640000000 the other",
        "p_n_g-101015490467111",
        "https://x.org/4539148803436467/y",
        "0000 0000 0000 0000",
        "3472 3119 4539 1488 0343 6467 5041 5490",
    ],
)
def test_what_is_no_card(text: str) -> None:
    assert found_in(text, types=[CARD]) == []


def test_a_word_makes_a_card_of_other_lengths() -> None:
    assert found_in("paid with 4222222222225", types=[CARD]) == []  # one digit only beside the 4
    number = "453914880343" + luhn.calc_check_digit("453914880343")
    assert found_in(f"my card {number}", types=[CARD]) == [("card", number)]
    assert found_in(f"the sum {number}", types=[CARD]) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("Meet at 48.858370, 2.294481 tomorrow", "48.858370, 2.294481"),
        ("GPS 51.5074 -0.1278", "51.5074 -0.1278"),
        ("at 48°51′29″N 2°17′40″E, by the river", "48°51′29″N 2°17′40″E"),
        ("(0.67408N, 23.47297E)", "0.67408N, 23.47297E"),
    ],
)
def test_coordinates(text: str, place: str) -> None:
    assert found_in(text, types=[COORDINATES]) == [("coordinates", place)]


@pytest.mark.parametrize(
    "text",
    [
        "0.1234 0.5678 0.9012",
        "1.2345,2.3456,3.4567",
        "99.12345, 200.12345",
        "37.5 °C and 12.25 N",
        "p = 0.0123, 0.0456",
        "map [3.64305882, -1.25879559, 4.4]",
    ],
)
def test_what_are_no_coordinates(text: str) -> None:
    assert found_in(text, types=[COORDINATES]) == []


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("See https://www.example.org/a_(b)?q=1#x.", "https://www.example.org/a_(b)?q=1#x"),
        ("(www.example.org)", "www.example.org"),
        ("ftp://example.org/x, then", "ftp://example.org/x"),
    ],
)
def test_urls(text: str, address: str) -> None:
    assert found_in(text, types=[URL]) == [("url", address)]
    assert found_in(text, types=[EMAIL]) == []


def secret(*parts: str) -> str:
    """Join the parts of a made-up key, so that no scanner takes this file for a leak."""
    return "".join(parts)


KEYS = (
    secret("AK", "IA", "Q3EGRIXKZ5NW7PLT"),
    secret("gh", "p_", "x7Kq2LmN9pRs4TvW8yZa3BcD6eFgH1jK5oU0"),
    secret("AI", "za", "SyD3k9fLq2mN7pRs4TvW8yZa3BcD6eFgH12"),
    secret("sk", "_live_", "4eC39HqLyjWDarjtT1zdp7dc"),
    secret("xo", "xb-", "123456789012-abcdefGHIJkl345MNO"),
    secret("gl", "pat-", "x7Kq2LmN9pRs4TvW8yZa"),
    secret("np", "m_", "x7Kq2LmN9pRs4TvW8yZa3BcD6eFgH1jK5oU0"),
    secret("hf", "_", "aBcDeFgHiJkLmNoPqRsTuVwXyZ01234567"),
    secret("ey", "JhbGciOiJIUzI1NiJ9", ".ey", "JzdWIiOiIxMjM0NTY3ODkwIn0", ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"),
)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:6])
def test_keys_of_services(key: str) -> None:
    assert found_in(f'KEY = "{key}"', types=[SECRET]) == [("secret", key)]


def test_other_secrets() -> None:
    block = secret(
        "-----BEGIN RSA PRIV", "ATE KEY-----\nMIIEpAIBAAKCAQEA7x\nq2LmN9pRs4TvW8yZa3\n-----END RSA PRIV", "ATE KEY-----"
    )
    assert found_in(f"my key:\n{block}\nbye", types=[SECRET]) == [("secret", block)]
    assert found_in("https://ann:hunter22@example.org/", types=[SECRET]) == [("secret", "ann:hunter22")]
    value = "q7Zk2LmX9pRs4TvW8yCa3"
    for text in (
        f'api_key = "{value}"',
        f"Authorization: Bearer {value}",
        f'"client_secret": "{value}"',
        f"x?access_token={value}",
    ):
        assert found_in(text, types=[SECRET]) == [("secret", value)]


@pytest.mark.parametrize(
    "text",
    [
        "commit 3f9a1c20b77e4d5f8a9b0c1d2e3f4a5b6c7d8e9f",
        'api_key = "your_api_key_here_12345"',
        "password: /etc/sudoers.d/90-archie_commands",
        "socks5://user:pass@host:1080",
        "token = previous_token_length2 + next_token_length2",
        "-----BEGIN CERTIFICATE-----",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4",
        "the token is internationalization2024",
        "token = 1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a",
        'publicKeyToken="1fc8b3b9a1e18e3b"',
        '"NextContinuationToken": "1w41l63U0xa8q7smH50vCxyTQqdxo69O3EmK28Bi5Pc"',
        "authkey = NotifyMSG91.unquote(host)",
    ],
)
def test_what_is_no_secret(text: str) -> None:
    assert found_in(text, types=[SECRET]) == []


def test_the_longer_of_two_occurrences_stays() -> None:
    assert found_in("https://x.org/?mail=a@b.org") == [("url", "https://x.org/?mail=a@b.org")]
    assert found_in("https://x.org/?mail=a@b.org", types=[EMAIL]) == [("email", "a@b.org")]
    assert found_in("IBAN " + iban("GB", "WEST12345698765432")) == [("iban", iban("GB", "WEST12345698765432"))]


TEXTS = st.lists(st.text("ab1290 .-+()@:/_\n≤ü電☎AZ") | st.sampled_from(["tel. ", "@b.org", "192.0.1.77", "::1", "GB29", "www."]))


@given(TEXTS.map("".join), TEXTS.map("".join))
def test_spans_lie_in_their_texts_in_order_and_apart(first: str, second: str) -> None:
    texts = [first, "", second]
    found = find(pa.array(texts))
    before = (-1, 0)
    for row, start, end in zip(found.rows.tolist(), found.starts.tolist(), found.ends.tolist(), strict=True):
        assert 0 <= start < end <= len(texts[row].encode())
        texts[row].encode()[start:end].decode()  # no character is cut
        assert row > before[0] or start >= before[1]
        before = (row, end)


def test_texts_beside_each_other_do_not_touch() -> None:
    assert found_in("") == []
    sliced = pa.array(["x", "tel. 030 90", "1820 a@", "b.org"]).slice(1)
    assert len(find(sliced)) == 0


@pytest.mark.parametrize(
    "text", ["1" * 2**20, "1.2." * 2**18, "a:1:" * 2**18, "a1" * 2**19, "@" * 2**20, "12 " * 2**18, "-----BEGIN " * 2**15]
)
def test_long_runs_take_no_time(text: str) -> None:
    assert len(anchors.anchors(pa.array([text])).kinds) <= len(text) // 10
    assert len(find(pa.array([text]))) == 0
