"""Join two tokens datasets of one tokenizer, so that training can mix new documents with those it has seen.

    retrains/2026-12/tokens/demo/5c01d3f2a9be/
        manifest.json                                 the facts of a tokens dataset, and joined (the fingerprints of both)
        tokenizer.model, pieces.arrow                 from the earlier dataset
        tokens/train/enwiki/en/<unit>.arrow           from the earlier dataset, unchanged
        tokens/train/enwiki@2026-12/en/<unit>.arrow   from the new one, whose sources get a label

Shards are never modified, so they are linked instead of copied if the file system allows it. Both datasets keep their splits:
no document of an earlier validation split is trained on.

Limits: `corpusmill trace` finds the documents' ids and shards, but no titles, because they do not come from a single corpus.
"""

import os
from collections.abc import Mapping
from typing import Any

from pipelines.contract import files, manifest, shards
from pipelines.contract.manifest import DatasetError, Manifest, Part
from pipelines.datasets.vocabulary import TABLE as TOKENIZER

VERSION = 1


def join(out: str, earlier: str, new: str, label: str) -> str:
    """Join two tokens datasets and return the folder, below `out`, of the result; `label` is added to the names of new sources.

    `earlier` and `new` are folders of tokens datasets. A finished join is not repeated. Raise DatasetError if the tokenizers
    differ (their ids mean different pieces), or if a source already exists under its new name.
    """
    first, second = manifest.read(earlier), manifest.read(new)
    _check_same_tokenizer(earlier, first, new, second)
    made_from = {"versions": {"joined_tokens": VERSION}, "datasets": [first.fingerprint, second.fingerprint], "label": label}
    uri = manifest.folder(out, first.dataset, manifest.fingerprint(made_from))
    if manifest.is_complete(uri):
        return uri
    shared = [part for part in first.parts if part.table == TOKENIZER]
    old = [part for part in first.parts if part.table.startswith(f"{shards.TOKENS}/")]
    added = [(part, _labelled(part, label)) for part in second.parts if part.table.startswith(f"{shards.TOKENS}/")]
    for part in (*shared, *old):
        _link(files.join(earlier, part.path), files.join(uri, part.path))
    for part, renamed in added:
        _link(files.join(new, part.path), files.join(uri, renamed.path))
    facts = {
        **{name: first.facts[name] for name in ("tokenizer", "pieces", "dtype") if name in first.facts},
        "tokens": _counts(earlier, first.facts["tokens"], second.facts["tokens"], label),
        "joined": [first.fingerprint, second.fingerprint],
    }
    parts = [*old, *(renamed for _, renamed in added), *shared]
    manifest.write(uri, manifest.assemble(first.dataset, made_from, [], facts=facts, parts=parts))
    return uri


def labelled(source: str, label: str) -> str:
    """Return the name of a new source in the joined dataset."""
    return f"{source}@{label}"


def _labelled(part: Part, label: str) -> Part:
    """Return the part with its source renamed in table and path, which both begin with tokens/<split>/<source>/."""
    kind, split, source, *rest = part.table.split("/")
    table = "/".join((kind, split, labelled(source, label), *rest))
    assert part.path.startswith(part.table + "/"), "shards lie below the name of their table"
    return part.model_copy(update={"table": table, "path": table + part.path.removeprefix(part.table)})


def _counts(earlier: str, first: Mapping[str, Any], second: Mapping[str, Any], label: str) -> dict[str, Any]:
    """Return rows, tokens and bytes of both datasets by split, source and language."""
    out: dict[str, Any] = {}
    for split in sorted({*first, *second}):
        old = dict(first.get(split, {}))
        new = {labelled(source, label): counts for source, counts in second.get(split, {}).items()}
        if twice := sorted(set(old) & set(new)):
            raise DatasetError(f"{earlier}: has a source {twice[0]} already; take another label than {label!r}")
        out[split] = {**old, **new}
    return out


def _check_same_tokenizer(earlier: str, first: Manifest, new: str, second: Manifest) -> None:
    for uri, dataset in ((earlier, first), (new, second)):
        if "tokens" not in dataset.facts or "tokenizer" not in dataset.facts:
            raise DatasetError(f"{uri}: is the dataset {dataset.dataset!r}, which holds no tokens; name a tokens dataset")
    expected, actual = first.facts["tokenizer"]["sha256"], second.facts["tokenizer"]["sha256"]
    if expected != actual:
        raise DatasetError(
            f"{new}: has another tokenizer ({actual[:12]}) than {earlier} ({expected[:12]}): ids mean other pieces; "
            "build it with vocabularies.0.path = the tokenizer of the first"
        )


def _link(source: str, target: str) -> None:
    """Link a file under another name, or copy it if it cannot be linked (another disk, an object store)."""
    if not (files.is_local(source) and files.is_local(target)):
        files.copy(source, target)
        return
    path = files.local_path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # from a join that was killed
    try:
        os.link(files.local_path(source), path)
    except OSError:
        files.copy(source, target)
