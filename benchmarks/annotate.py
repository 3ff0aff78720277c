"""Documents a second that our fine-tuned models judge in a build, on one core.

    make bench-annotate
    make bench-annotate OPTIONS="--sizes demo --documents 20"

A BERT of each size learns a regression from made records for one step (what it answers does not matter here) and judges made
documents of 500 words in its process, as `[[quality.models]] run` does: the first 512 tokens of each. `together` is the rate of
the same rows in batches of like length, as `corpusmill predict` reads them: what reading one at a time costs, so that a score
does not depend on its neighbours.
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from pipelines.text.judgement.annotators.process import Annotator
from training.run.device import prepare
from training.tasks import tuned as tuning
from training.tasks.finetune import finetune
from training.tasks.input.records import of_columns

SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
SHORT, LONG = 50, 500  # words
CONFIG = """
[task]
kind = "classification"
regression = true
train = "{folder}/train.jsonl"
length = 512
[model.new]
family = "bert"
size = "{size}"
vocabulary = 2000
[train]
steps = 1
batch_rows = 2
threads = 1
device = "cpu"
tensorboard = false
[run]
out = "{folder}/run"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="demo,small", help="of BERT, with commas between")
    parser.add_argument("--documents", type=int, default=32)
    options = parser.parse_args()
    draw = random.Random(1)
    documents = {words: [text(draw, words) for _ in range(options.documents)] for words in (SHORT, LONG)}
    lines: list[str] = []
    for size in options.sizes.split(","):
        with tempfile.TemporaryDirectory() as folder:
            run = trained(Path(folder), size, [text(draw, SHORT) for _ in range(40)])
            for words, texts in documents.items():
                alone, together = rate(run, texts), rate_together(run, texts)
                print(f"{size:8} {words:4} words: {alone:8.1f} documents/s, read together {together:8.1f}")
                lines.append(f"RESULT\tannotate_{size}_{words}_words\t{alone:.1f}\tdocuments/s\t-")
                lines.append(f"RESULT\tannotate_{size}_{words}_words_of_together\t{alone / together:.2f}\tx\t-")
    print("\n".join(lines))


def text(draw: random.Random, words: int) -> str:
    return " ".join("".join(draw.choices(SYLLABLES, k=draw.randint(1, 3))) for _ in range(words))


def trained(folder: Path, size: str, texts: list[str]) -> str:
    records = [{"text": text, "label": float(number % 2)} for number, text in enumerate(texts)]
    (folder / "train.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "config.toml").write_text(CONFIG.format(folder=folder, size=size))
    finetune(folder / "config.toml")
    return str(folder / "run")


def rate(run: str, texts: list[str]) -> float:
    """Return documents/s in the process of an annotator, its start excluded."""
    annotator = Annotator("benchmark", run, "classification")
    annotator.answers(pa.array(texts[:1]))
    start = time.perf_counter()
    annotator.answers(pa.array(texts))
    seconds = time.perf_counter() - start
    annotator.close()
    return len(texts) / seconds


def rate_together(run: str, texts: list[str]) -> float:
    """Return documents/s of the same model here, in batches."""
    device, tuned = prepare("cpu", "float32", 1), tuning.load(run)
    rows = tuned.task.rows(of_columns({"text": texts}, "documents"), labelled=False)
    tuning.outputs(tuned, rows, device)
    start = time.perf_counter()
    rows = tuned.task.rows(of_columns({"text": texts}, "documents"), labelled=False)
    tuning.outputs(tuned, rows, device)
    return len(texts) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
