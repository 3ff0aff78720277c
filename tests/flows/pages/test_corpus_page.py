"""The page of a build in a real browser: it is opened, clicked, its sliders are moved, and what it says is what Python says."""

import json
import random
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, Page, chromium
from reviewed import corpus, document, report

from flows.pages.corpus.funnel import few_sources, levels
from flows.pages.corpus.made import BuildFacts, Made
from flows.pages.corpus.page import report_page
from flows.pages.shown import visible
from pipelines.review.gather import Review, gather
from pipelines.review.sample import Drawer
from pipelines.review.trial import Trial
from pipelines.units.context import Dataset

OWN = "document.title='owned'"
HOSTILE = f'</script><script>{OWN}</script><img src=x onerror="{OWN}"> \' " & \u202eevil\x1b[2J'
RTL = "היום היה יום ארוך והנהר עלה על גדותיו"
PROSE = (
    "the be to of and that have with harbour was quiet in morning boats lay side by until wind came up from south river ran over"
    " its banks so town went sleep late night while children played near old bridge under grey sky waiting for rain which never"
    " fell there again after long summer days"
)
WORDS = PROSE.split()
MADE = Made({"corpus": 61.5, "documents/web": 100.0}, "2026-01-02T03:04:05+00:00", "2 cores, x86_64, Linux", 2, "0.1.0")


def texts(count: int) -> list[str]:
    """Texts of very different measures: short and long, of few and many lines, with digits, capitals and repeats."""
    made: list[str] = []
    for n in range(count):
        dice = random.Random(n)
        words = [dice.choice(WORDS) for _ in range(3 + (n * 37) % 400)]
        if n % 5 == 0:
            words = [word.upper() if k % 3 else f"{word} {k}" for k, word in enumerate(words)]
        step = n % 31 + 4
        lines = [" ".join(words[at : at + step]).capitalize() + ("." if n % 4 else "") for at in range(0, len(words), step)]
        made.append("\n".join(lines + lines[: len(lines) * (n % 7 == 0)]))
    return made


def rows(count: int = 300) -> list[dict[str, Any]]:
    """Documents judged by the default rules, some dropped before."""
    made: list[dict[str, Any]] = []
    for n, text in enumerate(texts(count)):
        score, source = 1 - (n * 29 % 100) / 200, "wiki" if n % 11 == 0 else "novels" if n % 50 == 7 else "web"
        language = HOSTILE if n % 50 == 8 else ("en", "de", None)[n % 7 % 3]
        columns: dict[str, Any] = {"language": language, "language_score": score, "url": f"https://h{n % 40}.org/{n}"}
        if n % 17 == 5:
            columns |= {"stage": "deduplicate", "reason": "exact_duplicate", "detail": HOSTILE}
        if n in (3, 20, 21):
            columns |= {"title": HOSTILE, "url": HOSTILE}
            text = f"{HOSTILE} {RTL} {text}"
        made.append(document(n, text, source, **columns))
    return made


def judged(made: list[dict[str, Any]], folder: Path, config: dict[str, Any]) -> Dataset:
    """A corpus of these documents in which the rules have dropped what they drop."""
    first = gather(corpus(folder / "before", made, config), None)
    names, outcomes = first.sample.rows["id"].to_pylist(), first.outcomes
    against = dict(zip(names, outcomes, strict=True))
    for row in made:
        reason = against[row["id"]]
        if reason is not None and "stage" not in row:
            stage = "language" if reason.startswith("language") else "quality"
            row |= {"stage": stage, "reason": reason}
    return corpus(folder / "after", made, config)


CONFIG = {"quality": {"rules_by_language": {"de": {"gopher": {"min_words": 20}}}}, "language": {"score_limits": {"de": 0.2}}}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Review]:
    made = judged(rows(), tmp_path_factory.mktemp("corpus"), CONFIG)
    return made, gather(made, None)


def build(dataset: Dataset, review: Review, **changes: Any) -> BuildFacts:
    return BuildFacts(report(dataset, **changes), MADE, {"corpus": dataset}, review)


