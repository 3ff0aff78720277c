"""From a config to the objective and the layout of its rows: every number that is passed on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.contract.tokenizers import pieces
from training.data.config import FeedConfig
from training.data.rows.layout import Layout
from training.data.shards import TokenDataset, open_dataset
from training.objectives.causal_lm import CausalLM
from training.objectives.configured import KINDS, ObjectiveError, layout, objective
from training.objectives.masked_lm import MaskedLM
from training.objectives.span_corruption import SpanCorruption
from training.objectives.text_infilling import TextInfilling
from training.objectives.ul2 import Denoiser, MixtureOfDenoisers


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, make_dataset: Callable[..., Path], documents: Any) -> TokenDataset:
    folder = make_dataset(tmp_path_factory.mktemp("configured") / "tokens", documents, families=("bert", "gpt", "bart", "t5"))
    return open_dataset(str(folder))


def made(dataset: TokenDataset, name: str, rows: dict[str, Any] | None = None, **numbers: Any) -> tuple[Any, Layout]:
    sections = {"data": {"tokens": "t", "batch_rows": 4}, "rows": {"length": 32} | (rows or {})}
    config = FeedConfig.model_validate(sections | {"objective": {"name": name, **numbers}})
    found = objective(config, dataset)
    return found, layout(config, found, dataset)


def test_every_kind_has_its_family_and_its_rows() -> None:
    assert {name: (kind.family, kind.version, kind.packing) for name, kind in KINDS.items()} == {
        "causal_lm": ("gpt", 1, "concatenate"),
        "masked_lm": ("bert", 1, "pairs"),
        "text_infilling": ("bart", 1, "sentences"),
        "span_corruption": ("t5", 1, "concatenate"),
        "ul2": ("t5", 1, "concatenate"),
    }


def test_causal_lm(dataset: TokenDataset) -> None:
    found, rows = made(dataset, "causal_lm")
    pad = found.pad
    assert found == CausalLM(32, pad) and rows == Layout("concatenate", 33, overlap=1, separator=dataset.end_of_text())
    found, rows = made(dataset, "causal_lm", {"document_boundaries": True, "packing": "best_fit", "long_documents": "crop"})
    assert found == CausalLM(32, pad, document_boundaries=True)
    assert rows == Layout("best_fit", 33, overlap=1, separator=dataset.end_of_text(), long_documents="crop")
    with pytest.raises(ObjectiveError, match=r"^rows\.packing: 'sentences' has no end of text, which causal_lm learns; choose"):
        made(dataset, "causal_lm", {"packing": "sentences"})
    with pytest.raises(ObjectiveError, match=r"^rows\.packing: 'pairs' does not go with causal_lm; pairs are the rows"):
        made(dataset, "causal_lm", {"packing": "pairs"})


def test_masked_lm(dataset: TokenDataset) -> None:
    found, rows = made(dataset, "masked_lm", {"copies": 7, "short_share": 0.25})
    assert isinstance(found, MaskedLM)
    assert (found.length, found.vocabulary_size, found.share, found.max_predictions) == (32, dataset.tokenizer.size, 0.15, None)
    assert found.pairs and found.word_start is None and found.opens_word is None
    assert rows == Layout("pairs", 29, copies=7, short_share=0.25)
    found, rows = made(dataset, "masked_lm", {"copies": 7}, next_sentence=False, whole_words=True, share=0.5, max_predictions=3)
    assert (found.share, found.max_predictions, found.pairs) == (0.5, 3, False)
    table = pieces.piece_table(dataset.tokenizer)
    assert found.word_start is not None and found.opens_word is not None
    assert np.array_equal(found.word_start, table["word_start"].to_numpy())
    assert np.array_equal(found.opens_word, table["opens_word"].to_numpy())
    assert rows == Layout("document", 30)
    for packing, numbers in (("pairs", {"next_sentence": False}), ("document", {})):
        with pytest.raises(ObjectiveError, match=rf"^rows\.packing: '{packing}' does not go with masked_lm"):
            made(dataset, "masked_lm", {"packing": packing}, **numbers)


def test_text_infilling(dataset: TokenDataset) -> None:
    numbers = {"share": 0.4, "mean_span": 2.5, "spans_of": "tokens", "permute_share": 0.75, "random_share": 0.125}
    found, rows = made(dataset, "text_infilling", **numbers)
    assert isinstance(found, TextInfilling)
    assert {name: getattr(found, name) for name in numbers} == numbers
    assert (found.length, found.vocabulary_size) == (32, dataset.tokenizer.size)
    assert np.array_equal(found.word_start, pieces.piece_table(dataset.tokenizer)["word_start"].to_numpy())
    assert rows == Layout("sentences", 30, sentences=True)
    assert made(dataset, "text_infilling", {"packing": "document"})[1] == Layout("document", 30, sentences=True)


def test_span_corruption(dataset: TokenDataset) -> None:
    found, rows = made(dataset, "span_corruption", share=0.25, mean_span=2.0, target_length=40)
    specials = found.specials
    assert found == SpanCorruption(32, specials, 0.25, 2.0, 40) and found.target_length == 40
    assert rows == Layout("concatenate", found.row_tokens)
    found, rows = made(dataset, "span_corruption", {"packing": "document"})
    assert found == SpanCorruption(32, specials, 0.15, 3.0, 0) and rows == Layout("document", found.row_tokens)


def test_ul2(dataset: TokenDataset) -> None:
    found, rows = made(dataset, "ul2")
    assert isinstance(found, MixtureOfDenoisers)
    assert [(one.mode, one.share, one.mean_span, one.weight) for one in found.denoisers] == [
        ("R", 0.15, 3, 1), ("R", 0.15, 8, 1), ("S", 0.25, None, 1), ("X", 0.5, 3, 1), ("X", 0.5, 8, 1), ("X", 0.15, 64, 1),
        ("X", 0.5, 64, 1),
    ]  # fmt: skip
    ids = dataset.tokenizer.special_ids
    assert found.modes == {"R": ids["<extra_id_99>"], "S": ids["<extra_id_98>"], "X": ids["<extra_id_97>"]}
    assert rows == Layout("concatenate", found.row_tokens)
    only = {"mode": "S", "share": 0.5, "weight": 3}
    found, rows = made(dataset, "ul2", {"packing": "document"}, denoisers=[only])
    assert found.denoisers == (Denoiser("S", 0.5, None, 3),) and rows.packing == "document"


@pytest.mark.parametrize("name", ["masked_lm", "text_infilling", "span_corruption", "ul2"])
def test_boundaries_of_documents_belong_to_causal_lm(dataset: TokenDataset, name: str) -> None:
    with pytest.raises(ObjectiveError, match=rf"^rows\.document_boundaries: belongs to causal_lm, but the objective is {name}"):
        made(dataset, name, {"document_boundaries": True})
