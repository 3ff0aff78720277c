"""Laws that hold for any page: tag soup, and real pages that were cut, spliced and overwritten."""

import random
import re
from functools import cache

import numpy as np
import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from places import FIXTURES, SHARED

from pipelines.contract import files
from pipelines.sources.web import archive, http_message
from pipelines.sources.web.warc import WholeRecord
from pipelines.text.extraction.html import decode_html
from pipelines.text.extraction.pages import forest, structure
from pipelines.text.extraction.pages.about import about
from pipelines.text.extraction.pages.blocks import WIDTH, blocks, texts
from pipelines.text.extraction.pages.extract import judged
from pipelines.text.extraction.pages.features import FEATURES, features
from pipelines.text.extraction.pages.tags import ATTRIBUTES, NAMES, TEXT
from pipelines.text.extraction.pages.tree import MAX_DEPTH, Tree, parse

SAMPLES = [
    FIXTURES / "tiny" / "crawl" / "pages.warc",
    SHARED / "extraction" / "pages.warc.gz",
    SHARED / "extraction" / "wcxb-dev.warc.gz",
]
PAGES_PER_SAMPLE = 40
LARGEST = 60_000  # bytes of a page that is changed
WORD = re.compile("[a-z]{4,}")  # longer than what a list's mark has

SOUP = st.lists(
    st.one_of(
        st.sampled_from([f"<{name}>" for name in NAMES[2:]]),
        st.sampled_from([f"</{name}>" for name in NAMES[2:]]),
        st.builds(
            "<{}{} {}='{}'>".format, *(st.sampled_from(n) for n in (NAMES[2:], ["", "/"], ATTRIBUTES)), st.text(max_size=9)
        ),
        st.sampled_from(
            ["<!--", "-->", "<![CDATA[", "]]>", "<!", "<?", "</", "<", ">", "&", "&amp;", "&nGt;", "&#9", "&#x10FFFF;"]
        ),
        st.sampled_from(
            ["one ", "two, three. ", "four\n\nfive", "  ", "\t", "\r\n", "\0", "\u00a0", "\u200b", "漢字", "|", "`", "$"]
        ),
        st.text(max_size=12),
    ),
    max_size=60,
).map("".join)


@cache
def pages() -> list[bytes]:
    """Return the bodies of small pages: of the tests' own archive, and of the labelled ones where they are."""
    found: list[bytes] = []
    for sample in filter(lambda path: path.exists(), SAMPLES):
        with files.reading(str(sample)) as stored, archive.opened(stored, sample.stat().st_size) as opened:
            bodies = (body for item in opened.records() if (body := body_of(item)) and len(body) < LARGEST)
            found += [body for body, _ in zip(bodies, range(PAGES_PER_SAMPLE), strict=False)]
    return found


def body_of(item: object) -> bytes:
    if not isinstance(item, WholeRecord) or not item.block.startswith(b"HTTP/"):
        return b""
    return http_message.body(item.block, http_message.parse_head(item.block), 2**24)


def assert_laws_hold(markup: bytes, *, is_xml: bool = False) -> None:
    """Read a page as a build does, and see that the laws hold."""
    tree = parse(markup, is_xml=is_xml)
    assert_tree_holds(tree, len(markup))
    found = blocks(tree)
    assert len(texts(tree, found)) == len(found.first)
    assert (found.counts[:, WIDTH] >= 0).all() and (found.first < found.after).all() and (np.diff(found.first) > 0).all()
    matrix, _ = features(tree, found, forest.default().lexicon)
    assert matrix.shape == (len(found.first), len(FEATURES)) and not np.isnan(matrix).any()
    about(tree, "http://example.com/a/b", {}, "2024-05-18T01:58:10Z")
    result = judged(tree, forest.default())
    assert 0 <= result.kept_characters <= result.visible_characters
    result.text()
    for markdown in (False, True):
        assert_text_is_of_the_page(tree, structure.write(tree, tree.tag == TEXT, markdown=markdown))


