"""Labels of models as codes of languages (BCP 47).

>>> codes_of(["__label__en", "__label__no"]), codes_of(["__label__srp_Cyrl", "__label__srp_Latn", "__label__cmn_Hani"])
(['en', 'no'], ['sr', 'sr-Latn', 'zh'])
"""

import re
from collections.abc import Sequence

import langcodes

from pipelines.contract.schema import NO_LINGUISTIC_CONTENT, UNKNOWN_LANGUAGE
from pipelines.text.judgement.languages.fasttext_file import LanguageModelError

PREFIX = "__label__"
_LABEL = re.compile(r"([a-z]{2,3})(?:[-_]([A-Z][a-z]{3}|[a-z]+))?")
# What langcodes replaces, but models know as languages of their own: Serbo-Croatian, Tagalog.
_OWN = {"hbs": "sh", "tgl": "tl"}
_FEWEST_KNOWN = 0.5  # of the labels: a registry is older than a model's newest languages
# Scripts of writing systems: a label with the one is the language in the other.
_SAME_SCRIPT = {"Hans": "Hani", "Hang": "Kore", "Hira": "Jpan"}


def codes_of(labels: Sequence[str]) -> list[str]:
    """Return the code of each label.

    A bare code stays as the model writes it ("no", "als" of lid.176). A code with a script ("nob_Latn", of GlotLID, OpenLID and
    NLLB) becomes the shortest that says the same: the macrolanguage's where that is usual ("cmn" is "zh"), and without the script
    if the language is nearly always written in it. Raise LanguageModelError if the labels are no languages.
    """
    names = [label.removeprefix(PREFIX) for label in labels]
    wrong = [name for name in names if not _LABEL.fullmatch(name)]
    known = sum(_is_known(name) for name in names if name not in wrong)
    if wrong or known < _FEWEST_KNOWN * len(names):
        example = wrong[0] if wrong else next(name for name in names if not _is_known(name))
        raise LanguageModelError(
            f"the label {example!r} of the model is no code of a language, like 'en' or 'eng_Latn': it is no model of languages;"
            " correct language.model"
        )
    return [_code(name) for name in names]


def _is_known(name: str) -> bool:
    return langcodes.Language.get(re.split("[-_]", name)[0]).is_valid()


def _code(name: str) -> str:
    language, _, script = name.replace("-", "_").partition("_")
    if language in (UNKNOWN_LANGUAGE, NO_LINGUISTIC_CONTENT):
        return language
    if not script or script.islower():
        return name
    code = _OWN.get(language) or langcodes.Language.get(langcodes.standardize_tag(language, macro=True)).language or language
    usual = langcodes.Language.get(code, normalize=False).maximize().script
    same = _SAME_SCRIPT.get(str(usual), usual) == _SAME_SCRIPT.get(script, script)
    return code if same else f"{code}-{script}"
