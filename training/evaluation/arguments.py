"""What `corpusmill evaluate` and `python -m training.evaluation.summary` are asked; PyTorch is imported only by who answers."""

import argparse

PAIRS = 50  # of each set of BLiMP: then the choice of pairs moves the mean of 34 sets by about a point (its standard error)
NEWEST, BEST = "newest", "best"  # checkpoints of a run


def count(text: str) -> int:
    """A number of at least 0, for argparse."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model is evaluated, and on what."""
    parser.add_argument("folder", metavar="run", help="folder of a pretraining run, of an import, or of a checkpoint")
    parser.add_argument("--blimp", metavar="PATH", help="a folder of BLiMP's sets, one NAME.jsonl or NAME.jsonl.gz a set")
    parser.add_argument("--pairs", type=count, default=PAIRS, help=f"of each set of BLiMP, {PAIRS} by default; 0 takes all")
    parser.add_argument("--checkpoint", default=NEWEST, help="newest (by default), best, a name (step-00000300), or a folder")
    parser.add_argument("--rows", type=count, help="of the validation split; by default as in training; 0 looks at none")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--device", choices=["cpu", "cuda", "auto"], default="auto", help="where the model runs")
    parser.add_argument("--threads", type=count, help="of the CPU; by default the run's, or one a core")