def assert_tree_holds(tree: Tree, size: int) -> None:
    """Nodes nest, in the order of the page; texts follow each other in the buffer; values are spans of the page."""
    nodes = np.arange(len(tree.tag))
    parents, ends = tree.parent, tree.end
    inner = parents >= 0
    assert ((parents < nodes) & (parents >= -1)).all() and ((ends > nodes) & (ends <= len(nodes))).all()
    assert (ends[inner] <= ends[parents[inner]]).all() and (tree.tag[parents[inner]] != TEXT).all()
    assert depth(tree) <= MAX_DEPTH + 1
    is_text = tree.tag == TEXT
    starts, stops = tree.start[is_text], tree.stop[is_text]
    assert (starts < stops).all() and (starts[1:] >= stops[:-1]).all() and (not len(stops) or stops[-1] <= len(tree.text))
    tree.text.tobytes().decode()
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        tree.text[start:stop].tobytes().decode()
    assert ((tree.value_start >= 0) & (tree.value_start <= tree.value_stop) & (tree.value_stop <= size)).all()
    assert tree.first_attribute[0] == 0 and (np.diff(tree.first_attribute) >= 0).all()
    assert tree.first_attribute[-1] == len(tree.attribute)
    links = np.flatnonzero(tree.link >= 0)
    assert all(NAMES[tree.tag[tree.link[node]]] == "a" and tree.link[node] < node for node in links.tolist())


def depth(tree: Tree) -> int:
    levels: NDArray[np.int64] = np.zeros(len(tree.tag) + 1, np.int64)
    for node, parent in enumerate(tree.parent.tolist()):
        levels[node] = levels[parent] + 1 if parent >= 0 else 1
    return int(levels.max())


def assert_text_is_of_the_page(tree: Tree, text: str) -> None:
    """The text is what the page has: no word of it is new, and it is no longer than the writer has room for."""
    text.encode()
    assert "\x00" not in text
    assert len(text.encode()) <= 4 * len(tree.text) + 4 * len(tree.markup) + 20 * len(tree.tag) + 8192
    if not any(NAMES[tag] in ("math", "script", "img", "mjx-container") for tag in set(tree.tag.tolist())):
        source = tree.text.tobytes().decode() + tree.markup.tobytes().decode("utf-8", "replace")
        assert [word for word in WORD.findall(text) if word not in source] == []


@given(soup=SOUP, is_xml=st.booleans())
def test_tag_soup(soup: str, is_xml: bool) -> None:
    assert_laws_hold(soup.encode("utf-8", "replace"), is_xml=is_xml)


@given(soup=SOUP, deep=st.sampled_from(["<div>", "<b>", "<table>", "<ul><li>", "<a href=x>"]), data=st.randoms())
@few
def test_tag_soup_under_a_full_stack(soup: str, deep: str, data: random.Random) -> None:
    assert_laws_hold((deep * data.choice([MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1]) + soup).encode("utf-8", "replace"))


@given(seed=st.integers(0, 2**32))
def test_damaged_pages(seed: int) -> None:
    draw = random.Random(seed)
    markup = decode_html(damaged(draw))
    if markup is not None:
        assert_laws_hold(markup.encode("utf-8", "replace"))


def damaged(draw: random.Random) -> bytes:
    """Return a page with bytes overwritten and parts cut out, doubled, or taken from another page."""
    if not pages():
        pytest.skip("no page to damage")
    body = bytearray(draw.choice(pages()))
    for _ in range(draw.randint(1, 8)):
        start = draw.randrange(len(body) + 1)
        stop = min(len(body), start + draw.randint(0, 2000))
        other = draw.choice(pages())
        where = draw.randrange(len(other) + 1)
        body[start:stop] = draw.choice(
            [
                b"",
                bytes(body[start:stop]) * 2,
                other[where : where + 2000],
                draw.randbytes(min(stop - start, 8)),
                b"<",
                b"'",
                b"&#",
            ]
        )
    return bytes(body[: draw.randrange(len(body) + 1)] if draw.random() < 0.2 else body)