@pytest.fixture(scope="module")
def browser() -> Generator[Page]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with chromium() as page:
        yield page


def shown(browser: Page, content: str, path: Path, *, width: int = 1280, dark: bool = False) -> Page:
    path.write_text(content, encoding="utf-8")
    browser.errors.clear()
    browser.requests.clear()
    browser.size(width, 900, dark=dark)
    browser.open(path)
    return browser


@pytest.fixture
def page(browser: Page, built: tuple[Dataset, Review], tmp_path: Path) -> Page:
    return shown(browser, report_page(build(*built)), tmp_path / "report.html")


def text_of(page: Page, selector: str) -> str:
    return str(page.run(f"document.querySelector({json.dumps(selector)}).textContent"))


def count_of(page: Page, selector: str) -> int:
    return int(page.run(f"document.querySelectorAll({json.dumps(selector)}).length"))


def set_value(page: Page, selector: str, value: object, event: str = "change") -> None:
    script = "(() => {{ const e = document.querySelector({}); e.value = {}; e.dispatchEvent(new Event('{}')); }})()"
    page.run(script.format(json.dumps(selector), json.dumps(value), event))
    page.settle()


def kept_of(page: Page) -> int:
    found = re.search(r"([\d,]+) of", text_of(page, ".result .kept"))
    assert found is not None
    return int(found[1].replace(",", ""))


def test_the_page_opens_without_a_request_or_an_error_and_strangers_write_only_text(page: Page, tmp_path: Path) -> None:
    assert page.errors == [] and page.requests == [(tmp_path / "report.html").as_uri()]
    assert page.run("document.title") == "Corpus made"
    assert count_of(page, "img") == 0 and count_of(page, "script") == 2
    set_value(page, "#find", "owned", "input")
    assert count_of(page, "#list article") >= 3 and visible(HOSTILE) in text_of(page, "#list article")
    set_value(page, "#find", RTL.split()[0], "input")
    assert page.run("document.querySelector('#list blockquote').dir") == "auto" and page.run("document.title") == "Corpus made"
    languages = page.run("[...document.querySelectorAll('#languages td:first-child bdi')].map(e => e.textContent)")
    assert sorted(languages) == sorted(["de", "en", "und", visible(HOSTILE)])


def test_the_head_says_what_when_where_and_how_long(page: Page) -> None:
    assert "Built 2026-01-02 03:04:05 UTC by corpusmill 0.1.0, 2 workers" in text_of(page, "p.note")
    tiles = page.run("[...document.querySelectorAll('.tile')].map(e => e.innerText.replace('\\n', ' '))")
    assert "2.7 minutes on 2 cores, x86_64, Linux" in tiles and any(tile.startswith("3 sources") for tile in tiles)


def test_the_funnel_is_that_of_the_ledgers(page: Page, built: tuple[Dataset, Review]) -> None:
    bars = levels(report(built[0]), "documents")
    widest = sum(bars[0].kept) + sum(bars[0].dropped)
    assert [bar.stage for bar in bars] == ["deduplicate", "language", "quality", "corpus"] and widest == 300
    for number, bar in enumerate(bars):
        place = f".by-documents .stage:nth-child({number + 1}) .bar-of:not(.thin)"
        widths = page.run(f"[...document.querySelector({json.dumps(place)}).children].map(e => e.getBoundingClientRect().width)")
        whole = page.run(f"document.querySelector({json.dumps(place)}).getBoundingClientRect().width")
        wanted = [count / widest for count in (*bar.kept, *bar.dropped) if count]
        assert [width / whole for width in widths] == pytest.approx(wanted, abs=0.004)
    assert page.run("getComputedStyle(document.querySelector('.by-characters')).display") == "none"
    page.click("input[value=characters]")
    assert page.run("getComputedStyle(document.querySelector('.by-documents')).display") == "none"
    page.click("input[value=documents]")


