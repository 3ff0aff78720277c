"""The model against GPT-2's definition, written out in NumPy float64 below without a line of the model's code, and against
Hugging Face's, with its gradients."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

from pipelines.contract.tokenizers.families import Specials
from training.convert import gpt as convert
from training.convert.rules import WeightsError, to_ours, to_theirs
from training.data.rows.batch import IGNORE
from training.models import attention as attentions
from training.models.blocks import ACTIVATIONS, FeedForward
from training.models.families import make, parameters
from training.models.gpt import GPT, SIZES, GPTShape

TINY = GPTShape(vocabulary=53, length=12, layers=3, heads=4, width=64)
SPECIALS = Specials(pad=0, begin=0, end=0, mask=None, decoder_start=None, sentinels=())
Weights = dict[str, NDArray[np.float64]]


def new(shape: GPTShape = TINY) -> GPT:
    model = make(shape, 1)
    assert isinstance(model, GPT)
    return model.eval()


def redrawn(std: float = 0.2) -> GPT:
    """All weights N(0, 0.2): with the small initial ones, half of the mistakes would not show."""
    model = new()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, std, generator=generator)
    return model


def at_hugging_face(model: GPT, kernel: str = "eager") -> GPT2LMHeadModel:
    """The same weights in `GPT2LMHeadModel`, by our config and rules."""
    theirs = GPT2LMHeadModel(their_config(model.shape)).eval()
    theirs.set_attn_implementation(kernel)
    names = theirs.load_state_dict(to_theirs(convert.rules(model.shape), model.state_dict()), strict=False)
    assert (names.missing_keys, names.unexpected_keys) == (["lm_head.weight"], [])  # tied: it comes with the embedding
    return theirs


def their_config(shape: GPTShape) -> GPT2Config:
    return GPT2Config(**convert.config(shape, SPECIALS))


def padded(lengths: list[int], side: str, seed: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of these lengths: inputs, which of them are real, and the positions of those that are (B, T)."""
    width = max(lengths)
    inputs = torch.randint(0, TINY.vocabulary, (len(lengths), width), generator=torch.Generator().manual_seed(seed))
    real = attentions.real_tokens(torch.tensor(lengths), width)
    real = real.flip(1) if side == "left" else real
    return inputs, real, (real.cumsum(1) - 1).clamp_min(0)


def distance(ours: nn.Module, theirs: nn.Module, inputs: Tensor, real: Tensor, positions: Tensor) -> float:
    """The largest difference of the logits of real tokens."""
    with torch.no_grad():
        got = ours(inputs, real=real, positions=positions)
        wanted = theirs(inputs, attention_mask=real.long(), position_ids=positions).logits
    return float((got - wanted)[real].abs().max())


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


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("lengths", [[12, 5, 1], [7, 7], [3, 12, 8, 2]])
def test_logits_are_hugging_faces(lengths: list[int], side: str, kernel: str) -> None:
    for model in (redrawn(), new()):  # the small initial weights show the epsilon
        assert distance(model, at_hugging_face(model, kernel), *padded(lengths, side)) < 1e-5


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_gradients_are_hugging_faces(side: str, kernel: str) -> None:
    model = redrawn()
    theirs = at_hugging_face(model, kernel)
    inputs, real, positions = padded([12, 5, 9], side)
    ours_loss = loss_of(model(inputs, real=real, positions=positions), inputs, real)
    their_loss = loss_of(theirs(inputs, attention_mask=real.long(), position_ids=positions).logits, inputs, real)
    assert abs(float(ours_loss.detach()) - float(their_loss.detach())) < 1e-5
    ours_loss.backward()
    their_loss.backward()
    gradients = {name: of(parameter) for name, parameter in model.named_parameters()}
    wanted = {name: of(parameter) for name, parameter in theirs.named_parameters()}
    got = to_theirs(convert.rules(TINY), gradients)
    assert set(got) == set(wanted)
    for name, gradient in got.items():
        assert float((gradient - wanted[name]).abs().max()) < 2e-5 * max(1.0, float(wanted[name].abs().max())), name


