"""Addresses as deduplication compares them, in columns.

C4 makes one page of the addresses that its `normalize_url` makes equal (tensorflow_datasets, text/c4_utils.py, of C4 3.0.1),
in three steps and nothing else:

1. "http://" and "https://", with a "www." behind them, are removed, wherever they stand (in archived addresses twice);
2. a query that begins with "utm_", "ref" or "feed" is cut off with all that follows it ("?reference=7", too);
3. slashes at the end are removed.

It keeps the case, ports, fragments, queries that begin otherwise and their order. So does this module, but for what RFC 3986
calls the same resource of an http address, which C4 takes for two, because crawlers write it one way and lists another:

- scheme and host are compared without case (section 6.2.2.1), and with them what may stand before an "@";
- ":80" and ":443" behind the host are removed (6.2.3), of both schemes, since C4 takes the two schemes for one;
- a fragment is removed, because no server sees it (3.5); "#!" is kept, with which some sites name their pages;
- spaces around an address are no part of it.

What C4 takes for one http address is one here. Percent-encoding, "index.html" and the order of a query stay as they are.

    >>> canonical(pa.array(["HTTPS://www.Example.org:443/a/?utm_source=x", None])).to_pylist()
    ['example.org/a', None]
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.text.copies import shingles

VERSION = 1  # a new rule or another hash needs a new number

_PARTS = r"(?is)^https?://(?P<host>[^/?#]*?)(?::80|:443)?(?P<rest>[/?#].*)?$"
_C4_SCHEME = r"https?://(?:www\.)?"
_C4_QUERY = r"\?(?:utm_|ref|feed).*"


def canonical(addresses: pa.Array) -> pa.Array:
    """The addresses of a StringArray in the form in which they are compared; null stays null."""
    trimmed = pc.utf8_trim_whitespace(addresses.cast(pa.string()))
    bare = pc.replace_substring_regex(_equal_by_rfc(trimmed), _C4_SCHEME, "")
    return pc.ascii_rtrim(pc.replace_substring_regex(bare, _C4_QUERY, ""), characters="/")


def hashes(addresses: pa.Array) -> NDArray[np.uint64]:
    """A 64-bit hash of each canonical address; 0 where there is none (null, or nothing left of it)."""
    compared = canonical(addresses)
    found = np.maximum(shingles.hashes(compared), np.uint64(1))
    found[pc.fill_null(pc.equal(compared, ""), True).to_numpy(zero_copy_only=False)] = 0
    return found


def _equal_by_rfc(addresses: pa.Array) -> pa.Array:
    """Addresses of http with a small scheme and host, without a default port and a fragment; others as they are."""
    parts: Any = pc.extract_regex(addresses, _PARTS)
    host, rest = (pc.struct_field(parts, name) for name in ("host", "rest"))
    # "#!" is kept, also where it is one only once C4's rule has taken an address out of it.
    kept = pc.replace_substring_regex(rest, rf"#(?:{_C4_SCHEME})+!", "#!")
    path = pc.replace_substring_regex(kept, r"(?s)#(?:[^!].*)?$", "")
    address = pc.binary_join_element_wise("http://", pc.utf8_lower(host), path, "")  # null where it is no http address
    return pc.coalesce(address, addresses)
