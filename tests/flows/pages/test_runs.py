"""`corpusmill runs`: a page that compares pretraining runs, whatever state they are in; its curves in a real browser."""

import json
import math
import re
from collections.abc import Generator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, Page, chromium

from flows.pages.runs.curves import MARKS, curves
from flows.pages.runs.data_card import _choices
from flows.pages.runs.loading import read_run
from flows.pages.runs.page import write_runs
from pipelines.contract import manifest
from pipelines.contract.ledger import Ledger, Line
from pipelines.contract.manifest import Manifest

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"> \x1b[2J \u202eevil &lt;"
STEPS = 40
CORPUS, VOCABULARY = "c" * 64, "d" * 64


def build(root: Path, *, with_corpus: bool = True) -> str:
    """A tokens dataset's manifest as a build writes it, and its corpus' beside it; the fingerprint of the tokens."""
    counts = {"rows": 3, "tokens": 1000, "utf8_bytes": 4500}
    held_out = {"rows": 1, "tokens": 200, "utf8_bytes": 900}
    sources = [
        {"name": "tales", "kind": "books", "snapshot": "2026", "license": "CC0-1.0"},
        {"name": "web", "kind": "common_crawl", "snapshot": HOSTILE, "license": None},
    ]
    tokens = Manifest(
        dataset="tokens/small",
        fingerprint="a" * 64,
        made_from={"corpus": CORPUS, "vocabulary": VOCABULARY},
        config={"corpus": {"name": "small", "validation_share": 0.05}, "sources": sources, "language": {"keep": ["en"]}},
        parts=(),
        facts={
            "tokenizer": {"kind": "bpe", "library": "sentencepiece", "size": 512, "sha256": "e" * 64},
            "tokens": {
                "train": {"tales": {"en": counts, "de": counts}, "web": {"en": counts}},
                "validation": {"tales": {"en": held_out}},
            },
        },
    )
    manifest.write(manifest.folder(str(root), tokens.dataset, tokens.fingerprint), tokens)
    (root / "release.json").write_text(json.dumps({"tokens": {"small": f"tokens/small/{'a' * 12}"}}))
    if with_corpus:
        read = Ledger().record("read", Line(documents_in=9, documents_out=7, documents_dropped={"empty": 2}))
        corpus = Manifest(dataset="corpus", fingerprint=CORPUS, made_from={}, parts=(), ledgers={"tales": read})
        manifest.write(manifest.folder(str(root), "corpus", CORPUS), corpus)
    return tokens.fingerprint


def config(root: Path, out: str, **train: Any) -> dict[str, Any]:
    """A resolved config, as far as the page needs one."""
    return {
        "data": {"tokens": str(root / "build"), "name": None, "batch_rows": 4},
        "rows": {"length": 64},
        "objective": {"name": "causal_lm"},
        "model": {"family": "gpt", "size": "demo", "length": None, "vocabulary_multiple": 1, "dropout": 0.0},
        "train": {"steps": STEPS, "learning_rate": 0.003, "eval_rows": 16, "phases": [], "threads": 1, **train},
        "run": {"out": out},
        "sample": {"prompt": "Once"},
    }


def lines(steps: int, start: float = 6.0) -> list[dict[str, Any]]:
    """metrics.jsonl of a run that learns; an evaluation every ten steps."""
    made: list[dict[str, Any]] = []
    for step in range(steps + 1):
        line: dict[str, Any] = {"step": step, "tokens": 256 * step, "bytes": 1000 * step}
        if step:
            line |= {"loss": start - step / 50 + 0.1 * math.sin(step), "learning_rate": 0.003, "gradient_norm": 1.0 + step / 100}
            line |= {"loss_z": 0.5, "gradient_norm_z": 0.5, "tokens_per_second": 5000.0 + step, "mfu": 0.4}
        if step % 10 == 0:
            bits = {"validation_bits_per_byte": (start - step / 50) / 3, "validation_bits_per_byte/tales": start / 3}
            line |= {"validation_loss": start - step / 50, "validation_loss/tales": start - step / 40, **bits}
        made.append(line)
    return made


