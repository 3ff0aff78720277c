"""Blocks: where they begin and end, and what is counted in them."""

from pipelines.text.extraction.pages import blocks as b
from pipelines.text.extraction.pages.blocks import Blocks, blocks, texts
from pipelines.text.extraction.pages.tags import NAMES
from pipelines.text.extraction.pages.tree import parse


def cut(markup: str) -> list[str]:
    tree = parse(markup.encode())
    return [" ".join(text.split()) for text in texts(tree, blocks(tree))]


def counted(markup: str) -> Blocks:
    return blocks(parse(markup.encode()))


def test_elements_that_break_lines_divide_blocks() -> None:
    assert cut("a<p>b <b>c</b>d<div>e</div>f<ul><li>g<li>h</ul>i") == ["a", "b cd", "e", "f", "g", "h", "i"]
    assert cut("<table><tr><td>a<td>b</table>") == ["a", "b"]


def test_one_break_is_a_line_and_two_are_a_new_block() -> None:
    assert cut("a<br>b<br> <br>c") == ["a b", "c"]
    assert counted("a<br>b<br> <br>c").counts[:, b.WORDS].tolist() == [2, 1]


def test_hidden_text_is_in_no_block() -> None:
    page = "<title>t</title><p>a<script>s</script>b<select><option>o</select>c<template>x</template><textarea>y</textarea>"
    assert cut(page) == ["ab", "c"]
    assert cut("<p> \u200b&nbsp;\ufeff</p>") == []


def test_counts() -> None:
    row = counted("<p>Two <b>b\u00e9d</b>s, 3 <a href=/>links here</a>!</p>").counts[0]
    names = {name: int(row[getattr(b, name)]) for name in ["WIDTH", "WORDS", "LETTERS", "DIGITS", "UPPER", "TERMINALS", "COMMAS"]}
    assert names == {
        "WIDTH": 19, "WORDS": 5, "LETTERS": 16, "DIGITS": 1, "UPPER": 1, "TERMINALS": 1, "COMMAS": 1
    }  # fmt: skip
    assert (row[b.LINK_WIDTH], row[b.LINKS], row[b.BOLD_WIDTH], row[b.ENDS]) == (9, 1, 3, 1)


def test_letters_of_scripts_without_spaces_are_words_and_twice_as_wide() -> None:
    row = counted("<p>\u6771\u4eac\u90fd\u3002").counts[0]
    assert (row[b.WIDTH], row[b.WORDS], row[b.SPACELESS_WIDTH], row[b.TERMINALS]) == (7, 3, 6, 1)


def test_words_are_hashed_in_lower_case_across_inline_elements() -> None:
    one, two = counted("<p>H<b>ELL</b>o world"), counted("<p>hello <i>WORLD</i>")
    assert one.tokens.tolist() == two.tokens.tolist()
    assert one.text_hash.tolist() == two.text_hash.tolist() != counted("<p>hello worlds").text_hash.tolist()


def test_the_container_is_the_innermost_element_that_breaks_lines() -> None:
    tree = parse(b"<div><p><span>a</span></p>b</div>c")
    found = blocks(tree)
    assert [NAMES[tree.tag[node]] if node >= 0 else "" for node in found.container] == ["p", "div", ""]
