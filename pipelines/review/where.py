"""Which documents are meant, as an expression over their columns: "language == 'de' and words > 50 and 'wiki' in url".

Python's grammar, read by `ast` and computed by pyarrow; nothing is executed. Beside what a rule may use (numbers, measures,
scores, + - * /, comparisons, and, or, not) there are strings: ==, !=, `in` and `not in` of a list of strings, and 'part'
in a column. What has no value makes a comparison neither true nor false, and such a document is not meant.
"""

import ast
import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract.errors import UserError
from pipelines.contract.schema import MEASURES, UNKNOWN_LANGUAGE
from pipelines.review.trial import score
from pipelines.text.judgement.rules.expression import ADD, COMPARE, MAX_CHARACTERS

STRINGS = (
    *("source", "snapshot", "origin", "url", "title", "author", "date", "license", "site_type", "language", "rule"),
    *("stage", "reason", "detail", "fate"),  # of drops; fate is kept or dropped
)
NUMBERS = ("characters", "language_score", "quality_score", "rule_value")
OF_DROPS = frozenset(("rule", "stage", "reason", "detail", "fate"))
_MEASURES = tuple(field.name for field in MEASURES if field.name not in NUMBERS)
_EXAMPLE = "write it like language == 'de' and words > 50"

Kind = Literal["truth", "number", "string", "list"]


class WhereError(UserError):
    """The expression is none; the message has the fix."""


