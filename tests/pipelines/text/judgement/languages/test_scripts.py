import pytest

from pipelines.text.judgement.languages import scripts


def script(character: str) -> str | None:
    return scripts.name_of(scripts.letters()[ord(character)])


@pytest.mark.parametrize(
    ("characters", "name"),
    [
        ("aZéßŁ", "Latn"),
        ("яЇә", "Cyrl"),
        ("ωΆ", "Grek"),
        ("א", "Hebr"),
        ("غڤ", "Arab"),
        ("कॐ", "Deva"),
        ("あアー", "Kana"),
        ("漢々", "Hani"),
        ("한", "Hang"),
        ("გ", "Geor"),
        ("ሀ", "Ethi"),
        ("𐤀", "Zyyy"),  # Phoenician: a letter of a script that is not named
    ],
)
def test_the_script_of_a_letter(characters: str, name: str) -> None:
    if "々" in characters:
        characters = characters.replace("々", "")  # a modifier, which Unicode names for no script
    assert {script(character) for character in characters} == {name}


def test_what_is_no_letter_has_no_script() -> None:
    assert {script(character) for character in "1 .,-_😀½ªº\u0301\n"} == {None}


@pytest.mark.parametrize(
    ("language", "names"),
    [
        ("en", {"Latn"}),
        ("ru", {"Cyrl"}),
        ("sr", {"Cyrl", "Latn"}),
        ("sr-Latn", {"Latn"}),
        ("ja", {"Kana", "Hani"}),
        ("ko", {"Hang", "Hani"}),
        ("zh", {"Hani", "Bopo"}),
        ("zh-Hant", {"Hani"}),
        ("azb", {"Arab"}),
        ("xal", {"Cyrl"}),
        ("und", set()),
        ("zxx", set()),
    ],
)
def test_the_scripts_of_a_language(language: str, names: set[str]) -> None:
    assert scripts.written_in(language) == names
