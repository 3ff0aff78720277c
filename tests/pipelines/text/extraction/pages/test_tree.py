"""The tree of a page: what belongs where, as browsers see it."""

from html import unescape
from html.entities import html5

import pytest

from pipelines.text.extraction.pages.tags import ATTRIBUTES, NAMES, TEXT
from pipelines.text.extraction.pages.tree import MAX_DEPTH, Tree, parse


def shown(tree: Tree) -> str:
    """Return the tree with explicit tags: p(One) for <p>One."""

    def node(number: int) -> str:
        if tree.tag[number] == TEXT:
            return tree.text[tree.start[number] : tree.stop[number]].tobytes().decode()
        inside = ""
        child = number + 1
        while child < tree.end[number]:
            assert tree.parent[child] == number
            inside += node(child)
            child = int(tree.end[child])
        return f"{NAMES[tree.tag[number]]}({inside})"

    out, root = "", 0
    while root < len(tree.tag):
        out += node(root)
        root = int(tree.end[root])
    return out


@pytest.mark.parametrize(
    ("markup", "tree"),
    [
        ("<p>a<p>b", "p(a)p(b)"),
        ("<p>a<div>b</div>", "p(a)div(b)"),
        ("<ul><li>a<ul><li>b<li>c</ul><li>d</ul>", "ul(li(aul(li(b)li(c)))li(d))"),
        ("<dl><dt>a<dd>b<dt>c<dd>d</dl>", "dl(dt(a)dd(b)dt(c)dd(d))"),
        ("<table><tr><td>a<td>b<tr><td>c</table>d", "table(tr(td(a)td(b))tr(td(c)))d"),
        ("<table><thead><tr><th>a<tbody><tr><td>b</table>", "table(thead(tr(th(a)))tbody(tr(td(b))))"),
        ("<table><tr><td><table><tr><td>a</table>b</table>", "table(tr(td(table(tr(td(a)))b)))"),
        ("<table><tr><td><p>a</table><p>b", "table(tr(td(p(a))))p(b)"),
        ("<div><b>a<p>b</b>c</p></div>d", "div(b(ap(bc)))d"),
        ("<div>a</span>b</div>c", "div(ab)c"),
        ("<div>a</section>b</div>c", "div(ab)c"),
        ("<h2>a<h3>b</h2>c", "h2(a)h3(b)c"),
        ("<a href=1>a<a href=2>b</a>c", "a(a)a(b)c"),
        ("a<br>b</br>c<hr/>d", "abr()bbr()chr()d"),
        ("<div/>a", "div(a)"),
        ("<svg><path d='M0'/><title>t</title></svg>a", "svg(#other()title(t))a"),
        ("<script>if (a<b) '</p>'</script>c", "script()c"),
        ("<title>a<b>&amp;</title>c", "title(a<b>&)c"),
        ("<textarea>a", "textarea(a)"),
        ("a<!-- <p>b --><!-->c<!--->d<!--e--!>f", "acdf"),
        ("a<!-- b <p>c", "a"),
        ("a<?php echo 1 ?>b<!DOCTYPE html>c", "abc"),
        ("a < b <3 & c", "a < b <3 & c"),
        ("a<", "a<"),
        ("a<b", "a"),
        ("<p title='>'>a", "p(a)"),
        ("<plaintext>a</p>b", "plaintext(a</p>b)"),
        ("<select><option>a<option>b</select>c", "select(option(a)option(b))c"),
        ("<ruby>a<rt>b<rt>c</ruby>", "ruby(art(b)rt(c))"),
        ("<body>a</body>b</html>c<body>d", "body(abcd)"),
        ("&lt;&amp;lt;&notit;&not;&copy2;&#8217;&#x41;&#146;&#0;&#xD800;&bogus;&", "<&lt;¬it;¬©2;’A’��&bogus;&"),
        ("<html><head><title>a</title><meta><body><p>b", "html(head(title(a)meta())body(p(b)))"),
        ("<head><template><p>a</p></template><p>b", "head(template(p(a)))p(b)"),
        ("<head><link><div>a</div></head>b", "head(link())div(a)b"),
        ("a\r\nb\rc\0d", "a\nb\ncd"),
        ("<xmp>a\r\nb\rc\0d</xmp>", "xmp(a\nb\ncd)"),
        ("<svg><![CDATA[a\r\nb]]></svg>", "svg(a\nb)"),
    ],
)
def test_trees(markup: str, tree: str) -> None:
    assert shown(parse(markup.encode())) == tree


def test_xml_has_empty_elements_and_character_data() -> None:
    markup = b"<div/><p><![CDATA[a<b>&amp;]]></p>"
    assert shown(parse(markup, is_xml=True)) == "div()p(a<b>&amp;)"
    assert shown(parse(markup)) == "div(p(&]]>))"


@pytest.mark.parametrize("reference", ["&nGt;", "&nLt;"])
def test_references_that_are_longer_as_text_have_room(reference: str) -> None:
    """They take five bytes, and their two characters six: they are the only ones that grow."""
    assert parse(reference.encode() * 100_000).text.tobytes().decode() == unescape(reference) * 100_000
    grown = [name for name, text in html5.items() if len(text.encode()) > len(name) + 1]
    assert sorted(grown) == ["nGt;", "nLt;"]


def test_attributes_are_spans_of_the_markup() -> None:
    tree = parse(b"<a HREF = 'x y' class=b class=c data-x=1 hidden>t</a>")
    values = [tree.markup[a:b].tobytes() for a, b in zip(tree.value_start, tree.value_stop, strict=True)]
    assert [ATTRIBUTES[i] for i in tree.attribute] == ["href", "class", "hidden"]
    assert values == [b"x y", b"b", b""]
    assert tree.first_attribute.tolist() == [0, 3, 3]
    assert tree.link.tolist()[1] == 0


def test_a_link_ends_with_its_tag_or_its_element() -> None:
    tree = parse(b"<div><a href=1><p>a</a>b</div>c<a name=d>e</a>")
    texts = {
        tree.text[tree.start[i] : tree.stop[i]].tobytes(): int(tree.link[i]) for i in range(len(tree.tag)) if not tree.tag[i]
    }
    assert texts == {b"a": 1, b"b": -1, b"c": -1, b"e": -1}


def test_depth_is_bounded() -> None:
    tree = parse(b"<div>" * 20_000 + b"a" + b"</div>" * 20_000 + b"b")
    depth = [0] * len(tree.tag)
    for node, parent in enumerate(tree.parent.tolist()):
        depth[node] = 0 if parent < 0 else depth[parent] + 1
    assert max(depth) == MAX_DEPTH
    assert tree.text.tobytes() == b"ab"