class Where:
    """An expression that is true of the documents that are meant; `scores` are the names of models whose scores may occur."""

    def __init__(self, text: str, scores: Sequence[str] = ()) -> None:
        """Raise WhereError if the text is no expression over columns."""
        self._scores = tuple(scores)
        if len(text) > MAX_CHARACTERS:
            raise WhereError(f"--where has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read")
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
            kind = self._kind(self._tree)
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            if isinstance(error, WhereError):
                raise
            raise WhereError(f"--where {text[:100]!r} is no expression; {_EXAMPLE}") from None
        if kind != "truth":
            raise WhereError(f"--where {text[:100]!r} is neither true nor false of a document; {_EXAMPLE}")

    @property
    def names(self) -> frozenset[str]:
        """Return the columns, measures and scores that occur in it."""
        return frozenset(node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name))

    @property
    def columns(self) -> list[str]:
        """Return the columns of schema.DROPS that it reads."""
        wanted = {"fate": "stage"} | dict.fromkeys(_MEASURES, "measures") | dict.fromkeys(self._scores, "scores")
        return sorted({wanted.get(name, name) for name in self.names} - {"characters"})

    def matches(self, columns: Mapping[str, Any]) -> pa.Array:
        """Return which documents are meant (bool, no nulls)."""
        return pc.fill_null(self._value(self._tree, columns), False)

    # What kind of thing a node is: the check before any document is read

    def _kind(self, node: ast.expr) -> Kind:
        match node:
            case ast.BoolOp(values=values):
                return self._all(values, "truth", "truth")
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self._all([operand], "truth", "truth")
            case ast.Compare(left=left, ops=ops, comparators=others):
                for op, first, second in zip(ops, [left, *others], others, strict=False):
                    self._comparison(op, first, second)
                return "truth"
            case ast.BinOp(left=left, op=op, right=right) if type(op) in {*ADD, ast.Div}:
                return self._all([left, right], "number", "number")
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._all([operand], "number", "number")
            case ast.List(elts=items) | ast.Tuple(elts=items) if all(_is_string(item) for item in items):
                return "list"
            case ast.Constant(value=value) if isinstance(value, str):
                return "string"
            case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
                float(value)
                return "number"
            case ast.Name(id=name):
                return self._name(name)
            case _:
                raise WhereError(
                    f"--where: {ast.unparse(node)!r} is not allowed; use columns, numbers, strings, + - * /, comparisons, in,"
                    " and, or, not"
                )

    def _all(self, nodes: Sequence[ast.expr], wanted: Kind, made: Kind) -> Kind:
        for node in nodes:
            if self._kind(node) != wanted:
                what = {"truth": "something true or false", "number": "a number"}[wanted]
                raise WhereError(f"--where: {ast.unparse(node)!r}: {what} must be here; {_EXAMPLE}")
        return made

    def _comparison(self, op: ast.cmpop, first: ast.expr, second: ast.expr) -> None:
        kinds = self._kind(first), self._kind(second)
        if isinstance(op, ast.In | ast.NotIn):
            is_fine = kinds == ("string", "list") or (kinds == ("string", "string") and _is_string(first))
        else:
            is_fine = type(op) in COMPARE and kinds in (("number", "number"), ("string", "string"))
        if not is_fine:
            raise WhereError(
                f"--where: {ast.unparse(first)!r} and {ast.unparse(second)!r} cannot be compared so; compare strings with strings"
                " and numbers with numbers, or write language in ['de', 'en'] or 'wiki' in url"
            )

    def _name(self, name: str) -> Kind:
        if name in STRINGS:
            return "string"
        numbers = (*NUMBERS, *_MEASURES, *self._scores)
        if name in numbers:
            return "number"
        near = difflib.get_close_matches(name, (*STRINGS, *numbers), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"columns are {', '.join((*STRINGS, *NUMBERS))}, and all measures"
        raise WhereError(f"--where: there is no column {name!r}; {hint}")

    # Its value for every document

    def _value(self, node: ast.expr, columns: Mapping[str, Any]) -> Any:
        match node:
            case ast.BoolOp(op=op, values=values):
                join = pc.and_kleene if isinstance(op, ast.And) else pc.or_kleene
                found = self._value(values[0], columns)
                for value in values[1:]:
                    found = join(found, self._value(value, columns))
                return found
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return pc.invert(self._value(operand, columns))
            case ast.UnaryOp(operand=operand):
                return pc.negate(self._value(operand, columns))
            case ast.Compare(left=left, ops=ops, comparators=others):
                found = pa.repeat(pa.scalar(True), len(columns["id"]))
                for op, first, second in zip(ops, [left, *others], others, strict=False):
                    found = pc.and_kleene(found, self._compared(op, first, second, columns))
                return found
            case ast.BinOp(left=left, op=op, right=right):
                first, second = self._value(left, columns), self._value(right, columns)
                if isinstance(op, ast.Div):
                    return pc.divide(first, pc.if_else(pc.equal(second, 0), pa.scalar(None, pa.float64()), second))
                return ADD[type(op)](first, second)
            case ast.Constant(value=value):
                return pa.scalar(value if isinstance(value, str) else float(value))  # pyright: ignore[reportArgumentType]
            case ast.Name(id=name):
                return self._column(name, columns)
            case _:
                raise AssertionError(ast.dump(node))

    def _compared(self, op: ast.cmpop, first: ast.expr, second: ast.expr, columns: Mapping[str, Any]) -> Any:
        if not isinstance(op, ast.In | ast.NotIn):
            return COMPARE[type(op)](self._value(first, columns), self._value(second, columns))
        if isinstance(second, ast.List | ast.Tuple):
            values = self._value(first, columns)
            named = pa.array([item.value for item in second.elts if isinstance(item, ast.Constant)], pa.string())
            found = pc.if_else(pc.is_null(values), pa.scalar(None, pa.bool_()), pc.is_in(values, named))
        else:
            assert isinstance(first, ast.Constant)
            found = pc.match_substring(self._value(second, columns), str(first.value))
        return pc.invert(found) if isinstance(op, ast.NotIn) else found

    def _column(self, name: str, columns: Mapping[str, Any]) -> Any:
        if name == "fate":
            return pc.if_else(pc.is_null(columns["stage"]), "kept", "dropped")
        if name == "language":
            return pc.fill_null(columns[name], UNKNOWN_LANGUAGE)
        if name in STRINGS:
            return columns[name]
        if name in NUMBERS:
            return columns[name].cast(pa.float64())
        if name in self._scores:
            return score(columns["scores"], name).cast(pa.float64())
        return pc.struct_field(columns["measures"], name).cast(pa.float64())


def _is_string(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
