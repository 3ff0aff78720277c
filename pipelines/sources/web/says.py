"""Fill a record with what its page says of itself."""

from pipelines.sources.collector import Record
from pipelines.text.extraction.pages.about import about, images_of
from pipelines.text.extraction.pages.tree import Tree


def describe(record: Record, tree: Tree, *, with_images: bool) -> None:
    """Set the record's columns from its page and its headers; what the page does not say stays as it is."""
    said = about(tree, record.url, record.headers, record.retrieved)
    record.title = said.title
    record.author = said.author
    record.date = said.date
    record.license = said.license
    record.canonical_url = said.canonical_url
    record.declared_language = said.language
    record.site_type = said.site_type
    record.opt_outs = said.opt_outs
    if with_images:
        record.images = images_of(tree, record.url)
