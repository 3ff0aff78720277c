"""The language of whole texts: notices, texts in two languages, no language, scripts."""

import pyarrow as pa
import pytest
from places import CASES, SHARED

from pipelines.contract.batch import documents_from
from pipelines.text.judgement.languages.groups import GROUPS
from pipelines.text.judgement.languages.identify import Identifier, Verdicts
from pipelines.text.judgement.languages.opened import opened
from pipelines.text.judgement.languages.other_lines import without_other_languages

SENTENCES = SHARED / "langid" / "sentences"
needs_sentences = pytest.mark.skipif(not SENTENCES.is_dir(), reason="../shared/data/langid/sentences is not here")

ENGLISH = "The old man walked slowly home through the rain, and nobody in the street knew him any more."
GERMAN = "Der alte Mann ging langsam durch den Regen nach Hause, und niemand in der Straße kannte ihn mehr."
RUSSIAN = "Старик медленно шёл домой под дождём, и никто на улице больше не узнавал его в лицо."
NOTICE = (
    "Thank you for your visit. By reading on you accept the terms under which our pages may be read, printed and quoted."
    " The texts were sent in by members of the club, who keep all rights in them; write to the secretary if you want to use"
    " one of them elsewhere, and name the page on which you found it. We count visits without names, and do not pass on what"
    " we count. The club pays for this service out of the members' fees. If you like what we do, think about a gift, however"
    " small. Children need the consent of a parent before they write to us. Answers can take up to three weeks, since all of"
    " us have other work. Old issues of our paper can be had on request, as long as there are any. The editors thank the"
    " printers, the post office and the town library for many years of patient help, and hope to see all of you again at the"
    " summer meeting in the old mill."
)


@pytest.fixture(scope="module")
def identifier(language_model: str) -> Identifier:
    return opened((language_model,), GROUPS)


def judged(identifier: Identifier, *texts: str) -> Verdicts:
    return identifier.identify(pa.array(texts, pa.string()))


def names(identifier: Identifier, *texts: str) -> list[str]:
    return judged(identifier, *texts).language.to_pylist()


def test_languages_scores_and_no_texts(identifier: Identifier) -> None:
    said = judged(identifier, "This is a sentence\nin English.", "Это предложение на русском языке.", "これは日本語の文章です。")
    assert said.language.to_pylist() == ["en", "ru", "ja"]
    assert said.score.type == pa.float32()
    assert all(0.9 < score <= 1 for score in said.score.to_pylist())
    assert said.languages.null_count == 3
    assert judged(identifier).language.to_pylist() == []


def test_no_language_and_no_linguistic_content(identifier: Identifier) -> None:
    code = "int main(void) {\n    for (int i = 0; i < 10; i++) { sum += a[i] * b[i]; }\n    return f(sum);\n}\n" * 10
    table = "\n".join(f"| {i} | {i * i} | {i / 7:.3f} % |" for i in range(300))
    said = judged(identifier, "", " \n ", "1234567890 " * 30, "😀" * 40, code, table, '{"a": [1, 2], "b_c": {"d": null}}\n' * 40)
    assert said.language.to_pylist() == ["und", "und", "zxx", "zxx", "zxx", "zxx", "zxx"]
    assert said.score.to_pylist()[:2] == [0, 0]
    assert min(said.score.to_pylist()[2:]) >= 0.9


def test_short_lines_between_fences_are_code(identifier: Identifier) -> None:
    commands = "```sh\nmake test\ngit status\ngit push\n```"
    prose = "The quick brown fox jumps over the lazy dog and goes home to sleep."
    assert names(identifier, commands, f"```\nimport numpy as np\nx = 1\n```\n\n{commands}") == ["zxx", "zxx"]
    # Prose between fences, words beside them, and one fence alone are what they were.
    german = "Der Befehl, mit dem alle Prüfungen laufen, ist dieser:"
    assert names(identifier, f"```\n{prose}\n```", f"{german}\n\n{commands}", "Der Hund ```\nist im Haus.") == ["en", "de", "de"]
    assert names(identifier, "```\nDer Hund\nist im Haus.") == names(identifier, "Der Hund\nist im Haus.")


def test_prose_with_code_and_numbers_is_prose(identifier: Identifier) -> None:
    code = "for (int i = 0; i < 10; i++) { sum += a[i]; }\n" * 5
    table = "| 1,234 | 5.6 % |\n" * 20
    assert names(identifier, f"{GERMAN}\n\n{code}\n{GERMAN}", f"{RUSSIAN} {RUSSIAN}\n{table}") == ["de", "ru"]


