import pytest

from pipelines.text.judgement.language_codes import nearest

SHORT = ["als", "ceb", "de", "el", "en", "he", "ja", "no", "pt", "sr", "zh"]
LONG = ["cmn_Hani", "deu_Latn", "nob_Latn", "srp_Cyrl", "srp_Latn", "zho_Hant"]


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("deu", "de"),
        ("ger", "de"),
        ("DE", "de"),
        ("de_AT", "de"),
        ("nb", "no"),
        ("nob", "no"),
        ("english", "en"),
        ("English", "en"),
        ("en-US", "en"),
        ("zh-CN", "zh"),
        ("zho_Hans", "zh"),
        ("iw", "he"),  # withdrawn
        ("jp", "ja"),  # a country
        ("gsw", "als"),  # lid.176's Alemannic
        ("Deutsch", "de"),
        ("norwegian bokmål", "no"),
        ("portugese", "pt"),  # misspelled
        ("cebuanno", "ceb"),
    ],
)
def test_what_means_a_label_of_two_letters(written: str, label: str) -> None:
    assert nearest(written, SHORT) == [label]


@pytest.mark.parametrize("written", ["zu", "zul", "zulu", "klingon", "qq", ""])
def test_a_language_without_a_label_and_what_is_none(written: str) -> None:
    assert nearest(written, SHORT) == []


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        ("de", ["deu_Latn"]),
        ("german", ["deu_Latn"]),
        ("no", ["nob_Latn"]),
        ("zh", ["cmn_Hani", "zho_Hant"]),
        ("zh-Hant", ["zho_Hant", "cmn_Hani"]),
        ("sr-latn", ["srp_Latn", "srp_Cyrl"]),
        ("sr", ["srp_Cyrl", "srp_Latn"]),
    ],
)
def test_labels_with_a_script(written: str, labels: list[str]) -> None:
    assert nearest(written, LONG) == labels
