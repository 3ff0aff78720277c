"""Validation: loss on held-out rows, by source, and the entropy of token frequencies to compare it with.

    held_out = validation(feed, "validation", rows=512)
    measure(learner, held_out, device, world)
    # {"validation_loss": 3.9, "validation_bits_per_byte": 1.7, "validation_loss/enwiki": 4.1, …}

`validation_loss` is that of tokens alone. BERT's has its terms by name beside it, as lines of training have them
(training/run/terms.py): validation_tokens_loss (the same), validation_pairs_loss, validation_tokens_accuracy,
validation_pairs_accuracy.

A loss is the mean over targets, in nats, for each source and for all. The rows are the same in every run over the same row
index, for any number of processes. A source without rows among them has no figures.

Bits per byte are the nats of all targets / ln 2 / the UTF-8 bytes of text that these targets represent; an end-of-text costs
nats and represents no byte. Tokens that are no targets (the first token of a source; with document_boundaries that of each
document) count in neither. The bytes therefore add up: all rows of a split have the split's bytes, except those first tokens,
and the figure for all sources is the mean of the sources' figures weighted by bytes.
Only causal_lm has bits per byte. A masked or restored token is predicted with the rest of the text in view, and knowing how
much is missing costs nothing: the nats of such targets over bytes are not a code length of the text, and would be compared
with numbers that are. Their losses stay in nats per target.
"""

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.contract.tokenizers import pieces
from training.data.draws import key
from training.data.order.sampler import permute
from training.data.rows.batch import IGNORE, Examples
from training.data.shards import TokenDataset
from training.generation.answers import evaluated
from training.objectives.configured import KINDS
from training.run import terms
from training.run.config import PretrainConfig
from training.run.device import Device
from training.run.feed import Feed

LOSS, BITS = "validation_loss", "validation_bits_per_byte"  # for all sources; for one, followed by "/<source>"
TERM = "validation_"  # followed by the name of a figure of training.run.terms
_ROWS_PER_BATCH = 32
_COUNTED_ROWS = 2**16  # for the frequencies of tokens
_ROWS_SEED = 20_260_101  # chooses the validation rows: the same in every run over the same data


