"""What a config does to the texts, in the order of the stages, with every threshold, as rows of a table."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.exports.release.facts import Facts

Row = tuple[str, str]  # what is done, and how


def filters(facts: Facts) -> list[Row]:
    """Return what was done to the texts; what is off is not there."""
    config = facts.config
    rows = (
        ("taken down", _excluded(facts.corpus.facts.get("exclude", {}))),
        ("lines", _lines(config.get("lines", {}))),
        ("copies", _copies(config.get("deduplicate", {}))),
        ("repeated text", _repeats(config.get("repeats", {}))),
        ("languages", _languages(config.get("language", {}))),
        *_rules(config.get("quality", {})),
        ("classifier", _classifier(facts)),
    )
    return [(name, how) for name, how in rows if how]


def _excluded(counted: Mapping[str, Any]) -> str:
    """Return how many names are on the lists; the names are not for everyone."""
    named = [f"{one['names']:,} {kind} named, {one['matched']:,} of them found" for kind, one in counted.items() if one["names"]]
    return "; ".join(named)


def _lines(section: Mapping[str, Any]) -> str:
    named = [name for name in ("c4", "refinedweb") if section.get(name)]
    return ", ".join(["menus and other short lines of web pages removed"] * bool(section.get("enabled")) + named)


def _copies(section: Mapping[str, Any]) -> str:
    if not section.get("enabled"):
        return ""
    exact = [f"exact copies ({section['exact']})"] if section.get("exact") else []
    near = (
        f"near copies: MinHash of word {section['ngram']}-grams, {section['bands']} bands of {section['rows']} rows, removed from"
        f" a similarity of {section['threshold']} (verified by {section['verify']})"
    )
    return "; ".join([*exact, *[near] * bool(section.get("near")), *["the same address"] * bool(section.get("url"))])


def _repeats(section: Mapping[str, Any]) -> str:
    limits = [f"{kind} in more than {section[key]} documents" for kind, key in _REPEATED if section.get(key)]
    words = section.get("substring_words")
    return "; ".join([*limits, *[f"runs of {words} words that occurred before"] * bool(words)])


_REPEATED = (("lines", "lines_limit"), ("paragraphs", "paragraphs_limit"))


def _languages(section: Mapping[str, Any]) -> str:
    if not section.get("enabled"):
        return ""
    limit, limits = section.get("score_limit"), section.get("score_limits", {})
    said = [f"kept: {', '.join(section['keep']) or 'none'}"]
    said += [f"score at least {limit}"] if limit is not None else ["score at least the default of the language"]
    said += [f"in {code} {value}" for code, value in sorted(limits.items())]
    mixed = {"cut": ["other languages cut out"], "drop": ["texts in several languages dropped"]}
    return "; ".join([*said, *mixed.get(section.get("mixed", "keep"), [])])


def _rules(section: Mapping[str, Any]) -> Iterator[Row]:
    who = " (not for curated sources)" if section.get("rules_for") == "crawl" else ""
    rules = section.get("rules", {})
    for name, thresholds in rules.items() if isinstance(rules, Mapping) else ():
        if isinstance(thresholds, Mapping):
            yield f"rules {name}{who}", _thresholds(thresholds)
    for code, changed in sorted(section.get("rules_by_language", {}).items()):
        yield f"other thresholds in {code}", json.dumps(changed, sort_keys=True)
    for name, rule in sorted(section.get("own", {}).items()):
        yield f"own rule {name}", rule if isinstance(rule, str) else "a function in Python"
    if section.get("keep"):
        yield "scores", str(section["keep"])


def _thresholds(thresholds: Mapping[str, Any]) -> str:
    numbers = {name: value for name, value in thresholds.items() if isinstance(value, int | float) and value is not False}
    return ", ".join(f"{name} {value:g}" for name, value in numbers.items())


def _classifier(facts: Facts) -> str:
    if not facts.classifier.get("on"):
        return ""
    return f"fastText, curated text against crawled text; kept from a score of {facts.classifier['threshold']:.4f}"
