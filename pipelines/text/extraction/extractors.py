"""The extractors of main text that a source of web pages can name: `sources.extractor`. A new one is only added to this table."""

import importlib.metadata
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from pipelines.contract.errors import UserError
from pipelines.text.extraction import html, isolated
from pipelines.text.extraction.html import Page

Extract = Callable[[str], Page]
"""The main text of decoded markup; raises ExtractionError for a page that it refuses."""


class MissingExtractorError(UserError):
    """The packages of an extractor are not installed; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Extractor:
    """One extractor."""

    packages: tuple[str, ...]  # whose versions its results depend on
    opened: Callable[[], AbstractContextManager[Extract]]  # for the pages of a unit
    install: str = ""  # the words for pip if a package is missing


@contextmanager
def _resiliparse() -> Generator[Extract]:
    yield html.main_text


@contextmanager
def _trafilatura() -> Generator[Extract]:
    with isolated.Worker() as worker:

        def extract(markup: str) -> Page:
            return Page(html.tidy(worker.extract(markup)), html.page_title(markup))

        yield extract


EXTRACTORS = {
    "resiliparse": Extractor(("resiliparse",), _resiliparse),
    "trafilatura": Extractor(
        ("trafilatura", "justext", "lxml", "lxml_html_clean"), _trafilatura, '"trafilatura>=2.3,<3" lxml_html_clean'
    ),
}


def versions(name: str) -> dict[str, str]:
    """Return the versions of an extractor's packages.

    Raise MissingExtractorError if one is not installed.
    """
    extractor = EXTRACTORS[name]
    try:
        return {package: importlib.metadata.version(package) for package in extractor.packages}
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtractorError(
            f'sources.extractor = "{name}" needs the package {error.name}, which is not installed: pip install'
            f" {extractor.install or error.name} (of the extra bench), or name another extractor: {', '.join(EXTRACTORS)}"
        ) from None
