"""Configuration files: TOML, typed by pydantic. An error is one line that names the file, the field and the fix."""

import difflib
import json
import shlex
import tomllib
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.contract.errors import UserError

_Model = TypeVar("_Model", bound=BaseModel)


_EXTENDS = "extends"
_SECTIONS = {  # sections that only the configs of this command have
    "build": ("corpus", "sources", "vocabularies"),
    "pretrain": ("objective",),
    "prompt": ("prompt",),
    "finetune": ("task", "tasks"),
}


class ConfigError(UserError):
    """A configuration that cannot be used; the message names the file, the field and the fix."""


class Section(BaseModel):
    """A section of a config: immutable; an unknown key and a number that is not finite in it are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def read(path: str | Path, overrides: tuple[str, ...] = (), command: str | None = None) -> dict[str, Any]:
    """Return the content of a TOML file after `overrides` (`section.key=value`; the value is TOML or a bare word).

    `sources.web.priority=2` changes the table of the list `sources` whose name is web.

    A file may begin with `extends = "other.toml"`, a path relative to its own folder. It then inherits that file's keys and
    replaces those that it sets itself; a list is replaced as a whole.

    Raise ConfigError, which names the file or the override and the fix; also if the file is a config of another command than
    `command`.
    """
    data = _extended(Path(path), ())
    if command is not None:
        _refuse_another(data, path, command)
    for setting in overrides:
        override(data, setting)
    return data


def validated(model: type[_Model], data: dict[str, Any], path: str) -> _Model:
    """Return the data as a model. Raise ConfigError with one line per error."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(path, model, dict(e)) for e in error.errors())) from None


def _refuse_another(data: dict[str, Any], path: str | Path, command: str) -> None:
    """Raise ConfigError if the sections are those of another command's configs, and none is one of this command's own."""
    there = {other: name for other, names in _SECTIONS.items() for name in names[::-1] if name in data}
    if "prompt" in there:
        there.pop("finetune", None)  # a prompt has a [task], too
    if not there or command in there:
        return
    other, name = next(iter(there.items()))
    raise ConfigError(
        f"{path}: this is a config of `corpusmill {other}` (it has [{name}]), not of `corpusmill {command}`; run"
        f" corpusmill {other} {shlex.quote(str(path))}{' --out FOLDER' if other == 'build' else ''}"
    )


def _extended(path: Path, extending: tuple[Path, ...]) -> dict[str, Any]:
    data = _read_toml(path)
    base = data.pop(_EXTENDS, None)
    if base is None:
        return data
    if not isinstance(base, str):
        raise ConfigError(f"{path}: {_EXTENDS}: must be the path of a TOML file, from this file's folder")
    if path.resolve() in extending:
        raise ConfigError(f"{path}: {_EXTENDS}: the files extend each other in a circle")
    return _over(_extended(path.parent / base, (*extending, path.resolve())), data)


def _over(base: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """Merge two tables; where both have a key, `data` wins."""
    tables = {k: _over(base[k], v) for k, v in data.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return {**base, **data, **tables}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; the configs that come with corpusmill lie in configs/") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder; name a TOML file in it") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def override(data: dict[str, Any], setting: str) -> None:
    """Change a value of a config: `section.key=value`. Raise ConfigError if it is not written so or has no place."""
    key, equals, value = setting.partition("=")
    if not equals:
        raise ConfigError(f"--set {setting}: write it as section.key=value")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value  # a bare word is a string
    put(data, key.strip(), parsed, f"--set {setting}")


def put(data: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Change the value at `section.key` of a config. Raise ConfigError, which begins with `where`, if it has no such place.

    A table in a list is named by its `name` (`sources.web.priority`, also if the name has dots), or by its number from 0.
    """
    place: Any = data
    words = key.split(".")
    try:
        while True:
            is_list = isinstance(place, list)
            name, words = _in_list(place, words) if is_list else (words[0], words[1:])
            if not words:
                place[name] = value
                return
            place = place[name] if is_list else place.setdefault(name, {})
    except (IndexError, ValueError, TypeError, AttributeError):
        raise ConfigError(f"{where}: the config has no such place{_there_are(place)}") from None


def _in_list(place: list[Any], words: list[str]) -> tuple[int, list[str]]:
    """Return the number of the table that the first words name (the longest name wins), and the words after its name."""
    names = _names(place)
    for end in range(len(words), 0, -1):
        if (name := ".".join(words[:end])) in names:
            return names.index(name), words[end:]
    return int(words[0]), words[1:]


def _names(place: list[Any]) -> list[Any]:
    return [cast("dict[str, Any]", table).get("name") if isinstance(table, dict) else None for table in place]


def _there_are(place: Any) -> str:
    """Return what could have been named in a list of named tables."""
    names = [name for name in _names(place) if isinstance(name, str)] if isinstance(place, list) else []
    return f"; there are {', '.join(names)}" if names else ""


def _explain(path: str, model: type[BaseModel], error: dict[str, Any]) -> str:
    place = ".".join(map(str, error["loc"])) or "the whole file"
    if error["type"] == "extra_forbidden":
        known = _keys_at(model, error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"{path}: {place}: unknown key; {hint}"
    if error["type"] == "missing":
        return f"{path}: {place}: is missing; add it"
    value = json.dumps(error.get("input"), default=str)
    said = _SAID.get(error["type"], error["msg"].removeprefix("Value error, "))
    return f"{path}: {place}: {said} (given: {value[:200]})"


_SAID = {  # where pydantic speaks of Python's types
    "tuple_type": 'must be a list, such as ["…", "…"]',
    "model_type": "must be a section, such as [section.key] with keys below it, or {key = value}",
    "dict_type": "must be a section, such as [section.key] with keys below it, or {key = value}",
}


def _keys_at(model: type[BaseModel], place: tuple[Any, ...]) -> list[str]:
    current, kinds = model, list[type[BaseModel]]()
    for name in place:
        if isinstance(name, str) and name in current.model_fields:
            annotation = current.model_fields[name].annotation
            kinds = [
                a for a in getattr(annotation, "__args__", (annotation,)) if isinstance(a, type) and issubclass(a, BaseModel)
            ]
        else:  # which of several kinds of section it is (a discriminator), or the number of one in a list
            kinds = [kind for kind in kinds if _is_kind(kind, name)] or kinds
        current = kinds[0] if kinds else current
    return list(current.model_fields)


def _is_kind(kind: type[BaseModel], tag: Any) -> bool:
    """Return whether a field of a section can only be this word."""
    return any(tag in getattr(field.annotation, "__args__", ()) for field in kind.model_fields.values())
