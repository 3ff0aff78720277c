"""Open files of models as an Identifier, once a process."""

import os
from collections.abc import Sequence
from functools import lru_cache

from pipelines.text.judgement.languages.codes import codes_of
from pipelines.text.judgement.languages.fasttext_file import LanguageModelError, read
from pipelines.text.judgement.languages.fasttext_model import FastTextModel
from pipelines.text.judgement.languages.groups import members
from pipelines.text.judgement.languages.identify import Identifier
from pipelines.text.judgement.languages.votes import Voters


def opened(paths: Sequence[str], groups: Sequence[str]) -> Identifier:
    """Return the identifier of models that vote.

    Raise LanguageModelError, with the file and the fix, if one is missing, truncated, of another kind or no model of languages.
    """
    return _opened(tuple(paths), tuple(map(_edition, paths)), tuple(groups))


def _edition(path: str) -> tuple[int, int] | None:
    """Return what changes when a file is written again."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=2)
def _opened(paths: tuple[str, ...], _editions: tuple[object, ...], groups: tuple[str, ...]) -> Identifier:
    return Identifier(Voters([_model(path) for path in paths]), [members(group) for group in groups])


def _model(path: str) -> FastTextModel:
    file = read(path)
    try:
        codes_of(file.labels)
    except LanguageModelError as error:
        raise LanguageModelError(f"{path}: {error}") from None
    return FastTextModel(file)
