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
- a host in another script is written as the domain name system has it (Punycode, by UTS 46 as in browsers), without a dot at
  its end and without the colon of an empty port;
- percent-encoding is unified (6.2.2.2, and RFC 3987, 3.1): letters, digits, "-", ".", "_" and "~" are never encoded, all that
  no address may hold always is (in UTF-8), and the digits of what stays encoded are capital;
- white space around an address is removed.

Addresses that are equal in C4 are equal here. "index.html", "." and ".." in paths and the order of a query do not change.

    >>> canonical(pa.array(["HTTPS://www.Example.org:443/%7ea/?utm_source=x", "http://bücher.example/ü", None])).to_pylist()
    ['example.org/~a', 'xn--bcher-kva.example/%C3%BC', None]
"""

from typing import Any

import idna
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.text.characters.comparison import bytes_and_offsets
from pipelines.text.copies import shingles
from pipelines.text.kernels import jit

VERSION = 2  # a new rule or another hash needs a new number

_PARTS = r"(?is)^https?://(?P<host>[^/?#]*?)(?::80|:443)?(?P<rest>[/?#].*)?$"
_C4_SCHEME = r"https?://(?:www\.)?"
_C4_QUERY = r"\?(?:utm_|ref|feed).*"
_HOST_AND_REST = r"(?s)^(?P<host>[^/?#]*)(?P<rest>.*)$"
_UNUSUAL_HOST = r"^[^/?#]*(?:[^!-~/?#]|(?:\.(?::[0-9]*)?|:)(?:[/?#]|$))"
_NAME_AND_PORT = r"^(?P<name>.*?)\.*(?P<port>:[0-9]+)?:?$"  # without the dots after a name and the colon of an empty port
_ENCODED = r"[^!#$&-;=?-\[\]_a-z~]"  # "%", and what RFC 3986 allows nowhere


def _byte_table(characters: str) -> NDArray[np.bool_]:
    table = np.zeros(256, np.bool_)
    table[list(characters.encode())] = True
    return table


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_UNRESERVED = _byte_table(_LETTERS + "-._~")  # RFC 3986, 2.3
_ALLOWED = _byte_table(_LETTERS + "-._~" + ":/?#[]@!$&'()*+,;=" + "%")  # 2.2 and 2.3, and a "%" that begins no code


def canonical(addresses: pa.Array) -> pa.Array:
    """Return the compared form of each address of a StringArray; null stays null."""
    trimmed = pc.utf8_trim_whitespace(addresses.cast(pa.string()))
    http, is_http = _equal_by_rfc(trimmed)
    bare = pc.replace_substring_regex(pc.replace_substring_regex(http, _C4_SCHEME, ""), _C4_QUERY, "")
    # After C4's steps: what is equal by them stays equal, because these depend on their result alone.
    return _percent_encoded(_with_ascii_host(pc.ascii_rtrim(bare, characters="/"), is_http))


def ascii_hosts(hosts: pa.Array) -> pa.Array:
    """Return host names in lower case, those in other scripts in Punycode, without the dot at the end; null stays null.

    What is no name by UTS 46 stays in lower case.
    """
    lower = pc.utf8_rtrim(pc.utf8_lower(hosts), characters=".")
    foreign = pc.fill_null(pc.invert(pc.string_is_ascii(lower)), False)
    if not pc.any(foreign).as_py():
        return lower
    names = lower.filter(foreign).dictionary_encode()
    encoded = pa.array([_punycode(name) for name in names.dictionary.to_pylist()], pa.string())  # a loop: distinct and few
    return pc.replace_with_mask(lower, foreign, encoded.take(names.indices))


def hashes(addresses: pa.Array) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each address's canonical form; 0 for null and for an empty form."""
    compared = canonical(addresses)
    hashed = np.maximum(shingles.hashes(compared), np.uint64(1))
    hashed[pc.fill_null(pc.equal(compared, ""), True).to_numpy(zero_copy_only=False)] = 0
    return hashed


