"""The memory that a run is said to need, beside its measured peak: `make bench-memory`.

    make bench-memory
    make bench-memory OPTIONS="--only bert --sizes small"
    make bench-memory OPTIONS="--device cuda"                 # PyTorch's own peak on a GPU; not run yet

The four families at three sizes, with and without recomputation, each in a process of its own: what `corpusmill pretrain
--dry-run` prints as the sum, and the peak of the same process after two steps with an evaluation before and after, a sample and
two checkpoints (VmHWM of /proc/self/status). The data are synthetic (benchmarks/objectives.py, 8,000 pieces).
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from objectives import write_dataset

ROOT = Path(__file__).resolve().parents[1]
PIECES = 8_000  # the head is most of the time of a step, and its logits come in chunks
STACKS = ("encoder_layers", "decoder_layers")
FAMILIES = {"gpt": "causal_lm", "bert": "masked_lm", "bart": "text_infilling", "t5": "span_corruption"}
SIZES = {  # layers of a stack, heads, width, rows of a step, their length
    "small": (4, 4, 128, 64, 128),
    "medium": (4, 4, 256, 24, 256),
    "large": (6, 8, 512, 8, 256),
}
CONFIG = """
[data]
tokens = "{tokens}"
batch_rows = {rows}
[rows]
length = {length}
[objective]
name = "{objective}"
[model]
family = "{family}"
{model}
[train]
steps = 2
learning_rate = 1e-3
eval_every = 2
eval_rows = 32
save_every = 1
device = "{device}"
activation_checkpointing = {recomputed}
[run]
out = "{out}"
[sample]
prompt = ""
tokens = {sample}
"""
_PLANNED = re.compile(r"^memory  ([\d,.]+) (MB|GB):", re.MULTILINE)
_UNITS = {"MB": 1e6, "GB": 1e9}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    given = parsed(arguments)
    if given.one:
        one(given.one, given.set)
        return
    shutil.rmtree(given.folder, ignore_errors=True)
    write_dataset(given.folder / "tokens", given.tokens, ("train", "validation"), PIECES)
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores\n{'':32}{'planned':>12}{'measured':>12}{'ratio':>8}", flush=True)
    worst = 1.0
    for family in given.only or FAMILIES:
        for size in given.sizes or SIZES:
            for recomputed in (False, True):
                name = f"{family}_{size}{'_recomputed' if recomputed else ''}"
                planned, measured = run(given, name, family, size, recomputed)
                ratio = planned / measured
                worst = max(worst, ratio, 1 / ratio)
                print(f"{name:32}{planned / 1e6:9,.0f} MB{measured / 1e6:9,.0f} MB{ratio:8.2f}", flush=True)
                result(f"memory_{name}", ratio, "planned/measured", "0.87..1.15")
    result("memory_worst", worst, "x", "<=1.15")


def run(given: argparse.Namespace, name: str, family: str, size: str, recomputed: bool) -> tuple[float, float]:
    """Train in a process of its own; return the bytes that were planned and the peak."""
    layers, heads, width, rows, length = SIZES[size]
    numbers = dict.fromkeys(STACKS if family in ("bart", "t5") else ("layers",), layers) | {"heads": heads, "width": width}
    if family == "t5":
        numbers |= {"head_width": width // heads, "inner": 2 * width}
    path = given.folder / f"{name}.toml"
    path.write_text(
        CONFIG.format(
            tokens=given.folder / "tokens",
            rows=rows,
            length=length,
            objective=FAMILIES[family],
            family=family,
            model="\n".join(f"{number} = {value}" for number, value in numbers.items()),
            device=given.device,
            recomputed=json.dumps(recomputed),
            out=given.folder / name,
            sample=8 if family == "gpt" else 0,
        )
    )
    command = [sys.executable, __file__, "--one", str(path), *(f"--set={change}" for change in given.set)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr}")
    found = _PLANNED.search(done.stdout)
    assert found is not None, done.stdout
    print("\n".join(line for line in done.stdout.splitlines() if line.startswith("memory")), file=sys.stderr)
    return float(found[1].replace(",", "")) * _UNITS[found[2]], float(done.stdout.splitlines()[-1])


def one(config: str, changes: Sequence[str]) -> None:
    """Train, and print the peak of this process (of a GPU, that of PyTorch's allocator) as the last line."""
    import torch

    from training.run.pretrain import pretrain

    pretrain(config, tuple(changes))
    if torch.cuda.is_available():
        print(torch.cuda.max_memory_reserved())
        return
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    print(int(peak[1]) * 1024)


def result(name: str, value: float, unit: str, goal: str) -> None:
    """Print the line for machines."""
    print(f"RESULT\t{name}\t{value:.3g}\t{unit}\t{goal}", flush=True)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FAMILIES, help="these families alone")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, help="these sizes alone")
    parser.add_argument("--tokens", type=int, default=500_000, help="of the dataset")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench-memory")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="of all runs")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
