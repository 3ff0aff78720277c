"""The features: each has the value that its name says, on a small page; how the blocks belong together."""

import numpy as np
import pytest

from pipelines.text.extraction.pages.blocks import blocks
from pipelines.text.extraction.pages.features import FEATURES, Lexicon, Places, features
from pipelines.text.extraction.pages.tags import hash_table, name_hash
from pipelines.text.extraction.pages.tree import parse

PROSE = "Fifteen letters, a full stop. " * 4  # a width of 100, 20 words, four commas and four full stops
PAGE = f"""<html><head><title>Old rivers of Europe</title>
<meta name="description" content="Rivers, long and wide">
<meta property="og:type" content="article">
<link rel="canonical" href="https://a.org/2020/old-rivers?page=2"></head>
<body><nav class="menu"><ul><li><a href="/1">One</a><li><a href="/2">Two</a><li><a href="/3">Three</a></ul></nav>
<article class="post"><h1>Rivers of Europe</h1><p>{PROSE}<p>{PROSE}<img src="a.png"><pre>x = 1</pre></article>
<table><tr><td>One<td>11 %</table>"""
NAV, NAV_3, HEADING, PROSE_1, PROSE_2, CODE, CELL, CELL_2 = 0, 2, 3, 4, 5, 6, 7, 8  # rows
WIDTH = 234  # of the page: 3 + 3 + 5 in the menu, 14 + 100 + 100 + 3 in the article, 3 + 3 in the table