def _equal_by_rfc(addresses: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Lower-case scheme and host of http addresses and remove default ports and fragments; return others unchanged.

    Return the addresses, and which are http addresses.
    """
    parts: Any = pc.extract_regex(addresses, _PARTS)
    host, rest = (pc.struct_field(parts, name) for name in ("host", "rest"))
    # "#!" is kept even if it appears only after C4's rule has removed an address between "#" and "!".
    kept = pc.replace_substring_regex(rest, rf"#(?:{_C4_SCHEME})+!", "#!")
    path = pc.replace_substring_regex(kept, r"(?s)#(?:[^!].*)?$", "")
    address = pc.binary_join_element_wise("http://", pc.utf8_lower(host), path, "")  # null if it is not an http address
    return pc.coalesce(address, addresses), pc.is_valid(address)


def _with_ascii_host(bare: pa.Array, is_http: pa.Array) -> pa.Array:
    """Unify the hosts of http addresses that have lost their scheme."""
    unusual = pc.match_substring_regex(bare, _UNUSUAL_HOST)
    mask = pc.fill_null(pc.and_(is_http, unusual), False)
    if not pc.any(mask).as_py():
        return bare
    parts: Any = pc.extract_regex(bare.filter(mask), _HOST_AND_REST)
    host, rest = (pc.struct_field(parts, name) for name in ("host", "rest"))
    split: Any = pc.extract_regex(host, _NAME_AND_PORT)
    names = ascii_hosts(pc.struct_field(split, "name"))
    return pc.replace_with_mask(bare, mask, pc.binary_join_element_wise(names, pc.struct_field(split, "port"), rest, ""))


def _punycode(host: str) -> str:
    try:
        labels = idna.uts46_remap(host, std3_rules=False, transitional=False).rstrip(".").split(".")
    except idna.IDNAError:
        return host
    return ".".join(_label(label) for label in labels)


def _label(label: str) -> str:
    try:
        return label if label.isascii() else idna.alabel(label).decode("ascii")
    except idna.IDNAError:
        return label


def _percent_encoded(addresses: pa.Array) -> pa.Array:
    """Unify the percent-encoding; most addresses have none and are not touched."""
    mask = pc.fill_null(pc.match_substring_regex(addresses, _ENCODED), False)
    if not pc.any(mask).as_py():
        return addresses
    data, offsets = bytes_and_offsets(addresses.filter(mask))
    out = np.empty(3 * int(offsets[-1] - offsets[0]), np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    _write_encoded(data, offsets, _UNRESERVED, _ALLOWED, out, ends)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(out[: ends[-1]].copy())]
    encoded = pa.Array.from_buffers(pa.large_string(), len(ends) - 1, buffers)
    return pc.replace_with_mask(addresses, mask, encoded.cast(pa.string()))


@jit
def _write_encoded(data: Any, offsets: Any, unreserved: Any, allowed: Any, out: Any, ends: Any) -> None:
    digits = b"0123456789ABCDEF"
    place = 0
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        while at < end:
            byte, width, code = data[at], 1, np.int64(-1)
            if byte == 37 and at + 2 < end:
                high, low = _digit(data[at + 1]), _digit(data[at + 2])
                if high >= 0 and low >= 0:
                    code, width = 16 * high + low, 3
            if code < 0 and not allowed[byte]:
                code = np.int64(byte)
            if code < 0 or unreserved[code]:
                out[place] = byte if code < 0 else code
                place += 1
            else:
                out[place], out[place + 1], out[place + 2] = 37, digits[code >> 4], digits[code & 15]
                place += 3
            at += width
        ends[row + 1] = place


@jit
def _digit(byte: Any) -> int:
    """Return the value of a hexadecimal digit, or -1."""
    if 48 <= byte <= 57:
        return byte - 48
    lower = byte | 32
    return lower - 87 if 97 <= lower <= 102 else -1
