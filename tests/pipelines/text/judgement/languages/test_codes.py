import pytest

from pipelines.text.judgement.languages.codes import codes_of
from pipelines.text.judgement.languages.fasttext_file import LanguageModelError
from pipelines.text.judgement.languages.groups import GROUPS, SCORE_LIMITS, expanded


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("en", "en"),
        ("no", "no"),
        ("als", "als"),  # Alemannic in lid.176
        ("zh-min-nan", None),
        ("eng_Latn", "en"),
        ("nob_Latn", "nb"),
        ("arb_Arab", "ar"),
        ("arz_Arab", "arz"),
        ("arb_Latn", "ar-Latn"),
        ("hin_Latn", "hi-Latn"),
        ("hbs_Latn", "sh"),
        ("tgl_Latn", "tl"),
        ("srp_Cyrl", "sr"),
        ("srp_Latn", "sr-Latn"),
        ("cmn_Hani", "zh"),
        ("zho_Hans", "zh"),
        ("zho_Hant", "zh-Hant"),
        ("jpn_Jpan", "ja"),
        ("kor_Hang", "ko"),
        ("kmr_Latn", "ku"),
        ("uzn_Cyrl", "uz-Cyrl"),
        ("als_Latn", "sq"),  # Tosk Albanian, as in ISO 639-3
        ("zxx_Latn", "zxx"),
        ("und_Grek", "und"),
        ("qqz_Latn", "qqz"),  # newer than the registry
    ],
)
def test_the_code_of_a_label(label: str, code: str | None) -> None:
    known = ["en", "de", "fr", "__label__ru_Cyrl"]
    if code is None:
        with pytest.raises(LanguageModelError, match=f"the label '{label}' of the model is no code of a language"):
            codes_of([*known, label])
    else:
        assert codes_of([*known, f"__label__{label}"])[-1] == code


@pytest.mark.parametrize("labels", [["hq", "cc"], ["positive", "negative"], ["__label__1", "__label__0"], ["en", "Sports"]])
def test_labels_that_are_no_languages(labels: list[str]) -> None:
    with pytest.raises(LanguageModelError, match=r"is no code of a language, like 'en' or 'eng_Latn'.*correct language\.model"):
        codes_of(labels)


def test_a_language_is_in_one_group_and_limits_are_lower_than_the_usual_one() -> None:
    codes = expanded(GROUPS)
    assert len(codes) == len(set(codes))
    assert all(0 < limit < 0.65 for limit in SCORE_LIMITS.values())
