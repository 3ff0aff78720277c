"""Check that the models learn: nanoGPT's Shakespeare, and the four families side by side, with BLiMP.

    make bench-learning
    make bench-learning OPTIONS="--data ~/inputs --only families --bytes 8_000_000"

`shakespeare` builds a corpus of characters of tinyshakespeare (configs/corpus/shakespeare.toml: the first 90 % to learn from, the
last 10 % held out, as nanoGPT) and trains configs/pretrain/shakespeare_char.toml with three seeds, which decide weights and
order. The figure is the mean loss over all of the held-out text; every character is predicted once, from up to 63 before it in
its row. nanoGPT's README reports 1.88 on 20 random batches of this setting (with a noise of 0.02); the goal is 1.92.
Two things differ from nanoGPT: rows are cut every 64 characters and seen once an epoch, where it draws windows with
replacement; and the vocabulary has 258 pieces more (bytes of characters that do not occur, an end of text), which are never
targets.

`families` builds a corpus of English Wikipedia, novels and web pages (benchmarks/learning_corpus.toml), trains GPT, BERT, BART
and T5 at demo size on the same number of bytes (training/evaluation/compare.py) and scores each on BLiMP's minimal pairs
(training/evaluation/blimp.py; chance is 0.5, and after 2 MB of text all are near it: only the losses have a goal).
Without the folder of real inputs it uses the demo's corpus and skips what is missing.

Runs are written to build/bench-learning. A benchmark that was stopped resumes; remove the folder to start again.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from flows.program import corpusmill
from training.checkpoints import trained
from training.data.shards import open_dataset
from training.evaluation import blimp
from training.evaluation.compare import Compared, compare, table
from training.run.pretrain import Report, pretrain

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
DATA = ROOT.parent / "shared" / "data"
OUT = Path("build") / "bench-learning"
FAMILIES = ("gpt", "bert", "bart", "t5")
SEEDS = 3
GOAL = 1.92  # nats per character; nanoGPT's setting came to 1.913 on all of the held-out text


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of real inputs: lm/, wikipedia/, books/, extraction/")
    parser.add_argument("--only", choices=("shakespeare", "families"))
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs on Shakespeare")
    parser.add_argument("--bytes", type=int, default=2_000_000, help="UTF-8 bytes of text that each family sees")
    parser.add_argument("--pairs", type=int, default=blimp.PAIRS, help="of each set of BLiMP")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="for all runs")
    given = parser.parse_args(arguments)
    results: list[str] = []
    if given.only != "families":
        results += shakespeare(given.data, given.seeds, given.set)
    if given.only != "shakespeare":
        results += families(given.data, given.bytes, given.pairs, given.set)
    print("\n" + "\n".join(results))


def shakespeare(data: Path, seeds: int, changed: Sequence[str]) -> list[str]:
    """Train nanoGPT's setting with so many seeds and return RESULT lines."""
    text = data / "lm" / "tinyshakespeare.txt"
    if not text.exists():
        print(f"shakespeare: left out, {text} is not there; --data names the folder")
        return []
    corpus = OUT / "shakespeare"
    write_records(text, OUT / "shakespeare-text")
    build(CONFIGS / "corpus" / "shakespeare.toml", corpus, f"sources.0.root={quoted((OUT / 'shakespeare-text').resolve())}")
    check_split(corpus, text)
    reports = [shakespeare_run(corpus, seed, changed) for seed in range(1, seeds + 1)]
    losses = [report.last_validation_loss for report in reports]
    noise = f" (standard deviation {stdev(losses):.4f})" if len(losses) > 1 else ""
    print(f"\n{reports[0].sample}\n\nshakespeare: mean of {seeds} seeds {fmean(losses):.4f}{noise}, goal {GOAL}\n")
    lines = [result(f"shakespeare_char_loss_seed_{seed}", loss, "nats/char", "-") for seed, loss in enumerate(losses, start=1)]
    return [*lines, result("shakespeare_char_loss", fmean(losses), "nats/char", f"<={GOAL}")]


def write_records(text: Path, folder: Path) -> None:
    """Write the two parts of a text as JSON Lines: 90 % of its characters, and the rest."""
    parts = split(text.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"id": name, "text": part}, ensure_ascii=False) + "\n" for name, part in parts.items()]
    (folder / "plays.jsonl").write_text("".join(lines), encoding="utf-8")


def split(text: str) -> dict[str, str]:
    """Cut a text at int(0.9 n) characters, as nanoGPT's data/shakespeare_char/prepare.py does."""
    cut = int(len(text) * 0.9)
    return {"train": text[:cut], "validation": text[cut:]}


