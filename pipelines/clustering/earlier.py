"""Earlier published corpora that a build is deduplicated against: `[deduplicate] against = ["../news-october"]`.

Each is represented by its dataset `index` (index.py): the signatures of its published documents. Signatures are comparable
only if everything that determines them is equal; any difference is refused here, before the first document is read. Bands,
rows and thresholds may differ, because they are applied to finished signatures.
"""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipelines.config import DeduplicateSection
from pipelines.contract import files, manifest, schema
from pipelines.contract.errors import UserError
from pipelines.contract.manifest import MANIFEST, RELEASE
from pipelines.release import published_folders
from pipelines.stages import signatures
from pipelines.units.context import Context, Dataset

INDEX = "index"  # the dataset and its table
_EITHER_WAY = ("url", "words")  # columns that an index may have although the build does not need them


def scheme(section: DeduplicateSection) -> dict[str, Any]:
    """Return everything that determines a signature; two indexes can be compared only if it is equal."""
    return {**signatures.made_from(section), "version": signatures.VERSION}


def earlier(context: Context) -> list[Dataset]:
    """Return the indexes that the config names, in its order.

    An entry is an output folder, whose release names the index, or the folder of an index dataset.

    Raise UserError with the place, the field and the fix if nothing is published there, there is no index, its signatures were
    made differently, a part is missing or damaged, it is this build's own, or it is named twice.
    """
    section = context.config.deduplicate
    if section.against and not section.enabled:
        raise UserError(
            "deduplicate.against names earlier corpora, but deduplicate.enabled is false: nothing would be compared with"
            " them; set it to true, or take deduplicate.against out"
        )
    found: list[Dataset] = []
    for place in section.against:
        dataset = _index_at(context, place)
        _check_scheme(place, dataset, section)
        _check_parts(place, dataset, section)
        if any(dataset.manifest.fingerprint == other.manifest.fingerprint for other in found):
            raise UserError(_trouble(place, "this corpus is named twice; take one of the two out"))
        found.append(dataset)
    return found


def labels(indexes: Sequence[Dataset]) -> list[str]:
    """Return the name of each corpus in clusters and drops; if several share a name, the fingerprint is added."""
    names = [index.manifest.facts["corpus"] for index in indexes]
    return [
        name if names.count(name) == 1 else f"{name}/{index.manifest.fingerprint[: manifest.FINGERPRINT_CHARACTERS]}"
        for name, index in zip(names, indexes, strict=True)
    ]


def _index_at(context: Context, place: str) -> Dataset:
    folder = place.rstrip("/").removesuffix(f"/{MANIFEST}")
    if _lies_in(folder, context.out):
        raise UserError(
            _trouble(
                place,
                "this is, or lies in, the build's own output folder: what is published there would be replaced by what is new;"
                " name another folder with --out, or take it out of deduplicate.against",
            )
        )
    try:
        if not manifest.is_complete(folder):
            folder = _released_index(place, folder)
        found = manifest.read(folder)
    except ValueError as error:
        raise UserError(_trouble(place, str(error))) from error
    if found.dataset != INDEX:
        raise UserError(_trouble(place, f"this is a dataset {found.dataset!r}; name the output folder of its build"))
    if not found.facts["enabled"]:
        raise UserError(
            _trouble(
                place,
                "it was built with deduplicate.enabled = false, so it has no signatures to compare with; build it again with"
                " deduplication, or take it out of deduplicate.against",
            )
        )
    return Dataset(folder, found)


def _released_index(place: str, out: str) -> str:
    try:
        folders = published_folders(out)
    except json.JSONDecodeError as error:
        raise UserError(f"its {RELEASE} is no release ({error}); run its build again") from error
    if INDEX not in folders:
        raise UserError(
            "its release has no index, because an older corpusmill published it; run its build again (what is finished is"
            " not built again)"
        )
    return folders[INDEX]


def _lies_in(folder: str, out: str) -> bool:
    if files.is_local(folder) and files.is_local(out):
        return files.local_path(folder).resolve().is_relative_to(files.local_path(out).resolve())
    return f"{folder}/".startswith(f"{out.rstrip('/')}/")


def _check_scheme(place: str, dataset: Dataset, section: DeduplicateSection) -> None:
    theirs, ours = dataset.manifest.facts["scheme"], scheme(section)
    for name, wanted in ours.items():
        given = theirs.get(name)
        if given != wanted and not (name in _EITHER_WAY and given):
            what = f"its signatures have {_NAMES[name]} {given!r}, this build's {wanted!r}; {_fix(name, given)}"
            raise UserError(_trouble(place, what))


_NAMES = {
    "scheme": "deduplicate.scheme",
    "seed": "deduplicate.seed",
    "ngram": "deduplicate.ngram",
    "exact": "deduplicate.exact",
    "permutations": "a number of permutations (deduplicate.bands × deduplicate.rows) of",
    "url": "deduplicate.url",
    "words": 'words beside them (deduplicate.verify other than "signature"):',
    "version": "the version (normaliser, hashes)",
}


def _fix(name: str, given: Any) -> str:
    """Return what the user can do about a difference."""
    again = "build that corpus again"
    match name:
        case "version":
            return f"{again} with this release of corpusmill and of Python"
        case "permutations":
            return f"choose bands and rows whose product is {given}, or {again} like this one"
        case "url":
            return f"set deduplicate.url = false here, or {again} with true"
        case "words":
            return f'set deduplicate.verify = "signature" here, or {again} like this one'
        case _:
            value = f'"{given}"' if isinstance(given, str) else given
            return f"set deduplicate.{name} = {value} here, or {again} like this one"


def _check_parts(place: str, dataset: Dataset, section: DeduplicateSection) -> None:
    """Check that each part exists with its size and columns; `corpusmill verify` reads every byte."""
    wanted = schema.signatures(signatures.stored_length(section), words=dataset.manifest.facts["scheme"]["words"])
    for part in dataset.manifest.of(INDEX):
        uri = files.join(dataset.uri, part.path)
        problem = _problem(uri, part.bytes, wanted)
        if problem:
            raise UserError(
                _trouble(place, f"{uri} {problem}; restore it, or remove the folder {dataset.uri} and run its build again")
            )


def _problem(uri: str, size: int, wanted: pa.Schema) -> str | None:
    if not files.exists(uri):
        return "is missing"
    if files.size(uri) != size:
        return f"has {files.size(uri):,} bytes where its manifest says {size:,}"
    try:
        with files.reading(uri) as stream:
            found = pa.ipc.open_file(stream).schema
    except (pa.ArrowInvalid, OSError) as error:
        return f"is not an Arrow file ({error})"
    return None if found.equals(wanted) else f"does not have the columns of signatures, but {', '.join(found.names)}"


def _trouble(place: str, what: str) -> str:
    return f"deduplicate.against: {place}: {what.removeprefix(f'{place}: ')}"
