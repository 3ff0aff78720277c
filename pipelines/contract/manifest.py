"""A dataset is a folder of parts and a `manifest.json`, which is written last.

    corpus/3f9a1c20b77e/
        manifest.json                     this file's Manifest; when it exists, the dataset is complete
        documents/<unit>.parquet          one part per table and unit; batches are its row groups
        drops/<unit>.parquet
        units/<unit>.json                 the sidecar of a finished unit: its parts and its ledger

The folder is named by the fingerprint of everything that determines the dataset. Nothing in a manifest depends on the clock, the
machine or the number of workers: two builds of the same input write the same bytes.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.ledger import Ledger, add

FORMAT = 1
MANIFEST = "manifest.json"
MARK = "corpusmill.json"  # in every folder that a build or an export writes
RELEASE = "release.json"  # in a build's output folder: the datasets that it published
FINGERPRINT_CHARACTERS = 12  # in a folder's name


class DatasetError(UserError):
    """A dataset does not match its manifest, or is not a dataset."""


class Part(BaseModel):
    """One file of a dataset."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: str  # "documents", "drops", "signatures", "tokens/train/enwiki/en", …
    unit: str  # the unit from which it was made
    path: str  # relative to the dataset's folder
    rows: int
    bytes: int
    sha256: str


class Sidecar(BaseModel):
    """The result of one unit, written after the unit's parts: a unit is complete if its sidecar exists."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: str
    source: str
    parts: tuple[Part, ...]
    ledger: Ledger
    made_from: dict[str, str] = Field(default_factory=dict)  # digests of what determines the unit, whatever other units there are


class Manifest(BaseModel):
    """The description of a complete dataset."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = FORMAT
    dataset: str  # "documents/enwiki", "clusters", "corpus", "vocabulary/gpt", "tokens/gpt"
    fingerprint: str  # of `made_from`, in full
    made_from: dict[str, Any]  # config section, stage versions, models, upstream fingerprints, input identities
    config: dict[str, Any] = Field(default_factory=dict)  # the whole resolved config, for a reader
    parts: tuple[Part, ...]
    ledgers: dict[str, Ledger] = Field(default_factory=dict)  # by source
    facts: dict[str, Any] = Field(default_factory=dict)  # figures and settings particular to this kind of dataset

    def tables(self) -> list[str]:
        """Return the names of the tables, sorted."""
        return sorted({part.table for part in self.parts})

    def of(self, table: str) -> list[Part]:
        """Return the parts of a table in the order of their paths."""
        return sorted((part for part in self.parts if part.table == table), key=lambda part: part.path)

    def rows(self, table: str) -> int:
        """Return the number of rows of a table."""
        return sum(part.rows for part in self.parts if part.table == table)


def fingerprint(made_from: Mapping[str, Any]) -> str:
    """Return the sha256 (hex) of the canonical JSON of everything that determines a dataset."""
    text = json.dumps(made_from, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def folder(out: str, dataset: str, fingerprint: str) -> str:
    """Return the URI of a dataset's folder below the output folder."""
    return files.join(out, dataset, fingerprint[:FINGERPRINT_CHARACTERS])


def assemble(
    dataset: str,
    made_from: Mapping[str, Any],
    sidecars: Iterable[Sidecar],
    *,
    config: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    parts: Iterable[Part] = (),
) -> Manifest:
    """Return the manifest of finished units and further parts. Raise ConservationError if a ledger does not add up.

    Units are ordered by name, so the manifest does not depend on the order in which they finished.
    """
    ordered = sorted(sidecars, key=lambda sidecar: sidecar.unit)
    ledgers: dict[str, Ledger] = {}
    for source in sorted({sidecar.source for sidecar in ordered}):
        ledgers[source] = add(sidecar.ledger for sidecar in ordered if sidecar.source == source)
        ledgers[source].check()
    return Manifest(
        dataset=dataset,
        fingerprint=fingerprint(made_from),
        made_from=dict(made_from),
        config=dict(config or {}),
        parts=(*(part for sidecar in ordered for part in sidecar.parts), *parts),
        ledgers=ledgers,
        facts=dict(facts or {}),
    )


def write(uri: str, manifest: Manifest) -> None:
    """Write `manifest.json` into a dataset's folder, as the last step of building it."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False)
    files.write_text(files.join(uri, MANIFEST), text + "\n")


def read(uri: str) -> Manifest:
    """Return the manifest of a dataset, given its folder or the path of its manifest.json.

    Raise DatasetError, which names the path and the fix, if there is no manifest or it cannot be read.
    """
    path = uri if uri.endswith(".json") else files.join(uri, MANIFEST)
    try:
        return Manifest.model_validate_json(files.read_text(path))
    except FileNotFoundError:
        raise DatasetError(
            f"{uri}: there is no {MANIFEST}, so this is no finished dataset; name a dataset's folder, or build it first"
        ) from None
    except (ValidationError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: not a manifest that this release can read: {error}") from error


def is_complete(uri: str) -> bool:
    """Return whether a dataset is complete, that is, its manifest exists."""
    return files.exists(files.join(uri, MANIFEST))
