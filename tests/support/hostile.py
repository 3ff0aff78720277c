"""Pages that are made to break a reader of web pages: by name, a function from a size in bytes to a page of about that size."""

from collections.abc import Callable

Maker = Callable[[int], bytes]


def repeated(unit: bytes, head: bytes = b"", tail: bytes = b"") -> Maker:
    return lambda size: head + unit * max(1, (size - len(head) - len(tail)) // len(unit)) + tail


def numbered(unit: bytes, head: bytes = b"") -> Maker:
    """Return a page of units that differ by a number."""

    def make(size: int) -> bytes:
        parts, left, number = [head], size - len(head), 0
        while left > 0:
            parts.append(unit.replace(b"%d", b"%d" % number))
            left -= len(parts[-1])
            number += 1
        return b"".join(parts)

    return make


PROSE = b"<p>It was a long day, and the river ran over its banks, so the town went to sleep late in the night.</p>"
_DEEP = 600  # more than any parser nests
_LINKED_DATA = b'<script type="application/ld+json">'
_NESTED = "ul div table b a font section blockquote li dl math svg span code pre form select button ruby mrow frameset"

PAGES: dict[str, Maker] = {
    **{f"nested <{name}>": repeated(b"<%s>" % name.encode(), tail=b"x") for name in _NESTED.split()},
    "nested tables with cells": repeated(b"<table><tr><td>"),
    "nested lists with items": repeated(b"<ul><li>x"),
    "nested numbered lists": repeated(b"<ol reversed><li>x"),
    "links": numbered(b'<a href="/%d">link %d</a> '),
    "unclosed <p>": numbered(b"<p>one two %d"),
    "the same <p>": repeated(b"<p>x"),
    "unclosed <li>": numbered(b"<li>one two %d"),
    "unclosed <td>": repeated(b"<td>ab", b"<table><tr>"),
    "a wide row of a data table": repeated(b"<td>ab", b"<table><tr><td>a<td>b<tr>"),
    "rows of a data table in 160 others": repeated(b"<tr><td>a<td>b", b"<table><tr><td>" * 160),
    "attributes of a tag": numbered(b"a%d=b ", b"<p "),
    "the same attributes of a tag": repeated(b"class=b id=c ", b"<p ", b">text"),
    "a long class": repeated(b"a b-c ", b'<p class="', b'">text'),
    "a long address": repeated(b"abc/", b'<p><a href="', b'">text</a>'),
    "a long style": repeated(b"display:non ", b'<p style="', b'">text'),
    "class names": numbered(b'<p class="cls-%d item%d author">x'),
    "spans of cells": repeated(b"<tr><td colspan=9007199254740991 rowspan=9007199254740991>ab<td>cd", b"<table>"),
    "NULs": repeated(b"<p>a\0b\0"),
    "&": repeated(b"&"),
    "&lt without ;": repeated(b"&lt"),
    "references beyond Unicode": repeated(b"&#99999999999999999999;"),
    "a long reference": repeated(b"9", b"<p>&#"),
    "broken hexadecimal references": repeated(b"&#x"),
    "broken named references": repeated(b"&CounterClockwiseContourIntegra"),
    "references that grow": repeated(b"&nGt;"),
    "controls of direction and zero width": repeated("\u202e\u200b\u2066a\u200d".encode()),
    "combining marks": repeated("\u0301".encode(), b"<p>a"),
    "mojibake": repeated("Ã©Â ".encode(), b"<p>"),
    "<plaintext>": repeated(b"<p>a", b"<plaintext>"),
    "an unclosed comment": repeated(b"<p>a", b"<!--"),
    "openings of comments": repeated(b"<!--"),
    "broken ends of comments": repeated(b"<!----!>-"),
    "<!": repeated(b"<!"),
    "<![CDATA[": repeated(b"<![CDATA["),
    "unclosed CDATA in a drawing": repeated(b"<![CDATA[x]]", b"<svg>"),
    "</": repeated(b"</"),
    "<": repeated(b"<"),
    "end tags of nothing under a full stack": repeated(b"</foo>", b"<bar>" * _DEEP),
    "items under a full stack": repeated(b"<li>", b"<li><table>" + b"<b>" * _DEEP),
    "cells under a full stack": repeated(b"<td>", b"<table>" + b"<b>" * _DEEP),
    "unclosed scripts": repeated(b"<script>"),
    "unclosed titles": repeated(b"<title>"),
    "unclosed <xmp>": repeated(b"<xmp>a"),
    "ends of scripts that are none": repeated(b"</scrip", b"<script>"),
    "frames in frames": repeated(b"<iframe src=x><frameset><frame src=a><noframes>a b"),
    "one word": repeated(b"a"),
    "one line of Chinese": repeated("文字化".encode()),
    "<br>": repeated(b"a<br>"),
    "headings": numbered(b"<h2>Head %d</h2>"),
    "headings with text": numbered(b"<h3>Head %d</h3>Some text, it is. "),
    "formulas": repeated(b"<math><mfrac><mi>a</mi><mn>2</mn></mfrac></math> ", b"<p>a"),
    "deep fractions": repeated(b"<mfrac><mi>a</mi>", b"<p>a<math>"),
    "formulas of a renderer": repeated(b'<span class="katex"><span class="katex-mathml"><math><mi>a</mi></math></span></span>'),
    "nested gutters": repeated(b"1 2 3\n", b"<p>abc" + b'<div class="linenos">' * _DEEP, b"x"),
    "nested permalinks": repeated(b" \n", b'<a class="headerlink" href=#x><b>' * (_DEEP // 2), b"x"),
    "lines of code": repeated(b"  x = 1;\n", b"<pre>"),
    "code": repeated(b"<pre>a\n b</pre><code>c</code>"),
    "linked data": repeated(b'{"@type":"Article","headline":"x"},', _LINKED_DATA + b"[", b"{}]</script>" + PROSE),
    "deep linked data": repeated(b"[", _LINKED_DATA, b"</script>" + PROSE),
    "broken linked data": repeated(b'"author": [ ', _LINKED_DATA, b"</script>" + PROSE),
    "commas of linked data": repeated(b", ", _LINKED_DATA + b"{", b"</script>" + PROSE),
    "a long title": repeated(b"Ab cd | ", b"<title>", b"</title><h1>Ab</h1>" + PROSE),
    "names of authors": repeated(b"a, b and c ", b'<meta name=author content="', b'">' + PROSE),
    "metas": numbered(b'<meta property="og:title" content="n%d">'),
    "dates": repeated(b"<time datetime=2020-01-01>x</time><p class=date>12/12/2020"),
    "blanks": repeated(b" ", b"<p>a", b"b"),
    "hidden text": repeated(b"<p>a", b"<div hidden>" * _DEEP),
    "prose": repeated(PROSE),
    "prose under a full stack": repeated(PROSE, b"<div>" * _DEEP),
    "drawings with titles": repeated(b"<svg><title>a</title></svg>"),
    "invalid UTF-8": repeated(b"abc \xff\xfe\x80 ", b"<p>"),
    "UTF-7": repeated(b"+ADw-script+AD4-", b"<meta charset=utf-7><p>"),
    "half surrogates of UTF-16": repeated(b"\x00\xd8", b"\xff\xfe<\0p\0>\0"),
}
