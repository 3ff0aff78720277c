"""The quality score beside people's judgement of web pages.

    make bench-quality-score
    make bench-quality-score OPTIONS="--build build/demo"       # the score of a build's own classifier, too
    make bench-quality-score OPTIONS="--labelled FILE --fit"    # other labelled pages; the weights for text/judgement/prose.py

The labelled pages are lines of JSON with `text` and `label` (1: better), by default those of ../shared/data/quality. Figures
are areas under the curve: the share of pairs of a better and a worse page that the score puts in the right order. `controlled`
compares only pages of about the same length (fifths of the pages), so that length cannot be the answer. The weights of prose
are fitted on nine tenths and judged on the tenth, five times; those of the program were fitted on all of
../shared/data/quality.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.config import QualitySection
from pipelines.contract import manifest
from pipelines.datasets.classifier import WORDS_WEIGHT, Classifier
from pipelines.release import published_folders
from pipelines.text.judgement.classifier import area_under_curve
from pipelines.text.judgement.measures import Measures, measure
from pipelines.text.judgement.prose import ANY, ENGLISH, features
from pipelines.text.judgement.words import WordLists
from pipelines.units.context import Dataset

LABELLED = Path(__file__).resolve().parents[2] / "shared" / "data" / "quality" / "web-documents-labelled.jsonl"
ROUNDS, FOLDS, PENALTY = 5, 10, 0.03
LENGTHS = 5  # groups of pages of about one length

Scores = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labelled", type=Path, default=LABELLED)
    parser.add_argument("--build", help="an output folder whose classifier is judged, too")
    parser.add_argument("--fit", action="store_true", help="print the weights fitted on all pages")
    options = parser.parse_args()
    if not options.labelled.exists():
        sys.exit(f"{options.labelled} is not there; --labelled names lines of JSON with `text` and `label`")
    rows = [json.loads(line) for line in options.labelled.read_text().splitlines()]
    texts, better = pa.array([row["text"] for row in rows]), np.array([bool(row["label"]) for row in rows])
    lengths = np.log([len(row["text"]) for row in rows])
    column = measured(texts)
    prose = cross_validated(features(Measures(column), ENGLISH), better)
    judged = {"length": lengths, "prose": prose, "prose_any": cross_validated(features(Measures(column), ANY), better)}
    if options.build:
        judged |= of_build(options.build, texts, column, prose)
    print(f"{len(rows)} pages, of which {better.sum()} are better")
    for name, scores in judged.items():
        whole, controlled = area_under_curve(scores, better), area_at_length(scores, better, lengths)
        print(f"RESULT\tquality_{name}\t{whole:.3f}\tarea under the curve\t{'>=.80' if name in ('prose', 'score') else '-'}")
        print(f"RESULT\tquality_{name}_controlled\t{controlled:.3f}\tarea under the curve\t-")
    if options.fit:
        for names in (ENGLISH, ANY):
            show_weights(list(names), features(Measures(column), names), better)


def measured(texts: pa.Array) -> pa.StructArray:
    lists = WordLists.of(QualitySection().stop_words)
    return measure(texts, pa.array(["en"] * len(texts)), lists, WordLists.of({}))


def of_build(out: str, texts: pa.Array, column: pa.StructArray, prose: Scores) -> dict[str, Scores]:
    """Return the scores of a build's words, and of words joined with cross-validated prose."""
    folder = published_folders(out)["classifier"]
    classifier = Classifier.load(Dataset(folder, manifest.read(folder)))
    if classifier is None:
        sys.exit(f"{out}: its classifier is off")
    probability = np.clip(classifier.words(texts).to_numpy().astype(np.float64), 1e-3, 1 - 1e-3)
    words = np.log(probability / (1 - probability))
    joined = standard(prose) + WORDS_WEIGHT * standard(words)
    return {"words": words, "score": joined}


def standard(values: Scores) -> Scores:
    return (values - values.mean()) / values.std()


def cross_validated(columns: NDArray[np.float64], better: NDArray[np.bool_]) -> Scores:
    """Return log-odds of pages by models that have not seen them, the mean of several divisions."""
    rounds: list[Scores] = []
    for seed in range(ROUNDS):
        division = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        held_out: Any = cross_val_predict(regression(), np.nan_to_num(columns), better, cv=division, method="decision_function")
        rounds.append(held_out)
    return np.mean(rounds, axis=0)


def regression() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY))


def area_at_length(scores: Scores, better: NDArray[np.bool_], lengths: Scores) -> float:
    """Return the area under the curve over pairs of pages of about the same length."""
    group = np.searchsorted(np.quantile(lengths, np.linspace(0, 1, LENGTHS + 1)[1:-1]), lengths)
    right = pairs = 0.0
    for number in range(LENGTHS):
        here = group == number
        good, poor = int((better & here).sum()), int((~better & here).sum())
        if good and poor:
            right += area_under_curve(scores[here], better[here]) * good * poor
            pairs += good * poor
    return right / max(1.0, pairs)


def show_weights(names: list[str], columns: NDArray[np.float64], better: NDArray[np.bool_]) -> None:
    fitted: Any = regression().fit(np.nan_to_num(columns), better)
    scaler, model = fitted[0], fitted[1]
    for name, mean, deviation, weight in zip(names, scaler.mean_, scaler.scale_, model.coef_[0], strict=True):
        print(f'    "{name}": Weight({mean:.4g}, {deviation:.4g}, {weight:.3g}),')


if __name__ == "__main__":
    main()
