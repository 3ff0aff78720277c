r"""Presentation MathML to LaTeX, for formulas that come without their source.

    >>> from pipelines.text.extraction.pages.tree import parse
    >>> to_latex(parse(b"<math><mfrac><mn>1</mn><msup><mi>x</mi><mn>2</mn></msup></mfrac><mo>&le;</mo><mi>y</mi></math>"), 0)
    '\\frac{1}{x^2}\\leq y'

Limits: elements nested deeper than MAX_DEPTH and formulas of more than MAX_NODES nodes become their text.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator

from pipelines.text.extraction.pages.tags import ATTRIBUTE_IDS, NAMES, TEXT
from pipelines.text.extraction.pages.tree import Tree

MAX_DEPTH, MAX_NODES = 60, 20_000

_FUNCTION_NAMES = """arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf ker lg lim liminf limsup ln log
max min Pr sec sin sinh sup tan tanh"""
_GREEK_NAMES = """α alpha β beta γ gamma δ delta ε varepsilon ζ zeta η eta θ theta ι iota κ kappa λ lambda μ mu ν nu ξ xi π pi ρ
rho σ sigma τ tau υ upsilon φ varphi χ chi ψ psi ω omega ϵ epsilon ϑ vartheta ϕ phi ϱ varrho ϖ varpi ς varsigma
Γ Gamma Δ Delta Θ Theta Λ Lambda Ξ Xi Π Pi Σ Sigma Υ Upsilon Φ Phi Ψ Psi Ω Omega"""
_SIGN_NAMES = """× times ÷ div ⋅ cdot · cdot ∗ ast ± pm ∓ mp ≤ leq ≥ geq ⩽ leqslant ⩾ geqslant ≠ neq ≈ approx ≡ equiv ∼ sim ≃
simeq ≅ cong ∝ propto ≪ ll ≫ gg ≺ prec ≻ succ → to ← leftarrow ↔ leftrightarrow ⇒ Rightarrow ⇐ Leftarrow ⇔
Leftrightarrow ↦ mapsto ↑ uparrow ↓ downarrow ⟶ longrightarrow ⟹ Longrightarrow ⟺ Longleftrightarrow ∞ infty ∂
partial ∇ nabla ∈ in ∉ notin ∋ ni ⊂ subset ⊃ supset ⊆ subseteq ⊇ supseteq ∪ cup ∩ cap ∖ setminus ∅ emptyset ∀
forall ∃ exists ∄ nexists ¬ neg ∧ wedge ∨ vee ⊕ oplus ⊗ otimes ⊙ odot ∘ circ ∙ bullet ⋆ star † dagger ‡ ddagger
⊥ perp ∥ parallel ∣ mid ∠ angle ∑ sum ∏ prod ∐ coprod ∫ int ∬ iint ∭ iiint ∮ oint ⋃ bigcup ⋂ bigcap ⨁ bigoplus ⨂
bigotimes ⋁ bigvee ⋀ bigwedge √ surd … ldots ⋯ cdots ⋮ vdots ⋱ ddots ⟨ langle ⟩ rangle 〈 langle 〉 rangle ⌊
lfloor ⌋ rfloor ⌈ lceil ⌉ rceil ‖ | ℏ hbar ℓ ell ℜ Re ℑ Im ℵ aleph ⊢ vdash ⊨ models ≔ coloneqq"""


def _pairs(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


_FUNCTIONS, _GREEK, _SIGNS = frozenset(_FUNCTION_NAMES.split()), _pairs(_GREEK_NAMES), _pairs(_SIGN_NAMES)
_PLAIN = {"−": "-", "′": "'", "″": "''", "{": "\\{", "}": "\\}", "%": "\\%", "#": "\\#", "&": "\\&", "$": "\\$",
          "\\": "\\backslash", "\u2061": "", "\u2062": "", "\u2063": "", "\u2064": "", "\u200b": ""}  # fmt: skip
_LETTERS = {"ℝ": "R", "ℂ": "C", "ℕ": "N", "ℤ": "Z", "ℚ": "Q", "ℙ": "P", "ℍ": "H"}
_VARIANTS = {"bold": "mathbf", "double-struck": "mathbb", "script": "mathcal", "fraktur": "mathfrak", "bold-italic": "boldsymbol",
             "sans-serif": "mathsf", "monospace": "mathtt"}  # fmt: skip
_OVER = {"¯": "bar", "‾": "overline", "_": "overline", "―": "overline", "^": "hat", "ˆ": "hat", "~": "tilde", "˜": "tilde",
         "→": "vec", "⃗": "vec", "˙": "dot", "¨": "ddot", "ˇ": "check", "˘": "breve", "⏞": "overbrace", "∼": "tilde"}  # fmt: skip
_UNDER = {"_": "underline", "‾": "underline", "⏟": "underbrace", "̲": "underline"}
_WITH_LIMITS = re.compile(
    r"\\(?:sum|prod|coprod|i{0,2}nt|oint|big\w+|lim|limsup|liminf|max|min|sup|inf|det|gcd|Pr|arg\w*)\Z|\\operatorname"
)
_COMMAND_END = re.compile(r"\\[A-Za-z]+\Z")
_ALPHABETS = (("BOLD", "mathbf"), ("SCRIPT", "mathcal"), ("FRAKTUR", "mathfrak"), ("DOUBLE-STRUCK", "mathbb"))


def to_latex(tree: Tree, node: int) -> str:
    """Return an element of MathML as LaTeX."""
    if tree.end[node] - node > MAX_NODES:
        return _text(tree, node)
    return _element(tree, node, 0).strip()


def _children(tree: Tree, node: int) -> Iterator[int]:
    child, end = node + 1, int(tree.end[node])
    while child < end:
        if tree.tag[child] != TEXT:
            yield child
        child = int(tree.end[child])


def inner_text(tree: Tree, node: int) -> str:
    """Return all text in an element, with its white space."""
    texts = (i for i in range(node, int(tree.end[node])) if tree.tag[i] == TEXT)
    return b"".join(tree.text[tree.start[i] : tree.stop[i]].tobytes() for i in texts).decode("utf-8", "replace")


def _text(tree: Tree, node: int) -> str:
    return " ".join(inner_text(tree, node).split())


def attribute(tree: Tree, node: int, name: str) -> str | None:
    """Return the value of an attribute as it is written, with its references; None if an element has none."""
    number = ATTRIBUTE_IDS[name]
    for i in range(int(tree.first_attribute[node]), int(tree.first_attribute[node + 1])):
        if tree.attribute[i] == number:
            return tree.markup[tree.value_start[i] : tree.value_stop[i]].tobytes().decode("utf-8", "replace")
    return None


def joined(parts: Iterator[str] | list[str]) -> str:
    r"""Put parts of LaTeX together: "\alpha" and "x" need a space between them."""
    out: list[str] = []
    for part in parts:
        if not part:
            continue
        if out and part[0].isalpha() and _COMMAND_END.search(out[-1]):
            out.append(" ")
        out.append(part)
    return "".join(out)


def _group(latex: str) -> str:
    return latex if len(latex) == 1 else f"{{{latex}}}"


def _base(latex: str) -> str:
    """Return what a script is put on: in braces if it is more than one thing."""
    if len(latex) <= 1 or latex.isdigit() or re.fullmatch(r"\\[A-Za-z]+|\\[a-z]+\{[^{}]*\}|[A-Za-z]'+|[()\[\]|]", latex):
        return latex
    return f"{{{latex}}}"


def _character(character: str) -> str:
    if character in _GREEK:
        return "\\" + _GREEK[character]
    if character in _PLAIN:
        return _PLAIN[character]
    if character in _SIGNS:
        return "\\" + _SIGNS[character]
    if character in _LETTERS:
        return f"\\mathbb{{{_LETTERS[character]}}}"
    if 0x1D400 <= ord(character) <= 0x1D7FF:
        name, plain = unicodedata.name(character, ""), unicodedata.normalize("NFKC", character)
        command = next((command for word, command in _ALPHABETS if word in name), None)
        return f"\\{command}{{{plain}}}" if command else _GREEK.get(plain, plain) if plain.isascii() else _character(plain)
    return character


def _identifier(tree: Tree, node: int) -> str:
    text = _text(tree, node)
    variant = attribute(tree, node, "mathvariant")
    if text in _FUNCTIONS:
        return "\\" + text
    latex = joined([_character(character) for character in text])
    if variant in _VARIANTS:
        return f"\\{_VARIANTS[variant]}{{{latex}}}"
    if len(text) > 1 and text.isascii() and text.isalpha():
        return f"\\mathrm{{{text}}}"
    return f"\\mathrm{{{latex}}}" if variant == "normal" and text.isascii() and text.isalpha() else latex


def _operator(tree: Tree, node: int) -> str:
    text = _text(tree, node)
    if text in _FUNCTIONS:
        return "\\" + text
    if len(text) > 1 and text.isalpha() and text.isascii():
        return f"\\operatorname{{{text}}}"
    return joined([_character(character) for character in text])


def _words(tree: Tree, node: int) -> str:
    text = _text(tree, node)
    return f"\\text{{{text}}}" if text else ""


def _row(tree: Tree, node: int, depth: int) -> str:
    return joined([_element(tree, child, depth) for child in _children(tree, node)])


def _scripts(tree: Tree, node: int, depth: int) -> str:
    """Write <msub>, <msup>, <msubsup>: a base, and below or above it the others."""
    parts = _parts(tree, node, depth)
    name = NAMES[tree.tag[node]]
    under = parts[1] if name != "msup" else ""
    over = parts[2] if name == "msubsup" else parts[1] if name == "msup" else ""
    return _base(parts[0]) + _below(under) + _above(over)


def _below(latex: str) -> str:
    return f"_{_group(latex)}" if latex else ""


def _above(latex: str) -> str:
    if re.fullmatch(r"(?:'|\\prime)+", latex):
        return latex.replace("\\prime", "'")
    return f"^{_group(latex)}" if latex else ""


def _parts(tree: Tree, node: int, depth: int) -> list[str]:
    """Return the LaTeX of the first three children, "" for those that are missing."""
    parts = [_element(tree, child, depth) for _, child in zip(range(3), _children(tree, node), strict=False)]
    return parts + [""] * (3 - len(parts))


def _limits(tree: Tree, node: int, depth: int) -> str:
    """Write <munder>, <mover>, <munderover>: limits, accents, or what is put above and below."""
    base, first, second = _parts(tree, node, depth)
    name = NAMES[tree.tag[node]]
    children = list(_children(tree, node))
    sign = _text(tree, children[1]) if len(children) > 1 else ""
    if name == "mover" and sign in _OVER:
        return f"\\{_OVER[sign]}{{{base}}}"
    if name == "munder" and sign in _UNDER:
        return f"\\{_UNDER[sign]}{{{base}}}"
    under, over = (first, second) if name == "munderover" else (first, "") if name == "munder" else ("", first)
    if _WITH_LIMITS.search(base) or base.startswith(("\\overbrace", "\\underbrace")):
        return base + _below(under) + _above(over)
    base = f"\\underset{{{under}}}{{{base}}}" if under else base
    return f"\\overset{{{over}}}{{{base}}}" if over else base


def _fraction(tree: Tree, node: int, depth: int) -> str:
    above, below, _ = _parts(tree, node, depth)
    if (attribute(tree, node, "linethickness") or "1").startswith("0"):
        return f"{{{above} \\atop {below}}}"
    return f"\\frac{{{above}}}{{{below}}}"


def _fenced(tree: Tree, node: int, depth: int) -> str:
    opening, closing, marks = (attribute(tree, node, name) for name in ("open", "close", "separators"))
    separators = "".join((marks if marks is not None else ",").split())
    out: list[str] = []
    for number, child in enumerate(_children(tree, node)):
        if number and separators:
            out.append(separators[min(number, len(separators)) - 1])
        out.append(_element(tree, child, depth))
    ends = [
        joined([_character(c) for c in (mark if mark is not None else default)])
        for mark, default in ((opening, "("), (closing, ")"))
    ]
    return joined([ends[0], *out, ends[1]])


def _matrix(tree: Tree, node: int, depth: int) -> str:
    rows = [
        " & ".join(_row(tree, cell, depth) for cell in _children(tree, row))
        for row in _children(tree, node)
        if NAMES[tree.tag[row]] in ("mtr", "mlabeledtr")
    ]
    content = " \\\\ ".join(rows)
    return f"\\begin{{matrix}}{content}\\end{{matrix}}"


def _many_scripts(tree: Tree, node: int, depth: int) -> str:
    base, before, after, is_before = "", "", "", False
    scripts: list[str] = []
    for number, child in enumerate(_children(tree, node)):
        name = NAMES[tree.tag[child]]
        if number == 0:
            base = _element(tree, child, depth)
        elif name == "mprescripts":
            is_before = True
        else:
            scripts.append("" if name == "none" else _element(tree, child, depth))
            if len(scripts) == 2:
                pair = _below(scripts[0]) + _above(scripts[1])
                before, after = (before + pair, after) if is_before else (before, after + pair)
                scripts = []
    return (f"{{}}{before}" if before else "") + _base(base) + after


def _root(tree: Tree, node: int, depth: int) -> str:
    base, index, _ = _parts(tree, node, depth)
    return f"\\sqrt[{index}]{{{base}}}"


def _first(tree: Tree, node: int, depth: int) -> str:
    return next((_element(tree, child, depth) for child in _children(tree, node)), "")


def _enclosed(tree: Tree, node: int, depth: int) -> str:
    content, notation = _row(tree, node, depth), attribute(tree, node, "notation") or ""
    if "box" in notation:
        return f"\\boxed{{{content}}}"
    return f"\\cancel{{{content}}}" if "strike" in notation else f"\\sqrt{{{content}}}" if notation == "radical" else content


_LEAVES: dict[str, Callable[[Tree, int], str]] = {
    "mi": _identifier, "mn": _text, "mo": _operator, "mtext": _words, "ms": _words,
    "mspace": lambda _tree, _node: " ", "mphantom": lambda _tree, _node: "", "annotation": lambda _tree, _node: "",
    "annotation-xml": lambda _tree, _node: "", "none": lambda _tree, _node: "",
}  # fmt: skip
_BRANCHES: dict[str, Callable[[Tree, int, int], str]] = {
    "msub": _scripts, "msup": _scripts, "msubsup": _scripts, "munder": _limits, "mover": _limits, "munderover": _limits,
    "mfrac": _fraction, "mfenced": _fenced, "mtable": _matrix, "mmultiscripts": _many_scripts, "mroot": _root,
    "semantics": _first, "maction": _first, "menclose": _enclosed,
    "msqrt": lambda tree, node, depth: f"\\sqrt{{{_row(tree, node, depth)}}}",
}  # fmt: skip


def _element(tree: Tree, node: int, depth: int) -> str:
    name = NAMES[tree.tag[node]]
    if leaf := _LEAVES.get(name):
        return leaf(tree, node)
    if depth >= MAX_DEPTH:
        return _text(tree, node)
    return _BRANCHES.get(name, _row)(tree, node, depth + 1)
