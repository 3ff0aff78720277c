"""What class names and attributes say of an element's part in code, formulas and lists: a small number a node.

The names are those of the programs that write such markup: highlighters of code (Pygments, Rouge, Chroma, SyntaxHighlighter,
Crayon, highlight.js, GitHub, CodeMirror), of formulas (KaTeX, MathJax, MediaWiki, WordPress, LaTeXML), and of comments.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages.scanning import FNV_OFFSET, FNV_PRIME, lookup
from pipelines.text.extraction.pages.tags import ATTRIBUTE_IDS, IDS, TEXT, name_table
from pipelines.text.extraction.pages.writing.marks import is_blank
from pipelines.text.kernels import jit, jit_borrowing

# A role, and the classes that give it.
NONE, GUTTER, TOOL, CODE, EDITOR, CODE_LINE, CODE_CELL, FORMULA, COPY, EQUATIONS, COMMENTS, ITEM_TAG, ANCHOR, EDIT, FRAGMENT = (
    range(15)
)
_CLASSES = {
    # Line numbers, left out if there is nothing but digits in them.
    GUTTER: "gutter linenos linenodiv lineno line-number line-numbers line-numbers-rows linenumber linenumbers"
    " line_numbers lnt ln rouge-gutter blob-num js-line-number hljs-ln-numbers hljs-ln-n crayon-nums crayon-num"
    " react-syntax-highlighter-line-number CodeMirror-linenumber CodeMirror-gutter-wrapper ltx_tag_listingline"
    " pre-numbering code-line-number",
    TOOL: "toolbar crayon-toolbar crayon-plain-wrap ltx_listing_data hljs-button copy-code-btn code-copy-btn"
    " bar tools dp-about ttc",
    CODE: "syntaxhighlighter crayon-syntax dp-highlighter dp-j dp-c dp-cpp dp-xml dp-sql dp-py dp-css ltx_listing cnblogs_code"
    " js-file-line-container view-lines",
    EDITOR: "CodeMirror-code",
    FRAGMENT: "fragment",  # of Doxygen: code if its first element is a line
    CODE_LINE: "line crayon-line ltx_listingline CodeMirror-line token-line view-line code-line",
    # Nothing depends on this role but that code with it is no prose, and that no other class of the element gives one.
    CODE_CELL: "hljs-ln-code blob-code blob-code-inner",
    FORMULA: "katex katex-display katex-mathml katex-error mwe-math-element mjx-chtml mwe-math-fallback-image-inline"
    " mwe-math-fallback-image-display latex tex math-tex ztext-math equation math formulaInl formulaDsp latexcenter",
    COPY: "MathJax MathJax_Display MathJax_SVG MathJax_SVG_Display MathJax_CHTML MathJax_Preview MJXc-display",
    EQUATIONS: "ltx_eqn_table ltx_equation ltx_equationgroup",
    COMMENTS: "commentlist comment-list comments-list comment_list comments children",
    ITEM_TAG: "ltx_tag_item",
    ANCHOR: "headerlink header-anchor hash-link heading-anchor anchor-link anchorjs-link headeranchor-link anchor permalink",
    EDIT: "mw-editsection",
}
_SLOTS = 1024
_NEAR = 64  # nodes that are searched for the text beside a formula
_LONGEST = 40  # bytes of a class name
_CLASS, _SRC, _TYPE, _LINE_NUMBER = (ATTRIBUTE_IDS[name] for name in ("class", "src", "type", "data-line-number"))
_DATA_TEX, _DATA_LATEX = ATTRIBUTE_IDS["data-tex"], ATTRIBUTE_IDS["data-latex"]
_IMG, _SCRIPT, _MATH, _MJX = (IDS[name] for name in ("img", "script", "math", "mjx-container"))
_MATH_TYPE = np.frombuffer(b"math/tex", np.uint8)


@functools.cache
def class_table() -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Return a hash table of class names and, by slot, their roles."""
    return name_table({name: role for role, names in _CLASSES.items() for name in names.split()}, _SLOTS)


@jit_borrowing
def _class_role(markup: Any, at: int, stop: int, keys: Any, values: Any) -> int:
    """Return the role of the first class name that has one."""
    while at < stop:
        key, begin = FNV_OFFSET, at
        while at < stop and markup[at] > 32:
            key = (key ^ np.uint64(markup[at])) * FNV_PRIME
            at += 1
        if 0 < at - begin <= _LONGEST:
            slot = lookup(keys, key)
            if slot >= 0:
                return int(values[slot])
        at += 1
    return NONE


