"""The sections of a corpus' config that judge its texts: language, rules and scores of quality, private data."""

import difflib
import keyword
import re
from typing import Annotated, Any, Literal, Self, cast

from pydantic import Field, field_serializer, field_validator, model_validator

from pipelines.contract.schema import DOCUMENTS, MEASURES
from pipelines.contract.settings import ConfigError, Section, validated
from pipelines.rule_thresholds import ENGLISH_STOP_WORDS, RuleSets, check_order
from pipelines.text.judgement.languages.groups import GROUPS, LID_176_FTZ_SHA256, SCORE_LIMIT, SCORE_LIMITS, expanded, members
from pipelines.text.judgement.private.findings import PrivateType
from pipelines.text.judgement.rules.expression import Expression
from pipelines.text.judgement.rules.shares import Share

PrivateAction = Literal["mask", "drop", "off"]


class LanguageModelSection(Section):
    """One of several models that vote on the language."""

    path: str
    """A fastText model (.bin or .ftz) with labels such as `__label__en` or `__label__eng_Latn`."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """The file's SHA-256, as `sha256sum` prints it. Another file stops the build at its start."""


class LanguageSection(Section):
    """The language of each document, by a fastText model of languages (docs/languages.md)."""

    enabled: bool = True
    keep: tuple[str, ...] = ()
    """Codes as the model writes them (lid.176: de, no, zh; not deu, nb, zh-CN: the build refuses these at its start), or groups
    of codes ("hr+bs+sr+sh"); empty keeps every language. "zxx" is code, tables and numbers, "und" is no known language."""
    mixed: Literal["keep", "cut", "drop"] = "keep"
    """Documents in several languages (the column `languages` has their shares). keep: as they are, under the language of most of
    their text. cut: lines in the other languages are removed. drop: they are dropped as `language_mixed`."""
    score_limit: float | None = Field(default=None, ge=0, le=1)
    """Drop a document if the group of its language has a lower score. By default 0.65 (FineWeb), and for the languages of which
    lid.176 is less sure, what keeps them (docs/languages.md); a number is for all languages but those in `score_limits`."""
    score_limits: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict[str, float])
    """Limits by language or group: {sl = 0.4, "hr+bs+sr+sh" = 0.5}."""
    groups: tuple[str, ...] = GROUPS
    """Languages that models hardly tell apart: a document's score is the sum of the probabilities of its language's group."""
    model: str | None = None
    """Path of a fastText model of languages; by default, lid.176.ftz is downloaded once, verified and cached."""
    model_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """The SHA-256 of `model`; without it, `model` must be lid.176.ftz."""
    models: tuple[LanguageModelSection, ...] = ()
    """Several models that vote, instead of `model`: the probability of a language is the mean of those that know it."""

    @field_validator("groups")
    @classmethod
    def _groups_are_apart(cls, groups: tuple[str, ...]) -> tuple[str, ...]:
        codes = expanded(groups)
        twice = sorted({code for code in codes if codes.count(code) > 1})
        if twice or not all(codes):
            raise ValueError(f"{twice[0]!r} is in two groups" if twice else 'a group is written "hr+bs+sr"')
        return groups

    @model_validator(mode="after")
    def _one_way_to_name_models(self) -> Self:
        if self.models and (self.model is not None or self.model_sha256 is not None):
            raise ValueError("models stands for model and model_sha256: give one or the other")
        if self.model_sha256 is not None and self.model is None:
            raise ValueError("model_sha256 needs model, the path of the file")
        return self

    def limit_of(self, code: str) -> float:
        """Return the limit of a language's score."""
        own = {member: limit for group, limit in self.score_limits.items() for member in members(group)}
        if code in self.score_limits or code in own:
            return self.score_limits.get(code, own[code])
        if self.score_limit is not None:
            return self.score_limit
        is_lid_176 = not self.models and self.model_sha256 in (None, LID_176_FTZ_SHA256)
        return SCORE_LIMITS.get(code, SCORE_LIMIT) if is_lid_176 else SCORE_LIMIT

    def judged(self) -> dict[str, Any]:
        """Return what determines the columns of a document, beside the models' content."""
        return {"enabled": self.enabled, "groups": list(self.groups), "cut": self.mixed == "cut"}

    def limits(self) -> dict[str, Any]:
        """Return what determines which documents are kept, by these columns."""
        return self.model_dump(mode="json", exclude={"model", "models", "groups"})