def check_split(corpus: Path, text: Path) -> None:
    """Raise ValueError unless the splits are those of the text, up to white space that the build removes."""
    dataset = open_dataset(str(corpus))
    for name, part in split(text.read_text(encoding="utf-8")).items():
        tokens, wanted = dataset.totals(name)["tokens"], len(part)
        if not 0 <= wanted - tokens <= wanted / 10_000:
            raise ValueError(
                f"{corpus}: its {name} split has {tokens:,} characters, and the text's has {wanted:,}; remove {corpus}"
            )
        print(f"shakespeare: {tokens:,} of {wanted:,} characters in the {name} split")


def shakespeare_run(corpus: Path, seed: int, changed: Sequence[str]) -> Report:
    """Train with this seed of weights and of the order, evaluated before and after."""
    began = time.monotonic()
    run = {"data.tokens": str(corpus), "data.rows": str(OUT / "shakespeare-rows"), "run.out": str(OUT / f"shakespeare-{seed}")}
    numbers = {"data.seed": seed, "train.seed": seed, "train.eval_every": 2000}
    overrides = [f"{name}={quoted(value)}" for name, value in run.items()] + [
        f"{name}={value}" for name, value in numbers.items()
    ]
    report = pretrain(CONFIGS / "pretrain" / "shakespeare_char.toml", (*overrides, *changed))
    assert report is not None, "it is one process, and no dry run"
    print(
        f"shakespeare: seed {seed}: {report.last_validation_loss:.4f} nats/char ({time.monotonic() - began:.0f} s)\n", flush=True
    )
    return report


def families(data: Path, budget: int, pairs: int, changed: Sequence[str]) -> list[str]:
    """Train the four families on the same bytes, score them on BLiMP, and return RESULT lines."""
    corpus = families_corpus(data)
    if corpus is None:
        return []
    configs = [CONFIGS / "pretrain" / f"{family}_demo.toml" for family in FAMILIES]
    runs = compare(configs, OUT / f"{corpus.name}-{budget}", (f"data.tokens={quoted(corpus)}", *changed), budget)
    sets = data / "lm" / "blimp"
    scores = {run.name: blimp.score(trained.load(run.report.out), sets, pairs) for run in runs} if sets.is_dir() else {}
    if not scores:
        print(f"families: BLiMP is left out, {sets} is not there; --data names the folder")
    print_table(runs, scores)
    lines = [
        result(f"families_{run.name}_loss", run.report.last_validation_loss, "nats/target", f"<{run.report.unigram_entropy:.3f}")
        for run in runs
    ]
    return lines + [result(f"families_{name}_blimp", score.mean, "accuracy", "-") for name, score in scores.items()]


def families_corpus(data: Path) -> Path | None:
    """Return the corpus to learn from, built if it is missing, or None if there is nothing to build it from."""
    if (data / "books").is_dir():
        roots = {0: "wikipedia", 1: "books", 2: "extraction"}
        changed = [f"sources.{number}.root={quoted((data / name).resolve())}" for number, name in roots.items()]
        build(ROOT / "benchmarks" / "learning_corpus.toml", OUT / "learning", *changed)
        return OUT / "learning"
    demo = Path("build") / "demo"
    if (demo / "release.json").exists():
        print(f"families: {data} is not there; {demo} is used")
        return demo
    print(f"families: left out, neither {data} (--data) nor {demo} (`make demo`) is there")
    return None


def print_table(runs: Sequence[Compared], scores: dict[str, blimp.BlimpReport]) -> None:
    """Print the table of the runs with BLiMP's mean in the last column, then BLiMP's sets."""
    heading, *rows = table(runs)
    print(heading + ("         BLiMP" if scores else ""))
    for run, row in zip(runs, rows, strict=True):
        score = scores.get(run.name)
        print(row + (f"  {score.mean:.3f} ± {score.standard_error:.3f}" if score else ""))
    if not scores:
        return
    print(f"\n{'BLiMP':50}" + "".join(f"{name:>8}" for name in scores))
    for sets in zip(*(score.sets for score in scores.values()), strict=True):
        print(f"{sets[0].name:50}" + "".join(f"{one.accuracy:8.2f}" for one in sets))


def build(config: Path, out: Path, *changed: str) -> None:
    """Run `corpusmill build`, which does nothing if everything is there."""
    command = corpusmill("build", str(config), "--out", str(out))
    for change in changed:
        command += ["--set", change]
    log = out.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise ValueError(f"{out}: the build failed with {done.returncode}; see {log}")


def quoted(value: object) -> str:
    """Return a path or text as a TOML string, for --set."""
    return json.dumps(str(value))


def result(name: str, value: float, unit: str, goal: str) -> str:
    """Return a line for programs."""
    return f"RESULT\t{name}\t{value:.4f}\t{unit}\t{goal}"


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