def write_run(root: Path, name: str, metrics: list[dict[str, Any]], **train: Any) -> Path:
    """A run's folder that has neither a report nor samples."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config(root, str(folder), **train)))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    return folder


def finish(folder: Path, sample: str) -> None:
    report = {"steps": STEPS, "unigram_entropy": 5.75, "sample": sample}
    (folder / "report.json").write_text(json.dumps(report))


def some_runs(root: Path) -> list[Path]:
    """One that is finished, with a spike, skipped updates and hostile samples, and one that goes on and was just cut."""
    build(root / "build")
    metrics = lines(STEPS)
    metrics[20] |= {"loss": math.nan, "gradient_norm": math.inf, "skipped": "the loss is not finite"}
    metrics[30] |= {"loss": 9.5, "loss_z": 7.5}
    done = write_run(root, "done", metrics)
    finish(done, f"Once {HOSTILE}\nupon")
    texts = [{"step": step, "prompt": "Once", "text": f"Once after {step} {HOSTILE}"} for step in (10, 20, STEPS)]
    (done / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in texts))
    going = write_run(root, "going", lines(25, start=7.0), learning_rate=0.03)
    with (going / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 26, "loss": 6.')
    return [done, going]


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    return some_runs(tmp_path)


def rows_of(page: str) -> dict[str, list[str]]:
    """The cells of every table's rows by their first cell; of several with one name, the first."""
    found: dict[str, list[str]] = {}
    for row in re.findall(r"<tr[^>]*>(.*?)</tr>", page):
        cells = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)
        first, *rest = (unescape(re.sub(r"<[^b/][^>]*>|</[^b][^>]*>|</?bdi>", "", cell)) for cell in cells)
        found.setdefault(first, rest)
    return found


def test_numbers_stand_beside_each_other(pair: list[Path], tmp_path: Path) -> None:
    page = write_runs(pair, tmp_path / "deep" / "runs.html").read_text()
    rows = rows_of(page)
    assert rows["state"] == [f"finished, {STEPS} steps", f"step 25 of {STEPS}"]
    assert rows["text seen"] == ["0.04 MB", "0.03 MB"] and rows["tokens seen"] == ["10,240", "6,400"]
    assert rows["validation loss, first"] == ["6.000", "7.000"]
    assert rows["validation loss, last"] == rows["validation loss, best"] == ["<b>5.200</b>", "6.600"]
    assert rows["… at step"] == ["40", "20"] and rows["… last, tales"] == ["<b>5.000</b>", "6.500"]
    assert rows["unigram entropy"] == ["5.750", "·"] and rows["… minus the best loss"] == ["0.550", "·"]
    assert rows["bits per byte, last"] == ["<b>1.733</b>", "2.200"]
    assert rows["updates skipped"] == ["1", "0"] and rows["MFU, median"] == ["40.0%", "40.0%"]
    assert rows["tokens/s, median"] == ["5,020", "5,013"]
    # 4 layers of 12 x 128^2 weights and what they are normed and shifted by, 512 pieces, 64 places, the last norm
    weights = 4 * (12 * 128**2 + 13 * 128) + (512 + 64) * 128 + 2 * 128
    assert rows["parameters"] == [f"{weights:,}"] * 2


def test_configs_show_what_differs(pair: list[Path], tmp_path: Path) -> None:
    page = write_runs(pair, tmp_path / "runs.html").read_text()
    differs, whole = page.split("Differences")[1].split("The whole configs")
    assert rows_of(differs).keys() == {"", "train.learning_rate"}
    assert "<mark><bdi>0.03</bdi></mark>" in differs and "<mark><bdi>0.003" not in differs
    assert rows_of(whole)["train.steps"] == ["40", "40"] and rows_of(whole)["train.phases"] == ["[]", "[]"]
    alone = write_runs(pair[:1], tmp_path / "one.html").read_text()
    assert "Differences" not in alone and rows_of(alone)["train.learning_rate"] == ["0.003"]
    assert "<mark>" not in alone


