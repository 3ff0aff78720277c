r"""Formulas of a page as `$…$` and `$$…$$`: from the source that most pages carry beside what they show.

The source is, in this order: a script of MathJax; `alttext` or an annotation in TeX of MathML (LaTeXML, MediaWiki, KaTeX); an
attribute like `data-tex`; the address or the description of an image (WordPress, CodeCogs, Zhihu, MediaWiki, Sphinx, Doxygen);
else MathML is translated. What is shown beside the source (the boxes of KaTeX and MathJax) is left out. Formulas that are text
already (\(…\), $…$) stay as they are.
"""

import re
from html import unescape
from urllib.parse import unquote, unquote_plus

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages.tags import BLOCK, IDS, NAMES, TEXT, names
from pipelines.text.extraction.pages.tree import Tree, parse
from pipelines.text.extraction.pages.writing.mathml import attribute, inner_text, to_latex
from pipelines.text.extraction.pages.writing.roles import COPY, FORMULA, kept_formulas

_KINDS = names().kinds
_MATH, _IMG = IDS["math"], IDS["img"]
_WRAPPED_NODES = 1000  # of a renderer's element, that are searched for its formula
_DELIMITERS = (("\\(", "\\)"), ("\\[", "\\]"), ("$$", "$$"), ("$", "$"))
_STYLE = re.compile(r"\{\\(?:displaystyle|textstyle|scriptstyle)\b\s*(.*)\}\Z", re.S)
_LEADING_STYLE = re.compile(r"\A(?:\\(?:displaystyle|textstyle)\b\s*)+")
_CDATA = re.compile(r"%?\s*<!\[CDATA\[|%?\s*\]\]>")
_PARAMETER = re.compile(r"[?&](?:tex|latex|chl|math|from)=([^&]*)")
_WHOLE_QUERY = re.compile(r"(?:codecogs\.com/[\w.]*|mimetex\.cgi|mathtex\.cgi)\?(.*)", re.S)
_SETTINGS = re.compile(r"\A(?:\\(?:dpi\{\d*\}|inline|bg_\w+|fn_\w+|large|Large|small|tiny|huge|LARGE|normal)\s*(?:&space;)?)+")
_KNOWN_IMAGE = re.compile(r"_images/math/|/math/render/|latex\.php|quicklatex|/mathjax/", re.I)
_IMAGES = "mwe-math-fallback-image-inline mwe-math-fallback-image-display latex tex math equation formulaInl formulaDsp ee_img eq"
_CLASSES_OF_IMAGES = frozenset(_IMAGES.split())
_GENERIC = frozenset(("latex", "equation", "formula", "image", "img", "math", "tex", "[公式]", "公式", "[formula]", "loading..."))
_ONE_FORMULA = """katex katex-display katex-mathml mwe-math-element mjx-chtml MathJax MathJax_Display MathJax_SVG
MathJax_SVG_Display MathJax_CHTML MJXc-display ztext-math"""
_WRAPPERS = frozenset(_ONE_FORMULA.split())  # classes of elements that hold one formula
_SOURCES = ("data-tex", "data-latex", "data-expr", "data-math")
_HAS_TEX = re.compile(r"[\\^_{]")
_DISPLAYS = frozenset(("katex-display", "MathJax_Display", "MathJax_SVG_Display", "MJXc-display", "display"))


def formulas(
    tree: Tree, kept: NDArray[np.bool_], roles: NDArray[np.uint8]
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.uint8]]:
    """Return the number of each node's formula (from 1; 0 for none, -1: left out), where each ends, and their bytes."""
    numbers = np.zeros(len(tree.tag), np.int32)
    has_scripts = any(NAMES[tree.tag[node]] == "script" for node in np.flatnonzero(roles == FORMULA).tolist())
    if has_scripts:
        numbers[roles == COPY] = -1
    texts: list[bytes] = []
    after = 0
    for node in kept_formulas(tree, kept, roles).tolist():
        if node < after or numbers[node]:
            continue
        formula = _formula(tree, node)
        if formula is None:
            continue
        after = int(tree.end[node])
        latex, is_display = _source(formula[0]), formula[1]
        if not latex:
            numbers[node] = -1
            continue
        texts.append((f"$${latex}$$" if is_display else f"${latex}$").encode("utf-8", "replace"))
        numbers[node] = len(texts)
    ends = np.cumsum([0, *map(len, texts)])
    # A read-only array would be another type: the writer would be compiled twice.
    return numbers, ends.astype(np.int64), np.frombuffer(bytearray(b"".join(texts)), np.uint8)


def _source(latex: str) -> str:
    r"""Return LaTeX on one line, without its delimiters and the style that generators add.

    >>> _source("{\\displaystyle x^2}"), _source("$$ a\n+b $$")
    ('x^2', 'a +b')
    """
    latex = " ".join(latex.replace("%\n", "").split())
    for opening, closing in _DELIMITERS:
        if latex.startswith(opening) and latex.endswith(closing) and len(latex) > len(opening) + len(closing):
            latex = latex[len(opening) : -len(closing)].strip()
            break
    if match := _STYLE.match(latex):
        latex = match[1]
    return _LEADING_STYLE.sub("", latex).strip()


