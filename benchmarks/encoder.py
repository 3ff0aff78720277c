"""Training steps of ModernBERT's shape beside Hugging Face's, and what skipping padding and local attention save, on the CPU.

    make bench-encoder
    make bench-encoder OPTIONS="--rounds 3"

Forward and backward pass over the same weights and ids, one thread, CPU seconds of the process; the sides take turns, and the
best turn of each counts. Rows have lengths drawn evenly from a twelfth of the longest to the longest, or one length ("full").
Ours reads masked positions, theirs labels with -100 elsewhere, which is how it is used.

    padded      every place computed       padding skipped   the layers read real tokens only
    dense       local layers compute all   blocks            128 queries and the keys around them
"""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import ModernBertConfig, ModernBertForMaskedLM

from pipelines.contract.tokenizers.families import Specials
from training.convert import modernbert
from training.convert.rules import to_theirs
from training.data.rows.batch import IGNORE
from training.models import families, nearby
from training.models.attention import real_tokens
from training.models.composed import SIZES
from training.models.composed_encoder import ComposedEncoder

SHAPE = replace(SIZES["modernbert-base"], layers=6, width=256, heads=4, inner=384, vocabulary=8192)
CASES: Mapping[str, tuple[int, int, bool]] = {  # rows, longest, whether all are as long
    "ragged128": (32, 128, False),
    "ragged512": (8, 512, False),
    "full1024": (2, 1024, True),
    "full4096": (1, 4096, True),
}
SHARE, WHOLE = 0.3, 10**6  # of tokens predicted; a block that no row fills
GOALS = {"ragged128": 1.2, "ragged512": 1.3, "full1024": 1.2, "full4096": 1.8}  # times the same without the saving
PEER_GOAL = 1.15


def examples(rows: int, longest: int, full: bool) -> dict[str, Tensor]:
    """Return a batch as masked_lm makes it, of random ids."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(longest // 12, longest + 1, (rows,), generator=generator)
    lengths[0] = longest
    if full:
        lengths[:] = longest
    inputs = torch.randint(5, SHAPE.vocabulary, (rows, longest), generator=generator)
    order = torch.rand(rows, longest, generator=generator).masked_fill(~real_tokens(lengths, longest), 2.0).argsort(1)
    count = int(SHARE * longest)
    predicted = torch.arange(count) < (SHARE * lengths)[:, None]
    places = order[:, :count].masked_fill(~predicted, 0)
    targets = inputs.gather(1, places).masked_fill(~predicted, IGNORE)
    return {"inputs": inputs, "lengths": lengths, "masked_positions": places, "targets": targets}


def peer(model: ComposedEncoder) -> ModernBertForMaskedLM:
    """Return Hugging Face's model with the weights of ours."""
    specials = Specials(pad=0, begin=1, end=2, mask=3, decoder_start=None, sentinels=())
    settings: dict[str, Any] = {**modernbert.config(model.shape, specials), "attn_implementation": "sdpa"}
    theirs = ModernBertForMaskedLM(ModernBertConfig(**settings))
    theirs.load_state_dict(to_theirs(modernbert.rules(model.shape), model.state_dict()), strict=False)
    return theirs.train()


def sides(model: ComposedEncoder, given: dict[str, Tensor]) -> dict[str, Callable[[], Tensor]]:
    """Return what takes turns: ours with and without its savings, and theirs; each computes the mean loss."""
    count = (given["targets"] != IGNORE).sum()
    real = real_tokens(given["lengths"], given["inputs"].shape[1])
    labels = torch.full_like(given["inputs"], IGNORE)
    rows, columns = (given["targets"] != IGNORE).nonzero(as_tuple=True)
    labels[rows, given["masked_positions"][rows, columns]] = given["targets"][rows, columns]
    theirs = peer(model)

    def ours(unpads: bool, block: int) -> Callable[[], Tensor]:
        def loss() -> Tensor:
            model.unpads, nearby.BLOCK = unpads, block
            return model.losses(given)["tokens"] / count

        return loss

    return {
        "ours": ours(True, 128),
        "without": ours(False, 128) if not bool(real.all()) else ours(True, WHOLE),
        "theirs": lambda: theirs(input_ids=given["inputs"], attention_mask=real.long(), labels=labels).loss,
    }


def main() -> None:
    """Print seconds and ratios, and a RESULT line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--only", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--layers", type=int, default=SHAPE.layers)
    parser.add_argument("--width", type=int, default=SHAPE.width)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = families.make(replace(SHAPE, layers=options.layers, width=options.width), 1).train()
    assert isinstance(model, ComposedEncoder)
    for name in options.only:
        given = examples(*CASES[name])
        turns = sides(model, given)
        best, losses = dict.fromkeys(turns, float("inf")), dict.fromkeys(turns, 0.0)
        for _ in range(options.rounds):
            for side, loss in turns.items():
                began = time.process_time()
                value = loss()
                value.backward()
                best[side], losses[side] = min(best[side], time.process_time() - began), float(value.detach())
        assert max(losses.values()) - min(losses.values()) < 1e-4, losses
        padding = 1 - float(given["lengths"].sum()) / given["inputs"].numel()
        print(f"{name}: {padding:.0%} padding; " + ", ".join(f"{side} {seconds:.2f} s" for side, seconds in best.items()))
        print(f"RESULT\tencoder_{name}_saving\t{best['without'] / best['ours']:.2f}\tx\t>={GOALS[name]}")
        print(f"RESULT\tencoder_{name}_vs_transformers\t{best['theirs'] / best['ours']:.2f}\tx\t>={PEER_GOAL}", flush=True)


if __name__ == "__main__":
    main()