def test_the_data_card_is_of_the_manifests(pair: list[Path], tmp_path: Path) -> None:
    rows = rows_of(write_runs(pair, tmp_path / "runs.html").read_text().split("<h2>Data</h2>")[1])
    counts = ["9", "7", "2,000", "66.7%", "200", "9,900", "4.50"]
    assert rows["tales"] == ["books", "2026", "CC0-1.0", "de, en", *counts]
    assert rows["web"][2:] == ["not stated", "en", "·", "·", "1,000", "33.3%", "0", "4,500", "4.50"]
    assert rows["all"][-5:] == ["3,000", "100.0%", "200", "14,400", "4.50"]
    assert rows["tokenizer"] == [f"bpe (sentencepiece), 512 pieces, sha256 {'e' * 64}"]
    assert rows["corpus dataset"] == [CORPUS] and rows["vocabulary dataset"] == [VOCABULARY]


def test_data_that_is_gone_or_another_is_said(pair: list[Path], tmp_path: Path) -> None:
    checkpoint = pair[0] / "checkpoints" / "step-00000040"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.json").write_text(json.dumps({"identity": {"tokens dataset": "f" * 64}}))
    page = write_runs(pair, tmp_path / "runs.html").read_text()
    assert "done</bdi> was trained on another dataset" in page and "f" * 64 in page and "going</bdi> was trained" not in page
    (tmp_path / "build").rename(tmp_path / "elsewhere")
    page = write_runs(pair, tmp_path / "runs.html").read_text()
    assert "The dataset cannot be read" in page and "f" * 64 in page and "CC0-1.0" not in page
    assert rows_of(page)["parameters" if "parameters" in rows_of(page) else "model"] == ["gpt demo", "gpt demo"]


def test_a_run_that_was_moved_with_its_build_finds_it(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "first", "work/run", lines(3))
    there = config(tmp_path / "first", "work/run")
    there["data"]["tokens"] = "build"
    (folder / "config.json").write_text(json.dumps(there))
    build(tmp_path / "first" / "build", with_corpus=False)
    (tmp_path / "first").rename(tmp_path / "second")
    run = read_run(tmp_path / "second" / "work" / "run", "run")
    assert run.card.problem is None and [source.found for source in run.card.sources] == [None, None]
    assert dict(run.card.facts)["corpus dataset"] == f"{CORPUS} (its manifest is not next to the tokens)"


def test_texts_of_strangers_are_only_text(pair: list[Path], tmp_path: Path) -> None:
    page = write_runs(pair, tmp_path / "runs.html").read_text()
    assert page.count("<script") == 2 and page.count("</script>") == 2 and "<img" not in page
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page)
    assert "<b>Once</b> &lt;/script&gt;" in page and "\nupon</blockquote>" in page
    assert page.count("<blockquote") == 3  # the report's stands for that of the last step
    assert not re.search(
        r"""(src|href)=|url\(|@import|https?:""", re.sub("http://www.w3.org/2000/svg", "", page).replace("img src=x", "")
    )


@pytest.mark.parametrize(
    ("section", "shown"),
    [
        ({}, ""),
        ({"enabled": False, "threshold": 0.7}, "no"),
        ({"enabled": True, "threshold": 0.7}, "exact copies (bytes) and from a similarity of 0.7"),
        ({"enabled": True, "exact": "letters", "near": False, "threshold": 0.7}, "exact copies (letters)"),
        ({"enabled": True, "exact": False, "near": True, "threshold": 0.8}, "from a similarity of 0.8"),
    ],
)
def test_the_data_card_says_which_copies_are_removed(section: dict[str, Any], shown: str) -> None:
    assert dict(_choices({"deduplicate": section}))["deduplicated"] == shown


@pytest.mark.parametrize("left", [["config.json"], ["config.json", "metrics.jsonl"]])
def test_a_run_that_has_only_begun_has_a_page(pair: list[Path], tmp_path: Path, left: list[str]) -> None:
    metrics = pair[1] / "metrics.jsonl"
    if "metrics.jsonl" in left:
        metrics.write_text('{"step": 0, "tok')
    else:
        metrics.unlink()
    assert rows_of(write_runs(pair[1:], tmp_path / "runs.html").read_text())["state"] == ["step 0 of 40"]


