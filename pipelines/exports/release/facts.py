"""What a card and its metadata say of a corpus, collected once."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.contract.manifest import Manifest
from pipelines.exports.release.counts import Counts

# Licences that the hub of Hugging Face knows, by their SPDX identifiers in lower case (hub docs, "Licenses").
HUB_LICENSES = frozenset(
    (
        *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "isc", "unlicense", "wtfpl", "zlib", "mpl-2.0", "epl-2.0"),
        *("gpl-2.0", "gpl-3.0", "lgpl-2.1", "lgpl-3.0", "agpl-3.0", "gfdl", "artistic-2.0", "ecl-2.0", "afl-3.0", "osl-3.0"),
        *("cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
        *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
        *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cdla-permissive-2.0", "odc-by", "odbl", "pddl"),
    )
)
_HUB_NAMES = {"odc-by-1.0": "odc-by", "odbl-1.0": "odbl", "pddl-1.0": "pddl"}


@dataclass(frozen=True, slots=True)
class Facts:
    """A published corpus, as its manifests and columns have it."""

    corpus: Manifest
    counts: Counts
    classifier: Mapping[str, Any]  # facts of the classifier; empty if the release has none
    limit: int | None  # documents of each source that were read at most: a sample build

    @property
    def name(self) -> str:
        """Return the corpus' name."""
        return str(self.config["corpus"]["name"])

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the resolved config of the build."""
        return self.corpus.config

    @property
    def bytes(self) -> int:
        """Return the size of the Parquet files."""
        return sum(part.bytes for part in self.corpus.of("documents"))

    @property
    def characters(self) -> int:
        """Return the characters of all texts, as the ledgers have them."""
        return sum(characters_of(self.corpus, source) for source in self.corpus.ledgers)


def program_version() -> str:
    """Return the version of corpusmill."""
    return importlib.metadata.version("corpusmill")


def characters_of(corpus: Manifest, source: str) -> int:
    """Return the characters of a source's published texts."""
    lines = corpus.ledgers[source].lines if source in corpus.ledgers else {}
    return next(reversed(lines.values())).characters_out if lines else 0


def read_of(corpus: Manifest, source: str) -> int:
    """Return the documents that were read of a source, those cut into pieces counted once."""
    lines = corpus.ledgers[source].lines if source in corpus.ledgers else {}
    return next(iter(lines.values())).documents_in if lines else 0


def hub_license(license: str | None) -> str:
    """Return a licence as the hub's front matter names it.

    >>> [hub_license(name) for name in ("CC-BY-SA-4.0", "ODC-By-1.0", "LicenseRef-public-domain", None)]
    ['cc-by-sa-4.0', 'odc-by', 'other', 'unknown']
    """
    if not license:
        return "unknown"
    name = _HUB_NAMES.get(license.lower(), license.lower())
    for ending in ("-only", "-or-later"):
        name = name.removesuffix(ending)
    return name if name in HUB_LICENSES else "other"


def size_category(documents: int) -> str:
    """Return the hub's name for a number of documents.

    >>> [size_category(n) for n in (0, 999, 1000, 1_633, 10**7, 10**12, 10**13)]
    ['n<1K', 'n<1K', '1K<n<10K', '1K<n<10K', '10M<n<100M', 'n>1T', 'n>1T']
    """
    if documents < 1000:
        return "n<1K"
    digits = len(str(documents)) - 1
    return "n>1T" if digits >= 12 else f"{_short(digits)}<n<{_short(digits + 1)}"


def _short(digits: int) -> str:
    return f"{10 ** (digits % 3)}{'KMBT'[digits // 3 - 1]}"
