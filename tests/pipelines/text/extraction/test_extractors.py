from pathlib import Path

import pytest

from pipelines.config import SourceSection
from pipelines.text.characters.code_spaces import restored
from pipelines.text.extraction import extractors
from pipelines.text.extraction.extractors import EXTRACTORS, MissingExtractorError
from pipelines.text.extraction.html import Page
from pipelines.text.extraction.pages.tree import parse
from pipelines.text.extraction.resiliparse.text import main_text

PAGE = "<title>T</title><nav>Menu</nav><main><p>One.</p><p>Two.</p></main>"


def test_every_name_of_the_config_has_an_extractor() -> None:
    assert SourceSection.model_fields["extractor"].annotation.__args__ == tuple(EXTRACTORS)


def test_resiliparse_is_main_text() -> None:
    with EXTRACTORS["resiliparse"].opened() as extract:
        assert extract(PAGE, parse(PAGE.encode())) == main_text(PAGE) == Page("One.\n\nTwo.", "T")


def test_corpusmill_is_the_page_model() -> None:
    prose = "The mill stood by the brook, and its wheel turned day and night while the miller slept. " * 3
    page = f"<title>T</title><nav><a href=/>Menu</a></nav><main><p>{prose}</p></main>"
    with EXTRACTORS["corpusmill"].opened() as extract:
        found = extract(page, parse(page.encode()))
    assert (found.text, found.title) == (prose.strip(), None)
    assert found.judged is not None
    assert found.judged.visible_characters == found.judged.kept_characters + len("Menu")
    assert list(extractors.versions("corpusmill")) == ["page model"]


def test_markdown_is_written_on_request() -> None:
    prose = "<p>The <b>mill</b> stood by the brook, and its wheel turned day and night while the miller slept.</p>" * 3
    page = f"<main>{prose}<pre>turn()\n  wheel()</pre>{prose}</main>"
    with EXTRACTORS["corpusmill"].opened(markdown=True) as extract:
        text = extract(page, parse(page.encode())).text
    assert "The **mill** stood" in text
    assert "\n\n```\nturn()\n  wheel()\n```\n\n" in restored(text)


def test_markdown_of_another_extractor_is_refused() -> None:
    data = {"name": "a", "kind": "common_crawl", "root": ".", "snapshot": "1", "format": "markdown"}
    assert SourceSection.model_validate(data).format == "markdown"
    with pytest.raises(ValueError, match=r'format = "markdown" needs extractor = "corpusmill": resiliparse keeps no structure'):
        SourceSection.model_validate({**data, "extractor": "resiliparse"})


def test_trafilatura_has_the_title_of_the_page_and_tidy_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trafilatura.py").write_text("def extract(markup): return ' One.  1\\n\\n\\n\\nTwo. '")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with EXTRACTORS["trafilatura"].opened() as extract:
        assert extract(PAGE, parse(PAGE.encode())) == Page("One. 1\n\nTwo.", "T")


def test_an_extractor_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(extractors.versions("resiliparse")) == ["resiliparse"]
    missing = extractors.Extractor(
        ("corpusmill-no-such-package",), EXTRACTORS["resiliparse"].opened, install='"no-such>=2" other'
    )
    monkeypatch.setitem(EXTRACTORS, "trafilatura", missing)
    with pytest.raises(MissingExtractorError) as error:
        extractors.versions("trafilatura")
    assert str(error.value) == (
        'sources.extractor = "trafilatura" needs the package corpusmill-no-such-package, which is not installed: pip install'
        ' "no-such>=2" other (of the extra bench), or name another extractor: corpusmill, resiliparse, trafilatura'
    )