def test_a_broken_checkpoint_is_passed_over(pair: list[Path], tmp_path: Path) -> None:
    last = pair[0] / "checkpoints" / "step-00000040"
    last.mkdir(parents=True)
    (last / "state.json").write_text(json.dumps({"identity": {"tokens dataset": "f" * 64}}))
    before = write_runs(pair, tmp_path / "runs.html").read_bytes()
    for name in (f"{last.name}.unread", "step-00000999"):
        (last.parent / name).mkdir()
        (last.parent / name / "state.json").write_text('{"mod')
    assert write_runs(pair, tmp_path / "runs.html").read_bytes() == before


def test_what_is_no_run_is_named(pair: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: is not a run: it has no config.json; name the folder that run.out"):
        write_runs([*pair, tmp_path / "empty"], tmp_path / "runs.html")
    (tmp_path / "empty" / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ValueError, match=r"config.json: is not the config of a run: it has no section 'data'"):
        write_runs([tmp_path / "empty"], tmp_path / "runs.html")
    (pair[0] / "report.json").write_text("{")
    with pytest.raises(ValueError, match=r"report.json: is not a JSON object"):
        write_runs(pair, tmp_path / "runs.html")
    with pytest.raises(ValueError, match="no run is named"):
        write_runs([], tmp_path / "runs.html")
    assert not (tmp_path / "runs.html").exists()


def test_alike_names_are_told_apart_and_a_run_is_shown_once(tmp_path: Path) -> None:
    build(tmp_path / "build")
    folders = [write_run(tmp_path, f"{parent}/run", lines(2)) for parent in ("a", "b")]
    page = write_runs([*folders, folders[0]], tmp_path / "runs.html").read_text()
    assert page.count('<input type="checkbox" data-run=') == 2
    assert "<bdi>a/run</bdi>" in page and "<bdi>b/run</bdi>" in page
    assert page == write_runs(folders, tmp_path / "again.html").read_text()


def test_thinned_curves_keep_means_and_extremes() -> None:
    made = [{"step": n + 1, "tokens": 2 * n + 2, "bytes": 5 * n + 5, "loss": float(n % 10)} for n in range(1000)]
    made[500]["loss"] = 77.0
    for n in range(990, 1000):
        made[n]["loss"] = math.nan
    thin = curves(made, 100)["training"]
    assert thin["x"]["steps"] == list(range(10, 1001, 10)) and thin["x"]["bytes"][-1] == 5000
    loss = thin["series"]["loss"]
    assert loss["mean"][:50] == [4.5] * 50 and loss["mean"][50] == (45 + 77) / 10 and loss["high"][50] == 77
    assert loss["low"][:2] == [0, 0] and loss["mean"][-1] is loss["high"][-1] is None
    assert curves(made[:100], 100)["training"]["series"] == {"loss": {"mean": [float(n % 10) for n in range(100)]}}


def test_a_value_that_is_no_number_is_a_gap_in_its_curve() -> None:
    lines = [{"step": n, "loss": 2.0, "mfu": value} for n, value in enumerate((0.5, None, "x", [1], math.inf))]
    assert curves(lines)["training"]["series"]["mfu"] == {"mean": [0.5, None, None, None, None]}


def test_the_terms_of_a_bert_have_rows_and_curves(pair: list[Path], tmp_path: Path) -> None:
    folder = pair[0]
    path = folder / "metrics.jsonl"
    kept: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines()]
    for line in kept:
        if line["step"]:
            line |= {"tokens_loss": 5.5, "pairs_loss": 0.7, "tokens_accuracy": 0.1, "pairs_accuracy": 0.5}
        if "validation_loss" in line:
            line |= {"validation_pairs_loss": 0.625, "validation_pairs_accuracy": 0.75, "validation_pairs_accuracy/tales": 0.5}
    path.write_text("".join(json.dumps(line) + "\n" for line in kept))
    run = read_run(folder, "done")
    assert {"tokens_loss", "pairs_loss", "tokens_accuracy", "pairs_accuracy"} <= set(run.curves["training"]["series"])
    page = write_runs([folder], tmp_path / "page.html").read_text()
    for part in ("Training loss of next sentences", "Validation accuracy of next sentences", "Accuracy of next sentences, tales"):
        assert part in page
    assert rows_of(page)["accuracy of next sentences, last"] == ["0.750"]


