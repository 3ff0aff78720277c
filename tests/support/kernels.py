"""Compile every numba kernel into numba's cache, so that neither a first build nor the tests wait for it (`make setup`).

    python tests/support/kernels.py

It reads hostile web pages, builds the tests' tiny corpus with the stages that are off by default, and makes one batch with
every objective.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pyarrow as pa

from flows import drive
from pipelines import config as corpus_config
from pipelines.contract import shards
from pipelines.fetching.download import FetchError
from pipelines.fetching.language_model import lid_model
from pipelines.text.characters.normalize import normalize
from pipelines.text.extraction.extractors import EXTRACTORS
from pipelines.text.extraction.pages.about import about, images_of
from pipelines.text.extraction.pages.tree import parse
from pipelines.units.context import Context
from training.data.config import FeedConfig
from training.data.draws import key
from training.data.order.sampler import sampler
from training.data.rows.index import open_rows
from training.data.shards import open_dataset
from training.objectives.configured import layout, objective

CORPUS = Path(__file__).resolve().parents[1] / "data" / "kernels.toml"
# Each makes the corpus again from where it matters.
VARIANTS = [
    {},
    {"deduplicate.verify": "jaccard"},
    {"deduplicate.verify": "edit", "deduplicate.scheme": "affine64"},
    {"deduplicate.enabled": False, "repeats.lines_limit": 1},  # copies stay, and their repeated lines are cut
]
UNTIDY = ["of\u00adten \u2003 spaced\u200b, caf\u0065\u0301 \ufb01"]
OBJECTIVES: list[dict[str, Any]] = [
    {"objective": {"name": "causal_lm"}},
    {"objective": {"name": "causal_lm"}, "rows": {"document_boundaries": True}},
    {"objective": {"name": "causal_lm"}, "rows": {"packing": "best_fit"}},
    {"objective": {"name": "masked_lm"}},
    {"objective": {"name": "masked_lm", "next_sentence": False, "whole_words": True}},
    {"objective": {"name": "text_infilling"}},
    {"objective": {"name": "text_infilling", "spans_of": "tokens"}},
    {"objective": {"name": "span_corruption"}},
    {"objective": {"name": "ul2"}},
]


def main() -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        web_pages()
        build(Path(folder))
        train(Path(folder))
    print(f"kernels are compiled ({time.monotonic() - began:.0f} s)")


def build(folder: Path) -> None:
    """Build the corpus in this process, with every way to compare documents."""
    (folder / "question.jsonl").write_text(json.dumps({"question": "one two three four five six seven eight nine ten " * 2}))
    settings = {"decontaminate.paths": [f"{folder}/*.jsonl"]} | language()
    for variant in VARIANTS:
        overrides = tuple(f"{name}={json.dumps(value)}" for name, value in (settings | variant).items())
        drive.build(Context(corpus_config.load(CORPUS, overrides), str(folder / "out")), gated=False)
    normalize(pa.array(UNTIDY))


def web_pages() -> None:
    """Read pages of every kind in both formats: they need kernels that the tiny corpus does not."""
    for markdown in (False, True):
        with EXTRACTORS["corpusmill"].opened(markdown=markdown) as extract:
            for make in hostile.PAGES.values():
                tree = parse(make(3000))
                about(tree, "http://example.com/a/b", {}, "2024-05-18T01:58:10Z")
                images_of(tree)
                extract("", tree)


def language() -> dict[str, Any]:
    """Name the language model, or leave languages out where it cannot be fetched."""
    try:
        return {"language.model": str(lid_model())}
    except FetchError as error:
        print(error, file=sys.stderr)
        return {"language.enabled": False}


def train(folder: Path) -> None:
    """Make a batch with every objective."""
    dataset = open_dataset(shards.find(str(folder / "out"), "bpe"))
    for case in OBJECTIVES:
        given = {"data": {"tokens": dataset.uri, "batch_rows": 4}, **case, "rows": {"length": 64, **case.get("rows", {})}}
        config = FeedConfig.model_validate(given)
        make = objective(config, dataset)
        index = open_rows(dataset, "train", folder / "rows", layout(config, make, dataset), seed=1)
        numbers = sampler(index.streams, seed=1).batch(0, 4)
        make(index.gather(numbers), key(1, 0, np.arange(4)))


if __name__ == "__main__":
    main()
