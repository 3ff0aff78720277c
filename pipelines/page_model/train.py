"""Train the model of web pages on labelled pages, and judge it on sites that it has not seen.

The lexicon that a page's features use must not know the page: in training, it is taken from other sites (`_INNER` groups).
Everything is a function of the pages, the truth and the seed: two trainings write the same bytes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from pipelines.contract.errors import UserError
from pipelines.page_model.labels import labels
from pipelines.page_model.lexicon import Counts, counted_names, counted_texts, counted_words, lexicon
from pipelines.text.extraction.pages.blocks import WIDTH, Blocks, blocks, texts
from pipelines.text.extraction.pages.features import FEATURES, features
from pipelines.text.extraction.pages.forest import Forest, PageModel
from pipelines.text.extraction.pages.tree import Tree, parse

_INNER = 4
TREES = 350
SETTINGS: dict[str, Any] = {
    "objective": "cross_entropy",  # labels are shares of words
    "num_leaves": 31,
    "learning_rate": 0.07,
    "min_data_in_leaf": 50,
    "max_bin": 63,
    "lambda_l2": 1.0,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


class TrainingError(UserError):
    """Labelled pages of which no model can be made; the message says what is missing."""


@dataclass(slots=True)
class LabelledPage:
    """A page and the text that people took from it."""

    url: str
    markup: bytes  # UTF-8
    truth: str
    kind: str = ""  # type or language, for reports
    tree: Tree = field(init=False)
    blocks: Blocks = field(init=False)
    labels: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        self.tree = parse(self.markup)
        self.blocks = blocks(self.tree)
        self.labels = labels(texts(self.tree, self.blocks), self.truth)


def site(url: str) -> str:
    """Return the site of a URL: its host's last two labels, three below a country's second level ("co.uk").

    >>> site("https://news.bbc.co.uk/a"), site("http://www.example.org:8080/")
    ('bbc.co.uk', 'example.org')
    """
    parts = (urlsplit(url).hostname or url).split(".")
    return ".".join(parts[-3:] if len(parts) > 2 and len(parts[-1]) == 2 and len(parts[-2]) <= 3 else parts[-2:])


def group_of(name: str, groups: int, salt: str = "") -> int:
    """Return the group of a site, by a hash: it does not depend on the other sites."""
    return int.from_bytes(hashlib.sha256(f"{name}{salt}".encode()).digest()[:4], "big") % groups


class Pages:
    """Labelled pages with what all trainings share."""

    def __init__(self, pages: Sequence[LabelledPage]) -> None:
        """Count the tokens of all pages."""
        self.pages = pages
        self.site_names = sorted({site(page.url) for page in pages})
        numbers = {name: number for number, name in enumerate(self.site_names)}
        self.sites = np.array([numbers[site(page.url)] for page in pages])
        self.counts = (
            Counts([counted_names(page.tree, page.blocks, page.labels) for page in pages], self.sites),
            Counts([counted_words(page.blocks, page.labels) for page in pages], self.sites),
            Counts([counted_texts(page.blocks, page.labels) for page in pages], self.sites),
        )

    def groups(self, count: int, salt: str = "") -> NDArray[np.int64]:
        """Return the group of each page, by site."""
        return np.array([group_of(name, count, salt) for name in self.site_names])[self.sites]

    def is_used(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which sites have a chosen page."""
        used = np.zeros(len(self.site_names), np.bool_)
        used[self.sites[chosen]] = True
        return used


def train(data: Pages, chosen: NDArray[np.bool_], *, seed: int = 1, threads: int = 1) -> PageModel:
    """Return a model of the chosen pages (a flag a page), without a card.

    Raise TrainingError if they teach nothing.
    """
    import lightgbm  # from the extra `bench`; nothing else needs it

    inner = data.groups(_INNER, "inner")
    matrices: dict[int, NDArray[np.float32]] = {}
    for group in range(_INNER):
        words = lexicon(data.counts, data.is_used(chosen & (inner != group)))
        for number in np.flatnonzero(chosen & (inner == group)).tolist():
            matrices[number] = features(data.pages[number].tree, data.pages[number].blocks, words)[0]
    order = sorted(matrices)
    rows = [data.pages[number] for number in order]
    dataset = lightgbm.Dataset(
        np.concatenate([matrices[number] for number in order]),
        np.concatenate([page.labels for page in rows]),
        weight=np.concatenate([np.sqrt(page.blocks.counts[:, WIDTH]) for page in rows]),
        feature_name=list(FEATURES),
    )
    booster: Any = lightgbm.train({**SETTINGS, "seed": seed, "num_threads": threads}, dataset, TREES)
    return PageModel(_forest(booster.dump_model()["tree_info"]), lexicon(data.counts, data.is_used(chosen)), {})


def _forest(trees: list[dict[str, Any]]) -> Forest:
    """Return LightGBM's trees as columns; a float32 is below its threshold exactly if it is below ours.

    Raise TrainingError if a tree has no split.
    """
    first: list[int] = []
    feature: list[int] = []
    threshold: list[float] = []
    children: list[list[int]] = []
    leaves: list[float] = []

    def add(node: dict[str, Any]) -> int:
        if "leaf_value" in node:
            leaves.append(node["leaf_value"])
            return ~(len(leaves) - 1)
        assert node["decision_type"] == "<=", node["decision_type"]
        number = len(feature)
        feature.append(node["split_feature"])
        threshold.append(node["threshold"])
        children.append([0, 0])
        children[number] = [add(node["left_child"]), add(node["right_child"])]
        return number

    for tree in trees:
        first.append(len(feature))
        if add(tree["tree_structure"]) != first[-1]:  # a single leaf
            raise TrainingError(
                "the labelled pages do not tell main text from the rest: they are too few, or no text is found in its page;"
                " add pages to the truth, or correct their texts"
            )
    exact = np.array(threshold)
    rounded = exact.astype(np.float32)
    rounded = np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    sides = np.array(children, np.int32)
    return Forest(
        np.array(first, np.int32),
        np.array(feature, np.int16),
        rounded,
        np.ascontiguousarray(sides[:, 0]),
        np.ascontiguousarray(sides[:, 1]),
        np.array(leaves, np.float32),
    )
