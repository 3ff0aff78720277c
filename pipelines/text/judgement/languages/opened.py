"""Open files of models as an Identifier, once a process."""

from collections.abc import Sequence
from functools import lru_cache

from pipelines.text.judgement.languages.codes import codes_of
from pipelines.text.judgement.languages.fasttext_file import LanguageModelError, read
from pipelines.text.judgement.languages.fasttext_model import FastTextModel
from pipelines.text.judgement.languages.groups import members
from pipelines.text.judgement.languages.identify import Identifier
from pipelines.text.judgement.languages.votes import Voters


@lru_cache(maxsize=2)
def opened(paths: Sequence[str], groups: Sequence[str]) -> Identifier:
    """Return the identifier of models that vote; both arguments are tuples.

    Raise LanguageModelError, with the file and the fix, if one is missing, truncated, of another kind or no model of languages.
    """
    return Identifier(Voters([_model(path) for path in paths]), [members(group) for group in groups])


def _model(path: str) -> FastTextModel:
    file = read(path)
    try:
        codes_of(file.labels)
    except LanguageModelError as error:
        raise LanguageModelError(f"{path}: {error}") from None
    return FastTextModel(file)