class OwnFunction(Section):
    """A rule of one's own as a function of Python."""

    function: str
    """"rules.py:name", a path from the config's folder, or "package.module:name"."""
    columns: tuple[str, ...] = ("measures",)
    """The columns of documents that the function is given, as a record batch; it returns a boolean per row, true to keep."""

    @field_validator("function")
    @classmethod
    def _function_has_a_place(cls, function: str) -> str:
        place, _, name = function.rpartition(":")
        if not place or not name.isidentifier():
            raise ValueError('a function is written as "rules.py:name" or "package.module:name"')
        return function

    @field_validator("columns")
    @classmethod
    def _columns_are_known(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        for name in columns:
            if name not in DOCUMENTS.names:
                near = difflib.get_close_matches(name, DOCUMENTS.names, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"documents have {', '.join(DOCUMENTS.names)}"
                raise ValueError(f"there is no column {name!r}; {hint}")
        return columns


def _own_rule(name: str, rule: Any) -> str | OwnFunction:
    """Return an own rule. Raise ValueError that says what is wrong with it as the one kind of rule that it can be."""
    if isinstance(rule, str | OwnFunction):
        return rule
    if not isinstance(rule, dict):
        raise ValueError(f'{name}: write an expression such as "words > 50", or a table with function = "rules.py:name"')
    try:
        return validated(OwnFunction, cast(dict[str, Any], rule), name)
    except ConfigError as error:
        raise ValueError(str(error).replace("\n", "; ")) from None


class QualityModelSection(Section):
    """A model that scores texts: a fastText classifier of others (DCLM's, one of educational value), or a fine-tuning of ours.

    Its score is a column of the corpus.
    """

    name: str
    """The score's name in `scores` and in `quality.keep`: small letters, digits and "_"."""
    path: str | None = None
    """A fastText model's file, .bin or .ftz, relative to the config's folder."""
    run: str | None = None
    """Instead of `path`: a run of `corpusmill finetune` with kind = "classification", relative to the config's folder. A
    regression's value is the score."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """The file's SHA-256, or that of a run's checkpoint as the manifest of `scores` has it: another model is refused."""
    labels: dict[str, float] = Field(default_factory=dict[str, float])
    """The value of labels; a text's score is the sum of each label's probability times its value. DCLM: {"__label__hq" = 1}."""
    characters: int | None = Field(default=None, ge=100)
    """Characters from a text's beginning that are judged; by default all."""
    windows: int = Field(default=1, ge=1, le=1024)
    """With `run`: how many windows of the model's length are read at most, evenly spread over a text; the score is their mean.
    With 1 it is the text's beginning, as FineWeb-Edu's classifier reads it (arXiv 2406.17557)."""

    @field_validator("name")
    @classmethod
    def _expressions_can_have_it(cls, name: str) -> str:
        if re.fullmatch(r"[a-z_][a-z0-9_]*", name) is None or keyword.iskeyword(name):
            what = "a word of the language of expressions" if keyword.iskeyword(name) else "no name that an expression can have"
            raise ValueError(f"{name!r} is {what}; quality.keep needs small letters, digits and '_', such as 'edu_2'")
        return name

    @model_validator(mode="after")
    def _one_kind_of_model(self) -> Self:
        if (self.path is None) == (self.run is None):
            raise ValueError("give either path, a fastText file, or run, a fine-tuning of ours")
        if self.path is not None and not self.labels:
            raise ValueError('labels: is missing; give the values of the file\'s labels, such as {"__label__hq" = 1}')
        if self.path is not None and self.windows != 1:
            raise ValueError("windows: is for a run; a fastText file reads the whole text")
        return self


class PerplexitySection(Section):
    """Perplexity of texts by n-gram models of KenLM, as in CCNet: the score `perplexity`, low for texts like the model's."""

    models: dict[str, str] = Field(min_length=1)
    """Models by language, in ARPA's or KenLM's binary format, relative to the config's folder: {en = "lm/en.arpa.bin"}. Texts in
    other languages have no perplexity. Needs the extra `perplexity`."""
    sentencepiece: dict[str, str] = Field(default_factory=dict[str, str])
    """SentencePiece models for models of pieces, by language: {en = "lm/en.sp.model"}. Without one, a model reads words."""
    normalize: Literal["ccnet", "none"] = "ccnet"
    """ccnet: lines are read in lower case, without accents, with 0 for digits and plain punctuation. none: as they are."""

    @model_validator(mode="after")
    def _pieces_have_models(self) -> Self:
        if unknown := sorted(self.sentencepiece.keys() - self.models.keys()):
            raise ValueError(f"sentencepiece.{unknown[0]}: there is no model of this language in models; add it there")
        return self


class QualitySection(Section):
    """Published rules for pages, then a classifier that tells curated sources from the crawl."""

    rules: RuleSets = RuleSets()
    """The sets of rules: a list of names, or tables of thresholds (`[quality.rules.gopher] min_words = 30`), in which a rule or a
    set is off by `= false`. pipelines/rule_thresholds.py has every threshold with its source. A threshold acts when the corpus is
    made: no source is read again for it."""
    rules_by_language: dict[str, RuleSets] = Field(default_factory=dict[str, RuleSets])
    """Thresholds that differ in a language, in place of those above, such as `[quality.rules_by_language.de.gopher]` with
    `max_word_length = 14`. `corpusmill fit-rules` derives them from curated texts."""
    measure: bool = True
    """Whether texts are measured. What the rules read are columns of the documents; without them no rule can judge."""
    tokens: Literal["corpusmill", "datatrove"] = "corpusmill"
    """What the measures of tokens, words, words with letters and stop words count. datatrove: the tokens of its filters (spaCy's
    for English in all languages), for comparison only; it needs the extra `datatrove` and is about fifty times as slow."""
    stop_words: dict[str, tuple[str, ...]] = Field(default_factory=lambda: {"en": ENGLISH_STOP_WORDS})
    """The stop words of each language, by its code: Gopher's eight for English, unless `en` is given, and none for other
    languages. `corpusmill fit-rules` finds those of a language."""
    bad_words: dict[str, str] = Field(default_factory=dict[str, str])
    """Files of bad words or phrases by language, one a line, relative to the config's folder (C4's are published as LDNOOBW)."""
    own: dict[str, str | OwnFunction] = Field(default_factory=dict[str, str | OwnFunction])
    """Rules of your own, by name; a document must satisfy them all. An expression over the measures
    (`own.long = "words > 50 and stop_words / words > 0.02"`), or a function (`own.no_shops.function = "rules.py:no_shops"`)."""
    rules_for: Literal["crawl", "all"] = "crawl"
    """Sources that the rules judge. They were made for web pages; by default, they do not judge curated sources."""
    classifier: bool = True
    """Train the classifier during the build. With fewer than `examples_per_class` examples it is off; the report says so."""
    examples_per_class: int = Field(default=500, ge=10)
    """Fewest examples of each class."""
    examples_per_class_limit: int = Field(default=200_000, ge=10)
    """Most examples of each class."""
    keep_share: float = Field(default=0.9, gt=0, le=1)
    """Share of held-out crawl documents that pass the classifier's threshold (DCLM: 0.1)."""
    models: tuple[QualityModelSection, ...] = ()
    """Models of others and of yours, as [[quality.models]]. They score what the rules keep, in every language, but not curated
    sources."""
    perplexity: PerplexitySection | None = None
    """[quality.perplexity]: n-gram models that score what the rules keep, but not curated sources."""
    keep: str | None = None
    """What is kept of the scored documents, by scores and measures: "dclm > 0.02 or (edu > 1.2 and quality_score > 0.3)". A
    document of which it is neither true nor false, for want of a score, is kept. top(dclm, 0.1) is true of the tenth of a
    language's documents with the highest scores, bottom(dclm, 0.1) of the tenth with the lowest."""
    seed: int = Field(default=1, ge=0)

    @field_serializer("rules_by_language")
    def _as_given(self, rules: dict[str, RuleSets]) -> dict[str, Any]:
        return {code: changed.changes() for code, changed in rules.items()}

    @field_validator("stop_words")
    @classmethod
    def _english_has_some(cls, words: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {"en": ENGLISH_STOP_WORDS, **words}

    @model_validator(mode="after")
    def _texts_of_a_language_can_pass(self) -> Self:
        for code, changed in self.rules_by_language.items():
            try:
                check_order(self.rules.thresholds(changed))
            except ValueError as error:
                raise ValueError(f"rules_by_language.{code}: {error}") from None
        return self

    @field_validator("own", mode="before")
    @classmethod
    def _rules_are_expressions_or_functions(cls, own: Any) -> Any:
        if not isinstance(own, dict):
            return own
        return {name: _own_rule(str(name), rule) for name, rule in cast(dict[Any, Any], own).items()}

    @field_validator("own")
    @classmethod
    def _expressions_are_read(cls, own: dict[str, str | OwnFunction]) -> dict[str, str | OwnFunction]:
        for name, rule in own.items():
            if isinstance(rule, str):
                try:
                    Expression(rule)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
        return own

    @model_validator(mode="after")
    def _names_of_models_are_free(self) -> Self:
        names = [model.name for model in self.models]
        taken = {"quality_score", "perplexity", *(field.name for field in MEASURES)}
        for name in names:
            if names.count(name) > 1 or name in taken:
                what = "another model" if name not in taken else "a measure or score of the program"
                raise ValueError(f"models: the name {name!r} is that of {what}; choose another")
        return self

    @model_validator(mode="after")
    def _keep_is_an_expression(self) -> Self:
        if self.keep is not None:
            Expression(self.keep, ("quality_score", *self.score_names))
        return self

    @model_validator(mode="after")
    def _rules_need_measures(self) -> Self:
        if not self.measure and self.has_rules:
            raise ValueError("measure = false leaves the rules nothing to judge by; turn it on, or the rules off: rules = []")
        return self

    @property
    def score_names(self) -> tuple[str, ...]:
        """The names of the scores beside that of the build's own classifier."""
        return (*(model.name for model in self.models), *(("perplexity",) if self.perplexity is not None else ()))

    @property
    def shares(self) -> tuple[Share, ...]:
        """The shares of scores that `keep` names."""
        return () if self.keep is None else Expression(self.keep, ("quality_score", *self.score_names)).shares

    @property
    def is_scored(self) -> bool:
        """Whether documents have scores before the corpus is made."""
        return bool(self.score_names or self.shares)

    @property
    def has_rules(self) -> bool:
        """Whether any rule is on, for any language."""
        return bool(self.rules.thresholds()) or bool(self.rules_by_language) or bool(self.own)


class PrivateSection(Section):
    """Private data in the published text: what is masked, dropped or left. The table `masks` of the corpus has every mask.

    Of each type, mask replaces an occurrence by a token such as <EMAIL>; drop masks it, too, and drops a document that has more
    than both limits below of all such types together; off does not look for it.
    """

    email: PrivateAction = "mask"
    """E-mail addresses, also those written with "(at)" and "(dot)"."""
    phone: PrivateAction = "mask"
    """Telephone and fax numbers with an international prefix, a word such as "phone" beside them, or the form of a country."""
    ip: PrivateAction = "mask"
    """Internet addresses, IPv4 and IPv6; versions and numbers of sections are none."""
    iban: PrivateAction = "mask"
    """Numbers of bank accounts with their checksum."""
    card: PrivateAction = "mask"
    """Numbers of payment cards with their checksum."""
    national_id: PrivateAction = "mask"
    """Identity, tax and social insurance numbers of about fifty countries, most with a checksum."""
    secret: PrivateAction = "mask"
    """Keys and tokens of services, private keys, passwords in addresses, random values that are assigned to a secret's name."""
    coordinates: PrivateAction = "off"
    """A latitude with a longitude: in most texts that of a public place."""
    url: PrivateAction = "off"
    """Whole web addresses: in most texts a reference that the reader needs."""
    ip_addresses: Literal["public", "all"] = "public"
    """public: private, reserved and multicast ranges (192.168.0.1, ::1) stay, since they name no one's machine."""
    count_limit: int = Field(default=5, ge=0)
    """A document with more occurrences of the types to drop (Dolma, arXiv 2402.00159, 3.1.3: 5) …"""
    density_limit: float = Field(default=5.0, ge=0)
    """… and more of them per 1,000 characters is dropped as `private_data`."""
    names: str | None = None
    """A run of `corpusmill finetune` with kind = "named_entities", relative to the config's folder, that finds names of persons.
    Without it no names are looked for."""
    name_labels: tuple[str, ...] = Field(default=("person",), min_length=1)
    """The run's labels of persons, such as person (WNUT 2017) or PER (CoNLL-2003)."""
    person: PrivateAction = "mask"
    """Names of persons, if `names` has a model."""
    tokens: dict[PrivateType, Annotated[str, Field(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]] = Field(
        default_factory=dict[PrivateType, str]
    )
    """Other tokens by type, such as email = "|||EMAIL_ADDRESS|||" (Dolma's). By default <EMAIL>, <PHONE>, <IP>, <IBAN>, <CARD>,
    <NATIONAL_ID>, <SECRET>, <COORDINATES>, <URL>, <PERSON>: plain text, which vocabularies learn like any other."""

    def action(self, type_: PrivateType) -> PrivateAction:
        """Return what is done with a type."""
        return "off" if type_ is PrivateType.PERSON and self.names is None else getattr(self, type_)

    @property
    def searched(self) -> tuple[PrivateType, ...]:
        """The types that are not off."""
        return tuple(type_ for type_ in PrivateType if self.action(type_) != "off")
