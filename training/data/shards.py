"""A tokens dataset, opened: its manifest, its tokenizer, and its shards as memory maps.

    dataset = open_dataset("build/demo")               # a dataset's folder, or a build's
    runs = open_runs(dataset, "train", "enwiki")       # record batches, in the order of the stream
    runs[0].tokens[runs[0].offsets[7] : runs[0].offsets[8]]   # the ids of document 7, still on disk
    runs[0].document(7)                                # the id of document 7

How a shard is mapped and checked is in `pipelines.contract.shards`, which the exports read, too.
"""

from dataclasses import dataclass

from pipelines.contract import manifest, shards
from pipelines.contract.manifest import DatasetError, Manifest, Part
from pipelines.contract.shards import ShardError, ShardRun
from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.families import END_OF_TEXT
from pipelines.contract.tokenizers.loading import Tokenizer

__all__ = ["END_OF_TEXT", "ShardError", "ShardRun", "TokenDataset", "open_dataset", "open_runs"]


@dataclass(frozen=True, slots=True)
class TokenDataset:
    """A tokens dataset: its folder and its manifest and its tokenizer."""

    uri: str
    manifest: Manifest
    tokenizer: Tokenizer

    @property
    def fingerprint(self) -> str:
        """Of everything that made the dataset."""
        return self.manifest.fingerprint

    def splits(self) -> list[str]:
        """Names of the splits that hold documents, sorted."""
        return shards.splits(self.manifest)

    def sources(self, split: str) -> list[str]:
        """Names of the sources that have documents in the split, sorted."""
        return shards.sources(self.manifest, split)

    def parts(self, split: str, source: str) -> list[Part]:
        """Parts of one source's stream: languages by name, then parts by path."""
        return shards.stream(self.manifest, split, source)

    def totals(self, split: str) -> dict[str, int]:
        """Rows (documents), tokens and UTF-8 bytes of a split."""
        total = {"rows": 0, "tokens": 0, "utf8_bytes": 0}
        for languages in self.manifest.facts["tokens"].get(split, {}).values():
            for counts in languages.values():
                total = {key: total[key] + int(counts[key]) for key in total}
        return total

    def end_of_text(self) -> int:
        """Id of the piece that stands between documents. Raises DatasetError when the vocabulary has none."""
        special_ids = self.tokenizer.special_ids
        if END_OF_TEXT not in special_ids:
            raise DatasetError(
                f"{self.uri}: its tokenizer has no piece {END_OF_TEXT}; "
                'add "gpt" to the families of its [[vocabularies]] section and build again'
            )
        return special_ids[END_OF_TEXT]


def open_dataset(uri: str, name: str | None = None) -> TokenDataset:
    """The tokens dataset at a folder: its own, or a build's folder whose release.json names it (`name` where several).

    Raises DatasetError when there is none, or when it holds no tokens; TokenizerError when its
    tokenizer is missing or is not the one that it was made with.
    """
    uri = shards.find(uri, name)
    found = manifest.read(uri)
    if "tokens" not in found.facts or "tokenizer" not in found.facts:
        raise DatasetError(f"{uri}: is the dataset {found.dataset!r}, which holds no tokens; name a tokens dataset")
    return TokenDataset(uri, found, loading.load(uri, found))


def open_runs(dataset: TokenDataset, split: str, source: str, *, verify: bool = False) -> list[ShardRun]:
    """The runs of one source's stream in order, none of them empty; `verify` also compares each file's sha256.

    Sizes, columns, offsets and counts are always checked. Raises ShardError for a file that is missing, truncated,
    damaged or of another dataset, DatasetError for a split or a source that has no documents.
    """
    return shards.open_stream(dataset.uri, dataset.manifest, split, source, verify=verify)