def test_a_reason_shows_documents_that_were_dropped_for_it(page: Page) -> None:
    page.click('a[data-reason="exact_duplicate"]')
    assert page.run("document.getElementById('fate').value") == "exact_duplicate"
    badges = page.run("[...document.querySelectorAll('#list .badge')].map(e => e.textContent)")
    assert badges and set(badges) == {"exact_duplicate"}


SETTINGS: list[dict[str, Any]] = [
    {},
    {"gopher.min_words": 120},
    {"gopher.min_words": None, "signs.max_signs": None},
    {"gopher_repetition.max_top_2gram_characters": 0.1, "gopher.max_word_length": 4.5},
    {"signs.max_signs": 1},
    {"signs.max_signs": 0, "signs.min_words": 30},
    {"signs.min_prose_sentences": 9, "signs.max_digits": 0.001},
    {"signs.enough_prose_sentences": 5},
    {"fineweb.max_short_lines": 0.5, "fineweb.min_punctuated_lines": 0.9},
    {"c4.min_sentences": 6, "refinedweb.max_flagged_words": 0},
    {"language.score_limit": 0.3},
    {"language.score_limit": 0.95, "gopher.min_stop_words": 3},
]


def changes(settings: dict[str, Any]) -> list[str]:
    return [f"{key}={'false' if value is None else value}" for key, value in settings.items()]


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_page_keeps_what_python_keeps(page: Page, built: tuple[Dataset, Review], settings: dict[str, Any]) -> None:
    dataset, review = built
    outcomes = Trial.of(dataset, None, changes(settings)).outcomes(
        {name: review.sample.rows[name].combine_chunks() for name in review.sample.rows.column_names}
    )
    assert page.run("document.querySelectorAll('details.set').forEach(e => e.open = true)") is None
    before = kept_of(page)
    assert before == sum(count for (_, stage, _), count in review.fates.items() if not stage)
    for key, value in settings.items():
        set_value(page, f'figure[data-key="{key}"] .exact', "" if value is None else value)
    assert kept_of(page) == outcomes.null_count
    lines = text_of(page, ".change")
    assert (lines == "as built") == (settings == {})
    if settings:
        assert outcomes.null_count != before, "the settings change nothing: they test nothing"
        page.click(".reset")
        assert kept_of(page) == before and text_of(page, ".change") == "as built"


def test_a_slider_moves_the_threshold_its_picture_and_the_result(page: Page) -> None:
    card = 'figure[data-key="gopher.min_words"]'
    at = f"document.querySelector('{card} line.limit:not(.before)').getAttribute('x1')"
    first, kept = page.run(at), kept_of(page)
    page.run(f"document.querySelector('{card}').scrollIntoView({{block: 'center'}})")
    left, y = page.middle(f"{card} input[type=range]", 0.02)
    right, _ = page.middle(f"{card} input[type=range]", 0.9)
    for kind, x in (("mousePressed", left), ("mouseMoved", right), ("mouseReleased", right)):
        page.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
    page.settle()
    page.settle()
    value = float(page.run(f"document.querySelector('{card} .exact').value"))
    assert value > 100 and value.is_integer() and float(page.run(at)) > float(first) and kept_of(page) < kept
    assert count_of(page, f"{card} line.limit.before") == 1 and count_of(page, ".card.moved") == 1
    assert re.fullmatch(r"\+0 gained, −[\d,]+ lost, −[\d,]+ characters", text_of(page, ".change"))
    page.click("#trial summary")
    assert f"min_words = {value:.0f}" in text_of(page, ".lines pre") and "[quality.rules.gopher]" in text_of(page, ".lines pre")
    assert f"corpusmill tune OUT gopher.min_words={value:.0f}" in text_of(page, ".lines pre:last-child")
    sums = page.run("[...document.querySelectorAll('.effects table:first-child tbody tr')].map(r => r.cells[2].textContent)")
    assert sum(int(number.replace(",", "")) for number in sums) == kept_of(page)


