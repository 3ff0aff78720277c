import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.config import FeedConfig
from training.data.draws import key
from training.data.order.sampler import permute
from training.data.rows.batch import IGNORE
from training.models.bert import BERT, BERTShape
from training.models.families import Model, make
from training.models.gpt import GPTShape
from training.run.device import Device
from training.run.feed import Feed, open_feed
from training.run.validation import Validation, measure, unigram_counts, unigram_entropy, validation

CPU = Device("cpu", "float32")


def feed(folder: Path, out: Path, split: str) -> Feed:
    config = FeedConfig.model_validate({"data": {"tokens": str(folder), "batch_rows": 8}, "rows": {"length": 16}})
    return open_feed(config, folder=out, split=split)


def held_out(folder: Path, out: Path, rows: int) -> Validation:
    return validation(feed(folder, out, "validation"), "validation", rows)


def test_entropy_is_that_of_add_one_frequencies(dataset_folder: Path, tmp_path: Path) -> None:
    made = feed(dataset_folder, tmp_path, "train")
    seen = unigram_counts(made)
    totals = made.dataset.totals("train")
    sources = len(made.index.streams)  # whose first token nothing predicts
    assert seen.sum() == totals["tokens"] + totals["rows"] - sources
    assert seen[made.dataset.end_of_text()] == totals["rows"]
    examples = held_out(dataset_folder, tmp_path, 10)
    targets = [target for batch in examples.batches for target in batch.examples["targets"].ravel().tolist() if target != IGNORE]
    by_hand = -sum(math.log((seen[target] + 1) / (seen.sum() + 300)) for target in targets)
    assert len(targets) == examples.targets
    assert unigram_entropy(made, examples) == pytest.approx(by_hand / len(targets))


def test_validation_rows_are_fixed_and_all_when_few(dataset_folder: Path, tmp_path: Path) -> None:
    some, again = held_out(dataset_folder, tmp_path, 7), held_out(dataset_folder, tmp_path, 7)
    assert 6 * 16 < some.targets <= 7 * 16  # the last row of a source may be shorter
    for one, other in zip(some.batches, again.batches, strict=True):
        assert np.array_equal(one.examples["inputs"], other.examples["inputs"])
    totals = feed(dataset_folder, tmp_path, "validation").dataset.totals("validation")
    sources = 1  # whose first token nothing predicts
    assert held_out(dataset_folder, tmp_path, 10**6).targets == totals["tokens"] + totals["rows"] - sources


LINES = "the old house\n\n  stood near the river"  # an empty line, and a line that begins with spaces
HELD_OUT = {
    "books": [LINES, "", f"{LINES}\n", "the people of the town " * 70],
    "wiki": ["das alte Haus stünde an der Brücke " * 20, "Größe\nüber 日本", "many stories " * 30],
}


@pytest.fixture(scope="module")
def two_sources(tmp_path_factory: pytest.TempPathFactory, make_dataset: Callable[..., Path]) -> Path:
    """Two sources to hold out, with lines, accents and an empty document."""
    texts = {("validation", source, "en"): [of] for source, of in HELD_OUT.items()}
    train = {("train", "books", "en"): [[f"{LINES} and the people", "the old house " * 40]]}
    return make_dataset(tmp_path_factory.mktemp("two") / "tokens", train | texts)


@dataclass
class Rank:
    """One of several processes, whose sums are added by the test; it counts its forward passes."""

    model: Model
    rank: int = 0
    size: int = 1
    forwards: int = 0
    others: list[Mapping[str, float]] = field(default_factory=list[Mapping[str, float]])
    own: dict[str, float] = field(default_factory=dict[str, float])

    def losses(self, examples: dict[str, Tensor]) -> dict[str, Tensor]:
        self.forwards += 1
        return self.model.losses(examples)

    def sums(self, values: Mapping[str, float]) -> dict[str, float]:
        self.own = dict(values)
        return {name: value + sum(other[name] for other in self.others) for name, value in values.items()}


def gpt() -> Model:
    return make(GPTShape(layers=1, heads=1, width=16, vocabulary=300, length=16, dropout=0.5), 1)


def held_out_of(folder: Path, out: Path, rows: int, **settings: object) -> tuple[Feed, Validation]:
    sections = {"data": {"tokens": str(folder), "batch_rows": 8}, "rows": {"length": 16, **settings}}
    made = open_feed(FeedConfig.model_validate(sections), folder=out, split="validation")
    return made, validation(made, "validation", rows)


