"""Three corpora one after the other: what a model forgets, with nothing against it and with each of the means that there are.

    make bench-lifelong
    make bench-lifelong OPTIONS="--bytes 1_000_000 --only nothing replay --set train.threads=1"

WikiText-2's validation text, tinyshakespeare and the right sentences of BLiMP are built to three tokens datasets with the
tokenizer of the first. A GPT of demo size learns each in turn, `--bytes` of text a stage, and every stage starts from the model
of the one before (train.init_from):

    nothing   new text alone
    replay    a share of the rows from the corpora before (data.replay, data.replay_share)
    ewc       elastic weight consolidation (remember.method), with what the model before remembered
    distill   the predictions of the model before on the new text (remember.method)

Printed is the held-out loss on each corpus after each stage, in nats per token, over the same rows. The average forgetting is
that of Chaudhry et al. (2018, arXiv 1801.10112, 3) with losses for accuracies: the mean over earlier corpora of the loss after
the last stage minus the lowest one before it. Goals: each means forgets less than nothing does.

Builds and runs are written to build/bench-lifelong. A benchmark that was stopped resumes; remove the folder to start again.
"""

import argparse
import gzip
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from flows.program import corpusmill
from pipelines.contract import manifest
from pipelines.contract.shards import find
from pipelines.contract.tokenizers.loading import load
from pipelines.datasets import joined_tokens
from training.data.shards import open_dataset
from training.evaluation.forgetting import OldData, config_over, losses, read_config
from training.run.pretrain import pretrain

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "pretrain" / "gpt_demo.toml"
DATA = ROOT.parent / "shared" / "data" / "lm"
OUT = Path("build") / "bench-lifelong"
CORPORA = ("wikitext", "shakespeare", "blimp")  # in the order in which they are learnt
METHODS = ("nothing", "replay", "ewc", "distill")
DOCUMENT = 4000  # characters: texts are cut at an empty line, or a line, after so many

CORPUS = """
[corpus]
name = "{name}"
validation_share = 0.1
[[sources]]
name = "{name}"
kind = "records"
root = {root}
paths = ["*.jsonl"]
snapshot = "1"
id_field = "id"
language = "en"
[deduplicate]
enabled = false
[language]
enabled = false
[quality]
rules = []
classifier = false
[[vocabularies]]
name = "lifelong"
{vocabulary}
families = ["gpt"]
threads = 1
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of wikitext-2-raw-valid.txt, tinyshakespeare.txt, blimp/")
    parser.add_argument("--bytes", type=int, default=400_000, help="UTF-8 bytes of text that a stage reads")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--share", type=float, default=0.1, help="data.replay_share")
    parser.add_argument("--ewc", type=float, default=1.0, help="remember.strength of ewc")
    parser.add_argument("--distill", type=float, default=1.0, help="remember.strength of distill")
    parser.add_argument("--rows", type=int, default=256, help="held-out rows of each corpus")
    parser.add_argument("--pieces", type=int, default=2048, help="of the vocabulary")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="for all runs")
    given = parser.parse_args(arguments)
    if not given.data.is_dir():
        sys.exit(f"{given.data} is not there; --data names the folder of texts")
    corpora = built(given.data, given.pieces)
    tables = {method: stages(method, corpora, given) for method in METHODS if method in given.only}
    for method, table in tables.items():
        print("\n" + "\n".join(shown(method, table)))
    print("\n" + "\n".join(results(tables)))


def texts(data: Path) -> dict[str, Iterator[str]]:
    """Return the lines of each corpus; an empty one is where a document may end."""
    return {
        "wikitext": iter((data / "wikitext-2-raw-valid.txt").read_text(encoding="utf-8").splitlines()),
        "shakespeare": iter((data / "tinyshakespeare.txt").read_text(encoding="utf-8").splitlines()),
        "blimp": sentences(data / "blimp"),
    }


def sentences(folder: Path) -> Iterator[str]:
    """Yield the right sentences of all sets in one shuffled order, always the same."""
    found: list[str] = []
    for path in sorted(folder.glob("*.jsonl*")):
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as stream:
            found += [json.loads(line)["sentence_good"] for line in stream]
    found = sorted(set(found))
    random.Random(1).shuffle(found)
    for number, sentence in enumerate(found, start=1):
        yield sentence
        if number % 50 == 0:
            yield ""


def built(data: Path, pieces: int) -> dict[str, str]:
    """Return the folder of each corpus' tokens dataset, built if it is missing; all have the tokenizer of the first."""
    folders: dict[str, str] = {}
    for name, lines in texts(data).items():
        out = OUT / name
        if not (out / "release.json").exists():
            write_records(lines, OUT / "text" / name / "text.jsonl")
            vocabulary = f'kind = "bpe"\nsize = {pieces}'
            if folders:
                first = folders[CORPORA[0]]
                tokenizer = Path(first) / load(first, manifest.read(first)).file_name
                vocabulary = f"path = {json.dumps(str(tokenizer.resolve()))}"
            root = json.dumps(str((OUT / "text" / name).resolve()))
            config = OUT / f"{name}.toml"
            config.write_text(CORPUS.format(name=name, root=root, vocabulary=vocabulary), encoding="utf-8")
            run_build(config, out)
        folders[name] = find(str(out))
        totals = {split: open_dataset(folders[name]).totals(split) for split in ("train", "validation")}
        print(f"{name}: " + ", ".join(f"{split} {counts['tokens']:,} tokens" for split, counts in totals.items()), flush=True)
    return folders


