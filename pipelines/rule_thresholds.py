"""The thresholds of the published quality rules: `[quality.rules.SET] threshold = number`, or false to turn a rule off.

The docstring below a field is its reference; text/judgement/rules has the rules themselves.
"""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Self, cast

from pydantic import BeforeValidator, Field, field_serializer, model_validator

from pipelines.contract.settings import Section

ENGLISH_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")  # Gopher (arXiv 2112.11446, A1.1)


def _number(value: Any) -> Any:
    if value is True:
        raise ValueError("give the threshold as a number, or false to turn the rule off")
    return None if value is False else value


def _share(value: Any) -> Any:
    value = _number(value)
    if isinstance(value, int | float) and value > 1:
        raise ValueError(f"is a share, from 0 to 1; write {value / 100:g} for {value:g} %")
    return value


Threshold = Annotated[float | None, Field(ge=0), BeforeValidator(_number)]
Share = Annotated[float | None, Field(ge=0), BeforeValidator(_share)]


class C4Rules(Section):
    """C4 (arXiv 1910.10683, section 2.2)."""

    max_lorem_ipsum: Threshold = 0
    """Occurrences of "lorem ipsum"."""
    max_curly_brackets: Threshold = 0
    """Occurrences of "{": pages of code."""
    max_bad_words: Threshold = 0
    """Occurrences of entries of `quality.bad_words` in the page's language; without a list for it, the rule does not apply."""
    min_sentences: Threshold = 3
    """Sentences of the page; the code of C4 has 5. Not for scripts without sentence marks."""
    min_prose_sentences: Threshold = None
    """Sentences in lines that end in a terminal mark and have five words: those that C4 keeps, and counts."""


class GopherRules(Section):
    """Gopher's rules of quality (arXiv 2112.11446, appendix A1.1)."""

    min_words: Threshold = 50
    max_words: Threshold = 100_000
    min_word_length: Threshold = 3
    """Mean length of words in characters; not for scripts without spaces, nor for syllables of Hangul."""
    max_word_length: Threshold = 10
    max_symbols: Threshold = 0.1
    """Hashes, or ellipses, per token."""
    max_bullet_lines: Share = 0.9
    """Share of lines that begin with a bullet."""
    max_ellipsis_lines: Share = 0.3
    """Share of lines that end in an ellipsis."""
    min_letter_words: Share = 0.8
    """Share of words with a letter."""
    min_letter_tokens: Share = None
    """Share of tokens with a letter, where every comma is a token: how datatrove and Dolma read the rule above."""
    min_stop_words: Threshold = 2
    """Different words of `quality.stop_words` in the page's language; without a list for it, the rule does not apply."""


class GopherRepetitionRules(Section):
    """Gopher's rules of repetition (arXiv 2112.11446, table A1)."""

    max_duplicate_lines: Share = 0.30
    """Share of lines that equal an earlier one."""
    max_duplicate_line_characters: Share = 0.20
    max_duplicate_paragraphs: Share = 0.30
    max_duplicate_paragraph_characters: Share = 0.20
    max_top_2gram_characters: Share = 0.20
    """Share of characters in the most frequent pair of words."""
    max_top_3gram_characters: Share = 0.18
    max_top_4gram_characters: Share = 0.16
    max_duplicate_5gram_characters: Share = 0.15
    """Share of characters in sequences of five words that occurred before."""
    max_duplicate_6gram_characters: Share = 0.14
    max_duplicate_7gram_characters: Share = 0.13
    max_duplicate_8gram_characters: Share = 0.12
    max_duplicate_9gram_characters: Share = 0.11
    max_duplicate_10gram_characters: Share = 0.10


class FineWebRules(Section):
    """FineWeb's own rules (arXiv 2406.17557, section 3.6)."""

    min_punctuated_lines: Share = 0.12
    """Share of lines that end in a terminal mark; a page with this share, or a smaller one, is dropped."""
    max_short_lines: Share = 0.67
    """Share of lines narrower than 30 characters; a page with this share is dropped."""
    max_duplicate_line_characters: Share = 0.1
    """Share of characters in lines that equal an earlier one; a page with this share is dropped. FineWeb's code has 0.01."""
    max_newlines: Threshold = 0.3
    """Newlines per word. An addition of FineWeb's code, not in the paper."""


class RefinedWebRules(Section):
    """RefinedWeb's rule on lines (arXiv 2306.01116, appendix G.2)."""

    max_flagged_words: Share = 0.05
    """Share of words in lines of capitals, of numbers, of a counter ("3 likes") or of one word."""


class SignRules(Section):
    """Signs of pages that are no running text, counted: an addition of corpusmill (docs/rules.md has how they were chosen)."""

    max_signs: Threshold = 2
    """A page with more of the signs below is dropped. Without the limit, nothing is."""
    enough_prose_sentences: Threshold = 20
    """A page with so many sentences in prose lines (below) is kept, whatever stands around them."""
    min_words: Threshold = 90
    min_words_per_line: Threshold = 16
    min_stop_words: Share = 0.12
    """Share of words in `quality.stop_words`; not counted for languages without a list."""
    min_prose_sentences: Threshold = 3
    """Sentences in lines of five words or more that end in a terminal mark."""
    min_letters: Share = 0.927
    """Share of letters in the characters that are not white space."""
    max_capitals: Share = 0.08
    """Share of letters that are capitals."""
    max_capital_words: Share = 0.05
    """Share of words that are all in capitals."""
    max_digits: Share = 0.025
    """Share of characters that are digits."""
    max_top_2gram_characters: Share = 0.045
    """Share of characters in the most frequent pair of words."""