def test_menus_in_another_language_do_not_count_beside_prose(identifier: Identifier) -> None:
    menu = "Home\nAbout us\nContact\nPrivacy policy\nLog in\nShopping cart\nNewsletter\nOur partners\nSitemap\nFollow us\n" * 3
    assert names(identifier, f"{menu}{GERMAN}\n{GERMAN}\n{menu}") == ["de"]


@pytest.mark.parametrize("separator", ["\n\n", "\n", " "])
@pytest.mark.parametrize("repeats", [5, 10, 20])
def test_an_english_notice_is_not_the_language(identifier: Identifier, separator: str, repeats: int) -> None:
    texts = [f"{NOTICE}{separator}{' '.join([body] * repeats)}" for body in (GERMAN, RUSSIAN)]
    assert names(identifier, *texts) == ["de", "ru"]
    assert names(identifier, *[f"{' '.join([body] * repeats)}{separator}{NOTICE}" for body in (GERMAN, RUSSIAN)]) == ["de", "ru"]


def test_a_notice_alone_and_a_long_english_text_with_a_quotation_are_english(identifier: Identifier) -> None:
    article = "\n".join([NOTICE] * 3)
    assert names(identifier, NOTICE, f"{article}\n{GERMAN} {GERMAN}\n{article}") == ["en", "en"]


@pytest.mark.parametrize("quotation", [GERMAN, RUSSIAN])
def test_a_quotation_in_a_short_english_text_is_not_its_language(identifier: Identifier, quotation: str) -> None:
    half = NOTICE[:430]
    page = f"{half}\n\n{' '.join([quotation] * 5)}\n\n{half}"
    assert names(identifier, page) == ["en"]
    assert names(identifier, f"{half}\n\n{half}\n\n{' '.join([quotation] * 5)}") != ["en"]  # at one end, it is a notice


def test_a_notice_in_another_language_has_no_such_rule(identifier: Identifier) -> None:
    assert names(identifier, f"{' '.join([GERMAN] * 9)}\n\n{' '.join([RUSSIAN] * 5)}") == ["de"]


def test_two_languages_are_named_with_their_shares(identifier: Identifier) -> None:
    pages = [f"{' '.join([GERMAN] * 30)}\n\n{' '.join([RUSSIAN] * 10)}", " ".join([GERMAN] * 40)]
    said = judged(identifier, *pages)
    assert said.language.to_pylist() == ["de", "de"]
    first, second = said.languages.to_pylist()
    assert [one["language"] for one in first] == ["de", "ru"]
    assert [one["share"] for one in first] == pytest.approx([0.77, 0.23], abs=0.1)
    assert second is None


def test_close_languages_are_not_two(identifier: Identifier) -> None:
    croatian = "Stari čovjek polako je hodao kući po kiši, a nitko ga na ulici više nije poznavao. "
    serbian = "Stari čovek je polako hodao kući po kiši, a niko ga na ulici više nije poznavao. "
    said = judged(identifier, croatian * 10 + serbian * 10)
    assert said.languages.to_pylist() == [None]
    assert said.score.to_pylist()[0] > 0.9  # of the group


def test_a_verdict_in_another_script_is_refused(identifier: Identifier) -> None:
    """The model takes Latin transliteration, or a script that it has not learned, for anything."""
    cherokee, gothic = "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ ᎠᏂᏴᏫᏯ ᎤᎾᏙᏢᏒ ᎠᏂᎩᏚᏩᎩ", "𐌰𐍄𐍄𐌰 𐌿𐌽𐍃𐌰𐍂 𐌸𐌿 𐌹𐌽 𐌷𐌹𐌼𐌹𐌽𐌰𐌼"
    said = judged(identifier, cherokee * 5, gothic * 5)
    assert said.language.to_pylist() == ["und", "und"]
    assert said.score.to_pylist() == [0, 0]


def test_a_text_is_judged_alike_alone_and_among_others(identifier: Identifier) -> None:
    texts = [f"{NOTICE}\n{GERMAN * 6}", RUSSIAN, "", "12", f"{GERMAN * 20}\n{RUSSIAN * 20}", ENGLISH * 100]
    together = judged(identifier, *texts)
    for row, text in enumerate(texts):
        alone = judged(identifier, text)
        assert alone.language[0] == together.language[row]
        assert alone.score[0].as_py() == pytest.approx(together.score[row].as_py(), abs=1e-5)
        assert (alone.languages[0].as_py() is None) == (together.languages[row].as_py() is None)


