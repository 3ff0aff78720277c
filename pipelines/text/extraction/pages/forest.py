"""The model of web pages: gradient-boosted trees and a lexicon in one file.

All numbers are float32 and summed in the order of the trees, so scores are equal to the last bit on every machine.

The file: a line that names the format and its version, a line of JSON (the card, and name, type and shape of every array), the
arrays' bytes (deflated), and the SHA-256 of all that. Written twice from the same model, it has the same bytes.
"""

import functools
import hashlib
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.contract.errors import UserError
from pipelines.text.extraction.pages.features import FEATURES, Lexicon
from pipelines.text.extraction.pages.masks import Masks, masks

_MAGIC = b"corpusmill page model 1\n"
_DIGEST_BYTES = 32
DEFAULT = Path(__file__).with_name("model.bin")


class ModelError(UserError):
    """A model file that cannot be used; the message names the file, the fault and the cure."""


class Forest(NamedTuple):
    """Trees as columns of their inner nodes: a block goes left if its feature is at most the threshold."""

    first: NDArray[np.int32]  # the first inner node of each tree
    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]  # an inner node, or ~leaf
    right: NDArray[np.int32]
    leaf: NDArray[np.float32]  # log odds


@dataclass(frozen=True, slots=True)
class PageModel:
    """A trained model. The card says what it was trained on and how well it did on other sites."""

    forest: Forest
    lexicon: Lexicon
    card: dict[str, Any]
    digest: str = ""  # SHA-256 of the file, in hexadecimal
    masks: Masks = field(init=False, repr=False, compare=False)  # the forest as it is walked

    def __post_init__(self) -> None:
        """Prepare the walk once for all pages."""
        object.__setattr__(self, "masks", masks(self.forest))


def save(model: PageModel, path: Path) -> None:
    """Write a model file."""
    arrays = {**model.forest._asdict(), **model.lexicon._asdict()}
    shapes = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
    header = {"card": model.card, "features": list(FEATURES), "arrays": shapes}
    body = zlib.compress(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values()), 9)
    data = _MAGIC + json.dumps(header, ensure_ascii=False).encode() + b"\n" + body
    path.write_bytes(data + hashlib.sha256(data).digest())


@functools.cache
def default() -> PageModel:
    """Return the program's own model."""
    return load(DEFAULT)


def load(path: Path) -> PageModel:
    """Read a model file. Raise ModelError if it is missing, truncated, or of another version."""
    cure = "fetch the program again, or train one with `corpusmill train-extractor`"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: the model of web pages cannot be read ({error.strerror}); {cure}") from None
    if not data.startswith(_MAGIC):
        shown = data[:40].split(b"\n")[0].decode("ascii", "replace")
        raise ModelError(f"{path}: byte 0: {shown!r} is not {_MAGIC.decode().strip()!r}; {cure}")
    content, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise ModelError(f"{path}: the file is truncated or damaged (its checksum does not match); {cure}")
    header_end = content.index(b"\n", len(_MAGIC))
    header = json.loads(content[len(_MAGIC) : header_end])
    if header["features"] != list(FEATURES):
        raise ModelError(f"{path}: the model was trained for other features than this version's; {cure}")
    body, arrays, place = bytearray(zlib.decompress(content[header_end + 1 :])), {}, 0  # a read-only array is another type
    for name, dtype, shape in header["arrays"]:
        array = np.frombuffer(body, dtype, int(np.prod(shape)), place).reshape(shape)
        arrays[name] = array
        place += array.nbytes
    forest = Forest(*(arrays[name] for name in Forest._fields))
    return PageModel(
        forest, Lexicon(*(arrays[name] for name in Lexicon._fields)), header["card"], hashlib.sha256(data).hexdigest()
    )
