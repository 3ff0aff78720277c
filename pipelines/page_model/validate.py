"""Judge the page model on sites that it has not seen: each page is read by a model that was trained without its site."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np

from pipelines.page_model import scores
from pipelines.page_model.train import SETTINGS, TREES, Pages, TrainingError, train
from pipelines.text.extraction.pages.extract import judged
from pipelines.text.extraction.pages.features import FEATURES
from pipelines.text.extraction.pages.forest import PageModel


@dataclass(frozen=True, slots=True)
class Validation:
    """What the models said of pages of sites that they had not seen."""

    texts: tuple[str, ...]  # in the order of the pages
    fallbacks: int  # pages that were read by rule
    summaries: dict[str, scores.Summary]  # by kind of page, and "all"


def validate(data: Pages, *, folds: int, seed: int, threads: int, on_fold: Callable[[int], None] = lambda _: None) -> Validation:
    """Cross-validate by site. Raise TrainingError if all sites are in one fold, or the pages teach nothing."""
    fold_of = data.groups(folds)
    used = np.unique(fold_of).tolist()
    if len(used) < 2:
        raise TrainingError(
            f"--folds {folds}: all pages ({len(data.site_names):,} {'site' if len(data.site_names) == 1 else 'sites'}) are in"
            " one fold, so that none is left to train on; name more folds (at least 2), or add pages of other sites"
        )
    texts, fallbacks = [""] * len(data.pages), 0
    for fold in used:
        model = train(data, fold_of != fold, seed=seed, threads=threads)
        for number in np.flatnonzero(fold_of == fold).tolist():
            page = judged(data.pages[number].tree, model)
            texts[number] = page.text()
            fallbacks += page.verdict.is_fallback
        on_fold(fold)
    matches = [(page.kind, scores.match(page.truth, text)) for page, text in zip(data.pages, texts, strict=True)]
    return Validation(tuple(texts), fallbacks, scores.summarise(matches))


def with_card(model: PageModel, data: Pages, validation: Validation, *, folds: int, seed: int, names: list[str]) -> PageModel:
    """Return the model with a card: its data, its settings, and how well its like did on other sites."""
    card: dict[str, Any] = {
        "trained": date.today().isoformat(),
        "data": names,
        "pages": len(data.pages),
        "sites": len(data.site_names),
        "blocks": sum(len(page.labels) for page in data.pages),
        "features": len(FEATURES),
        "trees": TREES,
        "settings": SETTINGS,
        "seed": seed,
        "validation": f"{folds} folds by site; word F1 and 4-token F1, means over pages",
        "scores": {
            name: {key: round(value, 4) for key, value in asdict(summary).items()}
            for name, summary in validation.summaries.items()
        },
        "read_by_rule": validation.fallbacks,
    }
    return PageModel(model.forest, model.lexicon, card)