def write_records(lines: Iterator[str], path: Path) -> None:
    """Cut a text into documents and write them as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        for number, text in enumerate(documents(lines)):
            stream.write(json.dumps({"id": f"{number:05}", "text": text}, ensure_ascii=False) + "\n")


def documents(lines: Iterator[str]) -> Iterator[str]:
    """Join lines to documents of at least DOCUMENT characters that end at an empty line; the last one may be shorter."""
    found: list[str] = []
    for line in lines:
        found.append(line)
        if not line.strip() and sum(map(len, found)) >= DOCUMENT:
            yield "\n".join(found).strip()
            found = []
    if "\n".join(found).strip():
        yield "\n".join(found).strip()


def run_build(config: Path, out: Path) -> None:
    """Run `corpusmill build`; its output goes to a log beside the folder."""
    log = out.with_suffix(".log")
    with log.open("w") as stream:
        command = corpusmill("build", str(config), "--out", str(out), "--workers", "1")
        done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.exit(f"{out}: the build failed with {done.returncode}; see {log}")


def stages(method: str, corpora: dict[str, str], given: argparse.Namespace) -> list[list[float]]:
    """Learn the corpora in turn; return the loss on each corpus after each stage: (stages, corpora)."""
    runs: list[Path] = []
    for number, (name, tokens) in enumerate(corpora.items()):
        out = OUT / f"{given.bytes}" / ("first" if not runs else f"{method}-{name}")
        changed = [f"data.tokens={json.dumps(tokens)}", f"run.out={json.dumps(str(out))}", *budget(given.bytes), *given.set]
        if runs:
            changed += [f"train.init_from={json.dumps(str(runs[-1]))}", *means(method, list(corpora.values())[:number], given)]
        pretrain(CONFIG, tuple(changed))
        runs.append(out)
    columns: list[tuple[float, ...]] = []
    config = read_config(runs[0])
    for name, tokens in corpora.items():
        own = config_over(config, OldData(tokens, None, "", ""))
        columns.append(losses(own, runs[0], runs, given.rows).of_source(name))
    return [list(row) for row in zip(*columns, strict=True)]


def budget(size: int) -> list[str]:
    """Return the overrides for so many bytes of text; the rate falls to nothing at the end of each stage."""
    fixed = {"train.steps": 0, "train.bytes": size, "train.eval_every": 10**6, "train.save_every": 10**6, "sample.tokens": 0}
    return [f"{name}={value}" for name, value in fixed.items()]


def means(method: str, before: Sequence[str], given: argparse.Namespace) -> list[str]:
    """Return the overrides of a means against forgetting the corpora before."""
    if method == "replay":
        older = before[0]
        for number, tokens in enumerate(before[1:], start=2):
            older = joined_tokens.join(str(OUT / "joined"), older, tokens, str(number))
        return [f"data.replay={json.dumps(older)}", f"data.replay_share={given.share}"]
    if method == "nothing":
        return []
    return [f'remember.method="{method}"', f"remember.strength={given.ewc if method == 'ewc' else given.distill}"]


def forgetting(table: Sequence[Sequence[float]]) -> float:
    """Return the average forgetting of all corpora but the last.

    >>> forgetting([[4.0, 7.0], [4.5, 3.0]])
    0.5
    """
    *before, last = table
    return fmean(last[corpus] - min(row[corpus] for row in before) for corpus in range(len(last) - 1))


def shown(method: str, table: Sequence[Sequence[float]]) -> list[str]:
    """Format the losses of one method."""
    names = CORPORA[: len(table)]
    lines = [f"{method:24}" + "".join(f"{name:>13}" for name in names)]
    lines += [f"  after {name:16}" + "".join(f"{loss:13.3f}" for loss in row) for name, row in zip(names, table, strict=True)]
    return [*lines, f"  average forgetting {forgetting(table):+.3f} nats per token"]


def results(tables: dict[str, list[list[float]]]) -> list[str]:
    """Return a RESULT line for every figure."""
    base = forgetting(tables["nothing"]) if "nothing" in tables else None
    lines: list[str] = []
    for method, table in tables.items():
        goal = "-" if base is None or method == "nothing" else f"<{base:.4f}"
        lines.append(f"RESULT\tlifelong_{method}_forgetting\t{forgetting(table):.4f}\tnats/token\t{goal}")
        lines.append(f"RESULT\tlifelong_{method}_mean_loss\t{fmean(table[-1]):.4f}\tnats/token\t-")
        lines.append(f"RESULT\tlifelong_{method}_new_loss\t{table[-1][-1]:.4f}\tnats/token\t-")
    return lines


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