@jit_borrowing
def _may_be_formula(markup: Any, at: int, stop: int) -> bool:
    """Return whether an image's address has "tex" or "math" in it, or "chl="; of a long one the start is read."""
    stop = min(stop, at + 300)
    while at + 3 < stop:
        byte = markup[at]
        if byte == 116 and markup[at + 1] == 101 and markup[at + 2] == 120:
            return True
        if byte == 109 and markup[at + 1] == 97 and markup[at + 2] == 116 and markup[at + 3] == 104:
            return True
        if byte == 99 and markup[at + 1] == 104 and markup[at + 2] == 108 and markup[at + 3] == 61:
            return True
        at += 1
    return False


@jit_borrowing
def _is_math_script(markup: Any, at: int, stop: int) -> bool:
    size, place = _MATH_TYPE.size, 0
    while place < size and at + place < stop and markup[at + place] == _MATH_TYPE[place]:
        place += 1
    return place == size


@jit
def assign_roles(tree: Any, keys: Any, values: Any) -> Any:
    """Return uint8[nodes] of roles (an empty array if no node has one), and whether any may be a formula."""
    nodes = tree.tag.size
    roles = np.zeros(nodes, np.uint8)
    has_any, has_formula = False, False
    for node in range(nodes):
        tag = tree.tag[node]
        if tag == TEXT:
            continue
        role = FORMULA if tag in (_MATH, _MJX) else NONE
        for i in range(tree.first_attribute[node], tree.first_attribute[node + 1]):
            name, at, stop = tree.attribute[i], tree.value_start[i], tree.value_stop[i]
            if name == _CLASS:
                if role in (NONE, GUTTER):
                    given = _class_role(tree.markup, at, stop, keys, values)
                    role = given if given else role
            elif tag == _IMG:
                if name == _SRC and role == NONE and _may_be_formula(tree.markup, at, stop):
                    role = FORMULA
            elif tag == _SCRIPT:
                if name == _TYPE and _is_math_script(tree.markup, at, stop):
                    role = FORMULA
            elif name == _LINE_NUMBER:
                if role == NONE:
                    role = GUTTER
            elif name in (_DATA_TEX, _DATA_LATEX):
                role = FORMULA
        if role == CODE_LINE and node and roles[tree.parent[node]] == FRAGMENT:
            roles[tree.parent[node]] = CODE
        if role:
            roles[node] = role
            has_any = True
            has_formula = has_formula or role in (FORMULA, COPY)
    return roles if has_any else roles[:0], has_formula


@jit_borrowing
def _is_near_kept(tree: Any, kept: Any, at: int, step: int) -> bool:
    """Return whether the next text in a direction, within some steps, is kept."""
    for _ in range(_NEAR):
        if at < 0 or at >= tree.tag.size:
            break
        if tree.tag[at] == TEXT and not is_blank(tree.text, tree.start[at], tree.stop[at]):
            return bool(kept[at])
        at += step
    return False


@jit
def kept_formulas(tree: Any, kept: Any, roles: Any) -> Any:
    """Return the nodes that may be formulas and belong to the kept text, in their order: int32[formulas].

    A formula is kept if any of its text is, or its own entry is set (an image has no text), or the text beside it is kept.
    """
    chosen = np.empty(min(np.sum((roles == FORMULA) | (roles == COPY)), tree.tag.size), np.int32)
    count, after, was_kept, node = 0, -1, False, 0
    while node < roles.size:
        if roles[node] != FORMULA and roles[node] != COPY:
            node += 1
            continue
        end = tree.end[node]
        is_kept = False
        for i in range(node, end):
            if kept[i] and not (tree.tag[i] == TEXT and is_blank(tree.text, tree.start[i], tree.stop[i])):
                is_kept = True
                break
        if not is_kept:
            before = node - 1
            while before >= after and tree.tag[before] == TEXT and is_blank(tree.text, tree.start[before], tree.stop[before]):
                before -= 1
            is_kept = was_kept if before < after else _is_near_kept(tree, kept, before, -1)
        is_kept = is_kept or _is_near_kept(tree, kept, end, 1)
        if is_kept:
            chosen[count] = node
            count += 1
        after, was_kept, node = end, is_kept, node + 1
    return chosen[:count].copy()
