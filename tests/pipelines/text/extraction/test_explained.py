"""A page as a person looks at it: its blocks in order, where each is, and what decided."""

import pytest

from pipelines.text.characters.code_spaces import restored
from pipelines.text.extraction import html
from pipelines.text.extraction.explained import Explained, explained
from pipelines.text.extraction.extractors import EXTRACTORS
from pipelines.text.extraction.pages.tree import parse

TEXT = "The mill stood by the brook, and its wheel turned day and night while the miller slept."
MARKUP = (
    '<body class=home><div id="top" class="bar dark wide"><a href=/>Menu</a> and</div>'
    f"<main><article><p>{TEXT}</p><pre>if a:\n    b()\n</pre><p>{TEXT} Again.</p></article></main>"
    f'<ul class="{"x" * 40}"><li>End</ul>'
)


def page(name: str, markup: str = MARKUP) -> tuple[html.Page, Explained]:
    with EXTRACTORS[name].opened() as extract:
        extracted = extract(markup, parse(markup.encode()))
    return extracted, explained(markup, extracted)


def test_blocks_are_in_the_pages_order_with_their_places() -> None:
    _, shown = page("corpusmill")
    assert [(block.text, block.tag) for block in shown.blocks] == [
        ("Menu and", "div"),
        (TEXT, "p"),
        ("if a:\n    b()", "pre"),
        (f"{TEXT} Again.", "p"),
        ("End", "li"),
    ]
    assert [block.path for block in shown.blocks][::2] == [
        "body.home > div#top.bar.dark",
        "body.home > main > article > pre",
        f"body.home > ul.{'x' * 28}… > li",
    ]
    assert shown.blocks[0].why.startswith("2 words, 57% of it links")
    kept = [block for block in shown.blocks if block.kept]
    assert {TEXT, f"{TEXT} Again."} <= {block.text for block in kept}
    assert shown.least_probability == min(block.probability or 0 for block in kept)
    assert (
        shown.kept_characters
        <= shown.visible_characters
        == len("".join(block.text for block in shown.blocks).replace(" ", "")) - 1
    )


def test_paths_end_at_a_few_steps() -> None:
    _, shown = page("corpusmill", f"<body>{'<div>' * 9}<p>{TEXT}")
    assert shown.blocks[0].path == "… > div > div > div > p"


@pytest.mark.parametrize("name", ["corpusmill", "resiliparse"])
def test_what_is_shown_as_kept_is_in_the_text(name: str) -> None:
    extracted, shown = page(name)
    words = restored(extracted.text).split()
    kept = [block for block in shown.blocks if block.kept]
    assert TEXT in [block.text for block in kept]
    for block in kept:
        assert set(block.text.split()) <= set(words)
    assert all((block.probability is None) == (name != "corpusmill") for block in shown.blocks)


def test_a_page_without_text_has_no_blocks() -> None:
    _, shown = page("corpusmill", "<script>x</script>")
    assert (shown.blocks, shown.least_probability, shown.visible_characters) == ((), None, 0)
