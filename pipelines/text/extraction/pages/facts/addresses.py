"""The addresses in a page: made absolute, and what their parts say."""

from urllib.parse import urljoin, urlsplit


def absolute(address: str, base: str | None) -> str | None:
    """Return an address as it is meant on a page at `base`; None if that does not begin with http:// or https://."""
    try:
        joined = urljoin(base or "", address.strip())
    except ValueError:
        return None
    return joined if joined.startswith(("http://", "https://")) else None


def host(url: str | None) -> str:
    """Return the host of an address that can be parsed; empty if there is none."""
    return (urlsplit(url).hostname or "") if url else ""


def is_home(url: str | None) -> bool:
    """Return whether an address is that of a site's first page."""
    return url is not None and not urlsplit(url).path.strip("/")
