"""The extractors of main text that a source of web pages can name: `sources.extractor`. A new one is only added to this table."""

import importlib.metadata
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from pipelines.contract.errors import UserError
from pipelines.text.characters.encodings import lines
from pipelines.text.extraction import html
from pipelines.text.extraction.html import Page
from pipelines.text.extraction.pages import forest
from pipelines.text.extraction.pages.extract import judged
from pipelines.text.extraction.pages.tree import Tree
from pipelines.text.extraction.resiliparse import text
from pipelines.text.extraction.trafilatura import process

Extract = Callable[[str, Tree], Page]
"""The main text of decoded markup and its tree; raises ExtractionError for a page that it refuses."""


class MissingExtractorError(UserError):
    """The packages of an extractor are not installed; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Extractor:
    """One extractor."""

    packages: tuple[str, ...]  # whose versions its results depend on, beside those of the program
    opened: Callable[..., AbstractContextManager[Extract]]  # for the pages of a unit; markdown=True: they become Markdown
    install: str = ""  # the words for pip if a package is missing


@contextmanager
def _corpusmill(*, markdown: bool = False) -> Generator[Extract]:
    model = forest.default()

    def extract(_markup: str, tree: Tree) -> Page:
        found = judged(tree, model)
        return Page(found.text(markdown=markdown), None, found)

    yield extract


@contextmanager
def _resiliparse(*, markdown: bool = False) -> Generator[Extract]:
    def extract(markup: str, _tree: Tree) -> Page:
        return text.main_text(lines(markup))

    yield extract


@contextmanager
def _trafilatura(*, markdown: bool = False) -> Generator[Extract]:
    with process.Worker() as worker:

        def extract(markup: str, _tree: Tree) -> Page:
            return Page(html.tidy(worker.extract(lines(markup))), html.page_title(markup))

        yield extract


EXTRACTORS = {
    "corpusmill": Extractor((), _corpusmill),
    "resiliparse": Extractor(("resiliparse",), _resiliparse),
    "trafilatura": Extractor(
        ("trafilatura", "justext", "lxml", "lxml_html_clean"), _trafilatura, '"trafilatura>=2.3,<3" lxml_html_clean'
    ),
}


def versions(name: str) -> dict[str, str]:
    """Return the versions of what an extractor's results depend on.

    Raise MissingExtractorError if a package is not installed, ModelError if the page model cannot be used.
    """
    extractor = EXTRACTORS[name]
    if name == "corpusmill":
        return {"page model": forest.default().digest}
    try:
        return {package: importlib.metadata.version(package) for package in extractor.packages}
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtractorError(
            f'sources.extractor = "{name}" needs the package {error.name}, which is not installed: pip install'
            f" {extractor.install or error.name} (of the extra bench), or name another extractor: {', '.join(EXTRACTORS)}"
        ) from None
