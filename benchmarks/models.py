"""Steps of each family beside Hugging Face's model of the same shape, on the CPU, and the losses of both in lockstep.

    make bench-models
    make bench-models OPTIONS="--family bert --rounds 3 --lockstep 0"

Both have the same weights (ours, under their names by training/convert), the same batches and the same fused AdamW; a step is
forward, backward, update. Theirs runs on scaled dot-product attention; nothing is compiled, nothing dropped out. The two take
turns, and the best turn of each counts: other load on the machine slows both, and rarely all turns.

Ids are drawn at random, in the shapes that the objectives make, without padding. BERT predicts 15 % of the tokens and whether
B follows A: ours is given the positions, theirs labels with -100 elsewhere, which is how it is used. Its head runs on all.
BART and T5 (1.0) read 128 tokens and write 128; "t5_spans" writes the 29 that span corruption makes of 128. There both sides
are almost only matrix products of the same library, so little is left to gain.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from pipelines.contract.tokenizers.families import Specials
from training.convert.huggingface import FAMILIES
from training.convert.rules import to_theirs
from training.models.bart import BARTShape
from training.models.bert import BERTShape
from training.models.families import Model, Shape, make, parameters
from training.models.gpt import GPTShape
from training.models.t5 import T5Shape
from training.run.config import TrainSection
from training.run.updates.optimizers import optimizers

VOCABULARY, WIDTH, HEADS = 8192, 256, 4
BATCH, LENGTH = 16, 128
SPANS_TARGETS = 29  # of 128 inputs: t5 preprocessors.py, random_spans_helper
GOALS = {"bert": 1.5, "gpt": 1.15, "bart": 1.15, "t5": 1.15, "t5_spans": 1.15}  # times Hugging Face's steps
LOCKSTEP_GOAL = 1e-3  # nats between the losses, over all steps
Batch = dict[str, Tensor]


def shapes(layers: int) -> dict[str, Shape]:
    """Return shapes with so many layers, half of them in the encoder if there are two stacks."""
    numbers: dict[str, Any] = {"heads": HEADS, "width": WIDTH, "vocabulary": VOCABULARY, "dropout": 0.0}
    half = {"encoder_layers": layers // 2, "decoder_layers": layers // 2}
    t5 = T5Shape(**half, head_width=WIDTH // HEADS, inner=4 * WIDTH, **numbers)
    return {
        "bert": BERTShape(layers=layers, length=LENGTH, **numbers),
        "gpt": GPTShape(layers=layers, length=LENGTH, **numbers),
        "bart": BARTShape(**half, length=LENGTH, **numbers),
        "t5": t5,
        "t5_spans": t5,
    }


def batch(family: str, seed: int) -> tuple[Batch, Batch]:
    """Return the same examples as our objective makes them and as Hugging Face's `forward` takes them."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, VOCABULARY, (BATCH, LENGTH + 1), generator=generator)
    inputs = ids[:, :LENGTH].contiguous()
    if family == "gpt":
        targets = ids[:, 1:].contiguous()
        return {"inputs": inputs, "targets": targets}, {"input_ids": inputs, "labels": targets, "shift_labels": targets}
    if family == "bert":
        return bert_batch(inputs, generator)
    targets = torch.randint(5, VOCABULARY, (BATCH, SPANS_TARGETS if family == "t5_spans" else LENGTH), generator=generator)
    decoder_inputs = targets.roll(1, dims=1)
    ours = {"inputs": inputs, "lengths": torch.full((BATCH,), LENGTH), "decoder_inputs": decoder_inputs, "targets": targets}
    theirs = {"input_ids": inputs, "decoder_input_ids": decoder_inputs, "labels": targets}
    return ours, theirs | {"attention_mask": torch.ones_like(inputs)}


