"""Models of others in a whole build: their scores are columns, an expression over them decides, and mistakes stop it at once."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fasttext
import ngram_models
import pyarrow.parquet as pq
import pytest
from places import FIXTURES

from flows import drive
from pipelines.beam.runners import RunnerOptions
from pipelines.config import ConfigError, CorpusConfig, LanguageSection, load
from pipelines.contract.errors import UserError
from pipelines.release import published_folders
from pipelines.text.judgement.models import sha256_of
from pipelines.units.context import Context

GOOD, POOR = "the proof of the theorem follows from the lemma", "buy this cheap phone now and click on the sale"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    (folder / "train.txt").write_text(f"__label__hq {GOOD}\n__label__cc {POOR}\n" * 100)
    trained = fasttext.train_supervised(str(folder / "train.txt"), dim=4, epoch=20, thread=1, seed=1, bucket=100, verbose=0)
    trained.save_model(str(folder / "hq.bin"))
    return str(folder / "hq.bin")


def config(folder: Path, model: str, **quality: Any) -> CorpusConfig:
    for name, texts in {"web": [f"{GOOD} {n}" for n in range(3)] + [f"{POOR} {n}" for n in range(4)], "wiki": [POOR]}.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    models = [{"name": "hq", "path": model, "labels": {"__label__hq": 1}}]
    sources = [
        {"name": name, "kind": "records", "root": str(folder / name), "snapshot": "1", "curated": name == "wiki"}
        for name in ("web", "wiki")
    ]
    return CorpusConfig.model_validate(
        {
            "corpus": {"name": "scored", "validation_share": 0},
            "sources": sources,
            "deduplicate": {"enabled": False},
            "language": {"enabled": False},
            "quality": {"rules": [], "models": models, **quality},
        }
    )


def built(settings: CorpusConfig, out: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Documents and drops of the corpus."""
    drive.build(Context(settings, str(out)), gated=False)
    folder = Path(published_folders(str(out))["corpus"])
    documents, drops = (
        [row for path in sorted(folder.glob(f"{table}/*.parquet")) for row in pq.read_table(path).to_pylist()]
        for table in ("documents", "drops")
    )
    return documents, drops


def test_scores_are_columns_and_an_expression_decides(tmp_path: Path, model: str) -> None:
    kept, dropped = built(config(tmp_path, model, keep="hq > 0.5 and words > 5"), tmp_path / "out")
    assert sorted(row["text"][:3] for row in kept) == ["buy", "the", "the", "the"]
    scores = {row["source"]: row["scores"] for row in kept}
    assert scores["wiki"] is None  # curated
    (score,) = scores["web"]
    assert (score["model"], score["score"] > 0.5) == ("hq", True)
    assert {(row["stage"], row["reason"]) for row in dropped} == {("quality", "low_quality")}
    assert len(dropped) == 4
    assert dropped[0]["detail"] == f"hq {dropped[0]['scores'][0]['score']:.4f}".rstrip("0") + ", words 11"


def test_a_share_keeps_the_best_of_the_crawl_and_the_report_says_where_it_ends(tmp_path: Path, model: str) -> None:
    kept, dropped = built(config(tmp_path, model, keep="top(hq, 0.4)"), tmp_path / "out")
    texts = sorted(row["text"] for row in kept if row["source"] == "web")
    assert texts == [f"{GOOD} {n}" for n in range(3)]  # 0.4 of 7 documents
    (by_language,) = json.loads((tmp_path / "out" / "report.json").read_text())["limits"].values()
    assert {name: by_language["und"][name] for name in ("scored", "within")} == {"scored": 7, "within": 3}
    assert by_language["und"]["value"] > 0.5
    assert len(dropped) == 4
    assert all(re.fullmatch(r"hq 0\.\d+, top\(hq, 0\.4\) ends at 0\.\d+", row["detail"]) for row in dropped)
    assert "top(hq, 0.4)" in (tmp_path / "out" / "report.html").read_text()


def test_another_share_asks_no_model_again(tmp_path: Path, model: str) -> None:
    runs = [built(config(tmp_path, model, keep=f"top(hq, {share})"), tmp_path / "out") for share in (0.4, 0.9)]
    assert [len(kept) for kept, _ in runs] == [4, 8]
    assert len(list((tmp_path / "out" / "scores").iterdir())) == 1