def test_the_strongest_marks_stay_in_order() -> None:
    made = [
        {"step": n, "tokens": n, "bytes": n, "loss": 1.0, "gradient_norm": 1.0, "loss_z": None, "gradient_norm_z": 6.0 + n}
        for n in range(500)
    ]
    made[3] |= {"loss": math.inf, "skipped": "the loss is not finite"}
    marks = curves(made)["marks"]
    assert [mark["steps"] for mark in marks] == [3, *range(500 - MARKS + 1, 500)]
    assert marks[0]["skipped"] and marks[0]["loss"] is None and marks[0]["why"] == "skipped: the loss is not finite"
    assert not marks[1]["skipped"] and marks[1]["why"] == "spike: z-score of gradient norm 307.0"


def test_ten_long_runs_make_a_small_page(tmp_path: Path) -> None:
    build(tmp_path / "build")
    long = [line | {"loss": 3 + math.sin(line["step"]) / 7} for line in lines(20_000)]
    folders = [write_run(tmp_path, f"run{number}", long, learning_rate=number + 1) for number in range(2)]
    size = (
        write_runs(folders, tmp_path / "two.html").stat().st_size - write_runs(folders[:1], tmp_path / "one.html").stat().st_size
    )
    assert 0 < 10 * size < 1_500_000


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Page, Path]]:
    """A browser, and a page of the two runs."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    root = tmp_path_factory.mktemp("runs")
    written = write_runs(some_runs(root), root / "runs.html")
    with chromium() as page:
        yield page, written


@pytest.fixture
def page(shown: tuple[Page, Path]) -> Page:
    """The page as it opens."""
    browser, written = shown
    browser.errors.clear()
    browser.requests.clear()
    browser.size(1280, 900)
    browser.open(written)
    return browser


def plot(chart: str, inside: str = "") -> str:
    return f'figure[data-chart="{chart}"] {inside}'.strip()


def number_of(page: Page, selector: str) -> int:
    return int(page.run(f"document.querySelectorAll({json.dumps(selector)}).length"))


def text_of(page: Page, selector: str) -> str:
    return str(page.run(f"document.querySelector({json.dumps(selector)}).textContent"))


CHARTS = ["loss", "validation_loss", "validation_bits_per_byte", "learning_rate", "gradient_norm", "tokens_per_second", "mfu"]


def test_every_chart_has_a_curve_of_every_run_and_nothing_is_loaded(page: Page, shown: tuple[Page, Path]) -> None:
    for chart in [*CHARTS, "validation_loss/tales", "validation_bits_per_byte/tales"]:
        assert number_of(page, plot(chart, "path.line")) == 2, chart
        lengths = page.run(f"[...document.querySelectorAll({json.dumps(plot(chart, 'path.line'))})].map(p => p.getTotalLength())")
        assert min(lengths) > 50, chart
    assert number_of(page, plot("loss", "path.raw")) == 2 and number_of(page, plot("validation_loss", "circle.dot")) == 5 + 3
    assert number_of(page, plot("validation_loss", "line.reference")) == 1
    assert page.errors == [] and page.requests == [shown[1].as_uri()]
    assert page.run("document.title").startswith("Runs: done")  # no script but the page's own ran
    assert number_of(page, "blockquote") == 3 and "onerror" in text_of(page, "blockquote")


def test_skipped_updates_and_spikes_are_marked(page: Page) -> None:
    for chart in ("loss", "gradient_norm"):
        assert (
            number_of(page, plot(chart, "path.mark.skipped.r0")) == 1 and number_of(page, plot(chart, "path.mark.spike.r0")) == 1
        )
    assert text_of(page, plot("loss", "path.mark.skipped title")) == "skipped: the loss is not finite"
    assert number_of(page, plot("learning_rate", "path.mark")) == 0


def test_the_axis_switches(page: Page) -> None:
    for axis, last in (("tokens", "10k"), ("bytes", "40k"), ("steps", "40")):
        page.click(f'input[name=axis][value="{axis}"]')
        names = page.run("[...document.querySelectorAll('.axis-name')].map(e => e.textContent)")
        assert len(names) == 9 and set(names) == {axis}
        ticks = page.run(f"[...document.querySelectorAll({json.dumps(plot('loss', '.tick-x'))})].map(e => e.textContent)")
        assert ticks[0] == "0" and ticks[-1] == last


def test_the_legend_hides_and_shows_a_run(page: Page) -> None:
    top = (
        f"Math.max(...[...document.querySelectorAll({json.dumps(plot('validation_loss', '.tick-y'))})].map(e => +e.textContent))"
    )
    page.click('input[data-run="1"]')
    assert all(number_of(page, plot(chart, "path.line")) == 1 for chart in CHARTS)
    assert number_of(page, plot("loss", 'path[data-run="1"]')) == 0 and page.run(top) <= 6
    page.click('input[data-run="1"]')
    assert all(number_of(page, plot(chart, "path.line")) == 2 for chart in CHARTS)
    page.click('input[data-run="0"]')
    page.click('input[data-run="1"]')
    assert text_of(page, plot("loss", "svg.plot")) == "nothing to show" and page.errors == []


def test_pointing_tells_the_numbers(page: Page) -> None:
    page.hover(plot("validation_loss", "svg.plot"), 0.55)
    tip = page.run(
        f"[...document.querySelectorAll({json.dumps(plot('validation_loss', '.tip tr'))})].map(r => r.innerText.split(/\\s+/))"
    )
    assert [row[-5:] for row in tip] == [["done", "5.6", "at", "20"], ["going", "6.6", "at", "20"]]
    page.hover(
        plot("loss", "svg.plot"),
        (52 + 0.75 * (page.run("document.querySelector('svg.plot').clientWidth") - 62))
        / page.run("document.querySelector('svg.plot').clientWidth"),
    )
    assert "done, step 30: spike: z-score of loss 7.5" in text_of(page, plot("loss", ".tip"))
    assert number_of(page, plot("loss", "circle.pointed")) == 2
    page.hover("h1")
    assert page.run(f"document.querySelector({json.dumps(plot('loss', '.tip'))}).hidden") and number_of(page, ".pointed") == 0


def test_log_smoothing_and_raw(page: Page) -> None:
    line = f"document.querySelector({json.dumps(plot('loss', 'path.line'))}).getAttribute('d')"
    raw = f"document.querySelector({json.dumps(plot('loss', 'path.raw'))}).getAttribute('d')"
    drawn = page.run(line)
    page.click(plot("loss", "input.log"))
    assert page.run(line) != drawn
    page.click(plot("loss", "input.log"))
    assert page.run(line) == drawn != page.run(raw)
    page.run("(() => { const s = document.getElementById('smoothing'); s.value = 0; s.dispatchEvent(new Event('input')); })()")
    assert page.run(line) == page.run(raw)
    page.click("#raw")
    assert number_of(page, "path.raw") == 0
    page.click("#log-x")
    ticks = page.run(f"[...document.querySelectorAll({json.dumps(plot('loss', '.tick-x'))})].map(e => e.textContent)")
    assert ticks[0] == "1" and page.errors == []


def test_a_phone_sees_it_whole(page: Page) -> None:
    page.size(390, 844)
    page.settle()
    assert page.run("document.documentElement.scrollWidth") <= 390
    widths = page.run("[...document.querySelectorAll('svg.plot')].map(e => e.getBoundingClientRect().width)")
    assert all(300 < width <= 390 for width in widths)
    assert number_of(page, plot("loss", "path.line")) == 2


def test_colours_follow_the_reader_s_choice(page: Page) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.run(paper) == "rgb(255, 255, 255)"
    page.size(1280, 900, dark=True)
    page.settle()
    assert page.run(paper) == "rgb(23, 24, 26)"
