from typing import Any

import pytest

from pipelines.config import CorpusConfig
from pipelines.corpus import plan
from pipelines.text.extraction.extractors import EXTRACTORS, Extractor, MissingExtractorError
from pipelines.units.context import Context

DATA: dict[str, Any] = {
    "corpus": {"name": "t"},
    "sources": [{"name": "s", "kind": "books", "root": ".", "snapshot": "1"}],
    "vocabularies": [{"name": "gpt"}, {"name": "bert", "families": ["bert"], "normalizer": "nfkc_lower"}],
}


@pytest.mark.parametrize(
    ("tokens", "wanted"),
    [({}, ["tokens/gpt", "tokens/bert"]), ({"vocabularies": ["bert"]}, ["tokens/bert"])],
)
def test_every_vocabulary_has_its_shards_unless_some_are_named(tokens: dict[str, Any], wanted: list[str]) -> None:
    steps = plan(Context(CorpusConfig.model_validate({**DATA, "tokens": tokens}), "out"))
    assert [step.name for step in steps if step.name.startswith("vocabulary/")] == ["vocabulary/gpt", "vocabulary/bert"]
    found = [step for step in steps if step.name.startswith("tokens/")]
    assert [step.name for step in found] == wanted
    assert all(step.needs == ("corpus", step.name.replace("tokens", "vocabulary")) for step in found)


def test_every_step_names_what_it_needs_and_which_datasets_are_handed_over() -> None:
    config = {**DATA, "decontaminate": {"paths": ["b.jsonl"]}, "deduplicate": {"enabled": False}}
    steps = plan(Context(CorpusConfig.model_validate(config), "out"))
    assert {step.name: step.needs for step in steps if not step.name.startswith(("vocabulary", "tokens"))} == {
        "reference": (),
        "documents/s": (),
        "clusters": ("documents/s",),
        "repeats": ("documents/s", "clusters"),
        "rarity": ("documents/s", "clusters", "reference"),
        "classifier": ("documents/s", "clusters"),
        "corpus": ("documents/s", "clusters", "repeats", "classifier", "reference", "rarity"),
        "index": ("documents/s", "corpus"),
    }
    assert [step.name for step in steps if step.gated] == ["documents/s", "corpus", "tokens/gpt", "tokens/bert"]


def test_scores_are_a_step_if_a_share_of_them_is_kept() -> None:
    config = CorpusConfig.model_validate({**DATA, "quality": {"keep": "top(quality_score, 0.5)"}})
    needs = {step.name: step.needs for step in plan(Context(config, "out"))}
    assert needs["scores"] == ("documents/s", "clusters", "classifier")
    assert needs["corpus"] == ("documents/s", "clusters", "repeats", "classifier", "scores")


def test_a_build_with_an_extractor_that_is_not_installed_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRACTORS, "trafilatura", Extractor(("no-such-package",), EXTRACTORS["trafilatura"].opened))
    sources = [{**DATA["sources"][0], "kind": "common_crawl", "extractor": "trafilatura"}]
    with pytest.raises(MissingExtractorError, match="needs the package no-such-package"):
        plan(Context(CorpusConfig.model_validate({**DATA, "sources": sources}), "out"))
    plan(Context(CorpusConfig.model_validate({**DATA, "sources": [{**sources[0], "kind": "books"}]}), "out"))
