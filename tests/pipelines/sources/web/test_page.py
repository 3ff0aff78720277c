"""A file that is one page: its name says whether it is XML."""

from pathlib import Path

import pytest

from pipelines.config import SourceSection
from pipelines.sources import listing
from pipelines.sources.any_file import KINDS
from pipelines.sources.web import page

MARKUP = "<html><title/><body><p><![CDATA[The mill stood by the brook.]]></p></body></html>"


@pytest.mark.parametrize(("name", "texts"), [("a.xhtml", ["The mill stood by the brook."]), ("a.html", [])])
def test_the_name_says_whether_a_page_is_xml(tmp_path: Path, name: str, texts: list[str]) -> None:
    (tmp_path / name).write_text(MARKUP)
    section = SourceSection(name="page", kind="common_crawl", root=str(tmp_path), paths=(name,), snapshot="x")
    (unit,) = listing.units(section, KINDS["page"].names)
    assert [row for batch in page.read(section, unit) for row in batch.documents["text"].to_pylist()] == texts
