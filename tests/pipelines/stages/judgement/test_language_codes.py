"""A language code of the config that the model does not have is refused; the documents' languages are in test_document_stages."""

from typing import Any

import pytest

from pipelines.config import CorpusConfig
from pipelines.contract.errors import UserError
from pipelines.stages.judgement.language import check_codes, names_codes

NO_LABEL = "is no label of the language model"
LABELS = frozenset({"de", "en", "no", "zh"})


def config(**sections: Any) -> CorpusConfig:
    source = {"name": "s", "kind": "books", "root": ".", "snapshot": "1", **sections.pop("source", {})}
    return CorpusConfig.model_validate({"corpus": {"name": "t"}, "sources": [source], **sections})


def weighted(weights: dict[str, float], **sections: Any) -> CorpusConfig:
    return config(vocabularies=[{"name": "v", "language_weights": weights}], **sections)


@pytest.mark.parametrize(
    "settings",
    [
        config(),
        config(language={"keep": ["de", "zh"]}, source={"language": "en"}),
        config(language={"groups": ["de+en", "nb+no+nn+da"]}),  # of a default group, a model may lack members
        config(source={"language": "grc"}),  # ancient Greek, which the model has no label for
        weighted({"de": 2, "und": 0}),
        weighted({"de": 2}, language={"keep": ["de"]}),
    ],
)
def test_good_codes(settings: CorpusConfig) -> None:
    check_codes(settings, LABELS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (config(language={"keep": ["en", "deu"]}), f"language.keep: 'deu' {NO_LABEL}; did you mean 'de'?"),
        (config(language={"groups": ["de+deu"]}), f"language.groups: 'deu' {NO_LABEL}; did you mean 'de'?"),
        (config(language={"keep": ["fr"]}), f"language.keep: 'fr' {NO_LABEL}; its labels are de, en, no, zh"),
        (weighted({"nb": 2}), f"vocabularies.v.language_weights.nb: 'nb' {NO_LABEL}; did you mean 'no'?"),
        (config(source={"language": "english"}), f"sources.s.language: 'english' {NO_LABEL}; did you mean 'en'?"),
        (config(source={"language": "?"}), f"sources.s.language: '?' {NO_LABEL}; its labels are de, en, no, zh"),
        (
            config(quality={"rules_by_language": {"deu": {"c4": False}}}),
            f"quality.rules_by_language.deu: 'deu' {NO_LABEL}; did you mean 'de'?",
        ),
        (config(quality={"stop_words": {"nb": ["og"]}}), f"quality.stop_words.nb: 'nb' {NO_LABEL}; did you mean 'no'?"),
        (config(quality={"bad_words": {"fr": "f"}}), f"quality.bad_words.fr: 'fr' {NO_LABEL}; its labels are de, en, no, zh"),
        (
            weighted({"zh": 2}, language={"keep": ["de"]}),
            "vocabularies.v.language_weights.zh: language.keep drops this language; keep it, or take the weight out",
        ),
        (
            config(language={"keep": ["zh-CN"]}, source={"language": "deu"}),
            f"language.keep: 'zh-CN' {NO_LABEL}; did you mean 'zh'?\n"
            f"sources.s.language: 'deu' {NO_LABEL}; did you mean 'de'?",
        ),
    ],
)  # fmt: skip
def test_wrong_codes_name_the_nearest_label(settings: CorpusConfig, message: str) -> None:
    assert names_codes(settings)
    with pytest.raises(UserError) as caught:
        check_codes(settings, LABELS)
    assert str(caught.value) == message


def test_without_a_model_no_text_has_a_language() -> None:
    check_codes(config(language={"keep": ["xx"], "enabled": False}), None)  # the stage is off
    check_codes(weighted({"und": 2}), None)
    with pytest.raises(UserError, match=r"^vocabularies\.v\.language_weights\.de: language\.enabled is false, so no text has a"):
        check_codes(weighted({"und": 2, "de": 1}), None)


def test_groups_limits_and_what_is_no_language_may_be_named() -> None:
    check_codes(config(language={"keep": ["de+en", "zxx", "und"], "score_limits": {"en+zh": 0.5, "zxx": 0.2}}), LABELS)
    check_codes(config(language={"keep": ["nb+no+nn+da"]}), LABELS)  # a group of many models: one of its labels is enough
    weights = {"name": "v", "language_weights": {"zxx": 0, "de": 2}}
    check_codes(config(language={"keep": ["de+en", "zxx"]}, vocabularies=[weights]), LABELS)
    with pytest.raises(UserError, match=rf"language\.score_limits: 'deu' {NO_LABEL}.*did you mean 'de'"):
        check_codes(config(language={"score_limits": {"en+deu": 0.5}}), LABELS)
    assert names_codes(config(language={"score_limits": {"en": 0.5}}))


def test_rules_by_language_need_languages() -> None:
    with pytest.raises(UserError, match=r"quality.stop_words.de: language.enabled is false, so no text has a language"):
        check_codes(config(quality={"stop_words": {"de": ["der"]}}), None)
    check_codes(config(), None)