def _formula(tree: Tree, node: int) -> tuple[str, bool] | None:
    """Return the LaTeX of a node and whether it is displayed; None if it is no formula."""
    name, classes = NAMES[tree.tag[node]], (attribute(tree, node, "class") or "").split()
    if name == "script":
        raw = tree.markup[tree.start[node] : tree.stop[node]].tobytes().decode("utf-8", "replace")
        return _CDATA.sub("", raw), "display" in (attribute(tree, node, "type") or "")
    if name == "img":
        return _image(tree, node, classes)
    if name == "math":
        return _math(tree, node)
    is_display = not _DISPLAYS.isdisjoint(classes) or attribute(tree, node, "display") == "true"
    for source in _SOURCES:
        if latex := attribute(tree, node, source):
            return unescape(latex), is_display
    if name == "mjx-container" or not _WRAPPERS.isdisjoint(classes):
        return _wrapped(tree, node, is_display)
    return _plain(tree, node, is_display)


def _wrapped(tree: Tree, node: int, is_display: bool) -> tuple[str, bool] | None:
    """Return the formula of an element that a renderer made."""
    if markup := attribute(tree, node, "data-mathml"):
        inner = parse(unescape(markup).encode("utf-8", "replace"))
        if len(inner.tag) and NAMES[inner.tag[0]] == "math":
            latex, is_block = _math(inner, 0)
            return latex, is_display or is_block
    stop = min(int(tree.end[node]), node + _WRAPPED_NODES)
    tags = tree.tag[node + 1 : stop]
    for i in (np.flatnonzero((tags == _MATH) | (tags == _IMG)) + node + 1).tolist():
        if tree.tag[i] == _MATH:
            latex, is_block = _math(tree, i)
            return latex, is_display or is_block
        if image := _image(tree, i, (attribute(tree, i, "class") or "").split()):
            return image
    return _plain(tree, node, is_display)


def _plain(tree: Tree, node: int, is_display: bool) -> tuple[str, bool] | None:
    """Return LaTeX that is the only text of an element with a class of formulas, and has no delimiters yet."""
    if tree.end[node] != node + 2 or tree.tag[node + 1] != TEXT:
        return None
    text = inner_text(tree, node).strip()
    is_delimited = any(text.startswith(opening) and text.endswith(closing) for opening, closing in _DELIMITERS)
    return None if is_delimited or "$" in text or not _HAS_TEX.search(text) else (text, is_display)


def _math(tree: Tree, node: int) -> tuple[str, bool]:
    """Return the formula of <math>: its source, or a translation."""
    is_display = attribute(tree, node, "display") == "block"
    alternative = unescape(attribute(tree, node, "alttext") or "")
    if alternative.strip():
        return alternative, is_display
    for i in range(node + 1, int(tree.end[node])):
        if NAMES[tree.tag[i]] == "annotation" and "tex" in (attribute(tree, i, "encoding") or "").lower():
            return inner_text(tree, i), is_display
    return to_latex(tree, node), is_display


def _image(tree: Tree, node: int, classes: list[str]) -> tuple[str, bool] | None:
    """Return the formula that an image shows."""
    address = unescape(attribute(tree, node, "src") or "")[:20_000]
    alternative = unescape(attribute(tree, node, "alt") or "").strip()
    is_known = not _CLASSES_OF_IMAGES.isdisjoint(classes)
    latex = ""
    if not address.startswith("data:"):
        if match := _WHOLE_QUERY.search(address):
            latex = _SETTINGS.sub("", unquote(match[1]).replace("&space;", " "))
        elif match := _PARAMETER.search(address):
            latex = unquote_plus(match[1])
        is_known = is_known or bool(latex and _HAS_TEX.search(latex + alternative)) or bool(_KNOWN_IMAGE.search(address))
    if not is_known:
        return None
    if not latex and alternative.lower() not in _GENERIC:
        latex = alternative
    if not latex:
        return None
    is_display = any("display" in name.lower() or name in ("formulaDsp", "latexcenter") for name in classes)
    return latex, is_display or alternative.startswith(("\\[", "$$")) or _stands_alone(tree, node)


def _stands_alone(tree: Tree, node: int) -> bool:
    """Return whether an image is all that its block holds."""
    parent = int(tree.parent[node])
    while parent >= 0 and not _KINDS[tree.tag[parent]] & BLOCK:
        parent = int(tree.parent[parent])
    if parent < 0 or tree.end[parent] - parent > 6 or NAMES[tree.tag[parent]] in ("td", "th", "li", "dd", "dt"):
        return False
    others = [i for i in range(parent + 1, int(tree.end[parent])) if i != node]
    return all(tree.tag[i] != TEXT or not tree.text[tree.start[i] : tree.stop[i]].tobytes().strip() for i in others)
