"""Decoding token by token: greedy or with draws."""

from collections.abc import Callable, Sequence

import torch

from training.generation.choose import Choice, uniforms
from training.generation.limits import Limits
from training.generation.steps import Steps


@torch.inference_mode()
def decode(
    steps: Steps,
    limits: Limits,
    choice: Choice,
    seeds: Sequence[int] | None = None,
    done: Callable[[int, Sequence[int]], bool] | None = None,
) -> list[list[int]]:
    """Return the ids that follow each row, including the end if it reached one. A row that has ended leaves the batch.

    Args:
        steps: the model over the rows.
        limits: when an answer ends.
        choice: how a token is chosen.
        seeds: one for each row, if `choice` draws; an answer depends only on its row's seed.
        done: called with a row's number and its answer so far; returns whether the answer is complete.
    """
    limits = limits.within(steps.most)
    seeds = list(seeds) if seeds is not None else [0] * steps.rows
    assert len(seeds) == steps.rows
    answers: list[list[int]] = [[] for _ in seeds]
    live = list(range(steps.rows))  # the answer of each row in the batch
    draws = uniforms(seeds, limits.tokens) if choice.temperature else None
    scores = steps.next(None)
    for step in range(limits.tokens):
        scores = limits.apply(scores, step)
        chosen = choice(scores, scores if draws is None else draws[live, step])
        ids = chosen.tolist()
        for row, i in zip(live, ids, strict=True):
            answers[row].append(i)
        going = [place for place, i in enumerate(ids) if i not in limits.ends]
        if done is not None:
            going = [place for place in going if not done(live[place], answers[live[place]])]
        if not going or step + 1 == limits.tokens:
            break
        if len(going) < len(ids):
            live = [live[place] for place in going]
            kept = torch.tensor(going, device=chosen.device)
            steps.select(kept)
            chosen = chosen[kept]
        scores = steps.next(chosen)
    return answers
