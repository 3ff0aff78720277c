"""Stop words of the config that no text can have are refused before work starts."""

import pytest

from pipelines.config import QualitySection
from pipelines.contract.errors import UserError
from pipelines.stages.judgement import judge


@pytest.mark.parametrize(("entry", "words"), [("of the", 2), ("我们", 2), ("…", 0), ("", 0)])
def test_a_stop_word_is_one_word(entry: str, words: int) -> None:
    with pytest.raises(UserError, match=rf"quality\.stop_words\.de: {entry!r} is {words} words, so no word of a text is equal"):
        judge.check(QualitySection(stop_words={"de": ("der", entry)}))


def test_single_words_are_good() -> None:
    judge.check(QualitySection(stop_words={"fr": ("l'", "d’un", "été"), "zh": ("的",), "en": ("don't", "well-known")}))