@pytest.mark.parametrize("boundaries", [False, True])
def test_bytes_of_all_targets_are_those_of_the_texts(two_sources: Path, tmp_path: Path, boundaries: bool) -> None:
    made, examples = held_out_of(two_sources, tmp_path, 10**6, document_boundaries=boundaries)
    tokenizer = made.dataset.tokenizer
    assert examples.sources == ("books", "wiki")
    for source, texts in HELD_OUT.items():
        ids = [tokenizer.encode(text) for text in texts]
        unseen = texts if boundaries else texts[:1]  # whose first token is no target
        bytes_unseen = sum(len(tokenizer.decode(of[:1]).encode()) for of in ids[: len(unseen)])
        assert examples.targets_of((source,)) == sum(len(of) + 1 for of in ids) - len(unseen)
        assert examples.bytes_of((source,)) == sum(len(text.encode()) for text in texts) - bytes_unseen
    assert examples.bytes_of(examples.sources) == sum(examples.bytes_of((source,)) or 0 for source in examples.sources)


def test_bytes_where_a_tokenizer_changes_the_text_are_shared_out_by_source(two_sources: Path, tmp_path: Path) -> None:
    made, _ = held_out_of(two_sources, tmp_path, 1)
    lossy = replace(made, dataset=replace(made.dataset, tokenizer=replace(made.dataset.tokenizer, keeps_text=False)))
    examples = validation(lossy, "validation", 10**6)
    for source, texts in HELD_OUT.items():
        tokens = sum(len(made.dataset.tokenizer.encode(text)) + 1 for text in texts)
        size = sum(len(text.encode()) for text in texts)
        assert examples.bytes_of((source,)) == pytest.approx(size * (tokens - 1) / tokens)


def test_a_batch_is_of_one_source_and_the_rows_are_those_of_the_order_of_all(two_sources: Path, tmp_path: Path) -> None:
    made, examples = held_out_of(two_sources, tmp_path, 40)
    books, wiki = made.index.streams
    chosen = np.sort(permute(np.arange(40), len(made.index), key(20_260_101)))
    at = 0
    for batch in examples.batches:
        stream = books if batch.source == "books" else wiki
        numbers = chosen[at : at + len(batch.examples["inputs"])]
        at += len(numbers)
        assert len(numbers) <= 32
        assert stream.first <= numbers.min() <= numbers.max() < stream.first + stream.rows
        assert np.array_equal(batch.examples["inputs"], made.examples(numbers, key(1, numbers))["inputs"])
    assert at == 40


def test_a_loss_is_a_mean_over_targets_not_over_batches(two_sources: Path, tmp_path: Path) -> None:
    _, examples = held_out_of(two_sources, tmp_path, 10**6)
    model = gpt()
    figures = measure(Rank(model), examples, CPU, Rank(model))
    model.eval()
    nats = {source: 0.0 for source in HELD_OUT}
    for batch in examples.batches:
        nats[batch.source] += float(model.losses(CPU.tensors(batch.examples))["tokens"].detach())
    assert len(examples.batches) > len(HELD_OUT)
    assert set(figures) == {
        name + of for name in ("validation_loss", "validation_bits_per_byte") for of in ("", "/books", "/wiki")
    }
    for source, found in nats.items():
        assert figures[f"validation_loss/{source}"] == pytest.approx(found / examples.targets_of((source,)))
        bits = found / math.log(2) / (examples.bytes_of((source,)) or 0)
        assert figures[f"validation_bits_per_byte/{source}"] == pytest.approx(bits)
    assert figures["validation_loss"] == pytest.approx(sum(nats.values()) / examples.targets)
    assert figures["validation_bits_per_byte"] == pytest.approx(examples.bits_per_byte(figures["validation_loss"]))


def test_dropout_is_off_and_the_mode_of_the_model_stays(two_sources: Path, tmp_path: Path) -> None:
    _, examples = held_out_of(two_sources, tmp_path, 20)
    model = gpt()
    first = measure(Rank(model), examples, CPU, Rank(model))
    assert model.training
    model.eval()
    assert measure(Rank(model), examples, CPU, Rank(model)) == first
    assert not model.training
    with torch.no_grad():
        nats = sum(float(model.losses(CPU.tensors(batch.examples))["tokens"]) for batch in examples.batches)
    assert nats / examples.targets == pytest.approx(first["validation_loss"])