def test_documents_around_a_threshold_are_on_its_sides(page: Page) -> None:
    card = 'figure[data-key="gopher.min_words"]'
    page.click(f"{card} .around summary")
    sides = page.run(
        f"[...document.querySelectorAll('{card} .around h4')].map(h => [h.textContent,"
        " [...h.parentElement.querySelectorAll('.value')].map(e => +e.textContent)])"
    )
    (below, low), (above, high) = sides
    assert below == "below 50" and above == "from 50" and low and high
    assert all(value < 50 for value in low) and all(value >= 50 for value in high)
    assert low == sorted(low, reverse=True) and high == sorted(high)


def test_tables_are_sorted_and_searched(page: Page) -> None:
    names = "[...document.querySelectorAll('#hosts tr:not([hidden]) td:first-child')].map(e => e.textContent)"
    before = page.run(names)
    assert len(before) == 41
    page.click("#hosts th:first-child button")
    assert page.run(names) == sorted(before)
    page.click("#hosts th:first-child button")
    assert page.run(names) == sorted(before, reverse=True)
    set_value(page, "#hosts .search", "h3.", "input")
    assert page.run(names) == ["h3.org"] and page.errors == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1440])
def test_it_fits_a_phone_and_follows_the_reader_s_colours(
    browser: Page, built: Any, tmp_path: Path, width: int, dark: bool
) -> None:
    page = shown(browser, report_page(build(*built)), tmp_path / "report.html", width=width, dark=dark)
    page.run("document.querySelectorAll('details').forEach(e => e.open = true)")
    page.settle()
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("getComputedStyle(document.body).backgroundColor") == ("rgb(23, 24, 26)" if dark else "rgb(255, 255, 255)")
    page.picture(tmp_path / "page.png", whole=False)
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_a_sample_says_that_it_is_one_and_estimates(
    browser: Page, built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, whole = built
    monkeypatch.setattr("pipelines.review.gather.Drawer", lambda counts: Drawer(counts, most=100))
    review = gather(dataset, None)
    assert 60 <= review.sample.rows.num_rows <= 120 < review.sample.documents == 300
    page = shown(browser, report_page(build(dataset, review)), tmp_path / "report.html")
    assert f"Estimated from a sample of {review.sample.rows.num_rows} of 300 documents" in text_of(page, "#thresholds .note")
    kept = sum(count for (_, stage, _), count in review.fates.items() if not stage)
    assert kept_of(page) == kept  # every fate is weighted by its own number
    set_value(page, 'figure[data-key="gopher.min_words"] .exact', 120)
    columns = {name: review.sample.rows[name].combine_chunks() for name in review.sample.rows.column_names}
    outcomes = Trial.of(dataset, None, ["gopher.min_words=120"]).outcomes(columns).is_null().to_numpy(zero_copy_only=False)
    said = re.fullmatch(r"about ([\d,]+) ± ([\d,]+) of 300 documents kept", text_of(page, ".result .kept"))
    assert said is not None and int(said[1]) == round((review.sample.weights * outcomes).sum()) and int(said[2]) > 0
    everything = {name: whole.sample.rows[name].combine_chunks() for name in whole.sample.rows.column_names}
    truth = Trial.of(dataset, None, ["gopher.min_words=120"]).outcomes(everything).null_count
    assert abs(int(said[1]) - truth) <= 2 * int(said[2])


@pytest.mark.parametrize("made", [[], [document(1, "One text.")], [document(1, "", stage="read", reason="empty")]])
def test_a_corpus_of_nothing_and_of_one_document_has_a_page(browser: Page, made: Any, tmp_path: Path) -> None:
    dataset = corpus(tmp_path / "corpus", made)
    page = shown(browser, report_page(build(dataset, gather(dataset, None))), tmp_path / "report.html", width=390)
    assert page.errors == [] and page.run("document.documentElement.scrollWidth") <= 390
    assert count_of(page, "h2") >= 2 and count_of(page, "#list article") == len(made)


def test_a_large_corpus_has_a_small_page(tmp_path: Path) -> None:
    """60 sources, 2,000 hosts, licences and languages, 6,000 texts of the most bytes a character: the bounds hold."""
    reasons = ("language_unwanted", "language_uncertain", "gopher_word_count", "poor_signs", "gopher_symbols", "low_quality")
    made = []
    for n in range(6000):
        facts: dict[str, Any] = {"url": f"https://host{n % 2000}.org/{'x' * 400}", "license": f"licence {n % 2000} {'y' * 200}"}
        facts |= {"date": f"{n % 3000:04}", "title": "𠀀" * 500, "language": f"x{n % 2000}"}
        if n % 2:
            reason = reasons[n // 2 % 6]
            facts |= {
                "stage": "language" if reason.startswith("l") and n % 12 < 5 else "quality",
                "reason": reason,
                "detail": "𠀀" * 500,
            }
        made.append(document(n, f"{n} " + "𠀀" * 700, f"source{n % 60}", **facts))
    dataset = corpus(tmp_path, made)
    content = report_page(build(dataset, gather(dataset, None))).encode()
    assert len(content) < 5_000_000


def test_many_sources_become_ten(built: tuple[Dataset, Review]) -> None:
    lines = report(built[0])["funnel"]["web"]
    longer = [lines[0], {**lines[1], "stage": "lines"}, *lines[1:]]
    funnel = {f"s{n:02}": longer if n % 2 else lines for n in range(25)} | {"none": []}
    skipped = {name: {"redirect": 2} for name in funnel}
    few = few_sources({"funnel": funnel, "skipped": skipped})
    assert len(few["funnel"]) == 10 and list(few["funnel"])[-1] == "17 other sources"
    sums = few["funnel"]["17 other sources"]
    assert [line["stage"] for line in sums][:3] == ["read", "lines", "exclude"]
    for line in sums:
        wanted = next(one for one in longer if one["stage"] == line["stage"])
        assert line["documents_out"] == 16 * wanted["documents_out"]
        assert line["documents_in"] + line["documents_split"] == line["documents_out"] + sum(line["documents_dropped"].values())
    assert few["skipped"]["17 other sources"] == {"redirect": 34}


def test_another_build_is_shown_beside_it(browser: Page, built: tuple[Dataset, Review], tmp_path: Path) -> None:
    fewer = judged(rows(100), tmp_path, {"quality": {"rules": {"gopher": {"min_words": 60}}}, "language": {"keep": ["en"]}})
    this, other = build(*built), build(fewer, gather(fewer, None))
    page = shown(browser, report_page(this, other=other), tmp_path / "report.html")
    assert page.errors == []
    cells = "[...document.querySelectorAll('#beside-another-build tr')].map(r => [...r.cells].map(c => c.textContent))"
    shown_rows = {row[0]: row[1:] for row in page.run(cells)}
    kept = [sum(count for (_, stage, _), count in one.review.fates.items() if not stage) for one in (this, other)]
    assert shown_rows["documents found"] == ["300", "100", "+200", "+200.0%"]
    assert shown_rows["documents kept"][:3] == [f"{kept[0]}", f"{kept[1]}", f"+{kept[0] - kept[1]}"]
    assert shown_rows["language.keep"] == ["[]", '["en"]'] and shown_rows["quality.rules.gopher.min_words"] == ["50.0", "60.0"]
    assert shown_rows["language language_unwanted"][0] == "0" and int(shown_rows["language language_unwanted"][1]) > 0
    assert "sources.web.name" not in shown_rows  # which both have
    line = "document.querySelector('figure[data-key=\"gopher.min_words\"] path.outline').getTotalLength()"
    assert page.run(line) > 300
    page.size(390, 900)
    page.settle()
    assert page.run("document.documentElement.scrollWidth") <= 390


def test_a_build_beside_itself_differs_in_nothing(browser: Page, built: tuple[Dataset, Review], tmp_path: Path) -> None:
    this = build(*built)
    page = shown(browser, report_page(this, other=this), tmp_path / "report.html")
    text = text_of(page, "#beside-another-build")
    assert "The configs are the same." in text and "The versions of the stages are the same." in text
    differences = page.run("[...document.querySelectorAll('#beside-another-build td:nth-child(4)')].map(c => c.textContent)")
    assert set(differences) == {"·"}
