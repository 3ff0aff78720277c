"""The arguments of the commands that train, generate and evaluate.

Imports no torch: `corpusmill --help` and a mistyped option answer at once. The module of a command has the function
`run(arguments) -> int`, the exit code.
"""

import argparse
from collections.abc import Callable, Sequence

PAIRS = 50  # of each BLiMP set: the choice of pairs then moves the mean of 34 sets by about a point (its standard error)
COMPRESSIONS = ("int8", "int8-weights", "int4-weights")
NEWEST, BEST = "newest", "best"  # checkpoints of a run
_CONFIG = "TOML file, e.g. configs/pretrain/gpt_demo.toml"
_MODEL = "folder of a pretraining run, of an import, or of a checkpoint"


def count(text: str) -> int:
    """Parse a number of at least 0, for argparse."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def positive(text: str) -> int:
    """Parse a number of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def share(text: str) -> float:
    """Parse a number between 0 and 1, for argparse."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def probability(text: str) -> float:
    """Parse a number from 0 to 1, both included, for argparse."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return value


def text(word: str) -> str:
    """Parse a text, for argparse: bytes of the command line that are no UTF-8 become U+FFFD, as those of the standard input."""
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def add_pretrain(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training.run.pretrain."""
    parser.add_argument("config", help=_CONFIG)
    _add_set(parser, "change a value of the config")
    parser.add_argument(
        "--branch-from",
        metavar="RUN[@STEP]",
        help="go on from a checkpoint of another run (the newest, or a step's) in a new run.out, with other settings",
    )
    parser.add_argument("--dry-run", action="store_true", help="print memory, steps and epochs, and train nothing")


def add_finetune(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training.tasks.finetune."""
    parser.add_argument("config", help="TOML file, e.g. configs/finetune/sst2_bert.toml")
    _add_set(parser, "change a value of the config")
    parser.add_argument("--sweep", metavar="FILE", help="TOML file with a section sweep: try other settings, and keep the best")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def add_predict(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training.tasks.predict."""
    parser.add_argument("folder", metavar="run", help="folder of a fine-tuning, or of one of its checkpoints")
    parser.add_argument("file", help="records with the task's fields: JSON Lines, CSV, TSV or Parquet, or a .txt of one field")
    parser.add_argument("--out", help="JSON Lines file for the answers; by default the standard output")
    parser.add_argument("--with-input", action="store_true", help="repeat the record's fields beside each answer")
    _add_device(parser, "one per core")


def add_prompt(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training.prompts.prompt."""
    parser.add_argument("config", help="TOML file, e.g. configs/prompts/sst2_zero.toml")
    _add_set(parser, "change a value of the config")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def add_compress(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training.compression.quantize."""
    parser.add_argument("folder", metavar="run", help="folder of a pretraining, a fine-tuning, an import, or of a checkpoint")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument(
        "--to",
        choices=COMPRESSIONS,
        help="int8: 8 bits, computed with whole numbers; int8-weights, int4-weights: stored so, computed with floats",
    )
    way.add_argument(
        "--prune-heads", type=share, metavar="SHARE", help="take out this share of the heads of attention, e.g. 0.3 (BERT, GPT)"
    )
    parser.add_argument("--out", required=True, help="a new or empty folder, for predict, generate and evaluate")
    parser.add_argument("--data", help="a task's records to judge heads on; by default its training records")
    parser.add_argument(
        "--judge-rows", type=positive, default=1024, help="records or rows of text to judge heads on, 1,024 by default"
    )
    parser.add_argument("--records", help="a task's records to measure on; by default its test or validation records")
    parser.add_argument("--rows", type=count, default=128, help="held-out rows of a pretraining, 128 by default")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    _add_device(parser, "one per core")


def add_ask(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of flows.commands.asking."""
    parser.add_argument("out", help="output folder of a build")
    parser.add_argument("question", type=text)
    _add_search(parser, required=True)
    parser.add_argument("--answers", type=positive, default=1, help="most answers to print, 1 by default")
    parser.add_argument("--json", action="store_true", help="print the answers as JSON")
    _add_device(parser, "one per core")


def add_graph(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of flows.commands.asking."""
    parser.add_argument("build", help="output folder of a build")
    parser.add_argument("--entities", required=True, metavar="RUN", help="a fine-tuning for named_entities")
    parser.add_argument("--relations", required=True, metavar="RUN", help="a fine-tuning for relations")
    parser.add_argument("--out", required=True, metavar="DIR", help="a new or empty folder for the graph")
    parser.add_argument(
        "--least-confidence",
        type=probability,
        default=0.5,
        help="of an entity, and of a sentence's triple, from 0 to 1; 0.5 by default",
    )
    parser.add_argument("--sentences", type=positive, default=3, help="sentences that a triple keeps, 3 by default; all count")
    parser.add_argument("--limit", type=positive, help="documents to read, the first ones; by default all")
    _add_device(parser, "one per core")


def add_generate(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training.generation.answers."""
    parser.add_argument("folder", metavar="run", help=_MODEL)
    parser.add_argument(
        "--prompt", type=text, action="append", help="a text; may be repeated. By default every line of the standard input is one"
    )
    parser.add_argument("--tokens", type=int, default=100, help="maximum length of an answer, 100 by default")
    parser.add_argument("--least", type=int, default=0, help="minimum number of tokens before an answer may end")
    parser.add_argument("--temperature", type=float, help="0.8 by default for GPT, 0 (the likeliest token) for BART and T5")
    parser.add_argument("--top-k", type=int, help="draw from the k likeliest tokens; 50 by default for GPT without --top-p")
    parser.add_argument("--top-p", type=float, help="draw from the likeliest tokens whose probabilities reach p together")
    parser.add_argument("--beams", type=int, help="search for the best answer with this many beams")
    parser.add_argument("--length-penalty", type=float, help="for --beams: above 0 favours long answers; 1 by default")
    parser.add_argument("--number", type=int, help="answers to each prompt, 1 by default; for BERT pieces for each mask, 5")
    parser.add_argument("--seed", type=int, default=1, help="seed of the draws, 1 by default")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each prompt")


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training.serving.server."""
    parser.add_argument("folders", metavar="run", nargs="*", help=f"{_MODEL}; it is named by its folder, or as you say: NAME=RUN")
    parser.add_argument("--corpus", metavar="BUILD", help="answer questions from the published corpus of a build, at /ask")
    _add_search(parser, required=False)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 lets other machines in")
    parser.add_argument("--port", type=count, default=8000, help="8000 by default; 0 takes a free one and prints it")
    parser.add_argument("--api-key-file", metavar="FILE", help="file of keys, one a line; clients then need one of them")
    parser.add_argument("--rows", type=positive, default=64, help="answers that a model writes at the same time, 64 by default")
    parser.add_argument("--queue", type=positive, default=256, help="prompts that may wait for a row, 256 by default")
    parser.add_argument("--max-tokens", type=positive, default=1024, help="maximum length of an answer, 1,024 by default")
    parser.add_argument(
        "--max-prompt", type=positive, default=4096, help="longest prompt in tokens for a model without positions (T5), 4,096"
    )
    parser.add_argument("--max-body", type=positive, default=1 << 20, help="largest request in bytes, 1,048,576 by default")
    parser.add_argument("--threads", type=positive, help="CPU threads of a model; by default one per core")


def add_chat(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training.serving.terminal."""
    parser.add_argument("folder", metavar="run", help=_MODEL)
    parser.add_argument("--system", type=text, help="a text before the dialogue, which stays when old turns are cut")
    parser.add_argument("--tokens", type=positive, default=256, help="maximum length of an answer, 256 by default")
    parser.add_argument("--temperature", type=float, default=0.8, help="0.8 by default; 0 takes the likeliest token")
    parser.add_argument("--top-k", type=int, help="draw from the k likeliest tokens")
    parser.add_argument("--top-p", type=float, help="draw from the likeliest tokens whose probabilities reach p together")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first answer's draws; the next has the next seed")


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training.evaluation.summary."""
    parser.add_argument("folder", metavar="run", help=_MODEL)
    parser.add_argument("--blimp", metavar="PATH", help="folder of BLiMP sets, one NAME.jsonl, plain or compressed, for each set")
    parser.add_argument("--pairs", type=count, default=PAIRS, help=f"pairs of each BLiMP set, {PAIRS} by default; 0 takes all")
    _add_checkpoint(parser)
    parser.add_argument("--rows", type=count, help="rows of the validation split; by default as in training; 0 skips them")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _add_device(parser, "the run's, or one per core")


def add_compare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training.evaluation.compare."""
    parser.add_argument("configs", nargs="+", help="TOML files, e.g. configs/pretrain/gpt_demo.toml")
    parser.add_argument("--out", required=True, help="folder of the runs; each gets a folder in it, named by its family")
    parser.add_argument("--bytes", type=int, help="UTF-8 bytes of text for each model, instead of train.steps or train.bytes")
    _add_set(parser, "change a value of all configs")


def add_ancestors(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training.ancestors.history."""
    parser.add_argument("data", help="folder of a build, or of a tokens dataset; its train split is what is learnt")
    parser.add_argument("--out", required=True, help="folder for word vectors, ELMo's weights and the figures")
    parser.add_argument("--name", help="the tokens dataset of a build that has several")
    parser.add_argument("--runs", nargs="+", default=[], metavar="RUN", help="a GPT and a BERT of the same data, for the table")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of the ancestors, e.g. 5-gram glove elmo elmo-characters")
    parser.add_argument("--bytes", type=int, help="UTF-8 bytes of training text; by default all of it")
    parser.add_argument("--word-sets", metavar="DIR", help="folder of word pairs and analogies; by default fetched, once")
    parser.add_argument("--sst2", metavar="DIR", help="folder of SST-2: train.tsv, dev.tsv, test.tsv, plain or .gz")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of ELMo and of the runs, 1 by default")
    parser.add_argument("--seed", type=int, default=1, help="of weights and orders, 1 by default")


def add_harness(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training.evaluation.harness."""
    parser.add_argument("folder", metavar="run", help=_MODEL)
    parser.add_argument("--tasks", nargs="+", required=True, help="task names, YAML files, or folders of YAML files")
    parser.add_argument("--include-path", action="append", default=[], help="folder of YAML files in which names are looked up")
    _add_checkpoint(parser)
    parser.add_argument("--limit", type=int, help="documents of each task")
    parser.add_argument("--shots", type=int, help="examples before each document; by default the task's own number")
    parser.add_argument(
        "--text-to-text",
        action="store_true",
        help="a BART or T5 answers the context, as after fine-tuning, instead of filling a gap",
    )
    _add_device(parser, "one per core")
    parser.add_argument("--out", help="JSON file for the results")


def add_look(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training.looking.look."""
    parser.add_argument(
        "folder", metavar="run", help="folder of a pretraining or fine-tuning run, of an import, or of a checkpoint"
    )
    parser.add_argument("--text", type=text, required=True, help="a text to look at")
    parser.add_argument("--second", type=text, help="its second text, for a model that was fine-tuned on pairs")
    parser.add_argument(
        "--records",
        help="labelled texts for the probing of layers and a classifier's calibration; by default its validation file",
    )
    parser.add_argument("--sharpness", action="store_true", help="measure the sharpness of the loss at each checkpoint, too")
    parser.add_argument("--out", default="look.html", help="the page, look.html by default")


def add_judge(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training.evaluation.judge."""
    parser.add_argument("candidate", help="folder of a pretraining run")
    parser.add_argument("current", help="folder of a run or a checkpoint with the same tokenizer and family")
    parser.add_argument("--rows", type=int, help="rows of the validation split; by default as in the candidate's training")
    parser.add_argument("--out", help="JSON file for the losses")


def parse(add: Callable[[argparse.ArgumentParser], None], words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse a command line (by default this process's) with the arguments that `add` adds."""
    parser = argparse.ArgumentParser()
    add(parser)
    return parser.parse_args(words)


def _add_set(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help=text)


def _add_search(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("--reader", required=required, metavar="RUN", help="a fine-tuning for question_answering")
    parser.add_argument("--encoder", metavar="RUN", help="a fine-tuning for similarity, which finds passages beside BM25")
    parser.add_argument("--passages", type=positive, default=10, help="passages that the reader reads, 10 by default")
    parser.add_argument("--threshold", type=float, default=0.1, help="least probability of an answer, 0.1 by default")


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", default=NEWEST, help="newest (the default), best, a name (step-00000300), or a folder")


def _add_device(parser: argparse.ArgumentParser, threads: str) -> None:
    parser.add_argument("--device", choices=["cpu", "cuda", "auto"], default="auto", help="where the model runs")
    parser.add_argument("--threads", type=count, help=f"CPU threads; by default {threads}")
