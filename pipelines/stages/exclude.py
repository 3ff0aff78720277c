"""Takedown: drop documents by id, address or host."""

from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import ExcludeSection
from pipelines.contract.batch import Batch, sift
from pipelines.contract.errors import UserError
from pipelines.contract.reasons import DropReason
from pipelines.stages.base import ForUnit, Stage, for_every_unit

VERSION = 1
NAME = "exclude"

# A scheme, a user and a password, then the host; then a port, a path or nothing. "//host/…" and "host/…" match as well.
_HOST = r"^(?:[A-Za-z][A-Za-z0-9+.-]*:)?(?://)?(?:[^/?#@]*@)?(?P<host>\[[^\]]*\]|[^:/?#]+)"


def stage(section: ExcludeSection) -> Stage:
    """Sift EXCLUDED (detail: the section's list that names the document).

    Raise UserError if an id is not 16 bytes in hexadecimal.
    """
    ids = [_id(text) for text in section.ids]
    return Stage({NAME: VERSION}, partial(_open, section, ids), {NAME: section.model_dump(mode="json")})


def _open(section: ExcludeSection, excluded: list[bytes]) -> ForUnit:
    ids = pa.array(excluded, pa.binary(16))
    urls = pa.array(section.urls, pa.string())
    hosts = [host.strip().strip(".").lower() for host in section.hosts]

    def run(batch: Batch) -> Batch:
        documents = batch.documents
        by_id = pc.or_(pc.is_in(documents["id"], ids), pc.is_in(documents["work"], ids))
        by_url = pc.is_in(documents["url"], urls)
        by_host = _on_hosts(documents["url"], hosts)
        details = pc.case_when(pc.make_struct(by_id, by_url, by_host), "id", "url", "host")
        reasons = pc.if_else(pc.is_valid(details), DropReason.EXCLUDED.value, pa.scalar(None, pa.string()))
        return sift(batch, NAME, reasons, details)

    return for_every_unit(run)


def _id(text: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 16:
        raise UserError(
            f"exclude.ids: {text!r} is not a document id; write the 32 hexadecimal digits that `corpusmill explain` prints"
        )
    return value


def _on_hosts(urls: pa.Array, hosts: list[str]) -> pa.Array:
    """Return which addresses are on one of the hosts or on a subdomain of one."""
    host_names = pc.struct_field(pc.extract_regex(urls, _HOST), "host")
    dotted = pc.binary_join_element_wise("", pc.utf8_rtrim(pc.utf8_lower(host_names), "."), ".")
    result = pa.array([False] * len(urls), pa.bool_())
    for host in hosts:
        below = pc.ends_with(dotted, f".{host}")
        result = pc.or_(result, pc.fill_null(below, False))
    return result
