"""The field's history in one table: n-grams, word2vec, fastText, GloVe and ELMo beside GPT and BERT, on the same text.

    make bench-ancestors
    make bench-ancestors OPTIONS="--data build/mine --bytes 8_000_000 --only 5-gram glove elmo elmo-characters"

Each model learns from --bytes of the train split of a corpus (by default the demo's; `make demo` builds it): the ancestors from
the beginning of every document, GPT and BERT at demo size from as many bytes of its rows. What is measured, and how, is in
training/ancestors/history.py: bits per byte of the validation split, WordSim-353, SimLex-999 and Google's analogies (from a
package that has them), and SST-2 with frozen features (left out where ../shared/data/downstream/sst2 is not there).

Runs and figures are written to build/bench-ancestors. A benchmark that was stopped resumes; remove the folder to start again.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.fetching.word_sets import word_sets
from training.ancestors.history import ANCESTORS, Row, coverage, history, table
from training.evaluation.compare import compare

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs" / "pretrain"
SST2 = ROOT.parent / "shared" / "data" / "downstream" / "sst2"
OUT = Path("build") / "bench-ancestors"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="build/demo", help="a build, or a tokens dataset")
    parser.add_argument("--bytes", type=int, default=2_000_000, help="UTF-8 bytes of text that each model learns from")
    parser.add_argument("--sst2", type=Path, default=SST2, help="folder of SST-2")
    parser.add_argument("--word-sets", type=Path, help="folder of word pairs and analogies; by default fetched, once")
    parser.add_argument(
        "--only", nargs="+", default=ANCESTORS, help="some of the ancestors; elmo-characters is not there by default"
    )
    parser.add_argument("--threads", type=int, default=2, help="of the neural models")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="for GPT and BERT")
    given = parser.parse_args(arguments)
    if not Path(given.data).exists():
        sys.exit(f"{given.data} is not there; `make demo` builds it, --data names another corpus")
    sst2 = given.sst2 if given.sst2.is_dir() else None
    if sst2 is None:
        print(f"SST-2 is left out: {given.sst2} is not there; --sst2 names the folder")
    changed = (f"data.tokens={json.dumps(str(given.data))}", f"train.threads={given.threads}", *given.set)
    models = compare([CONFIGS / "gpt_demo.toml", CONFIGS / "bert_demo.toml"], OUT / f"runs-{given.bytes}", changed, given.bytes)
    rows = history(
        given.data,
        OUT / f"ancestors-{given.bytes}",
        runs=[Path(model.report.out) for model in models],
        sets=given.word_sets or word_sets(),
        sst2=sst2,
        only=given.only,
        limit=given.bytes,
        threads=given.threads,
    )
    print("\n" + "\n".join(table(rows)))
    print(f"\nwords with a vector: {coverage(rows)}\n")
    print("\n".join(results(rows)))


def results(rows: Sequence[Row]) -> list[str]:
    """Return a RESULT line for every figure. Goals: better than a unigram model, and than vectors that mean nothing."""
    base = {row.name: row for row in rows}
    lines: list[str] = []
    for row in rows:
        if row.bits_per_byte is not None:
            unigram = base["1-gram"].bits_per_byte if "1-gram" in base else None
            goal = "-" if row.name == "1-gram" or unigram is None else f"<{unigram:.3f}"
            lines.append(_result(f"ancestors_{row.name}_bits_per_byte", row.bits_per_byte, "bits/byte", goal))
        for name, score in row.words.items():
            if not math.isnan(score.value):
                unit = "accuracy" if name == "analogies" else "Spearman"
                lines.append(_result(f"ancestors_{row.name}_{name}", score.value, unit, "-"))
        if row.sst2 is not None:
            goal = "-" if row.name == "random" or "random" not in base else f">{base['random'].sst2:.3f}"
            lines.append(_result(f"ancestors_{row.name}_sst2", row.sst2, "accuracy", goal))
        lines.append(_result(f"ancestors_{row.name}_training", row.seconds, "s", "-"))
    return lines


def _result(name: str, value: float, unit: str, goal: str) -> str:
    return f"RESULT\t{name}\t{value:.4f}\t{unit}\t{goal}"


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
