"""The model against GPT-2's definition, written out in NumPy float64 below without a line of the model's code."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.models.families import make, parameters
from training.models.gpt import GPT, SIZES, GPTShape

TINY = GPTShape(vocabulary=53, length=12, layers=3, heads=4, width=64)
Weights = dict[str, NDArray[np.float64]]


def redrawn(std: float = 0.2) -> GPT:
    """All weights N(0, 0.2): with the small initial ones, half of the mistakes would not show."""
    model = make(TINY, 1).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, std, generator=generator)
    return model


def norm(x: NDArray[np.float64], weight: NDArray[np.float64], bias: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight + bias


def gelu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def attention(x: NDArray[np.float64], w: Weights, name: str, heads: int) -> NDArray[np.float64]:
    query, key, value = np.split(x @ w[f"{name}.query_key_value.weight"].T + w[f"{name}.query_key_value.bias"], 3, axis=-1)
    width = x.shape[-1] // heads
    mixed = np.zeros_like(x)
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        scores = query[..., part] @ key[..., part].swapaxes(-1, -2) / math.sqrt(width)
        scores = np.where(np.tril(np.ones(scores.shape[-2:])) == 1, scores, -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed[..., part] = shares / shares.sum(-1, keepdims=True) @ value[..., part]
    return mixed @ w[f"{name}.output.weight"].T + w[f"{name}.output.bias"]


def reference(model: GPT, inputs: NDArray[np.int64]) -> NDArray[np.float64]:
    w: Weights = {name: value.detach().double().numpy() for name, value in model.state_dict().items()}
    x = w["embeddings.tokens.weight"][inputs] + w["embeddings.positions.weight"][: inputs.shape[1]]
    for n in range(model.shape.layers):
        at = f"layers.{n}"
        x = x + attention(
            norm(x, w[f"{at}.attention_norm.weight"], w[f"{at}.attention_norm.bias"]), w, f"{at}.attention", model.shape.heads
        )
        inner = norm(x, w[f"{at}.feed_forward_norm.weight"], w[f"{at}.feed_forward_norm.bias"])
        inner = gelu(inner @ w[f"{at}.feed_forward.inner.weight"].T + w[f"{at}.feed_forward.inner.bias"])
        x = x + inner @ w[f"{at}.feed_forward.output.weight"].T + w[f"{at}.feed_forward.output.bias"]
    return norm(x, w["norm.weight"], w["norm.bias"]) @ w["embeddings.tokens.weight"].T


@pytest.mark.parametrize("length", [1, 5, 12])
def test_logits_are_gpt2s(length: int) -> None:
    model = redrawn()
    inputs = np.random.default_rng(length).integers(0, TINY.vocabulary, (3, length))
    with torch.no_grad():
        logits = model(torch.from_numpy(inputs)).numpy()
    # logits are of size 10 here: 1e-5 of them is what float32 keeps; erf instead of tanh is off by 100 times that
    assert np.abs(logits - reference(model, inputs)).max() < 5e-5
    with torch.no_grad():
        exact = model.double()(torch.from_numpy(inputs)).numpy()
    assert np.abs(exact - reference(model, inputs)).max() < 1e-10


def test_a_later_token_changes_no_earlier_logit() -> None:
    model = redrawn()
    inputs = torch.arange(12)[None] % TINY.vocabulary
    changed = inputs.clone()
    changed[0, 7] = 40
    with torch.no_grad():
        before, after = model(inputs), model(changed)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.isclose(before[:, 7:], after[:, 7:]).all(dim=-1).any()


def test_gpt2_small_has_its_number_of_weights() -> None:
    with torch.device("meta"):
        assert parameters(GPT(SIZES["small"])) == 124_439_808


def test_a_new_model_knows_nothing() -> None:
    model = make(GPTShape(vocabulary=4096, length=32, layers=2, heads=2, width=64), seed=3)
    tokens = torch.randint(0, 4096, (8, 32), generator=torch.Generator().manual_seed(1))
    loss = model.losses({"inputs": tokens, "targets": tokens.roll(1, 0)})["tokens"] / tokens.numel()
    assert abs(float(loss.detach()) - math.log(4096)) < 0.05


def test_weights_follow_the_published_initialisation_and_the_seed() -> None:
    shape = GPTShape(vocabulary=1000, length=64, layers=8, heads=4, width=128)
    model = make(shape, seed=4)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        elif "norm" in name:
            assert bool((parameter == 1).all())
        else:
            wanted = 0.02 / math.sqrt(16) if name.endswith("output.weight") else 0.02
            assert float(parameter.detach().std()) == pytest.approx(wanted, rel=0.05), name
    same, other = make(shape, seed=4), make(shape, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    assert not torch.equal(model.embeddings.tokens.weight, other.embeddings.tokens.weight)


def test_a_document_in_a_packed_row_is_as_it_is_alone() -> None:
    model = redrawn()
    first, second = torch.tensor([[3, 1, 4, 1, 5]]), torch.tensor([[9, 2, 6]])
    packed = torch.cat([first, second, torch.tensor([[0, 0]])], dim=1)
    positions = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 0, 0]])
    documents = torch.tensor([[0] * 5 + [1] * 3 + [-1] * 2])
    with torch.no_grad():
        got = model(packed, positions=positions, documents=documents)
        assert torch.isfinite(got).all()
        assert (got[:, :5] - model(first)).abs().max() < 1e-5
        assert (got[:, 5:8] - model(second)).abs().max() < 1e-5
        assert (got[:, 5:8] - model(packed)[:, 5:8]).abs().max() > 1e-1  # without the numbers it sees the document before
