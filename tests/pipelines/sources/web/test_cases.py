"""Real faults of earlier extractors: pages that were lost because of a class of a wrapper."""

import html
import re
from collections import Counter

import pytest
from places import CASES

from pipelines.config import SourceSection
from pipelines.sources import listing
from pipelines.sources.any_file import KINDS
from pipelines.sources.web import common_crawl, page

FOLDER = CASES / "web"
PAGES = sorted((FOLDER / "lost_by_class").glob("*.html"))
PARAGRAPH = re.compile("<p>(.*?)</p>", re.S)

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the cases beside the checkout are absent")


def section(name: str) -> SourceSection:
    return SourceSection(name="cases", kind="common_crawl", root=str(FOLDER), paths=(name,), snapshot="x")


@pytest.mark.parametrize("name", [path.name for path in PAGES])
def test_no_page_is_lost_by_a_class(name: str) -> None:
    source = section(f"lost_by_class/{name}")
    (unit,) = listing.units(source, KINDS["page"].names)
    texts = [text for batch in page.read(source, unit) for text in batch.documents["text"].to_pylist()]
    wanted = [" ".join(html.unescape(text).split()) for text in PARAGRAPH.findall((FOLDER / "lost_by_class" / name).read_text())]
    assert len(texts) == 1 and wanted
    assert [text for text in wanted if text not in texts[0]] == []


def test_class_names_with_comments_and_posts_lose_nothing() -> None:
    """The first page has no such class, and the others the same text."""
    source = section("class_names.warc.gz")
    (unit,) = common_crawl.units(source)
    batches = list(common_crawl.read(source, unit))
    texts = [re.sub(r"\d+", "N", text) for batch in batches for text in batch.documents["text"].to_pylist()]
    assert [drop for batch in batches for drops in batch.drops for drop in drops["reason"].to_pylist()] == []
    assert len(texts) > 1 and Counter(texts).most_common(1)[0][1] == len(texts)
    assert texts[0].count("The bridge over the river was opened on") == 6
