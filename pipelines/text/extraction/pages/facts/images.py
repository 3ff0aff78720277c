"""A page's images: address, alternative text and caption."""

from collections.abc import Iterator
from typing import TypedDict

import numpy as np

from pipelines.text.extraction.pages.facts import addresses
from pipelines.text.extraction.pages.facts.found import Found
from pipelines.text.extraction.pages.tags import ATTRIBUTE_IDS, IDS

MAX_IMAGES = 200  # of a page
MAX_CHARACTERS = 2000  # of an address

_IMG, _FIGURE, _CAPTION = IDS["img"], IDS["figure"], IDS["figcaption"]
_SRC, _LATER, _SET, _ALT, _WIDTH, _HEIGHT = (
    ATTRIBUTE_IDS[name] for name in ("src", "data-src", "srcset", "alt", "width", "height")
)
_LEVELS = 6  # from an image up to its figure


class Image(TypedDict):
    """An image of a page."""

    url: str  # absolute
    alt: str | None
    caption: str | None


def images(found: Found, url: str | None, within: tuple[int, int] | None = None) -> list[Image]:
    """Return the images in order, each address once; of the nodes from the first to before the last of `within`, if given.

    Not those whose address is the image itself (data:), nor those of one or two pixels.
    """
    seen: dict[str, Image] = {}
    for node in np.flatnonzero(found.tree.tag == _IMG).tolist():
        if len(seen) == MAX_IMAGES:
            break
        if within is not None and not within[0] <= node < within[1]:
            continue
        address = next(_addresses(found, node, url), None)
        if address is not None and address not in seen and not _is_tiny(found, node):
            seen[address] = Image(url=address, alt=found.attribute(node, _ALT) or None, caption=_caption(found, node))
    return list(seen.values())


def _addresses(found: Found, node: int, url: str | None) -> Iterator[str]:
    """Yield the absolute addresses of an image; one that scripts put in later before its placeholder."""
    for name in (_LATER, _SRC, _SET):
        candidate = found.attribute(node, name)
        if name == _SET:  # "a.jpg 480w, b.jpg 800w"
            candidate = candidate.split(" ")[0]
        absolute = addresses.absolute(candidate, url) if candidate else None
        if absolute is not None and len(absolute) <= MAX_CHARACTERS:
            yield absolute


def _is_tiny(found: Found, node: int) -> bool:
    return any(found.attribute(node, side).removesuffix("px") in ("0", "1", "2") for side in (_WIDTH, _HEIGHT))


def _caption(found: Found, node: int) -> str | None:
    tree, at = found.tree, node
    for _ in range(_LEVELS):
        at = int(tree.parent[at])
        if at < 0:
            return None
        if tree.tag[at] == _FIGURE:
            captions = np.flatnonzero(tree.tag[at : tree.end[at]] == _CAPTION)
            return found.text(at + int(captions[0])) or None if len(captions) else None
    return None