def test_the_builds_own_score_can_be_kept_by_share(tmp_path: Path, model: str) -> None:
    words = (GOOD + " " + POOR).split()
    mixed = [" ".join(words[n % 7 : n % 7 + 3 + n // 8]) for n in range(80)]
    texts = {"web": [f"{text} {n}" for n, text in enumerate(mixed)], "wiki": [f"{GOOD} {n}" for n in range(80)]}
    settings = config(tmp_path, model, models=[], examples_per_class=10, keep_share=1.0, keep="top(quality_score, 0.25)")
    settings = settings.model_copy(update={"language": LanguageSection()})
    for name, lines in texts.items():
        (tmp_path / name / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in lines))
    kept, dropped = built(settings, tmp_path / "out")
    web = [row for row in kept if row["source"] == "web"]
    low = [row for row in dropped if row["reason"] == "low_quality"]
    (by_language,) = json.loads((tmp_path / "out" / "report.json").read_text())["limits"].values()
    assert 0.2 < len(web) / (len(web) + len(low)) < 0.3
    assert len(web) == sum(limit["within"] for limit in by_language.values())
    assert min(row["quality_score"] for row in web) > max(row["quality_score"] for row in low)


def test_perplexity_is_a_score_and_its_lowest_share_can_be_kept(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kenlm", ngram_models)
    perplexity = {"models": {"en": str(FIXTURES / "ngrams" / "shakespeare.arpa")}}
    settings = config(tmp_path, model, models=[], perplexity=perplexity, keep="bottom(perplexity, 0.5)")
    settings = settings.model_copy(update={"language": LanguageSection(score_limit=0.2)})
    texts = [
        "before we proceed any further hear me speak",
        "we are accounted poor citizens the patricians good",
        "our delivery times depend on the warehouse and the stock",
        "subscribe with your address for weekly newsletters and offers",
        "Wir sind ein kleines Geschäft in der Altstadt und verkaufen Bücher",
    ]
    (tmp_path / "web" / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    kept, dropped = built(settings, tmp_path / "out")
    assert sorted(row["text"] for row in kept if row["source"] == "web") == sorted([*texts[:2], texts[4]])
    assert [row["scores"] for row in kept if row["language"] == "de"] == [None]  # there is no model of German
    assert sorted(row["text"] for row in dropped) == sorted(texts[2:4])
    assert all(row["scores"][0]["model"] == "perplexity" for row in dropped)


def test_a_model_of_perplexity_must_be_there_and_be_of_a_language(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kenlm", ngram_models)
    arpa = str(FIXTURES / "ngrams" / "shakespeare.arpa")
    for change, said in (
        ({"models": {"en": "none.arpa"}}, r"none\.arpa: .* correct quality\.perplexity\.models\.en"),
        ({"models": {"english": arpa}}, r"quality\.perplexity\.models\.english: 'english' is no label"),
    ):
        settings = config(tmp_path, model, models=[], perplexity=change)
        settings = settings.model_copy(update={"language": LanguageSection()})
        with pytest.raises(UserError, match=said):
            drive.build(Context(settings, str(tmp_path / "out")), gated=False)


@pytest.mark.parametrize(
    ("keep", "left", "detail"),
    [("words > 10", 5, "words 10"), ("quality_score > 0.5", 8, None), ("words > 10 and quality_score > 0.5", 5, "words 10")],
)
def test_an_expression_needs_no_score(tmp_path: Path, model: str, keep: str, left: int, detail: str | None) -> None:
    kept, dropped = built(config(tmp_path, model, models=[], keep=keep), tmp_path / "out")
    assert len(kept) == left
    assert {row["detail"] for row in dropped} == ({detail} if detail else set())


def test_without_an_expression_models_only_score(tmp_path: Path, model: str) -> None:
    kept, dropped = built(config(tmp_path, model), tmp_path / "out")
    assert (len(kept), dropped) == (8, [])
    assert all(len(row["scores"]) == 1 for row in kept if row["source"] == "web")


def test_a_run_of_ours_scores_with_any_number_of_workers(tmp_path: Path, model: str, judge: Callable[[str], str]) -> None:
    edu = {"name": "edu", "run": judge("educational"), "windows": 2}
    models = [edu, {"name": "hq", "path": model, "labels": {"__label__hq": 1}}]
    settings = config(tmp_path, model, models=models, keep="edu > 0.5 and hq > 0.1")
    kept, dropped = built(settings, tmp_path / "one")
    assert sorted(row["text"][:3] for row in kept) == ["buy", "the", "the", "the"]
    for row in [row for row in (*kept, *dropped) if row["source"] == "web"]:
        scores = {one["model"]: one["score"] for one in row["scores"]}
        assert list(scores) == ["edu", "hq"]
        assert (scores["edu"] > 0.5) == row["text"].startswith("the"), row["text"]
    details = [row["detail"] for row in dropped]
    assert len(dropped) == 4 and all("edu " in detail and "hq " in detail for detail in details)
    drive.build(Context(settings, str(tmp_path / "two"), RunnerOptions(workers=2)), gated=False)
    one, two = (Path(published_folders(str(tmp_path / out))["corpus"]) for out in ("one", "two"))
    parts = [path.relative_to(one) for path in sorted(one.rglob("*.parquet"))]
    assert parts and all((one / part).read_bytes() == (two / part).read_bytes() for part in parts)
    assert (one / "manifest.json").read_bytes() == (two / "manifest.json").read_bytes()
    assert judge("educational") not in (one / "manifest.json").read_text()


def test_a_run_that_cannot_score_stops_the_build_at_once(tmp_path: Path, model: str, judge: Callable[[str], str]) -> None:
    for entry, said in (
        ({"run": judge("waters")}, "quality.models, edu: .*: classifies; give the values of its labels"),
        ({"run": judge("persons")}, "is a named_entities"),
        ({"run": str(tmp_path / "none")}, "there is no complete checkpoint"),
        ({"run": judge("educational"), "sha256": "0" * 64}, "is another model"),
    ):
        settings = config(tmp_path, model, models=[{"name": "edu", **entry}])
        with pytest.raises(UserError, match=said) as caught:
            drive.build(Context(settings, str(tmp_path / "out")), gated=False)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "documents").exists()


def test_another_model_or_expression_makes_another_corpus_and_nothing_else(tmp_path: Path, model: str) -> None:
    names: list[dict[str, str]] = []
    for keep in ("hq > 0.5", "hq > 0.4"):
        drive.build(Context(config(tmp_path, model, keep=keep), str(tmp_path / "out")), gated=False)
        names.append(json.loads((tmp_path / "out" / "report.json").read_text())["fingerprints"])
    changed = {name for name in names[0] if names[0][name] != names[1][name]}
    assert "corpus" in changed
    assert not {"documents/web", "clusters"} & changed


def test_a_file_that_is_not_pinned_or_not_there_stops_the_build_at_once(tmp_path: Path, model: str) -> None:
    pinned = {"name": "hq", "path": model, "labels": {"__label__hq": 1}}
    for change, said in (
        ({"sha256": "0" * 64}, r"is not the model that quality\.models\.sha256 pins"),
        ({"path": str(tmp_path / "none.bin")}, "the model cannot be read"),
        ({"labels": {"__label__HQ": 1}}, "did you mean '__label__hq'"),
    ):
        settings = config(tmp_path, model, models=[{**pinned, **change}])
        with pytest.raises(UserError, match=said):
            drive.build(Context(settings, str(tmp_path / "out")), gated=False)
    assert not (tmp_path / "out" / "documents").exists()
    built(config(tmp_path, model, models=[{**pinned, "sha256": sha256_of(model)}]), tmp_path / "out")


@pytest.mark.parametrize(
    ("quality", "said"),
    [
        ({"keep": "wordz > 5 and hp > 1"}, "there is no measure or score 'wordz'; did you mean 'words'?"),
        ({"perplexity": {"models": {}}}, "perplexity.models"),
        ({"perplexity": {"models": {"en": "x"}, "sentencepiece": {"de": "y"}}}, "sentencepiece.de: there is no model of this"),
        ({"models": [{"name": "perplexity", "path": "x", "labels": {"a": 1}}]}, "the name 'perplexity' is that of a measure"),
        ({"keep": "top(words, 0.5)"}, "there is no score 'words'; these are quality_score, hq"),
        ({"keep": "hq + 1"}, "is neither true nor false of a text"),
        ({"models": [{"name": "words", "path": "x", "labels": {"a": 1}}]}, "the name 'words' is that of a measure"),
        ({"models": [{"name": "x", "path": "x", "labels": {"a": 1}}] * 2}, "the name 'x' is that of another model"),
        ({"models": [{"name": "x", "path": "x", "labels": {}}]}, "labels: is missing; give the values of the file's labels"),
        ({"models": [{"name": "x", "labels": {"a": 1}}]}, "give either path, a fastText file, or run, a fine-tuning of ours"),
        ({"models": [{"name": "x", "path": "x", "run": "x", "labels": {"a": 1}}]}, "give either path"),
        ({"models": [{"name": "x", "path": "x", "windows": 2, "labels": {"a": 1}}]}, "windows: is for a run"),
        ({"models": [{"name": "or", "path": "x", "labels": {"a": 1}}]}, "'or' is a word of the language of expressions"),
        ({"models": [{"name": "Edu-2", "path": "x", "labels": {"a": 1}}]}, "'Edu-2' is no name that an expression can have"),
    ],
)
def test_mistakes_in_the_config(tmp_path: Path, model: str, quality: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        config(tmp_path, model, **quality)


def test_paths_are_of_the_configs_folder(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        '[corpus]\nname = "c"\n[[sources]]\nname = "s"\nkind = "books"\nroot = "."\nsnapshot = "1"\n'
        '[[quality.models]]\nname = "hq"\npath = "models/hq.bin"\nlabels = { "__label__hq" = 1.0 }\n'
        '[[quality.models]]\nname = "edu"\nrun = "runs/edu"\n[private]\nnames = "runs/ner"\n'
    )
    read = load(tmp_path / "c.toml")
    assert read.quality.models[0].path == str(tmp_path / "models" / "hq.bin")
    assert (read.quality.models[1].path, read.quality.models[1].run) == (None, str(tmp_path / "runs" / "edu"))
    assert read.private.names == str(tmp_path / "runs" / "ner")
    assert str(tmp_path) not in json.dumps(read.recorded())
    perplexity = load(tmp_path / "c.toml", ('quality.perplexity.models={en="lm/en.bin"}',)).quality.perplexity
    assert perplexity is not None
    assert perplexity.models == {"en": str(tmp_path / "lm" / "en.bin")}
    with pytest.raises(ConfigError, match="label"):
        load(tmp_path / "c.toml", ("quality.models.0.label=1",))