def _count(value: Any) -> Any:
    if value is True:
        raise ValueError("give a number, or false to turn the rule off")
    return None if value is False else value


Count = Annotated[int | None, Field(ge=1), BeforeValidator(_count)]


class C4Lines(Section):
    """C4's removal of lines (arXiv 1910.10683, section 2.2; TFDS c4_utils)."""

    terminal_marks: bool = True
    """Remove lines that do not end in a terminal mark of their script, or end in an ellipsis; not lines in Thai or Lao."""
    min_words: Count = 5
    """Remove lines with fewer words; the code of C4 has 3."""
    max_word_length: Count = 1000
    """Remove lines with a longer word (of the code alone)."""
    javascript: bool = True
    """Remove lines with "javascript"."""
    policies: bool = True
    """Remove lines about cookies and policies: "privacy policy", "use cookies", … (English only)."""


class RefinedWebLines(Section):
    """RefinedWeb's removal of lines (arXiv 2306.01116, appendix G.2). Lines that end in a terminal mark stay."""

    capitals: bool = True
    """Remove lines of which more than half of the characters are capitals."""
    numbers: bool = True
    """Remove lines with digits and without letters."""
    counters: bool = True
    """Remove counters: a number and a word ("3 likes")."""
    single_words: bool = True
    """Remove lines of one word."""


def check_order(thresholds: Mapping[str, Mapping[str, float]]) -> None:
    """Raise ValueError if no text can be between two thresholds of a set."""
    for section, values in thresholds.items():
        for name, least in values.items():
            opposite = name.replace("min_", "max_", 1)
            if name.startswith("min_") and least > values.get(opposite, least):
                raise ValueError(
                    f"{section}.{name} = {least:g} is above {opposite} = {values[opposite]:g}: no text is between them"
                )


class RuleSets(Section):
    """The sets of rules that are on, with their thresholds. In the form of a list, exactly those that it names are on.

    In a table, a set that is named is on, `SET = false` turns one off, and the others are as by default.
    """

    c4: C4Rules | None = None
    gopher: GopherRules | None = GopherRules()
    gopher_repetition: GopherRepetitionRules | None = GopherRepetitionRules()
    fineweb: FineWebRules | None = None
    refinedweb: RefinedWebRules | None = None
    signs: SignRules | None = SignRules()

    @model_validator(mode="before")
    @classmethod
    def _list_is_a_table(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return cls._of_list(cast(Any, value))
        if isinstance(value, Mapping):
            return {name: _switched(name, entry) for name, entry in cast(Mapping[str, Any], value).items()}
        return value

    @model_validator(mode="after")
    def _texts_can_pass(self) -> Self:
        check_order(self.thresholds())
        return self

    @classmethod
    def _of_list(cls, names: list[Any]) -> dict[str, Any]:
        for name in names:
            if name not in cls.model_fields:
                near = difflib.get_close_matches(str(name), cls.model_fields, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"the sets are {', '.join(cls.model_fields)}"
                raise ValueError(f"there is no set of rules {name!r}; {hint}")
        return {name: {} if name in names else None for name in cls.model_fields}

    @field_serializer("*", mode="plain")
    def _with_false(self, section: Section | None) -> Any:
        """Write a set, or a rule, that is off as false: the form in which a config can have it."""
        if section is None:
            return False
        return {name: False if value is None else value for name, value in section.model_dump(mode="json").items()}

    def changes(self) -> dict[str, Any]:
        """Return only what was given, in the form in which a config can have it."""
        sections = {name: getattr(self, name) for name in sorted(self.model_fields_set)}
        return {name: False if section is None else _given(section) for name, section in sections.items()}

    def thresholds(self, changed: "RuleSets | None" = None) -> dict[str, dict[str, float]]:
        """Return the thresholds that are on, by set and name, with those that `changed` gives in place of these."""
        sections = {name: getattr(self, name) for name in RuleSets.model_fields}
        found: dict[str, dict[str, Any]] = {name: _values(section) for name, section in sections.items()}
        for name in changed.model_fields_set if changed is not None else ():
            section = getattr(changed, name)
            given = {} if section is None else {key: getattr(section, key) for key in section.model_fields_set}
            base = found[name] or (_values(section) if section is not None else {})
            found[name] = {} if section is None else {**base, **given}
        return {name: {key: v for key, v in values.items() if v is not None} for name, values in found.items() if values}


def _switched(name: str, entry: Any) -> Any:
    if entry is True:
        return {}
    return None if entry is False else entry


def _given(section: Section) -> dict[str, Any]:
    values = {name: getattr(section, name) for name in sorted(section.model_fields_set)}
    return {name: False if value is None else value for name, value in values.items()}


def _values(section: Section | None) -> dict[str, Any]:
    return {} if section is None else {name: getattr(section, name) for name in type(section).model_fields}