class Learning(Protocol):
    """The model to measure, by itself or shared among processes (training/run/distributed/processes.py)."""

    @property
    def model(self) -> nn.Module:
        """The module whose mode is changed during the measurement."""
        ...

    def losses(self, examples: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the sum of the loss by term, in nats, and the numbers of right predictions."""
        ...


class Ranks(Protocol):
    """The processes that share the batches."""

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        ...

    @property
    def size(self) -> int:
        """The number of processes."""
        ...

    def sums(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sum each value over all processes, which pass the same keys."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """Held-out examples of one source."""

    source: str
    examples: Examples
    counts: Mapping[str, int]  # predictions by term; "tokens" are the targets
    utf8_bytes: float | None  # of the text of the targets; None unless every token is predicted


@dataclass(frozen=True, slots=True)
class Validation:
    """Fixed examples of a split, in batches of at most 32 rows (or as many as a micro-batch) of one source."""

    batches: tuple[Held, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources of the batches, in their order."""
        return tuple(dict.fromkeys(batch.source for batch in self.batches))

    @property
    def targets(self) -> int:
        """The number of predictions."""
        return self.targets_of(self.sources)

    def targets_of(self, sources: tuple[str, ...]) -> int:
        """Count the predictions in the batches of these sources."""
        return self.counts_of(sources)["tokens"]

    def counts_of(self, sources: tuple[str, ...]) -> dict[str, int]:
        """Count the predictions in the batches of these sources by term."""
        counted = [batch.counts for batch in self.batches if batch.source in sources]
        return {"tokens": 0} | {term: sum(counts[term] for counts in counted) for term in (counted[0] if counted else ())}

    def bytes_of(self, sources: tuple[str, ...]) -> float | None:
        """Return the UTF-8 bytes of the text of their targets; None unless all text is predicted."""
        known = [batch.utf8_bytes for batch in self.batches if batch.source in sources and batch.utf8_bytes is not None]
        return sum(known) or None

    def bits_per_byte(self, loss: float) -> float | None:
        """Convert nats per target to bits per UTF-8 byte of text, which are comparable across vocabularies."""
        utf8_bytes = self.bytes_of(self.sources)
        return None if utf8_bytes is None else loss * self.targets / math.log(2) / utf8_bytes


def micro_batch(config: PretrainConfig, processes: int = 1) -> int | None:
    """Return the rows of a micro-batch, if steps are cut: evaluation then takes no more rows at a time."""
    parts = config.train.accumulate * processes
    return None if config.train.accumulate == 1 else -(-config.data.batch_rows // parts)


def validation(feed: Feed, split: str, rows: int, micro_batch: int | None = None) -> Validation:
    """Return the first `rows` rows of the feed's split (or all) in a fixed hashed order, always with the same draws.

    `micro_batch` is how many rows fit into memory at a time, if that is known.
    """
    batch_rows = min(_ROWS_PER_BATCH, micro_batch or _ROWS_PER_BATCH)
    size_of = _Bytes(feed, split) if KINDS[feed.config.objective.name].predicts_all_text else None
    return Validation(
        tuple(
            Held(source, examples, feed.counts(examples), size_of(source, examples) if size_of else None)
            for source, examples in _fixed(feed, rows, batch_rows)
        )
    )


def measure(learner: Learning, examples: Validation, device: Device, world: Ranks) -> dict[str, float]:
    """Return losses and, for causal_lm, bits per byte, for all and by source, under the names at the module's head.

    Every rank has to call it; it computes every `size`-th batch and returns the same. All ranks run the same number of forward
    passes, as FSDP requires: a rank without a batch repeats the last and does not count it. The model's mode is restored.
    """
    names: list[str] = []  # what the model sums
    sums: list[Tensor] = []
    mine: list[Held] = []
    with evaluated(learner.model), torch.no_grad(), device.autocast():
        for at in range(0, len(examples.batches), world.size):
            batch = examples.batches[min(at + world.rank, len(examples.batches) - 1)]
            found = learner.losses(device.tensors(batch.examples))
            names = list(found)
            if at + world.rank < len(examples.batches):
                sums.append(torch.stack([found[name].double() for name in names]))
                mine.append(batch)
    values: list[list[float]] = torch.stack(sums).tolist() if sums else []  # synchronises with the device once
    summed = {(source, name): 0.0 for source in examples.sources for name in names}
    for batch, line in zip(mine, values, strict=True):
        for name, value in zip(names, line, strict=True):
            summed[batch.source, name] += value
    summed = dict(zip(summed, world.sums({f"{name}/{source}": n for (source, name), n in summed.items()}).values(), strict=True))
    figures = _figures(examples, examples.sources, _of(summed, examples.sources), "")
    for source in examples.sources:
        figures |= _figures(examples, (source,), _of(summed, (source,)), f"/{source}")
    return figures


def terms_of(figures: Mapping[str, float]) -> dict[str, float]:
    """Return the terms' figures for all sources from those of `measure`, by the names of training.run.terms."""
    return {name: figures[TERM + name] for name in terms.NAMES if TERM + name in figures}


def _of(summed: Mapping[tuple[str, str], float], sources: tuple[str, ...]) -> dict[str, float]:
    """Add up the sums of these sources, by name."""
    names = dict.fromkeys(name for _, name in summed)
    return {name: sum(summed[source, name] for source in sources) for name in names}


def unigram_entropy(feed: Feed, examples: Validation) -> float:
    """Return the mean loss of the unigram model of training targets (add-one smoothing), in nats per target.

    A model that has learnt anything from the context of its targets is below it.
    """
    frequencies = unigram_counts(feed).astype(np.float64) + 1
    cost = np.log(frequencies.sum()) - np.log(frequencies)
    return sum(float(cost[_predicted(batch.examples)].sum()) for batch in examples.batches) / examples.targets


def unigram_counts(feed: Feed) -> NDArray[np.int64]:
    """Count how often each token is a target in up to 65,536 rows of the feed, chosen by hash: (V,)."""
    counts = np.zeros(feed.dataset.tokenizer.size, dtype=np.int64)
    for _, batch in _fixed(feed, _COUNTED_ROWS, 1024):
        counts += np.bincount(_predicted(batch), minlength=len(counts))
    return counts


def _figures(examples: Validation, sources: tuple[str, ...], sums: Mapping[str, float], name: str) -> dict[str, float]:
    """Return the loss, its terms and bits per byte of these sources, for which the model summed `sums`."""
    counts, nats = examples.counts_of(sources), sums["tokens"]
    found = {LOSS + name: nats / max(counts["tokens"], 1)}
    found |= {f"{TERM}{figure}{name}": value for figure, value in terms.figures(sums, counts).items()}
    if utf8_bytes := examples.bytes_of(sources):
        found[BITS + name] = nats / math.log(2) / utf8_bytes
    return found


def _fixed(feed: Feed, rows: int, batch_rows: int) -> Generator[tuple[str, Examples]]:
    """Yield the first `rows` rows of a fixed hashed order, always with the same draws, source by source."""
    numbers = permute(np.arange(min(rows, len(feed.index)), dtype=np.int64), len(feed.index), key(_ROWS_SEED))
    numbers.sort()  # neighbours on disk are read together, and the rows of a source follow each other
    for stream in feed.index.streams:
        first, end = np.searchsorted(numbers, [stream.first, stream.first + stream.rows]).tolist()
        for at in range(first, end, batch_rows):
            chunk = numbers[at : min(at + batch_rows, end)]
            yield stream.source, feed.examples(chunk, key(_ROWS_SEED, chunk))


class _Bytes:
    """The UTF-8 bytes of text that the targets of causal_lm represent.

    If the tokenizer keeps the text, bytes are counted piece by piece, and all rows have the bytes of the documents (except for
    U+2581, SentencePiece's mark of a space, if the text itself contains it). If it changes the text (lower case), each token
    counts as the source's mean over the split, ends of text included.
    """

    def __init__(self, feed: Feed, split: str) -> None:
        tokenizer = feed.dataset.tokenizer
        self._exact = tokenizer.keeps_text
        table = pieces.piece_table(tokenizer)
        self._size = table["utf8_bytes"].to_numpy().astype(np.int64)  # by id
        # the first piece of a line has a mark of a space that is not in the text
        begins = [feed.dataset.end_of_text(), *([] if tokenizer.newline_id is None else [tokenizer.newline_id])]
        self._opens_line = np.isin(np.arange(tokenizer.size), begins)
        self._has_prefix = np.where(self._opens_line, 0, tokenizer.line_prefix_bytes)
        self._share = _bytes_per_token(feed.dataset, split)

    def __call__(self, source: str, examples: Examples) -> float:
        predicted = examples["targets"] != IGNORE
        targets, before = examples["targets"][predicted], examples["inputs"][predicted]
        if not self._exact:
            return len(targets) * self._share[source]
        first = self._opens_line[before]
        return float(self._size[targets].sum() - self._has_prefix[targets[first]].sum())


def _bytes_per_token(dataset: TokenDataset, split: str) -> dict[str, float]:
    """Return for each source the UTF-8 bytes of the split over its tokens, with one end of text per document."""
    shares: dict[str, float] = {}
    for source, languages in dataset.counts(split).items():
        sums = {name: sum(int(counts[name]) for counts in languages.values()) for name in ("rows", "tokens", "utf8_bytes")}
        shares[source] = sums["utf8_bytes"] / max(sums["tokens"] + sums["rows"], 1)
    return shares


def _predicted(batch: Examples) -> NDArray[np.int64]:
    return batch["targets"][batch["targets"] != IGNORE]
