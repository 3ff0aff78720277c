"""Annotators that tests share: a process takes seconds to start."""

from collections.abc import Callable, Iterator

import pytest

from pipelines.text.judgement.annotators.process import Annotator


@pytest.fixture(scope="session")
def annotator(judge: Callable[[str], str]) -> Iterator[Callable[..., Annotator]]:
    """The annotator of a run of judges.py, by its name and number of windows."""
    known: dict[tuple[str, int], Annotator] = {}

    def opened(name: str, windows: int = 1) -> Annotator:
        if (name, windows) not in known:
            kind = "named_entities" if name == "persons" else "classification"
            known[name, windows] = Annotator("quality.models, edu", judge(name), kind, windows=windows)
        return known[name, windows]

    yield opened
    for model in known.values():
        model.close()
