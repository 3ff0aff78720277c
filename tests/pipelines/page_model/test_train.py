"""Training on pages of a few made-up sites: what the model learns, and that it learns the same twice."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.page_model.train import LabelledPage, Pages, TrainingError, group_of, site, train
from pipelines.page_model.validate import validate, with_card
from pipelines.text.extraction.pages import forest, masks
from pipelines.text.extraction.pages.extract import judged
from pipelines.text.extraction.pages.features import features
from pipelines.text.extraction.pages.tree import parse

lightgbm = pytest.importorskip("lightgbm")


def _page(number: int) -> LabelledPage:
    """Return a page of one of twelve sites: a menu, an article of sentences, teasers, a footer."""
    random = np.random.default_rng(number)
    words = [f"word{random.integers(500)}" for _ in range(400)]
    article = [" ".join(words[i : i + 40]).capitalize() + "." for i in range(0, 200, 40)]
    menu = "".join(f"<li><a href=/{word}>{word}</a></li>" for word in words[200:215])
    teasers = "".join(f"<div class=teaser><a href=/{i}>{' '.join(words[i : i + 8])}</a></div>" for i in range(220, 300, 8))
    body = "".join(f"<p>{paragraph}</p>" for paragraph in article)
    end = f"<p class=legal>All rights reserved {number}.</p>"
    markup = f"<body><ul class=menu>{menu}</ul><div class=post-body>{body}</div>{teasers}{end}"
    return LabelledPage(
        f"https://site{number % 12}.org/{number}", markup.encode(), "\n".join(article), "even" if number % 2 else "odd"
    )


@pytest.fixture(scope="module")
def data() -> Pages:
    return Pages([_page(number) for number in range(60)])


def test_a_model_reads_pages_of_sites_that_it_has_not_seen(data: Pages) -> None:
    report = validate(data, folds=3, seed=1, threads=1)
    assert set(report.summaries) == {"all", "even", "odd"}
    assert report.summaries["all"].word_f1 > 0.99
    assert report.summaries["all"].pages == 60
    assert report.texts[0] == data.pages[0].truth.replace("\n", "\n\n")


def test_two_trainings_write_the_same_bytes(data: Pages, tmp_path: Path) -> None:
    everything = np.ones(len(data.pages), np.bool_)
    for name, threads in (("a", 1), ("b", 2)):
        forest.save(train(data, everything, threads=threads), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_kernel_scores_as_lightgbm_does(data: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []
    original = lightgbm.train
    monkeypatch.setattr(lightgbm, "train", lambda *given: trained.append(original(*given)) or trained[-1])
    model = train(data, np.ones(len(data.pages), np.bool_))
    page = data.pages[0]
    matrix = features(page.tree, page.blocks, model.lexicon)[0]
    expected = trained[0].predict(matrix, raw_score=True)
    np.testing.assert_allclose(masks.scores(model.masks, matrix), expected, rtol=1e-4, atol=1e-4)


def test_the_card_says_what_the_model_was_trained_on_and_how_well_it_does(data: Pages) -> None:
    report = validate(data, folds=2, seed=1, threads=1)
    model = train(data, np.ones(len(data.pages), np.bool_))
    card = with_card(model, data, report, folds=2, seed=1, names=["truth.jsonl"]).card
    assert (card["pages"], card["sites"], card["data"]) == (60, 12, ["truth.jsonl"])
    assert card["scores"]["all"]["pages"] == 60
    assert judged(parse(data.pages[3].markup), model).text().startswith(data.pages[3].truth[:40])


def test_sites_and_groups() -> None:
    assert [site(f"http://{host}/") for host in ("a.b.example.org", "news.bbc.co.uk", "x.com.cn", "localhost")] == [
        "example.org",
        "bbc.co.uk",
        "x.com.cn",
        "localhost",
    ]
    assert group_of("example.org", 5) == group_of("example.org", 5) < 5


def test_folds_without_pages_are_passed_over(data: Pages) -> None:
    few = Pages([page for page in data.pages if page.url.startswith(("https://site1.", "https://site2.", "https://site3."))])
    folds: list[int] = []
    validate(few, folds=50, seed=1, threads=1, on_fold=folds.append)
    assert folds == sorted({group_of(name, 50) for name in few.site_names})


def test_sites_of_one_fold_leave_nothing_to_train_on(data: Pages) -> None:
    with pytest.raises(TrainingError, match=r"^--folds 1: all pages \(12 sites\) are in one fold"):
        validate(data, folds=1, seed=1, threads=1)


def test_pages_without_their_texts_teach_nothing() -> None:
    pages = [LabelledPage(page.url, page.markup, "") for page in map(_page, range(12))]
    with pytest.raises(TrainingError, match="do not tell main text from the rest"):
        train(Pages(pages), np.ones(12, np.bool_))