def of(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def loss_of(logits: Tensor, inputs: Tensor, real: Tensor) -> Tensor:
    """Mean cross-entropy of each real token's successor."""
    targets = inputs.roll(-1, 1).masked_fill(~(real & real.roll(-1, 1)), IGNORE)
    targets[:, -1] = IGNORE
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)


def test_logits_of_the_published_size_are_hugging_faces() -> None:
    torch.manual_seed(6)
    theirs = GPT2LMHeadModel(GPT2Config()).eval()
    with torch.device("meta"):
        model = GPT(SIZES["small"])
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    weights = to_ours(convert.rules(SIZES["small"]), theirs.state_dict(), shapes, "here", convert.IGNORED)
    model.load_state_dict(weights, assign=True)
    assert distance(model.eval(), theirs, *padded([6, 4], "left")) < 1e-5


@pytest.mark.parametrize(
    "mutation", ["erf", "no scale", "epsilon", "no padding mask", "no causal mask", "positions", "not transposed"]
)
def test_a_mistake_is_far_beyond_the_tolerance(mutation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = new() if mutation == "epsilon" else redrawn()
    theirs = at_hugging_face(model)
    inputs, real, positions = padded([12, 5, 9], "left")
    if mutation == "erf":
        for module in model.modules():
            if isinstance(module, FeedForward):
                monkeypatch.setattr(module, "activation", ACTIVATIONS["gelu"])
    elif mutation == "no scale":
        for module in model.modules():
            if isinstance(module, attentions.SelfAttention):
                monkeypatch.setattr(module, "scale", 1.0)
    elif mutation == "epsilon":
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                monkeypatch.setattr(module, "eps", 1e-12)
    elif mutation == "no padding mask":
        monkeypatch.setattr(attentions, "sees_past", lambda real, queries: attentions.past(queries, real.shape[1], real.device))
    elif mutation == "no causal mask":
        monkeypatch.setattr(attentions, "sees_past", lambda real, queries: attentions.sees_real(real))
    elif mutation == "positions":
        model.embeddings.positions.weight.data = model.embeddings.positions.weight.data.roll(1, 0)
    else:  # square matrices can be wrong without an error
        for layer in model.layers:
            weight = layer.get_submodule("attention.output").get_parameter("weight")
            weight.data = weight.data.t().contiguous()
    assert distance(model, theirs, inputs, real, positions) > 1e-4


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_row_is_as_it_is_alone(side: str) -> None:
    model = redrawn()
    inputs, real, positions = padded([12, 5, 1], side)
    with torch.no_grad():
        got = model(inputs, real=real, positions=positions)
        for row in range(3):
            assert (got[row, real[row]] - model(inputs[row, real[row]][None])[0]).abs().max() < 1e-5
    assert torch.isfinite(got).all()  # a token of padding that sees nothing must not spoil the gradients of others


@pytest.mark.parametrize("pieces", [[1] * 12, [5, 1, 6], [12]])
def test_a_cache_changes_nothing(pieces: list[int]) -> None:
    model = redrawn()
    inputs, real, positions = padded([12, 5, 9], "left")
    with torch.no_grad():
        for mask, places in ((real, positions), (None, None)):
            whole = model.hidden(inputs, real=mask, positions=places)
            cache, at = model.empty_cache(), 0
            for piece in pieces:
                now, end = slice(at, at + piece), at + piece
                got = model.hidden(
                    inputs[:, now],
                    real=None if mask is None else mask[:, :end],
                    positions=None if places is None else places[:, now],
                    cache=cache,
                )
                wanted = whole[:, now] if mask is None else whole[:, now][mask[:, now]]
                assert ((got if mask is None else got[mask[:, now]]) - wanted).abs().max() < 1e-5
                at = end
            assert cache.length == 12


def test_a_row_longer_than_the_positions_is_refused() -> None:
    model, cache = redrawn(), redrawn().empty_cache()
    model.hidden(torch.zeros(1, 11, dtype=torch.long), cache=cache)
    with pytest.raises(AssertionError, match="longer than the model's positions"):
        model.hidden(torch.zeros(1, 2, dtype=torch.long), cache=cache)


def test_weights_go_there_and_back() -> None:
    model = redrawn()
    theirs = to_theirs(convert.rules(TINY), model.state_dict())
    assert set(theirs) | {"lm_head.weight"} == set(GPT2LMHeadModel(their_config(TINY)).state_dict())
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    for extra in (
        {},
        {"lm_head.weight": theirs["transformer.wte.weight"]},
        {"transformer.h.0.attn.bias": torch.ones(1, 1, 12, 12)},
    ):
        back = to_ours(convert.rules(TINY), theirs | extra, shapes, "here", convert.IGNORED)
        assert list(back) and all(torch.equal(back[name], weight) for name, weight in model.state_dict().items())
    with pytest.raises(WeightsError, match=r"here: has weights that the model lacks: score\.weight"):
        to_ours(convert.rules(TINY), theirs | {"score.weight": torch.ones(2, 64)}, shapes, "here", convert.IGNORED)


def test_a_headless_checkpoint_has_the_same_names_without_a_prefix() -> None:
    theirs = set(to_theirs(convert.rules(TINY), redrawn().state_dict()))
    headless = GPT2Model(their_config(TINY)).state_dict()
    assert {f"transformer.{name}" for name in headless} == theirs


@pytest.mark.parametrize("size", SIZES)
def test_a_shape_is_its_configs(size: str) -> None:
    assert convert.shape(convert.config(SIZES[size], SPECIALS)) == SIZES[size]
    assert convert.shape(their_config(SIZES[size]).to_dict()) == SIZES[size]


def test_a_config_of_the_first_releases_is_read() -> None:
    old = {"vocab_size": 50257, "n_positions": 1024, "n_ctx": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12}
    assert convert.shape({**old, "layer_norm_epsilon": 1e-5, "initializer_range": 0.02}) == SIZES["small"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", "gpt_neo"),
        ("activation_function", "quick_gelu"),
        ("scale_attn_weights", False),
        ("scale_attn_by_inverse_layer_idx", True),
        ("reorder_and_upcast_attn", True),
        ("add_cross_attention", True),
        ("n_embd", "768"),
        ("n_layer", None),
        ("vocab_size", True),
    ],
)
def test_a_config_of_another_model_names_the_field(field: str, value: Any) -> None:
    wanted = {**convert.config(TINY, SPECIALS), field: value}
    with pytest.raises(ValueError, match=f"^{field} "):
        convert.shape(wanted)


def test_other_names_of_what_gpt2_has_are_read() -> None:
    other = {"n_inner": 256, "activation_function": "gelu_pytorch_tanh"}
    assert convert.shape({**convert.config(TINY, SPECIALS), **other}) == TINY


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="heads must divide width, and 5 does not divide 64"):
        GPTShape(layers=1, heads=5, width=64)
    with pytest.raises(ValueError, match="heads must divide width"):
        convert.shape({**convert.config(TINY, SPECIALS), "n_head": 7})


def test_the_loss_is_the_sum_over_targets_and_leaves_padding_out() -> None:
    model = redrawn()
    inputs, real, _ = padded([12, 5, 9], "right")
    targets = inputs.roll(-1, 1).masked_fill(~real, IGNORE)
    got = model.losses({"inputs": inputs, "targets": targets})
    with torch.no_grad():
        wanted = functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum")
    assert list(got) == ["tokens"]
    assert float(got["tokens"].detach()) == pytest.approx(float(wanted), rel=1e-6)
