"""The signatures of a published build, to ask which documents are like a text: read in columns, or as datasketch's own index.

signatures = Signatures("build/demo")
lsh = signatures.lsh(redis="redis://localhost:6379/0")   # a datasketch.MinHashLSH; without redis, in memory
lsh.query(signatures.signature("Some text …"))             # ids of documents, in hexadecimal
"""

import urllib.parse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contract import files, manifest
from pipelines.contract.errors import UserError
from pipelines.release import published_folders
from pipelines.text.copies import lsh, minhash, shingles
from pipelines.text.copies.shingles import Scan
from pipelines.units.spill import batches_of

if TYPE_CHECKING:
    from datasketch import LeanMinHash, MinHashLSH

INDEX = "index"  # the dataset and its table
_VERSION = f"shingles-{shingles.VERSION}/minhash-{minhash.VERSION}"
_FILLED = b"corpusmill:filled:"  # Redis: the key that says that all documents of an index were inserted


class Likely(NamedTuple):
    """A document that is like a text, by their signatures."""

    similarity: float  # an estimate
    id: str  # hexadecimal


class Signatures:
    """The dataset `index` of a published build."""

    def __init__(self, out: str) -> None:
        """Open the index. Raise UserError if the release has none or its signatures were made by another version."""
        folder = published_folders(out).get(INDEX)
        made = manifest.read(folder) if folder else None
        if folder is None or made is None or not made.facts["enabled"]:
            raise UserError(f"{out}: has no index of signatures; build it with deduplicate.enabled = true")
        self._folder, self._made = folder, made
        self.scheme: dict[str, Any] = made.facts["scheme"]
        if _VERSION not in self.scheme["version"]:
            raise UserError(
                f"{folder}: its signatures are of version {self.scheme['version']}, this program makes {_VERSION};"
                " build the corpus again"
            )

    @property
    def permutations(self) -> int:
        """The length of a signature."""
        return int(self.scheme["permutations"])

    def scan(self, texts: Sequence[str]) -> Scan:
        """Return the shingles of texts, as those of the documents were made."""
        return shingles.scan(pa.array(texts, pa.string()), self.scheme["ngram"])

    def of(self, texts: Sequence[str]) -> minhash.Signatures:
        """Return the signatures of texts: [texts, permutations]."""
        scan = self.scan(texts)
        return minhash.signatures(
            minhash.narrowed(scan.shingles, self.scheme["scheme"]),
            scan.offsets,
            permutations=self.permutations,
            seed=self.scheme["seed"],
            scheme=self.scheme["scheme"],
        )

    def signature(self, text: str) -> "LeanMinHash":
        """Return the signature of a text as datasketch's."""
        return self._lean(self.of([text])[0])

    def documents(self) -> Iterator[tuple[list[str], minhash.Signatures]]:
        """Yield the ids and signatures of the published documents, batch by batch."""
        width = np.uint32 if self.scheme["scheme"] == "affine32" else np.uint64
        for part in self._made.of(INDEX):
            for batch in batches_of(files.join(self._folder, part.path)):
                values = batch["minhash"].values.to_numpy().view(width).reshape(batch.num_rows, -1)
                yield [value.hex() for value in batch["id"].to_pylist()], values

    def most_similar(self, texts: Sequence[str], most: int) -> list[list[Likely]]:
        """Return, for each text, the documents whose signatures are most like its own: every signature is compared."""
        asked = self.of(texts)
        best: list[list[Likely]] = [[] for _ in texts]
        for ids, values in self.documents():
            for query, found in enumerate(best):
                shares = np.count_nonzero(values == asked[query], axis=1) / self.permutations
                rows = _largest(shares, most)
                found += [Likely(float(shares[row]), ids[row]) for row in rows.tolist() if shares[row] > 0]
                best[query] = sorted(found, key=lambda likely: (-likely.similarity, likely.id))[:most]
        return best

    def lsh(self, redis: str | None = None, threshold: float = 0.5) -> "MinHashLSH":
        """Return datasketch's index of the documents, for this threshold: in memory, or in Redis.

        In Redis the index stays: it is filled once for each fingerprint and threshold, and opened by later calls. An index that
        was not filled to its end is filled again. Raises UserError if the server does not answer.
        """
        from datasketch import MinHashLSH

        bands = lsh.optimal_bands(threshold, self.permutations, 0.5, 0.5)
        if redis is None:
            index = MinHashLSH(num_perm=self.permutations, params=bands)
            self._fill(index)
            return index
        return self._in_redis(redis, bands)

    def _in_redis(self, address: str, bands: tuple[int, int]) -> "MinHashLSH":
        from datasketch import MinHashLSH
        from redis import Redis
        from redis.exceptions import RedisError

        name = f"corpusmill:{self._made.fingerprint}:{bands[0]}x{bands[1]}:".encode()
        try:
            server = Redis.from_url(address)
            is_filled = server.get(_FILLED + name) is not None
            index = MinHashLSH(
                num_perm=self.permutations,
                params=bands,
                storage_config={"type": "redis", "basename": name, "redis": _connection(address)},
            )
            if not is_filled:
                for key in server.scan_iter(match=name + b"*", count=10_000):
                    server.delete(key)
                self._fill(index)
                server.set(_FILLED + name, 1)
        except (RedisError, ValueError) as error:
            raise UserError(f"{address}: the Redis server does not answer ({error}); start it, or correct --redis") from error
        return index

    def _fill(self, index: "MinHashLSH") -> None:
        """Insert all documents."""
        with index.insertion_session() as session:
            for ids, values in self.documents():
                for key, row in zip(ids, values, strict=True):  # datasketch takes one at a time
                    session.insert(key, self._lean(row), check_duplication=False)

    def _lean(self, values: NDArray[Any]) -> "LeanMinHash":
        from datasketch import LeanMinHash

        return LeanMinHash(seed=self.scheme["seed"], hashvalues=values, scheme=self.scheme["scheme"])


def _connection(address: str) -> dict[str, Any]:
    """Return the arguments of redis.Redis for an address: redis://[[user]:password@]host[:port][/database]."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("an address is redis://host:port/database")
    login = {"username": parts.username or None, "password": parts.password} if parts.password else {}
    database = int(parts.path.strip("/") or 0)
    return {"host": parts.hostname, "port": parts.port or 6379, "db": database, "ssl": parts.scheme == "rediss", **login}


def _largest(shares: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Return the rows with the largest values, and all that equal the least of them."""
    if len(shares) <= most:
        return np.arange(len(shares))
    return np.flatnonzero(shares >= np.partition(shares, -most)[-most])