def test_many_texts_are_judged_a_few_at_a_time(identifier: Identifier, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{GERMAN * 20}\n{RUSSIAN * 20}", ENGLISH, "", RUSSIAN, "12"] * 3
    whole = judged(identifier, *texts)
    monkeypatch.setattr(identifier, "_at_once", 4)
    by_four = judged(identifier, *texts)
    assert by_four.language == whole.language
    assert by_four.languages.type == whole.languages.type
    assert [row is None for row in by_four.languages.to_pylist()] == [False, True, True, True, True] * 3
    assert by_four.score.to_pylist() == pytest.approx(whole.score.to_pylist(), abs=1e-5)


@pytest.mark.parametrize("text", ["a", "1", "😀", "á" * 3, "x" * 2_000_000, "word " * 500_000, "7" * 500_000])
def test_odd_texts_have_a_verdict(identifier: Identifier, text: str) -> None:
    said = judged(identifier, text)
    assert said.language.null_count == said.score.null_count == 0
    assert 0 <= said.score[0].as_py() <= 1


@needs_sentences
@pytest.mark.parametrize("language", ["de", "el", "en", "fr", "ja", "pl", "ru", "tr", "zh"])
def test_real_sentences(identifier: Identifier, language: str) -> None:
    lines = [line for line in (SENTENCES / f"{language}.txt").read_text(encoding="utf-8").split("\n") if line.strip()]
    assert names(identifier, *lines).count(language) > 0.95 * len(lines)


@needs_sentences
def test_notices_before_many_languages(identifier: Identifier) -> None:
    pages, wanted = [], []
    for language in (
        "ar",
        "bg",
        "ca",
        "cs",
        "da",
        "et",
        "eu",
        "ga",
        "he",
        "hi",
        "hu",
        "id",
        "ko",
        "la",
        "lt",
        "sl",
        "sw",
        "th",
        "vi",
        "zh",
    ):
        lines = (SENTENCES / f"{language}.txt").read_text(encoding="utf-8").split("\n")
        for first in range(0, 200, 40):
            pages.append(f"{NOTICE}\n\n{' '.join(lines[first : first + 20])[:500]}")
            wanted.append(language)
    found = names(identifier, *pages)
    assert sum(a == b for a, b in zip(found, wanted, strict=True)) >= 0.95 * len(wanted)


@pytest.mark.skipif(not (CASES / "judgement" / "boilerplate").is_dir(), reason="../shared/cases is not here")
def test_the_case_of_german_after_a_thousand_characters_of_english(identifier: Identifier) -> None:
    import json

    lines = (CASES / "judgement" / "boilerplate" / "in" / "a.jsonl").read_text(encoding="utf-8").splitlines()
    assert set(names(identifier, *[json.loads(line)["text"] for line in lines])) == {"de"}


# --- cutting the other languages ---------------------------------------------------------------------------------------


def cut(identifier: Identifier, *texts: str) -> list[str]:
    said = judged(identifier, *texts)
    ids = [bytes(16)] * len(texts)
    same = {name: ["s"] * len(texts) for name in ("source", "snapshot", "origin")}
    columns = {"id": ids, "work": ids, **same, "text": list(texts), "language": said.language, "languages": said.languages}
    return without_other_languages(documents_from(columns), identifier).to_pylist()


def test_lines_in_other_languages_are_cut(identifier: Identifier) -> None:
    german = "\n".join([GERMAN] * 12)
    page = f"{NOTICE}\n\n{german}\n\n42 | 43\n\n{' '.join([RUSSIAN] * 9)}\n\n{german}"
    assert cut(identifier, german, page, ENGLISH) == [german, f"{german}\n\n42 | 43\n\n{german}", ENGLISH]


def test_a_long_text_is_cut_everywhere(identifier: Identifier) -> None:
    body = "\n".join([GERMAN] * 50 + [" ".join([RUSSIAN] * 5)] * 3)
    page = "\n".join([body] * 20)
    (left,) = cut(identifier, page)
    assert RUSSIAN not in left
    assert left.count(GERMAN) == 50 * 20
