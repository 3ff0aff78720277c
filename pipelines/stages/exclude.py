"""Takedown: documents that must not be in the corpus, by id, by address, by host."""

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import ExcludeSection
from pipelines.contract.batch import Batch, Stage, sift
from pipelines.contract.errors import UserError
from pipelines.contract.reasons import DropReason

VERSION = 1
NAME = "exclude"

# Scheme, user and password, then the host; a port, a path or nothing follows. "//host/…" and "host/…" count as well.
_HOST = r"^(?:[A-Za-z][A-Za-z0-9+.-]*:)?(?://)?(?:[^/?#@]*@)?(?P<host>\[[^\]]*\]|[^:/?#]+)"


def stage(section: ExcludeSection) -> Stage:
    """Drop as EXCLUDED what the section names; the detail says by which of its lists.

    Raises ValueError for an id that is not 16 bytes in hexadecimal.
    """
    ids = pa.array([_id(text) for text in section.ids], pa.binary(16))
    urls = pa.array(section.urls, pa.string())
    hosts = [host.strip().strip(".").lower() for host in section.hosts]

    def run(batch: Batch) -> Batch:
        documents = batch.documents
        by_id = pc.or_(pc.is_in(documents["id"], ids), pc.is_in(documents["work"], ids))
        by_url = pc.is_in(documents["url"], urls)
        by_host = _below(documents["url"], hosts)
        details = pc.case_when(pc.make_struct(by_id, by_url, by_host), "id", "url", "host")
        reasons = pc.if_else(pc.is_valid(details), DropReason.EXCLUDED.value, pa.scalar(None, pa.string()))
        return sift(batch, NAME, reasons, details)

    return run


def _id(text: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 16:
        raise UserError(
            f"exclude.ids: {text!r} is no document id; write the 32 hexadecimal digits that `corpusmill explain` prints"
        )
    return value


def _below(urls: pa.Array, hosts: list[str]) -> pa.Array:
    """Which addresses lie on one of the hosts or on a host below it."""
    found = pc.struct_field(pc.extract_regex(urls, _HOST), "host")
    dotted = pc.binary_join_element_wise("", pc.utf8_rtrim(pc.utf8_lower(found), "."), ".")
    result = pa.array([False] * len(urls), pa.bool_())
    for host in hosts:
        below = pc.ends_with(dotted, f".{host}")
        result = pc.or_(result, pc.fill_null(below, False))
    return result