def table(odds: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return a hash table of the lexicon."""
    keys, places = hash_table(map(name_hash, odds), 64)
    values = np.zeros(64, np.float32)
    values[places] = list(odds.values())
    return keys, values


LEXICON = Lexicon(*table({"menu": -2.0, "post": 1.5}), *table({"rivers": 0.5, "one": -1.0}), *table({}))


def read(page: str) -> tuple[dict[str, list[float]], Places]:
    """Return the values of each feature, by block."""
    tree = parse(page.encode())
    matrix, places = features(tree, blocks(tree), LEXICON)
    assert matrix.dtype == np.float32
    return dict(zip(FEATURES, matrix.T.tolist(), strict=True)), places


@pytest.fixture(scope="module")
def page() -> dict[str, list[float]]:
    return read(PAGE)[0]


def test_names_are_unique() -> None:
    assert len(FEATURES) == len(set(FEATURES)) == 200


# The first and the last column of each group, and those between that are easily confused.
VALUES: list[tuple[str, dict[int, float]]] = [
    # own
    ("width", {NAV: 3, PROSE_1: 100, CODE: 3}),
    ("words", {HEADING: 3, PROSE_1: 20}),
    ("word_length", {HEADING: 14 / 3}),
    ("link_share", {NAV: 1, PROSE_1: 0}),
    ("terminals", {PROSE_1: 4 * 50 / 100}),
    ("digits", {CODE: 1 / 3, CELL_2: 2 / 3}),
    ("capitals", {HEADING: 2 / 14}),
    ("bold", {HEADING: 1, PROSE_1: 0}),
    ("widest_word", {PROSE_1: 7, NAV_3: 5}),
    ("same_text", {NAV: 2, CELL: 2, NAV_3: 1}),
    ("title_share", {HEADING: 1, NAV_3: 0}),
    ("title_cover", {HEADING: 3 / 4}),
    ("described", {HEADING: 1 / 3}),
    # nesting
    ("p", {PROSE_1: 1, NAV: 0}),
    ("li", {NAV: 1, PROSE_1: 0}),
    ("heading", {HEADING: 1, PROSE_1: 0}),
    ("cell", {CELL: 1, NAV: 0}),
    ("pre", {CODE: 1, CELL: 0}),
    ("article", {HEADING: 1, NAV: 0}),
    ("nav", {NAV: 1, HEADING: 0}),
    ("table", {CELL: 1, NAV: 0}),
    ("in_pre", {CODE: 1, PROSE_1: 0}),
    ("paragraph", {PROSE_1: 1, CODE: 0}),
    ("definition", {NAV: 0, PROSE_1: 0}),
    ("list_depth", {NAV: 1, PROSE_1: 0}),
    ("table_depth", {CELL: 1, NAV: 0}),
    ("depth", {NAV: 5, PROSE_1: 3}),  # html body nav ul li a; html body article p
    ("child", {NAV: 0, NAV_3: 2, CODE: 3}),
    ("children", {NAV: 3, CODE: 4, CELL: 2}),
    # place
    ("index", {PROSE_1: 4 / 9}),
    ("share_before", {PROSE_1: 25 / WIDTH}),
    ("blocks_after", {NAV: 8, CELL_2: 0}),
    ("prose_before", {PROSE_1: 0, PROSE_2: 1 / 2, CODE: 1}),
    ("prose_after", {NAV: 1, PROSE_1: 1 / 2, PROSE_2: 0}),
    ("to_heading", {HEADING: 99, PROSE_1: 1, CELL_2: 5}),
    ("heading_level", {HEADING: 0, PROSE_1: 1}),
    ("heading_odds", {PROSE_1: 1 / 2}),
    ("heading_width", {PROSE_1: 14}),
    ("next_heading", {NAV: 3, HEADING: 99}),
    ("headings_before", {HEADING: 0, PROSE_1: 1}),
    ("after_h1", {HEADING: -1, PROSE_1: 1}),
    # ancestors
    ("container_width", {PROSE_1: 100, CELL: 3}),
    ("parent_width", {PROSE_1: 217, NAV: 11, CELL: 6}),
    ("parent_links", {NAV: 1, PROSE_1: 0}),
    ("parent_blocks", {PROSE_1: 4, NAV: 3}),
    ("parent_prose", {PROSE_1: 200 / 217}),
    ("parent_terminals", {PROSE_1: 8 * 50 / 217}),
    ("parent_share", {PROSE_1: 217 / WIDTH}),
    ("grandparent_width", {PROSE_1: WIDTH, NAV: 11, CELL: 6}),
    ("great_grandparent_share", {PROSE_1: 1}),
    # best
    ("in_best", {NAV: 0, PROSE_1: 1, CELL: 0}),
    ("in_second", {NAV: 0, PROSE_1: 1, CELL: 0}),
    ("place_of_best", {NAV: 0, PROSE_1: 1, CELL: 2}),
    ("from_best", {NAV: -3, PROSE_1: 0, CELL: 0, CELL_2: 1}),
    ("best_share", {NAV: 1}),
    # repeated
    ("path_count", {NAV: 3, PROSE_1: 2, CODE: 1}),
    ("path_width", {NAV: 11 / 3, PROSE_1: 100}),
    ("path_links", {NAV: 1, PROSE_1: 0}),
    ("path_share", {PROSE_1: 200 / WIDTH}),
    ("near_count", {NAV: 3, PROSE_1: 0}),
    ("near_prose", {NAV: 0}),
    ("outer_count", {NAV: 3, PROSE_1: 0}),
    ("outer_share", {NAV: 11 / WIDTH}),
    ("outer_index", {NAV: 0, NAV_3: 2 / 3}),
    # things
    ("near_images", {NAV: 0}),
    ("parent_images", {PROSE_1: 1, NAV: 0}),
    ("page_images", {NAV: 1, CELL: 1}),
    ("page_times", {NAV: 0}),
    # around
    ("width-3", {NAV: -1, HEADING: 3, CELL: 100}),
    ("same_path-1", {PROSE_1: 0, PROSE_2: 1}),
    ("heading-1", {PROSE_1: 1, PROSE_2: 0}),
    ("width+1", {NAV_3: 14, CELL_2: -1}),
    ("terminals+1", {HEADING: 2}),
    ("heading+1", {NAV_3: 1}),
    ("odds+3", {NAV: 1.2, CELL_2: -1}),
    # odds
    ("own_names", {NAV: 0}),  # of the link; only its nav has a class
    ("names_sum", {NAV: -2 * 0.8**3, PROSE_1: 1.5 * 0.8, CELL: 0}),
    ("names_least", {NAV: -2, PROSE_1: 0}),
    ("names_most", {NAV: 0, PROSE_1: 1.5}),
    ("parent_names", {PROSE_1: 1.5, NAV: 0}),
    ("words_mean", {NAV: -1, HEADING: 1 / 2}),
    ("words_least", {NAV: -1, HEADING: 0}),
    ("words_most", {NAV: 0, HEADING: 1 / 2}),
    ("text_odds", {NAV: 0}),
    # page
    ("page_width", {NAV: WIDTH, CELL_2: WIDTH}),
    ("page_blocks", {NAV: 9}),
    ("page_links", {NAV: 11 / WIDTH}),
    ("page_prose", {NAV: 200}),
    ("page_articles", {NAV: 1}),
    ("page_widest", {NAV: 100}),
    ("page_terminals", {NAV: 8 * 50 / WIDTH}),
    ("page_prose_share", {NAV: 200 / WIDTH}),
    ("page_headings", {NAV: 1}),
    ("address_depth", {NAV: 2}),
    ("address_hyphens", {NAV: 1}),
    ("address_digits", {NAV: 5}),
    ("address_length", {NAV: len("/2020/old-rivers?page=2")}),
    ("address_query", {NAV: 1}),
    ("says_article", {NAV: 1}),
    ("says_site", {NAV: 0}),
    # window
    ("window_width", {NAV: 225, PROSE_1: WIDTH, CELL_2: 223}),
    ("window_links", {NAV: 11 / 225, PROSE_1: 11 / WIDTH, CELL_2: 0}),
    ("window_prose", {NAV: 200 / 225, CELL_2: 200 / 223}),
]


@pytest.mark.parametrize(("name", "values"), VALUES, ids=[name for name, _ in VALUES])
def test_a_feature_has_the_value_that_its_name_says(page: dict[str, list[float]], name: str, values: dict[int, float]) -> None:
    assert {row: page[name][row] for row in values} == pytest.approx(values, rel=1e-6)


def test_an_item_has_the_mean_of_its_like() -> None:
    item = "<div class=item><img src=a><time>1 May</time><p>text</div>"
    page = read(f"<div>{item * 2}<div class=item><p>more</div>{item}</div>")[0]
    means = {"near_count": 4, "near_images": 0, "outer_images": 3 / 4, "outer_times": 3 / 4, "outer_controls": 0}
    assert {name: page[name][-1] for name in means} == means  # the nearest that repeats is the <p>
    assert (page["outer_index"][-1], page["great_images"][-1], page["page_times"][-1]) == (3 / 4, 3, 3)


def test_a_short_text_is_looked_up_as_a_whole() -> None:
    tree = parse(b"<p>read on</p>")
    found = blocks(tree)
    key = int(found.text_hash[0])
    keys, odds = np.zeros(64, np.uint64), np.zeros(64, np.float32)
    keys[key % 64], odds[key % 64] = key, -0.75
    lexicon = LEXICON._replace(text_keys=keys, text_odds=odds)
    assert features(tree, found, lexicon)[0][0, FEATURES.index("text_odds")] == -0.75


def test_blocks_of_a_path_a_listing_and_a_table_belong_together() -> None:
    places = read(PAGE)[1]
    assert [places.path.tolist().index(path) for path in places.path] == [0, 0, 0, 3, 4, 4, 6, 7, 7]
    assert (places.code >= 0).tolist() == [row == CODE for row in range(9)]
    assert (places.table >= 0).tolist() == [row in (CELL, CELL_2) for row in range(9)]
    assert places.table[CELL] == places.table[CELL_2]
    assert places.prose.tolist() == [row in (PROSE_1, PROSE_2) for row in range(9)]
    assert places.is_body.tolist() == [row in (HEADING, PROSE_1, PROSE_2, CODE) for row in range(9)]


def test_a_page_without_text_has_no_rows() -> None:
    tree = parse(b"<p></p>")
    matrix, places = features(tree, blocks(tree), LEXICON)
    assert matrix.shape == (0, len(FEATURES))
    assert [column.size for column in places] == [0] * 5
