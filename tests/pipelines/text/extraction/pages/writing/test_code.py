"""Code in pages: every space of it, without line numbers and buttons, from the markup of many highlighters."""

import pytest

from pipelines.text.characters.code_spaces import restored
from pipelines.text.extraction.pages.structure import write
from pipelines.text.extraction.pages.tags import TEXT
from pipelines.text.extraction.pages.tree import parse


def text(markup: str, *, markdown: bool = False, fences: bool = True) -> str:
    """Return all text of a page, the white space of its code restored."""
    tree = parse(markup.encode())
    return restored(write(tree, tree.tag == TEXT, markdown=markdown, fences=fences))


HEXO = (
    '<figure class="highlight python"><table><tr><td class="gutter"><pre><span class="line">1</span><br>'
    '<span class="line">2</span>'
    '<br></pre></td><td class="code"><pre><span class="line">def f():</span><br><span class="line">    return '
    "<span class=number>1</span></span><br></pre></td></tr></table></figure>"
)
SYNTAX_HIGHLIGHTER = (
    '<div class="syntaxhighlighter java"><div class="toolbar"><a>?</a></div><table><tbody><tr><td class="gutter">'
    '<div class="line">1'
    '</div><div class="line">2</div></td><td class="code"><div class="container"><div class="line">'
    '<code class="keyword">public</code>'
    '&nbsp;<code>x</code></div><div class="line n"></div><div class="line"><code>&nbsp;&nbsp;&nbsp;</code><code>y'
    "</code></div></div>"
    "</td></tr></tbody></table></div>"
)
CHROMA = (
    '<table class="lntable"><tr><td class="lntd"><pre class="chroma"><code><span class="lnt">1\n</span>'
    '<span class="lnt">2\n</span>'
    '</code></pre></td><td class="lntd"><pre><code class="language-go" data-lang="go"><span class="line">a\n</span>'
    '<span class="line">\tb\n</span></code></pre></td></tr></table>'
)
GITHUB = (
    '<table class="highlight js-file-line-container"><tr><td class="blob-num" data-line-number="1"></td>'
    '<td class="blob-code">int  x;'
    '</td></tr>\n<tr><td class="blob-num" data-line-number="2"></td><td class="blob-code">\n</td></tr><tr>'
    '<td class="blob-num" data-line-number="3"></td><td class="blob-code">  y</td></tr></table>'
)
CSDN = (
    '<pre><code><ol class="hljs-ln"><li><div class="hljs-ln-numbers"><div class="hljs-ln-n" data-line-number="1"></div></div>'
    '<div class="hljs-ln-code"><div class="hljs-ln-line">a {</div></div></li><li><div class="hljs-ln-code"><div> '
    "</div></div></li>"
    '<li><div class="hljs-ln-code"><div class="hljs-ln-line">  1</div></div></li></ol></code></pre>'
)
LATEXML = (
    '<div class="ltx_listing ltx_lst_language_Python"><div class="ltx_listing_data"><a>⬇</a></div><div class="ltx_listingline">'
    '<span class="ltx_tag ltx_tag_listingline">1</span>def<span class="ltx_lst_space"> </span>f</div>\n'
    '<div class="ltx_listingline"><span class="ltx_lst_space">&nbsp;&nbsp;</span>x</div></div>'
)


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        ("<pre><code>\n\n  if a:\n    <b>b</b>\n\n\n\tc  d\n\n</code></pre>", "\n  if a:\n    b\n\n\n\tc  d\n"),
        ("<pre>a&nbsp;&nbsp;b<br>&#9;c</pre>", "\na  b\n\tc\n"),
        ("<pre><b>a</b> <b>b</b>:\n<i>\n</i><i>  </i><b>x</b>\t<b>y</b></pre>", "\na b:\n\n  x\ty\n"),
        ("<div><code>if a:\n    b</code></div>", "\nif a:\n    b\n"),
        ("<div><code>if a:<br>\n&nbsp;&nbsp;b</code></div>", "\nif a:\n  b\n"),
        ("<pre class='brush: js; gutter: false'>a</pre>", "js\na\n"),
        ("<div class='highlight-python3'><div><pre>a</pre></div></div>", "python3\na\n"),
        ("<pre>a\n```\nb</pre>", "`\na\n```\nb\n`"),
        (HEXO, "python\ndef f():\n    return 1\n"),
        (SYNTAX_HIGHLIGHTER, "java\npublic x\n\n   y\n"),
        (CHROMA, "go\na\n\tb\n"),
        (GITHUB, "\nint  x;\n\n  y\n"),
        (CSDN, "\na {\n \n  1\n"),
        (LATEXML, "Python\ndef f\n  x\n"),
        (
            '<pre><span style="color: #008080;"> 1</span><i>a</i>\n<span style="color: #008080;"> 2</span>  b'
            '<span style="color: #008080;">3</span></pre>',
            "\na\n  b3\n",
        ),
        ('<ol class="dp-j">\n<li><span>a&nbsp;&nbsp;b</span></li>\n<li><span>&nbsp;c</span></li></ol>', "\na  b\n c\n"),
        ('<pre class="java"><ol><li class="li1"><div>a</div></li><li class="li1"><div>  b</div></li></ol></pre>', "\na\n  b\n"),
        (
            '<div class="fragment"><div class="line"><span class="lineno">  1</span>a</div><div class="line">b</div></div>',
            "\na\nb\n",
        ),
    ],
)
def test_code_blocks(markup: str, wanted: str) -> None:
    assert text(f"<p>x{markup}<p>y") == f"x\n\n```{wanted}```\n\ny"


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        ("<p>Call <code>a\n   b</code> now.", "Call a b now."),
        ("<p><code>a\n   b</code> is called.", "a b is called."),
        ("<p>a<pre> \n <br></pre>b", "a\n\nb"),
        ("<pre class=lineno>1\n2</pre>", ""),
        (f"<pre>{'A letter in plain words. ' * 10}\n  Signed</pre>", f"{'A letter in plain words. ' * 10}\n  Signed"),
        ("<pre>\ufdeda\ufdef\ufeffb</pre>", "```\nab\n```"),
    ],
)
def test_what_is_no_code_block(markup: str, wanted: str) -> None:
    assert text(markup) == wanted


def test_code_without_fences() -> None:
    assert text("<p>a<pre>b\n c</pre>d", fences=False) == "a\n\nb\n c\n\nd"


def test_code_of_markdown_stands_in_its_item_and_quote() -> None:
    assert text("<ul><li>a<pre>b\n\n c\n</pre>d</ul>", markdown=True) == "- a\n\n  ```\n  b\n  \n   c\n  ```\n\n  d"


def test_a_quote_with_code_only_indents_it() -> None:
    assert text("<blockquote>a<pre>b\n\n</pre></blockquote>c", markdown=True) == "a\n\n```\nb\n```\n\nc"


def test_a_listing_with_columns_is_no_prose() -> None:
    listing = "".join(f"address{name}     opcode comment\n" for name in "abcdefghij")
    assert text(f"<pre>{listing}</pre>") == f"```\n{listing}```"