@pytest.mark.parametrize("size", [2, 3, 40])
def test_ranks_share_the_batches_and_make_equally_many_forward_passes(two_sources: Path, tmp_path: Path, size: int) -> None:
    _, examples = held_out_of(two_sources, tmp_path, 10**6)
    model = gpt()
    alone = measure(Rank(model), examples, CPU, Rank(model))
    ranks = [Rank(model, rank, size) for rank in range(size)]
    for rank in ranks:
        measure(rank, examples, CPU, rank)
    assert {rank.forwards for rank in ranks} == {-(-len(examples.batches) // size)}
    first = ranks[0]
    first.others = [rank.own for rank in ranks[1:]]
    assert measure(first, examples, CPU, first) == pytest.approx(alone, rel=1e-12)


def test_masked_tokens_have_losses_by_source_and_no_bits_per_byte(tmp_path: Path, make_dataset: Callable[..., Path]) -> None:
    texts = {("validation", source, "en"): [of] for source, of in HELD_OUT.items()}
    folder = make_dataset(tmp_path / "tokens", texts, families=("bert",))
    sections = {"objective": {"name": "masked_lm", "next_sentence": False}, "rows": {"length": 16}}
    config = FeedConfig.model_validate({"data": {"tokens": str(folder), "batch_rows": 8}, **sections})
    made = open_feed(config, folder=tmp_path, split="validation")
    examples = validation(made, "validation", 10**6)
    model = make(BERTShape(layers=1, heads=1, width=16, vocabulary=made.dataset.tokenizer.size, length=16), 1)
    figures = measure(Rank(model), examples, CPU, Rank(model))
    names = ("validation_loss", "validation_tokens_accuracy")
    assert set(figures) == {name + of for name in names for of in ("", "/books", "/wiki")}
    assert examples.bits_per_byte(1.0) is None
    assert figures["validation_loss"] == pytest.approx(math.log(made.dataset.tokenizer.size), rel=0.05)  # nothing is learnt yet


def test_both_terms_of_bert_are_measured_by_name_and_source(tmp_path: Path, make_dataset: Callable[..., Path]) -> None:
    texts = {("validation", source, "en"): [of] for source, of in HELD_OUT.items()}
    folder = make_dataset(tmp_path / "tokens", texts, families=("bert",), sentence_tokens=6)
    sections = {"objective": {"name": "masked_lm"}, "rows": {"length": 16, "packing": "pairs"}}
    config = FeedConfig.model_validate({"data": {"tokens": str(folder), "batch_rows": 8}, **sections})
    made = open_feed(config, folder=tmp_path, split="validation")
    examples = validation(made, "validation", 10**6)
    model = make(BERTShape(layers=1, heads=1, width=16, vocabulary=made.dataset.tokenizer.size, length=16), 1)
    assert isinstance(model, BERT)
    figures = measure(Rank(model), examples, CPU, Rank(model))
    model.eval()
    for source in ("", *HELD_OUT):
        batches = [batch.examples for batch in examples.batches if source in ("", batch.source)]
        nats = tokens = pairs_right = rows = masked = right = 0.0
        for batch in batches:
            with torch.no_grad():
                given = CPU.tensors(batch)
                logits, follows = model(given["inputs"], given["segments"], real(batch))
            wanted = torch.from_numpy(batch["next_sentence"])
            nats += float(torch.nn.functional.cross_entropy(follows, wanted, reduction="sum"))
            pairs_right += int((follows.argmax(-1) == wanted).sum())
            rows += len(wanted)
            for row, at, target in zip(logits, batch["masked_positions"], batch["targets"], strict=True):
                known = torch.from_numpy(target)[target != IGNORE]
                found = row[at[target != IGNORE]]
                tokens += float(torch.nn.functional.cross_entropy(found, known, reduction="sum"))
                right += int((found.argmax(-1) == known).sum())
                masked += len(known)
        suffix = f"/{source}" if source else ""
        assert figures[f"validation_loss{suffix}"] == figures[f"validation_tokens_loss{suffix}"]
        assert figures[f"validation_tokens_loss{suffix}"] == pytest.approx(tokens / masked, rel=1e-5)
        assert figures[f"validation_tokens_accuracy{suffix}"] == right / masked
        assert figures[f"validation_pairs_loss{suffix}"] == pytest.approx(nats / rows, rel=1e-5)
        assert figures[f"validation_pairs_accuracy{suffix}"] == pairs_right / rows
    assert len(figures) == 5 * 3


def real(batch: Mapping[str, NDArray[np.int64]]) -> Tensor:
    return torch.arange(batch["inputs"].shape[1]) < torch.from_numpy(batch["lengths"])[:, None]


def test_a_source_without_rows_has_no_figures(two_sources: Path, tmp_path: Path) -> None:
    made, _ = held_out_of(two_sources, tmp_path, 1)
    examples = validation(made, "validation", 1)
    (source,) = examples.sources
    model = gpt()
    figures = measure(Rank(model), examples, CPU, Rank(model))
    assert figures["validation_loss"] == figures[f"validation_loss/{source}"]
    assert len(figures) == 4


def test_a_batch_has_no_more_rows_than_a_micro_batch(two_sources: Path, tmp_path: Path) -> None:
    made, whole = held_out_of(two_sources, tmp_path, 40)
    cut = validation(made, "validation", 40, 3)
    assert max(len(batch.examples["inputs"]) for batch in cut.batches) == 3
    assert max(len(batch.examples["inputs"]) for batch in whole.batches) > 3
    model = gpt()
    assert measure(Rank(model), cut, CPU, Rank(model)) == pytest.approx(measure(Rank(model), whole, CPU, Rank(model)))
