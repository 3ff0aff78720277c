"""A tokens dataset, opened: its manifest, its tokenizer, and its shards as memory maps.

    dataset = open_dataset("build/demo")               # the folder of a dataset, or of a build
    runs = open_runs(dataset, "train", "enwiki")       # record batches, in stream order
    runs[0].tokens[runs[0].offsets[7] : runs[0].offsets[8]]   # the ids of document 7, still on disk
    runs[0].document(7)                                # the id of document 7
    open_dataset("build/new").replaying(dataset)       # both as one: the sources of the old one are "enwiki@replay", …

`pipelines.contract.shards` maps and checks a shard, for the exports too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines.contract import manifest, shards
from pipelines.contract.manifest import DatasetError, Manifest, Part
from pipelines.contract.shards import ShardError, ShardRun
from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.families import END_OF_TEXT
from pipelines.contract.tokenizers.loading import Tokenizer

__all__ = ["END_OF_TEXT", "ShardError", "ShardRun", "TokenDataset", "open_dataset", "open_runs"]

REPLAYED = "@replay"  # follows the names of the sources of a dataset that is replayed


@dataclass(frozen=True, slots=True)
class TokenDataset:
    """A tokens dataset: its folder, manifest and tokenizer; and an older one whose text comes again, if there is one.

    The methods cover both, the fields and messages this one. No file of either is changed or copied.
    """

    uri: str
    manifest: Manifest
    tokenizer: Tokenizer
    replayed: "TokenDataset | None" = None

    @property
    def fingerprint(self) -> str:
        """Fingerprint of everything the dataset was made from."""
        own = self.manifest.fingerprint
        return own if self.replayed is None else manifest.fingerprint({"tokens": own, "replayed": self.replayed.fingerprint})

    def replaying(self, older: "TokenDataset") -> "TokenDataset":
        """Return both datasets as one. Raises DatasetError if their tokenizers differ, or both are the same dataset."""
        ours, theirs = self.tokenizer.sha256, older.tokenizer.sha256
        if ours != theirs:
            raise DatasetError(
                f"{older.uri}: has another tokenizer ({theirs[:12]}) than {self.uri} ({ours[:12]}), so its ids mean other "
                "pieces; build one of them with vocabularies.0.path = the tokenizer of the other"
            )
        if older.fingerprint == self.fingerprint:
            raise DatasetError(f"{older.uri}: is the dataset that is trained on, not an older one; name another to replay")
        return replace(self, replayed=older)

    def home(self, source: str) -> "TokenDataset":
        """Return the dataset whose folder has the shards of a source: this one, or the replayed one."""
        return self.replayed if self.replayed is not None and source.endswith(REPLAYED) else self

    def splits(self) -> list[str]:
        """Return the names of the splits that hold documents, sorted."""
        return sorted({*shards.splits(self.manifest), *(self.replayed.splits() if self.replayed else ())})

    def sources(self, split: str) -> list[str]:
        """Return the names of the sources that have documents in the split, sorted; those of the replayed dataset come last."""
        again = self.replayed.sources(split) if self.replayed else []
        return [*shards.sources(self.manifest, split), *(source + REPLAYED for source in again)]

    def parts(self, split: str, source: str) -> list[Part]:
        """Return the parts of one source's stream: languages by name, then parts by path."""
        home = self.home(source)
        return shards.stream(home.manifest, split, source if home is self else source.removesuffix(REPLAYED))

    def counts(self, split: str) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
        """Return the rows (documents), tokens and UTF-8 bytes of a split by source and language."""
        again = self.replayed.counts(split) if self.replayed else {}
        own = self.manifest.facts["tokens"].get(split, {})
        return {**own, **{source + REPLAYED: languages for source, languages in again.items()}}

    def totals(self, split: str) -> dict[str, int]:
        """Return the rows (documents), tokens and UTF-8 bytes of a split."""
        total = {"rows": 0, "tokens": 0, "utf8_bytes": 0}
        for languages in self.counts(split).values():
            for counts in languages.values():
                total = {key: total[key] + int(counts[key]) for key in total}
        return total

    def end_of_text(self) -> int:
        """Return the id of the piece between documents. Raises DatasetError if the vocabulary has none."""
        special_ids = self.tokenizer.special_ids
        if END_OF_TEXT not in special_ids:
            raise DatasetError(
                f"{self.uri}: its tokenizer has no piece {END_OF_TEXT}; "
                'add "gpt" to the families of its [[vocabularies]] section and build again'
            )
        return special_ids[END_OF_TEXT]


def open_dataset(uri: str, name: str | None = None) -> TokenDataset:
    """Open the tokens dataset of a folder, or of a build whose release.json names it (pass `name` if there are several).

    Raises DatasetError if there is none or it holds no tokens; TokenizerError if its tokenizer is missing or is not the one
    it was made with.
    """
    uri = shards.find(uri, name)
    content = manifest.read(uri)
    if "tokens" not in content.facts or "tokenizer" not in content.facts:
        raise DatasetError(f"{uri}: is the dataset {content.dataset!r}, which holds no tokens; name a tokens dataset")
    return TokenDataset(uri, content, loading.load(uri, content))


def open_runs(dataset: TokenDataset, split: str, source: str, *, verify: bool = False) -> list[ShardRun]:
    """Return the runs of one source's stream in order, without empty ones; `verify` also checks each file's sha256.

    Sizes, columns, offsets and counts are always checked. Raises ShardError for a file that is missing, truncated,
    damaged or from another dataset, DatasetError for a split or a source without documents.
    """
    return shards.open_stream(dataset.uri, dataset.manifest, split, source, verify=verify)
