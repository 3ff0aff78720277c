"""Is a dataset what its manifest says? Re-hashes every part, counts its rows and re-adds every ledger."""

from collections import Counter
from dataclasses import dataclass, field

import pyarrow.compute as pc

from pipelines.contract import files, manifest
from pipelines.contract.ledger import ConservationError, Ledger, add
from pipelines.contract.manifest import Manifest, Part, Sidecar
from pipelines.contract.tables import column_names, read_batches


@dataclass(slots=True)
class Verification:
    """What was looked at, and what is wrong."""

    dataset: str
    parts: int = 0
    rows: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list[str])

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(uri: str) -> Verification:
    """Read every byte of a dataset and compare it with the manifest.

    Raises DatasetError when there is no manifest; everything else that is wrong is listed.
    """
    found = manifest.read(uri)
    result = Verification(found.dataset)
    if manifest.fingerprint(found.made_from) != found.fingerprint:
        result.problems.append(f"{uri}/{manifest.MANIFEST}: made_from does not have the fingerprint {found.fingerprint}")
    characters: Counter[str] = Counter()
    sound = True
    for part in found.parts:
        problem = _check_part(uri, part, characters)
        if problem:
            sound = False
            result.problems.append(problem)
        result.parts += 1
        result.rows += part.rows
        result.bytes += part.bytes
    result.problems += _check_ledgers(uri, found)
    if sound:
        result.problems += _check_counts(found, characters)
    return result


def _check_part(uri: str, part: Part, characters: Counter[str]) -> str | None:
    path = files.join(uri, part.path)
    if not files.exists(path):
        return f"{path}: is missing; remove the dataset's folder and build it again"
    if files.size(path) != part.bytes:
        return f"{path}: has {files.size(path):,} bytes, the manifest says {part.bytes:,}: truncated or replaced"
    if files.sha256(path) != part.sha256:
        return f"{path}: its sha256 is not the manifest's: a byte has changed"
    if part.path.endswith((".parquet", ".arrow")):
        rows = 0
        names = column_names(path)
        for batch in read_batches(path, ["text"] if "text" in names else names[:1]):
            rows += batch.num_rows
            if part.table in ("documents", "drops"):
                characters[part.table] += pc.sum(pc.utf8_length(batch["text"])).as_py() or 0
        if rows != part.rows:
            return f"{path}: has {rows:,} rows, the manifest says {part.rows:,}"
    return None


def _check_ledgers(uri: str, found: Manifest) -> list[str]:
    problems: list[str] = []
    if not found.ledgers:
        return problems
    by_source: dict[str, list[Ledger]] = {}
    for unit_file in files.listing(files.join(uri, "units"), ".json"):
        sidecar = Sidecar.model_validate_json(files.read_text(unit_file))
        by_source.setdefault(sidecar.source, []).append(sidecar.ledger)
    for source, ledger in found.ledgers.items():
        try:
            ledger.check()
        except ConservationError as error:
            problems.append(f"{uri}: source {source}: {error}")
        summed = add(by_source.get(source, []))
        if summed.model_dump() != ledger.model_dump():
            problems.append(f"{uri}: source {source}: the units' ledgers do not add up to the manifest's")
    return problems


def _check_counts(found: Manifest, characters: Counter[str]) -> list[str]:
    """The tables hold what the ledgers say, in documents and in characters."""
    ledgers = list(found.ledgers.values())
    expected = {
        "drops": (
            sum(ledger.documents_dropped for ledger in ledgers),
            sum(line.characters_dropped.total() for ledger in ledgers for line in ledger.lines.values()),
        )
    }
    if "documents" in found.tables():
        expected["documents"] = (
            sum(ledger.documents_out for ledger in ledgers),
            sum(ledger.characters_out for ledger in ledgers),
        )
    problems: list[str] = []
    for table, (rows, text) in expected.items():
        if found.ledgers and found.rows(table) != rows:
            problems.append(f"{found.dataset}: table {table} has {found.rows(table):,} rows, the ledger says {rows:,}")
        if found.ledgers and characters[table] != text:
            problems.append(f"{found.dataset}: table {table} has {characters[table]:,} characters, the ledger says {text:,}")
    return problems
