"""Continue a text: `python -m training.generate RUN --prompt "Once upon a time"`."""

import argparse
import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from pipelines.contract.tokenizer import Tokenizer
from training import trained
from training.data.shards import END_OF_TEXT
from training.models.families import Model


@torch.no_grad()
def continue_ids(
    model: Model,
    prompt: Sequence[int],
    tokens: int,
    *,
    temperature: float = 0.8,
    top_k: int | None = 50,
    seed: int = 1,
    end: int | None = None,
) -> list[int]:
    """Up to `tokens` ids after the prompt, one after the other; `end` stops, and is not returned.

    Temperature 0 takes the likeliest id each time. The seed decides the draws. When the row is full, the oldest tokens
    fall out of the model's sight.
    """
    if not prompt:
        raise ValueError("the prompt is empty: the model needs at least one token to continue")
    device = next(model.parameters()).device
    generator = torch.Generator(device=device).manual_seed(seed)
    was_training = model.training
    model.eval()
    ids = list(prompt)
    for _ in range(tokens):
        seen = torch.tensor([ids[-model.shape.length :]], device=device)
        following = _choose(model(seen)[0, -1].float(), temperature, top_k, generator)
        if following == end:
            break
        ids.append(following)
    model.train(was_training)
    return ids[len(prompt) :]


def _choose(logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    if top_k is not None and top_k < len(logits):
        least = logits.topk(top_k).values[-1]
        logits = logits.masked_fill(logits < least, -torch.inf)
    return int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator))


def continue_text(
    model: Model,
    tokenizer: Tokenizer,
    prompt: str,
    tokens: int,
    *,
    temperature: float = 0.8,
    top_k: int | None = 50,
    seed: int = 1,
) -> str:
    """The prompt and what the model makes of it. The prompt stands at the beginning of a document."""
    end = tokenizer.special_ids[END_OF_TEXT]
    before = tokenizer.encode(prompt)
    new = continue_ids(model, [end, *before], tokens, temperature=temperature, top_k=top_k, seed=seed, end=end)
    return tokenizer.decode([*before, *new])


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.generate", description=__doc__)
    parser.add_argument("run", help="folder of a pretraining run")
    parser.add_argument("--prompt", default="")
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--temperature", type=float, default=0.8, help="0 takes the likeliest token each time")
    parser.add_argument("--top-k", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    found = trained.load(given.run)
    text = continue_text(
        found.model,
        found.tokenizer,
        given.prompt,
        given.tokens,
        temperature=given.temperature,
        top_k=given.top_k,
        seed=given.seed,
    )
    print(text)


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
