from pathlib import Path

import pytest

from pipelines.config import SourceSection
from pipelines.text.extraction import extractors
from pipelines.text.extraction.extractors import EXTRACTORS, MissingExtractorError
from pipelines.text.extraction.html import Page, main_text

PAGE = "<title>T</title><nav>Menu</nav><main><p>One.</p><p>Two.</p></main>"


def test_every_name_of_the_config_has_an_extractor() -> None:
    assert SourceSection.model_fields["extractor"].annotation.__args__ == tuple(EXTRACTORS)


def test_resiliparse_is_main_text() -> None:
    with EXTRACTORS["resiliparse"].opened() as extract:
        assert extract(PAGE) == main_text(PAGE) == Page("One.\n\nTwo.", "T")


def test_trafilatura_has_the_title_of_the_page_and_tidy_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trafilatura.py").write_text("def extract(markup): return ' One.  1\\n\\n\\n\\nTwo. '")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with EXTRACTORS["trafilatura"].opened() as extract:
        assert extract(PAGE) == Page("One. 1\n\nTwo.", "T")


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
        ' "no-such>=2" other (of the extra bench), or name another extractor: resiliparse, trafilatura'
    )
