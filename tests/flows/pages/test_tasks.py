"""`corpusmill runs` of fine-tunings: figures with deviations, confusion matrices, the hardest examples."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, chromium

from flows.pages.runs.page import write_runs
from flows.pages.runs.tasks import _cut

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"> \x1b[2J \u202eevil"


def config(out: Path) -> dict[str, Any]:
    return {
        "task": {"kind": "classification", "name": "trec"},
        "model": {"base": "build/minilm", "new": None, "tuning": "lora"},
        "train": {"steps": 20},
        "run": {"out": str(out)},
    }


def write_tuned(folder: Path, accuracy: float, *, finished: bool = True) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config(folder)))
    lines = [
        {"step": step, "tokens": step, "bytes": step, "validation_loss": 1.0 - step / 40, "validation_accuracy": accuracy - 0.1}
        | ({"loss": 1.0, "learning_rate": 1e-4, "gradient_norm": 1.0} if step else {})
        for step in (0, 10, 20 if finished else 15)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if finished:
        report = {
            "metric": "accuracy",
            "steps": 20,
            "best_step": 10,
            "seconds": 2.5,
            "training_rows": 1234,
            "base": "build/minilm",
        }
        report |= {split: {"loss": 0.5, "accuracy": accuracy} for split in ("validation", "test")}
        (folder / "report.json").write_text(json.dumps(report))
        example = {"place": "data/test.jsonl, line 7", "text": HOSTILE, "wanted": "HUM", "given": "LOC (0.998)", "cost": 6.25}
        mixed = {"labels": ["HUM", "LOC"], "counts": [[3, 1], [0, 4]]}
        found = {"items": 8, "measure": "loss", "confusion": mixed, "hardest": [example]}
        (folder / "judged.json").write_text(json.dumps({"test": {"trec": found}}))
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    for seed, accuracy in ((1, 0.9), (2, 0.94)):
        write_tuned(tmp_path / "trec" / f"seed-{seed}", accuracy)
    return [tmp_path / "trec", write_tuned(tmp_path / "other", 0.7, finished=False)]


def test_seeds_have_a_mean_and_a_deviation_and_a_run_that_goes_on_its_last_figures(pair: list[Path], tmp_path: Path) -> None:
    page = write_runs(pair, tmp_path / "runs.html").read_text()
    for shown in (
        '<td><bdi>test, accuracy</bdi></td><td class="number"><b>0.9200 ± 0.0283</b></td><td class="number">·</td>',
        '<td><bdi>validation, accuracy</bdi></td><td class="number"><b>0.9200 ± 0.0283</b></td><td class="number">0.6000</td>',
        '<td>state</td><td class="number">finished, 20 steps</td><td class="number">0 of 1 finished, step 15</td>',
        '<td class="number">10</td><td class="number">0.8200 ± 0.0283</td><td class="number">0.7500 ± 0.0000</td>',
        "<h1>Fine-tunings</h1>",
        "trec/seed-1",
        "2 seeds",
    ):
        assert shown in page, shown
    assert "<h2>Data</h2>" not in page and "<h2>Numbers</h2>" not in page


def test_confusions_have_recall_and_precision(pair: list[Path], tmp_path: Path) -> None:
    page = write_runs(pair[:1], tmp_path / "runs.html").read_text()
    rows = page.split('<div class="wide confusion">')[1].split("</table>")[0].split("</tr>")
    ends = [re.findall(r">([^<>]*)</t[dh]>", row.replace("<bdi>", "").replace("</bdi>", "")) for row in rows]
    assert ends[1] == ["HUM", "3", "1", "4", "75.0%"] and ends[2] == ["LOC", "·", "4", "4", "100.0%"]
    assert ends[3] == ["given", "3", "5", "", ""] and ends[4] == ["precision", "100.0%", "80.0%", "", ""]
    assert "rgba(212,88,28,0.26)" in rows[1]  # a quarter of HUM was given LOC


def test_texts_of_records_are_only_text(pair: list[Path], tmp_path: Path) -> None:
    page = write_runs(pair, tmp_path / "runs.html").read_text()
    assert page.count("<script") == 2 and "<img" not in page and "\x1b" not in page and "\u202e" not in page
    assert "&lt;/script&gt;" in page and "test.jsonl, line 7" in page


def test_many_labels_are_cut_to_the_frequent_ones() -> None:
    labels, counts = _cut([f"l{n}" for n in range(40)], [[n + 1 if n == m else 0 for m in range(40)] for n in range(40)])
    assert labels[0] == "l11" and labels[-1] == "11 others" and counts[-1][-1] == sum(range(1, 12))
    assert sum(map(sum, counts)) == sum(range(1, 41))


def test_the_page_loads_nothing_and_draws_the_figures(pair: list[Path], tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    written = write_runs(pair, tmp_path / "runs.html")
    with chromium() as page:
        page.open(written)
        drawn = page.run("document.querySelectorAll('figure[data-chart=\"validation_accuracy\"] path.line').length")
        assert drawn == 3 and page.errors == [] and page.requests == [written.as_uri()]
        assert page.run("document.title").startswith("Runs: trec/seed-1")
