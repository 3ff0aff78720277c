"""corpusmill tune: what it says would be kept is what a build with these thresholds keeps."""

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from reviewed import corpus, document

from flows.commands import main as cli
from flows.commands.corpora.review import published
from flows.commands.corpora.tune import toml_lines
from flows.pages.corpus.page import write_page
from pipelines.review.gather import gather
from pipelines.review.trial import Trial
from pipelines.review.tune import TuneError, tune
from pipelines.rule_thresholds import RuleSets
from pipelines.text.judgement.rules.shares import Share, limits

CHANGES = ("gopher.min_words=150", "language.score_limit=0.9", "c4.max_curly_brackets=false", "refinedweb.max_flagged_words=0.2")


def kept(out: Path) -> set[bytes]:
    dataset = published(str(out))["corpus"]
    return {
        key for part in dataset.manifest.of("documents") for key in pq.read_table(f"{dataset.uri}/{part.path}")["id"].to_pylist()
    }


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert cli.main(["tune", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_build_with_the_thresholds_keeps_what_tune_said(tiny, command, tmp_path: Path, capsys) -> None:
    said = told(capsys, str(tiny.out), *CHANGES)
    config = tmp_path / "lines.toml"
    base = Path(tiny.arguments[1])
    (tmp_path / "tiny.toml").write_text(base.read_text().replace('root = "tiny', f'root = "{base.parent.resolve()}/tiny'))
    config.write_text(f'extends = "tiny.toml"\n{said["toml"]}\n')
    done = command("build", str(config), *tiny.arguments[2:], "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    built, before = kept(tmp_path / "out"), kept(tiny.out)
    totals = said["totals"]
    assert (totals["kept"], totals["would"]) == (len(before), len(built)) and built != before
    assert (totals["gained"], totals["lost"]) == (len(built - before), len(before - built))
    datasets = published(str(tiny.out))
    review = gather(datasets["corpus"], datasets["classifier"])
    columns = {name: review.sample.rows[name].combine_chunks() for name in review.sample.rows.column_names}
    outcomes = Trial.of(datasets["corpus"], datasets["classifier"], CHANGES).outcomes(columns)
    assert {key for key, reason in zip(columns["id"].to_pylist(), outcomes.to_pylist(), strict=True) if reason is None} == built
    shown = {facts["id"] for facts in said["examples"]["lost"]}
    assert shown and shown <= {key.hex() for key in before - built}


def test_what_is_as_it_was_changes_nothing(tiny, capsys) -> None:
    said = told(capsys, str(tiny.out), "gopher.min_words=50")
    assert said["totals"]["gained"] == said["totals"]["lost"] == 0 < said["totals"]["kept"] == said["totals"]["would"]
    assert said["examples"] == {"gained": [], "lost": []}


def test_the_numbers_are_printed_with_examples_and_lines(tiny, capsys) -> None:
    assert cli.main(["tune", str(tiny.out), "gopher.min_words=100000", "-n", "1"]) == 0
    shown = capsys.readouterr().out
    assert "gopher_word_count" in shown and shown.rstrip().endswith("[quality.rules.gopher]\nmin_words = 100000")
    assert "[quality.rules]\nsigns = false" in shown
    assert shown.count("\nlost ") >= 1 and "documents   14 → " in shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("gopher.min_word=3", "did you mean 'min_words'"),
        ("deduplicate.threshold=0.5", "only a build shows"),
        ("quality.examples_per_class=10", "only a build shows"),
        ("language.mixed=cut", "build the corpus with it"),
        ("gopher.min_words", "section.key=value"),
        ("keep=nothing > 1", "no measure or score"),
        ("quality.rules.none.min_words=3", "unknown key"),
    ],
)
def test_a_mistake_is_named(tiny, capsys, change: str, message: str) -> None:
    assert cli.main(["tune", str(tiny.out), change]) == 1
    assert message in capsys.readouterr().err


def test_a_folder_without_a_release_is_named(tmp_path: Path, capsys) -> None:
    for name in ("tune", "report"):
        assert cli.main([name, str(tmp_path), *(["gopher.min_words=1"] if name == "tune" else [])]) == 1
        assert "nothing is published there" in capsys.readouterr().err


def test_a_release_whose_corpus_is_gone_or_of_another_format_is_named(tiny, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    shutil.copytree(tiny.out, out)
    shutil.rmtree(out / "corpus")
    assert cli.main(["report", str(out)]) == cli.main(["tune", str(out), "gopher.min_words=1"]) == 1
    assert capsys.readouterr().err.count("the corpus of its release is gone; build it again") == 2
    release = json.loads((out / "release.json").read_text())
    (out / "release.json").write_text(json.dumps({**release, "format": 0}))
    assert cli.main(["report", str(out)]) == 1
    assert "has the format 0" in capsys.readouterr().err


def test_a_build_with_nothing_to_do_leaves_its_page_alone(tiny, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(tiny.out, out)
    built, said = published(str(out)), json.loads((out / "report.json").read_text())
    write_page(str(out), said, built)  # of another folder, but of the same build
    before = (out / "report.html").stat().st_mtime_ns
    assert before == (tiny.out / "report.html").stat().st_mtime_ns
    (out / "timings.jsonl").write_text((out / "timings.jsonl").read_text() + '{"half a li')
    write_page(str(out), said, built)
    assert (out / "report.html").stat().st_mtime_ns != before


SCORED = [
    document(
        n, f"word {n}. " * 60, language=("en", "de")[n % 2], quality_score=n / 40, scores=[{"model": "edu", "score": n / 10}]
    )
    for n in range(40)
]


def scored(folder: Path) -> Any:
    rows = [*SCORED, document(99, "words of a curated text " * 20, source="wiki")]
    model = {"name": "edu", "path": "x", "labels": {"__label__1": 1.0}}
    return corpus(folder, rows, {"quality": {"rules": [], "models": [model]}})


def test_a_share_of_scores_is_that_of_its_language(tmp_path: Path) -> None:
    made = scored(tmp_path)
    tuned = tune(made, None, None, ["keep=top(edu, 0.25) or quality_score > 0.9"], 0)
    ends = {code: limits(_column(code), _codes(code), Share("top", "edu", 0.25))[code].value for code in ("en", "de")}
    wanted = [row for row in SCORED if row["scores"][0]["score"] >= ends[row["language"]] - 1e-6 or row["quality_score"] > 0.9]
    assert tuned.totals["would"] == len(wanted) + 1 < 41 == tuned.totals["kept"]
    assert {row["language"]: row["lost"] for row in tuned.groups if row["source"] == "web"} == {"en": 15, "de": 15}
    assert tuned.lost[0]["after"] == "low_quality"


def _column(code: str) -> Any:
    import pyarrow as pa

    return pa.array([row["scores"][0]["score"] for row in SCORED if row["language"] == code], pa.float32())


def _codes(code: str) -> Any:
    import pyarrow as pa

    return pa.array([code] * 20)


def test_the_lines_are_the_whole_table_of_rules_and_a_rule_that_is_off_is_tried_alone() -> None:
    recorded = RuleSets.model_validate(["gopher", "refinedweb"]).model_dump(mode="json")
    changes = ["fineweb.max_newlines=0.4", "gopher.min_words=false", "score_limit=0.2", "gopher.max_symbols=0.2"]
    lines = tomllib.loads(toml_lines({"quality": {"rules": recorded}, "language": {}}, changes))
    rules = lines["quality"]["rules"]
    fineweb = rules["fineweb"]
    assert fineweb.pop("max_newlines") == 0.4 and set(fineweb.values()) == {False} and len(fineweb) == 3
    assert rules["gopher"] == {"min_words": False, "max_symbols": 0.2} and lines["language"] == {"score_limit": 0.2}
    assert rules["refinedweb"] == {} and rules["signs"] is rules["gopher_repetition"] is False and "c4" not in rules
    assert RuleSets.model_validate(rules).thresholds()["refinedweb"] == {"max_flagged_words": 0.05}


def test_nothing_to_change_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match="name what to change"):
        tune(scored(tmp_path), None, None, [], 0)
