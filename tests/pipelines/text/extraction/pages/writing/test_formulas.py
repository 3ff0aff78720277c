"""Formulas from all that pages write them with, as LaTeX."""

import pytest

from pipelines.text.extraction.pages.structure import write
from pipelines.text.extraction.pages.tags import TEXT
from pipelines.text.extraction.pages.tree import parse
from pipelines.text.extraction.pages.writing.mathml import MAX_DEPTH


def text(markup: str) -> str:
    """Return all text of a page but that of elements whose style hides them."""
    tree = parse(markup.encode())
    return write(tree, tree.tag == TEXT)


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        (
            '<span class="katex"><span class="katex-mathml"><math><mi>x</mi><annotation encoding="application/x-tex">x^2'
            '</annotation></math></span><span class="katex-html">x2</span></span>',
            "$x^2$",
        ),
        (
            '<span class="MathJax_Preview">x2</span><span class="MathJax"><nobr>x2</nobr></span>'
            '<script type="math/tex">x < 3</script>',
            "$x < 3$",
        ),
        (
            '<mjx-container class="MathJax"><mjx-math></mjx-math><mjx-assistive-mml><math><msup><mi>x</mi><mn>2'
            "</mn></msup></math>"
            "</mjx-assistive-mml></mjx-container>",
            "$x^2$",
        ),
        ('<span class="MathJax" data-mathml="&lt;math>&lt;mi>x&lt;/mi>&lt;/math>"><nobr>x</nobr></span>', "$x$"),
        (
            '<span class="mwe-math-element"><math alttext="{\\displaystyle E=mc^{2}}"></math><img src="a.svg" '
            'class="mwe-math-fallback-image-inline" alt="{\\displaystyle E=mc^{2}}"></span>',
            "$E=mc^{2}$",
        ),
        ('<img src="a.svg" class="mwe-math-fallback-image-inline" alt="{\\displaystyle E}">', "$E$"),
        ('<img src="https://s0.wp.com/latex.php?latex=x%5E2%2By&amp;bg=ffffff" alt="?" class="latex">', "$x^2+y$"),
        ('<img src="https://www.zhihu.com/equation?tex=%5Calpha" alt="[公式]" eeimg="1">', "$\\alpha$"),
        ('<img src="//latex.codecogs.com/gif.latex?\\inline&space;\\frac{a}{b}">', "$\\frac{a}{b}$"),
        ('<img class="math" src="_images/math/1234.png" alt="a_1">', "$a_1$"),
        ('<img class="formulaInl" alt="$ a $" src="form_1.png">', "$a$"),
        ('<span class="ztext-math" data-tex="a&lt;b"><svg></svg></span>', "$a<b$"),
        ('<span class="math inline">y^2</span>', "$y^2$"),
        ('<span class="math inline">\\(y\\)</span>', "\\(y\\)"),
        ('<span class="math inline"><em>z</em></span>', "z"),
        ('<span class="math-container">$y$</span>', "$y$"),
        ('<img src="texas.jpg" alt="Texas">', ""),
        ('<img src="/math/class.jpg" alt="A class">', ""),
    ],
)
def test_formulas_in_a_line(markup: str, wanted: str) -> None:
    assert text(f"<p>Take {markup} now.") == " ".join(f"Take {wanted} now.".split())


@pytest.mark.parametrize(
    "markup",
    [
        '<script type="math/tex; mode=display">% <![CDATA[\na %]]></script>',
        '<span class="katex-display"><span class="katex"><math display="block">'
        '<annotation encoding="application/x-tex">a</annotation>'
        "</math></span></span>",
        '<mjx-container display="true"><math><mi>a</mi></math></mjx-container>',
        '<math display="block" alttext="\\displaystyle a%\n"></math>',
    ],
)
def test_displayed_formulas(markup: str) -> None:
    assert text(f"<p>Take {markup} now.") == "Take\n$$a$$\nnow."


def test_an_image_alone_in_its_block_is_displayed() -> None:
    assert text('<p>Take<p><img class="latex" alt="a"></p>now.') == "Take\n\n$$a$$\n\nnow."


def test_an_equation_of_latexml_is_a_line_with_its_number() -> None:
    cells = '<td></td><td><math display="block" alttext="a=b"></math></td><td></td><td><span>(1)</span></td>'
    assert text(f'x<table class="ltx_equation ltx_eqn_table"><tr>{cells}</tr></table>y') == "x\n\n$$a=b$$ (1)\n\ny"


def test_a_formula_is_kept_with_the_text_beside_it() -> None:
    image = '<img class="latex" alt="a">'
    tree = parse(f"<div>menu {image}<hr><p>b</p></div><p>c {image} <b>d</b></p>".encode())
    kept = tree.tag == TEXT
    kept[:6] = False
    assert write(tree, kept) == "c $a$ d"


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        ("<mfrac><mn>1</mn><mrow><mi>x</mi><mo>+</mo><mn>2</mn></mrow></mfrac>", "\\frac{1}{x+2}"),
        ("<msubsup><mi>x</mi><mi>i</mi><mn>10</mn></msubsup>", "x_i^{10}"),
        ("<msup><mrow><mi>a</mi><mi>b</mi></mrow><mn>2</mn></msup>", "{ab}^2"),
        ("<msup><mi>f</mi><mo>&prime;</mo></msup><mo>&#x2061;</mo><mi>x</mi>", "f'x"),
        ("<munderover><mo>&sum;</mo><mi>i</mi><mi>n</mi></munderover><mi>a</mi>", "\\sum_i^na"),
        ("<munder><mi>lim</mi><mrow><mi>n</mi><mo>&rarr;</mo><mo>&infin;</mo></mrow></munder>", "\\lim_{n\\to\\infty}"),
        ("<munder><mi>x</mi><mi>y</mi></munder>", "\\underset{y}{x}"),
        ("<mover><mi>x</mi><mo>&macr;</mo></mover>", "\\bar{x}"),
        ("<msqrt><mi>&alpha;</mi><mi>b</mi></msqrt><mroot><mi>x</mi><mn>3</mn></mroot>", "\\sqrt{\\alpha b}\\sqrt[3]{x}"),
        (
            "<mi>sin</mi><mi>x</mi><mi>foo</mi><mi mathvariant='bold'>v</mi><mi>ℝ</mi>",
            "\\sin x\\mathrm{foo}\\mathbf{v}\\mathbb{R}",
        ),
        ("<mfenced open='[' separators=';'><mi>a</mi><mi>b</mi></mfenced>", "[a;b)"),
        ("<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr></mtable>", "\\begin{matrix}1 & 2\\end{matrix}"),
        ("<mmultiscripts><mi>F</mi><mi>q</mi><none/><mprescripts/><mi>p</mi><none/></mmultiscripts>", "{}_pF_q"),
        ("<mtext>if  x</mtext><mspace/><mphantom><mi>z</mi></mphantom>", "\\text{if x}"),
        ("<menclose notation='box'><mi>a</mi></menclose>", "\\boxed{a}"),
        ("<mi>𝒜</mi><mi>𝛼</mi><mi>𝑥</mi>", "\\mathcal{A}\\alpha x"),
    ],
)
def test_mathml_is_translated(markup: str, wanted: str) -> None:
    assert text(f"<math>{markup}</math>") == f"${wanted}$"


def test_deep_mathml_ends_as_text() -> None:
    assert text("<math>" + "<msqrt>" * 400 + "<mi>x</mi>").count("\\sqrt{") == MAX_DEPTH - 1
