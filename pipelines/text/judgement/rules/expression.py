"""A user's own rule as an expression over measures: "words > 50 and stop_words / words > 0.02".

Python's grammar, read by `ast` and computed by pyarrow; nothing is executed. Allowed are numbers, the measures, + - * /,
comparisons (also "1 < words < 9"), and, or, not. What has no value (stop words without a list, a division by 0) makes a
comparison neither true nor false, and a text of which the whole expression is neither is kept.

Where scores are at hand, "top(dclm, 0.1)" is true of the texts with the highest tenth of the scores of their language, and
"bottom(perplexity, 0.3)" of those with the lowest three tenths (shares.py computes where these begin).

>>> from pipelines.contract.schema import MEASURES
>>> measures = pa.array([{"words": 60, "lines": 3}, {"words": 9, "lines": 0}], MEASURES)
>>> Expression("words > 50 and words / lines > 10").keeps(measures).to_pylist()
[True, False]
"""

import ast
import difflib
import sys
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract.schema import MEASURES
from pipelines.text.judgement.rules.shares import SIDES, Share

MAX_CHARACTERS = 2000
_NAMES = tuple(field.name for field in MEASURES)
COMPARE: dict[type[ast.cmpop], Any] = {
    ast.Lt: pc.less,
    ast.LtE: pc.less_equal,
    ast.Gt: pc.greater,
    ast.GtE: pc.greater_equal,
    ast.Eq: pc.equal,
    ast.NotEq: pc.not_equal,
}
ADD: dict[type[ast.operator], Any] = {ast.Add: pc.add, ast.Sub: pc.subtract, ast.Mult: pc.multiply}


class Expression:
    """An expression that is true of the texts that are kept. Raise ValueError if it is none, with the fix.

    `scores` are names that may occur beside those of the measures, also in a share.
    """

    def __init__(self, text: str, scores: tuple[str, ...] = ()) -> None:
        if len(text) > MAX_CHARACTERS:
            raise ValueError(f"the expression has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read")
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
            if not _is_true_or_false(self._tree):
                raise ValueError(f"{text!r} is neither true nor false of a text; compare it with a number")
            _check(self._tree, (*scores, *_NAMES), scores, truth=True)
        except (SyntaxError, RecursionError, MemoryError):
            raise ValueError(f"{text[:100]!r} is no expression; write it like words > 50 and stop_words / words > 0.02") from None

    @property
    def names(self) -> tuple[str, ...]:
        """The measures and scores that occur in it, in alphabetical order."""
        return tuple(sorted({node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name)} - SIDES))

    @property
    def shares(self) -> tuple[Share, ...]:
        """The shares that occur in it, each once."""
        return tuple(dict.fromkeys(_share(node) for node in ast.walk(self._tree) if isinstance(node, ast.Call)))

    def keeps(self, measures: pa.StructArray) -> pa.Array:
        """Return whether the expression is true of each text (bool; null: neither true nor false).

        The fields are measures, scores and, under its name, the limit of each share.
        """
        return _truth(self._tree, measures)


def _is_true_or_false(node: ast.expr) -> bool:
    is_not = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return isinstance(node, ast.Compare | ast.BoolOp) or is_not or is_call


def _check(node: ast.expr, names: tuple[str, ...], scores: tuple[str, ...], *, truth: bool) -> None:
    """Raise ValueError unless the node is of the grammar."""
    if truth != _is_true_or_false(node):
        wanted = "something true or false, such as words > 50," if truth else "a number"
        raise ValueError(f"{ast.unparse(node)!r}: {wanted} must be here")
    match node:
        case ast.BoolOp(values=values):
            parts = values
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            parts = [operand]
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in COMPARE for op in ops):
            parts, truth = [left, *others], False
        case ast.BinOp(left=left, op=op, right=right) if type(op) in {*ADD, ast.Div}:
            parts = [left, right]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            parts = [operand]
        case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
            if not abs(value) <= sys.float_info.max:
                raise ValueError("a number of the expression is too large; the largest has 308 digits")
            parts = []
        case ast.Name(id=name):
            parts = []
            _check_name(name, names)
        case ast.Call(func=ast.Name()):
            parts = []
            _check_name(_share(node).score, scores, what="score")
        case _:
            raise ValueError(f"{ast.unparse(node)!r} is not allowed; use measures, numbers, + - * /, comparisons, and, or, not")
    for part in parts:
        _check(part, names, scores, truth=truth)


def _share(node: ast.Call) -> Share:
    """Return the share that a call names. Raise ValueError if it is none."""
    match node:
        case ast.Call(func=ast.Name(id=side), args=[ast.Name(id=score), ast.Constant(value=float(share))], keywords=[]) if (
            side in SIDES and 0 < share < 1
        ):
            return Share(side, score, share)
        case _:
            raise ValueError(
                f"{ast.unparse(node)!r} is no share; write top(score, 0.1) or bottom(score, 0.1), with a share between 0 and 1"
            )


def _check_name(name: str, names: tuple[str, ...], what: str = "measure or score") -> None:
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"these are {', '.join(names) or 'none'}"
        raise ValueError(f"there is no {what} {name!r}; {hint}")


def _truth(node: ast.expr, measures: pa.StructArray) -> Any:
    match node:
        case ast.BoolOp(op=op, values=values):
            join = pc.and_kleene if isinstance(op, ast.And) else pc.or_kleene
            found = _truth(values[0], measures)
            for value in values[1:]:
                found = join(found, _truth(value, measures))
            return found
        case ast.UnaryOp(operand=operand):
            return pc.invert(_truth(operand, measures))
        case ast.Call():
            share = _share(node)
            compare = pc.greater_equal if share.side == "top" else pc.less_equal
            return compare(pc.struct_field(measures, share.score), pc.struct_field(measures, share.name))
        case ast.Compare(left=left, ops=ops, comparators=others):
            values = [_number(part, measures) for part in (left, *others)]
            found = pa.repeat(pa.scalar(True), len(measures))
            for op, first, second in zip(ops, values[:-1], values[1:], strict=True):
                found = pc.and_kleene(found, COMPARE[type(op)](first, second))
            return found
        case _:
            raise AssertionError(ast.dump(node))


def _number(node: ast.expr, measures: pa.StructArray) -> Any:
    match node:
        case ast.Constant(value=int(value) | float(value)):
            return pa.scalar(float(value), pa.float64())
        case ast.Name(id=name):
            return pc.struct_field(measures, name).cast(pa.float64())
        case ast.UnaryOp(operand=operand):
            return pc.negate(_number(operand, measures))
        case ast.BinOp(left=left, op=op, right=right):
            first, second = _number(left, measures), _number(right, measures)
            if isinstance(op, ast.Div):
                return pc.divide(first, pc.if_else(pc.equal(second, 0), pa.scalar(None, pa.float64()), second))
            return ADD[type(op)](first, second)
        case _:
            raise AssertionError(ast.dump(node))
