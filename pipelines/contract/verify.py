"""Check a dataset against its manifest: hash every part, count its rows, add up every ledger."""

from collections import Counter
from dataclasses import dataclass, field

import pyarrow.compute as pc

from pipelines.contract import files, manifest
from pipelines.contract.ledger import ConservationError, Ledger, add
from pipelines.contract.manifest import Manifest, Part, Sidecar
from pipelines.contract.tables import column_names, read_batches


@dataclass(slots=True)
class Verification:
    """The size of what was checked, and the problems found."""

    dataset: str
    parts: int = 0
    rows: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list[str])

    @property
    def is_sound(self) -> bool:
        """Return whether there are no problems."""
        return not self.problems


def verify(uri: str) -> Verification:
    """Read every byte of a dataset, compare it with the manifest, and list every problem.

    Raise DatasetError if there is no manifest that can be read.
    """
    description = manifest.read(uri)
    result = Verification(description.dataset)
    if manifest.fingerprint(description.made_from) != description.fingerprint:
        result.problems.append(f"{uri}/{manifest.MANIFEST}: made_from does not have the fingerprint {description.fingerprint}")
    characters: Counter[str] = Counter()
    sound = True
    for part in description.parts:
        problem = _check_part(uri, part, characters)
        if problem:
            sound = False
            result.problems.append(problem)
        result.parts += 1
        result.rows += part.rows
        result.bytes += part.bytes
    result.problems += _check_ledgers(uri, description)
    if sound:
        result.problems += _check_counts(description, characters)
    return result


def _check_part(uri: str, part: Part, characters: Counter[str]) -> str | None:
    """Return the problem of a part, or None; add the length of its texts to its table's `characters`."""
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


def _check_ledgers(uri: str, description: Manifest) -> list[str]:
    """Check the conservation laws, and that the units' ledgers add up to the manifest's."""
    problems: list[str] = []
    if not description.ledgers:
        return problems
    by_source: dict[str, list[Ledger]] = {}
    for unit_file in files.listing(files.join(uri, "units"), ".json"):
        sidecar = Sidecar.model_validate_json(files.read_text(unit_file))
        by_source.setdefault(sidecar.source, []).append(sidecar.ledger)
    for source, ledger in description.ledgers.items():
        try:
            ledger.check()
        except ConservationError as error:
            problems.append(f"{uri}: source {source}: {error}")
        summed = add(by_source.get(source, []))
        if summed.model_dump() != ledger.model_dump():
            problems.append(f"{uri}: source {source}: the units' ledgers do not add up to the manifest's")
    return problems


def _check_counts(description: Manifest, characters: Counter[str]) -> list[str]:
    """Check that the tables hold the documents and characters that the ledgers count."""
    ledgers = list(description.ledgers.values())
    expected = {
        "drops": (
            sum(ledger.documents_dropped for ledger in ledgers),
            sum(line.characters_dropped.total() for ledger in ledgers for line in ledger.lines.values()),
        )
    }
    if "documents" in description.tables():
        expected["documents"] = (
            sum(ledger.documents_out for ledger in ledgers),
            sum(ledger.characters_out for ledger in ledgers),
        )
    problems: list[str] = []
    for table, (rows, text) in expected.items():
        if description.ledgers and description.rows(table) != rows:
            problems.append(
                f"{description.dataset}: table {table} has {description.rows(table):,} rows, the ledger says {rows:,}"
            )
        if description.ledgers and characters[table] != text:
            problems.append(
                f"{description.dataset}: table {table} has {characters[table]:,} characters, the ledger says {text:,}"
            )
    return problems
