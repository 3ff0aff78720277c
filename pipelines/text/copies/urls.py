"""The form in which deduplication compares web addresses, for columns of them.

C4 treats addresses as one page if its `normalize_url` (tensorflow_datasets, text/c4_utils.py, of C4 3.0.1) maps them to one
string. It takes three steps:

1. remove "http://" and "https://", with a "www." after them, wherever they occur (archived addresses have two);
2. cut off a query that begins with "utm_", "ref" or "feed" and all that follows ("?reference=7", too);
3. remove slashes at the end.

Case, ports, fragments, other queries and their order are kept. This module takes the same steps, and also merges http
addresses that name one resource by RFC 3986 but two in C4, because crawlers write them in one way and lists in another:

- scheme and host, with anything before an "@", are compared without case (section 6.2.2.1);
- ":80" and ":443" after the host are removed (6.2.3) for both schemes, since C4 does not distinguish them;
- a fragment is removed, because no server sees it (3.5), except "#!", by which some sites name their pages;
- white space around an address is removed.

Addresses that are equal in C4 are equal here. Percent-encoding, "index.html" and the order of a query do not change.

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
    """Return the compared form of each address of a StringArray; null stays null."""
    trimmed = pc.utf8_trim_whitespace(addresses.cast(pa.string()))
    bare = pc.replace_substring_regex(_equal_by_rfc(trimmed), _C4_SCHEME, "")
    return pc.ascii_rtrim(pc.replace_substring_regex(bare, _C4_QUERY, ""), characters="/")


def hashes(addresses: pa.Array) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each address's canonical form; 0 for null and for an empty form."""
    compared = canonical(addresses)
    hashed = np.maximum(shingles.hashes(compared), np.uint64(1))
    hashed[pc.fill_null(pc.equal(compared, ""), True).to_numpy(zero_copy_only=False)] = 0
    return hashed


def _equal_by_rfc(addresses: pa.Array) -> pa.Array:
    """Lower-case scheme and host of http addresses and remove default ports and fragments; return others unchanged."""
    parts: Any = pc.extract_regex(addresses, _PARTS)
    host, rest = (pc.struct_field(parts, name) for name in ("host", "rest"))
    # "#!" is kept even if it appears only after C4's rule has removed an address between "#" and "!".
    kept = pc.replace_substring_regex(rest, rf"#(?:{_C4_SCHEME})+!", "#!")
    path = pc.replace_substring_regex(kept, r"(?s)#(?:[^!].*)?$", "")
    address = pc.binary_join_element_wise("http://", pc.utf8_lower(host), path, "")  # null if it is not an http address
    return pc.coalesce(address, addresses)
