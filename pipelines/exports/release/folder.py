"""`release/` in the output folder: the texts of the published corpus, under a name that stays.

    release/README.md               the dataset card
    release/croissant.json          Croissant metadata
    release/documents/*.parquet     the corpus' parts: hard links, or copies where there are none and in an object store
    release/corpusmill.json         the corpus' fingerprint, and every file with its sha256; written last

On this machine the folder is replaced as a whole: a new one is made beside it and the two swap names, in one step where the
system can (Linux). A program that has the folder open keeps what it has. In an object store, where folders have no names of
their own, corpusmill.json is removed first and written last: while it is absent, the folder is being replaced.

Limits: a link is the corpus' own file. Whoever changes it in place changes the corpus; `corpusmill verify` shows it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.contract import files
from pipelines.contract.manifest import MARK, Manifest
from pipelines.contract.new_folder import replaced_folder
from pipelines.exports.release.card import card
from pipelines.exports.release.counts import count
from pipelines.exports.release.croissant import croissant
from pipelines.exports.release.facts import Facts, program_version

VERSION = 1  # of the card, the metadata and the folder's form
FOLDER = "release"
CARD, METADATA = "README.md", "croissant.json"


def write(out: str, uri: str, corpus: Manifest, classifier: Mapping[str, Any], limit: int | None = None) -> str:
    """Make `release/` of an output folder hold the texts of the corpus at `uri`, and return its URI; leave it if it does.

    `classifier` has the facts of the release's classifier, `limit` is that of a sample build.
    """
    target = files.join(out, FOLDER)
    made_from = _made_from(corpus, classifier, limit)
    if _is_current(target, made_from):
        return target
    facts = Facts(corpus, count(uri, corpus), classifier, limit)
    texts = {CARD: card(facts), METADATA: croissant(facts)}
    if files.is_local(target):
        with replaced_folder(files.local_path(target)) as folder:
            Path(folder, "documents").mkdir()  # even if there is no document
            _mark(str(folder), corpus, made_from, _fill(str(folder), uri, corpus, texts))
    else:
        files.remove(files.join(target, MARK))
        listed = _fill(target, uri, corpus, texts)
        _remove_others(target, {str(one["path"]) for one in listed})
        _mark(target, corpus, made_from, listed)
    return target


def _made_from(corpus: Manifest, classifier: Mapping[str, Any], limit: int | None) -> str:
    """Return a hash of everything that the folder depends on."""
    value = [VERSION, program_version(), corpus.model_dump(mode="json"), dict(classifier), limit]
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _is_current(target: str, made_from: str) -> bool:
    try:
        mark = json.loads(files.read_text(files.join(target, MARK)))
        sizes = {files.join(target, one["path"]): one["bytes"] for one in mark["files"]}
        return mark["made_from"] == made_from and all(files.exists(path) and files.size(path) == sizes[path] for path in sizes)
    except (OSError, ValueError, KeyError, TypeError):  # absent, or not ours: it is written again
        return False


def _fill(folder: str, uri: str, corpus: Manifest, texts: Mapping[str, str]) -> list[dict[str, str | int]]:
    """Write the parts and texts into a folder; return what the mark says of them."""
    listed = [_listed(part.path, part.bytes, part.sha256) for part in corpus.of("documents")]
    for part in corpus.of("documents"):
        files.link(files.join(uri, part.path), files.join(folder, part.path))
    for name, text in texts.items():
        files.write_text(files.join(folder, name), text)
        data = text.encode()
        listed.append(_listed(name, len(data), hashlib.sha256(data).hexdigest()))
    return listed


def _mark(folder: str, corpus: Manifest, made_from: str, listed: list[dict[str, str | int]]) -> None:
    mark = {"format": FOLDER, "version": VERSION, "corpus": corpus.fingerprint, "made_from": made_from, "files": listed}
    files.write_text(files.join(folder, MARK), json.dumps(mark, indent=1) + "\n")


def _listed(path: str, size: int, sha256: str) -> dict[str, str | int]:
    return {"path": path, "bytes": size, "sha256": sha256}


def _remove_others(target: str, kept: set[str]) -> None:
    for path in files.listing(target):
        if path.removeprefix(f"{target}/") not in kept:
            files.remove(path)
