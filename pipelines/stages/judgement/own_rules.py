"""A user's own rules: expressions over the measures, and functions of Python over columns of documents.

A function gets a record batch with the columns that the config names, and returns a boolean per row: true keeps the document, and
so does null. It must give the same answer for a row whatever the others are. Its file's sha256 is part of the fingerprint.

Limits: a file is read on every machine by its path, so a cluster needs it at the same place, or as an installed module.
"""

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import OwnFunction
from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.reasons import DropReason
from pipelines.text.judgement.rules.expression import Expression

OwnRules = Mapping[str, str | OwnFunction]

_Function = Callable[[pa.RecordBatch], Any]


def check(rules: OwnRules) -> None:
    """Raise UserError if a function cannot be loaded, now and not with the first document."""
    for name, rule in rules.items():
        if isinstance(rule, OwnFunction):
            _loaded(name, rule.function, files.sha256(str(_source(name, rule.function))))


def columns_of(rules: OwnRules) -> list[str]:
    """Return the columns that the functions take, each once."""
    return list(dict.fromkeys(name for rule in rules.values() if isinstance(rule, OwnFunction) for name in rule.columns))


def made_from(rules: OwnRules) -> dict[str, Any]:
    """Return what determines the verdicts: the expressions, and the names, columns and files of the functions."""
    return {name: _made_from(name, rule) for name, rule in rules.items()}


def broken(rules: OwnRules, documents: pa.RecordBatch) -> pa.Array:
    """Return the first own rule that each document breaks, as "own_rule:NAME"; null if it breaks none.

    Raise UserError if a function cannot be loaded, fails, or returns something else than a boolean per row.
    """
    found = pa.nulls(documents.num_rows, pa.string())
    for name, rule in rules.items():
        kept = Expression(rule).keeps(documents["measures"]) if isinstance(rule, str) else _called(name, rule, documents)
        dropped = pc.invert(pc.fill_null(kept, True))
        named = pc.if_else(dropped, f"{DropReason.OWN_RULE.value}:{name}", pa.scalar(None, pa.string()))
        found = pc.coalesce(found, named)
    return found


def _made_from(name: str, rule: str | OwnFunction) -> Any:
    if isinstance(rule, str):
        return rule
    function = rule.function.rpartition(":")[2]
    return {"function": function, "columns": list(rule.columns), "sha256": files.sha256(str(_source(name, rule.function)))}


def _called(name: str, rule: OwnFunction, documents: pa.RecordBatch) -> pa.Array:
    function = _loaded(name, rule.function, files.sha256(str(_source(name, rule.function))))
    given = documents.select(list(rule.columns))
    try:
        result = function(given)
    except Exception as error:
        raise UserError(f"quality.own.{name}: {rule.function} failed on {given.num_rows:,} documents: {error!r}") from error
    kept = result if isinstance(result, pa.Array) else pa.array(np.asarray(result))
    if kept.type != pa.bool_() or len(kept) != given.num_rows:
        raise UserError(
            f"quality.own.{name}: {rule.function} returned {len(kept):,} values of type {kept.type} for {given.num_rows:,}"
            " documents; return a boolean for each"
        )
    return kept


@functools.cache
def _loaded(name: str, rule: str, _sha256: str) -> _Function:
    """Return the function of a file as it is now: another content is loaded again."""
    place, _, function = rule.rpartition(":")
    source = _source(name, rule)
    try:
        module = _module_of(source) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:
        raise UserError(f"quality.own.{name}: {source} cannot be imported: {error!r}") from error
    found = getattr(module, function, None)
    if not callable(found):
        raise UserError(f"quality.own.{name}: {source} has no function {function!r}")
    return found


def _source(name: str, rule: str) -> Path:
    """Return the file of a function. Raise UserError if there is none."""
    place = rule.rpartition(":")[0]
    if place.endswith(".py"):
        path = Path(place)
    else:
        try:
            found = importlib.util.find_spec(place)
        except (ImportError, ValueError):
            found = None
        path = Path(found.origin) if found is not None and found.origin else Path()
    if not path.is_file():
        raise UserError(f"quality.own.{name}: {rule}: there is no such file or module; write file.py:function")
    return path


def _module_of(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"own_rules_{path.stem}", path)
    assert spec is not None and spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