def bert_batch(inputs: Tensor, generator: torch.Generator) -> tuple[Batch, Batch]:
    predictions = round(LENGTH * 0.15)
    positions = torch.rand(BATCH, LENGTH, generator=generator).argsort(dim=1)[:, :predictions].sort(dim=1).values
    targets = inputs.gather(1, positions)
    masked = inputs.scatter(1, positions, 4)
    segments = (torch.arange(LENGTH) >= LENGTH // 2).long().expand(BATCH, LENGTH).contiguous()
    pairs = torch.randint(0, 2, (BATCH,), generator=generator)
    ours = {"inputs": masked, "segments": segments, "lengths": torch.full((BATCH,), LENGTH), "masked_positions": positions}
    labels = torch.full_like(inputs, -100).scatter(1, positions, targets)
    theirs = {"input_ids": masked, "token_type_ids": segments, "attention_mask": torch.ones_like(masked), "labels": labels}
    return ours | {"targets": targets, "next_sentence": pairs}, theirs | {"next_sentence_label": pairs}


def peer(family: str, model: Model) -> nn.Module:
    """Return Hugging Face's model with the weights of ours."""
    names = FAMILIES[family.removesuffix("_spans")]
    specials = Specials(pad=0, begin=2, end=3, mask=4, decoder_start=0, sentinels=())
    config = transformers.AutoConfig.for_model(**names.config(model.shape, specials), attn_implementation="sdpa")
    theirs: nn.Module = getattr(transformers, names.ARCHITECTURE)(config)
    rules = names.rules(model.shape)
    loaded = theirs.load_state_dict(to_theirs(rules, model.state_dict()), strict=False)
    tied = {name for rule in rules for name in rule.also}
    missing = {name for name in loaded.missing_keys if name in dict(theirs.named_parameters(remove_duplicate=False))}
    assert not loaded.unexpected_keys and missing <= tied, (loaded.unexpected_keys, missing - tied)
    assert parameters(theirs) == parameters(model), "the models are not of one shape"
    return theirs.train()


def our_loss(model: Model, examples: Mapping[str, Tensor]) -> Tensor:
    counts = {"tokens": examples["targets"].numel(), "pairs": BATCH}
    sums = model.losses(examples)
    return torch.stack([sums[term] / count for term, count in counts.items() if term in sums]).sum()


@dataclass
class Side:
    """A model with its optimiser."""

    loss: Callable[[Batch], Tensor]
    optimizer: torch.optim.Optimizer
    best: float = float("inf")

    def step(self, examples: Batch) -> float:
        """Forward, backward, update; returns the loss."""
        loss = self.loss(examples)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def turn(self, batches: list[Batch]) -> float:
        """Return the seconds per step."""
        start = time.perf_counter()
        for examples in batches:
            self.step(examples)
        seconds = (time.perf_counter() - start) / len(batches)
        self.best = min(self.best, seconds)
        return seconds


def sides(family: str, layers: int) -> tuple[Side, Side]:
    """Return our side and theirs, with equal weights."""
    model = make(shapes(layers)[family], seed=1).train()
    theirs = peer(family, model)
    return (
        Side(lambda examples: our_loss(model, examples), adamw(model)),
        Side(lambda examples: theirs(**examples).loss, adamw(theirs)),
    )


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of a training with the usual settings."""
    (made,) = optimizers(model, TrainSection(steps=1, learning_rate=1e-4), BATCH)
    return made


def speed(family: str, layers: int, rounds: int, steps: int) -> float:
    """Return our steps per second divided by Hugging Face's."""
    ours, theirs = sides(family, layers)
    batches = [batch(family, seed) for seed in range(steps)]
    tokens = sum(value.numel() for name, value in batches[0][0].items() if name in ("inputs", "decoder_inputs"))
    turns: list[float] = []
    for number in range(rounds + 1):
        first = theirs.turn([theirs_of for _, theirs_of in batches])
        second = ours.turn([ours_of for ours_of, _ in batches])
        if number == 0:  # memory and threads are made in the first
            ours.best = theirs.best = float("inf")
        else:
            turns.append(first / second)
    ratio, middle = theirs.best / ours.best, sorted(turns)[len(turns) // 2]
    print(
        f"{family:<9}{theirs.best * 1e3:>14.0f}{ours.best * 1e3:>9.0f}{tokens / ours.best:>13,.0f}{ratio:>9.2f}{middle:>9.2f}",
        flush=True,
    )
    return ratio


def lockstep(family: str, layers: int, steps: int) -> float:
    """Return the largest difference of the losses while both learn from the same batches."""
    ours, theirs = sides(family, layers)
    differences: list[float] = []
    first = last = 0.0
    for number in range(steps):
        for_ours, for_theirs = batch(family, 1000 + number)
        last = ours.step(for_ours)
        first = first or last
        differences.append(abs(last - theirs.step(for_theirs)))
    print(f"{family:<9}{steps:>8}{first:>12.4f}{last:>9.4f}{differences[0]:>14.1e}{max(differences):>12.1e}", flush=True)
    return max(differences)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", action="append", choices=list(GOALS), help="one of them, or several; by default all")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each side (default: 9)")
    parser.add_argument("--steps", type=int, default=3, help="steps of a turn (default: 3)")
    parser.add_argument("--layers", type=int, default=4, help="of a model, in both stacks together (default: 4)")
    parser.add_argument("--lockstep", type=int, default=50, help="steps whose losses are compared (default: 50; 0: none)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    families = options.family or list(GOALS)
    print(
        f"{options.layers} layers of {WIDTH}, vocabulary {VOCABULARY}, {BATCH} rows of {LENGTH}, {options.threads} threads, "
        f"torch {torch.__version__}, transformers {transformers.__version__}\n"
    )
    print(f"{'':<9}{'theirs ms/step':>14}{'ours':>9}{'tokens/s':>13}{'times':>9}{'median':>9}")
    ratios = {family: speed(family, options.layers, options.rounds, options.steps) for family in families}
    differences: dict[str, float] = {}
    if options.lockstep:
        print(f"\n{'':<9}{'steps':>8}{'first loss':>12}{'last':>9}{'first differs':>14}{'most':>12}")
        differences = {family: lockstep(family, options.layers, options.lockstep) for family in families}
    print()
    for family, ratio in ratios.items():
        print(f"RESULT\tmodel_{family}_vs_huggingface\t{ratio:.2f}\tx\t>={GOALS[family]}")
    for family, difference in differences.items():
        print(f"RESULT\tmodel_{family}_lockstep\t{difference:.1e}\tnats\t<={LOCKSTEP_GOAL}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
