"""Rules beside human judgement: the share of bad pages that each set removes, and of good pages that it keeps.

    make bench-quality
    make bench-quality OPTIONS="--labelled FILE.jsonl --pages a.warc.gz"

A labelled file has {"text", "label"} a line, 1 for good. The signs among the default rules were chosen on the file that is the
default here, so its own figures flatter them; "fold by fold" sets each sign's threshold on four fifths of the pages (at the value
that 8 % of their good pages miss) and judges the other fifth, five times over. Pages without labels show how much is dropped by
language.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rules_ours import dropped, extracted, measured

from pipelines.rule_thresholds import RuleSets
from pipelines.text.judgement.measures import Measures
from pipelines.text.judgement.rules import signs

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
LABELLED = SHARED / "quality" / "web-documents-labelled.jsonl"
PAGES = (SHARED / "extraction" / "pages.warc.gz", SHARED / "extraction" / "wcxb-dev.warc.gz")
SETS = (
    ("c4",),
    ("gopher",),
    ("gopher_repetition",),
    ("fineweb",),
    ("refinedweb",),
    ("c4", "gopher", "gopher_repetition", "fineweb"),
)
MISSED_BY_GOOD, FOLDS, REPEATS = 0.08, 5, 5
FEWEST_PAGES = 50  # of a language in the table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labelled", type=Path, default=LABELLED)
    parser.add_argument("--pages", type=Path, nargs="*", default=list(PAGES))
    options = parser.parse_args()
    if not options.labelled.exists():
        sys.exit(f"{options.labelled} is not there; name a labelled file with --labelled")
    rows = [json.loads(line) for line in options.labelled.read_text(encoding="utf-8").splitlines()]
    good = np.array([int(row["label"]) == 1 for row in rows])
    measures = measured([row["text"] for row in rows], ["en"] * len(rows))
    print(f"{len(rows):,} labelled pages, {good.sum():,} good      bad removed   good kept")
    for sets in SETS:
        show(", ".join(sets), dropped(measures, RuleSets.model_validate(list(sets)).thresholds()), good)
    found = show("the default", dropped(measures, RuleSets().thresholds()), good)
    folds = show(f"the default, fold by fold x {REPEATS}", *fold_by_fold(measures, good))
    dropped_by_language(extracted([path for path in options.pages if path.exists()]) if options.pages else [])
    for name, (removed, kept) in (("rules", found), ("rules_fold_by_fold", folds)):
        print(f"RESULT\t{name}_bad_removed\t{removed:.3f}\tshare\t>=0.50")
        print(f"RESULT\t{name}_good_kept\t{kept:.3f}\tshare\t>=0.85")


def show(name: str, removed: NDArray[np.bool_], good: NDArray[np.bool_]) -> tuple[float, float]:
    shares = float(removed[~good].mean()), float(1 - removed[good].mean())
    print(f"{name:<44}{shares[0]:>10.3f}{shares[1]:>12.3f}")
    return shares


def fold_by_fold(measures: pa.StructArray, good: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the verdicts on pages of the folds that the thresholds were not set on, and which of them are good."""
    random, verdicts, labels = np.random.default_rng(1), [], []
    for _ in range(REPEATS):
        order = random.permutation(len(good))
        for fold in range(FOLDS):
            held_out = order[fold::FOLDS]
            others = np.setdiff1d(order, held_out)
            thresholds = {**RuleSets().thresholds(), "signs": fitted(measures.take(pa.array(others)), good[others])}
            verdicts.append(dropped(measures.take(pa.array(held_out)), thresholds))
            labels.append(good[held_out])
    return np.concatenate(verdicts), np.concatenate(labels)


def fitted(measures: pa.StructArray, good: NDArray[np.bool_]) -> dict[str, float]:
    """Return each sign's threshold as the value that MISSED_BY_GOOD of the good pages miss."""
    seen = Measures(measures)
    share = {"below": MISSED_BY_GOOD, "above": 1 - MISSED_BY_GOOD}
    limits = {rule.threshold: float(np.nanquantile(rule.value(seen)[good], share[rule.broken])) for rule in signs.RULES}
    return {**RuleSets().thresholds()["signs"], **limits}


def dropped_by_language(pages: list[dict[str, str]]) -> None:
    languages = np.array([page["language"] or "?" for page in pages])
    removed = dropped(measured([page["text"] for page in pages], languages.tolist()), RuleSets().thresholds())
    for language, count in Counter(languages.tolist()).most_common():
        if count >= FEWEST_PAGES:
            share = removed[languages == language].mean()
            print(f"extracted pages in {language:<4}{count:>6,}{share:>18.3f} dropped")
            print(f"RESULT\trules_pages_dropped_{language}\t{share:.3f}\tshare\t-")


if __name__ == "__main__":
    main()
