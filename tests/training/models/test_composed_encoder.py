"""Encoders of blocks against Hugging Face's ModernBERT; padding, windows and packed documents change no result."""

import doctest
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import ModernBertConfig, ModernBertForMaskedLM

from pipelines.contract.tokenizers.families import Specials
from training.convert import modernbert
from training.convert.rules import to_theirs
from training.data.rows.batch import IGNORE
from training.models import attention as attentions
from training.models import families, nearby
from training.models.composed import SIZES, ComposedShape
from training.models.composed_encoder import ComposedEncoder

SPECIALS = Specials(pad=0, begin=1, end=2, mask=3, decoder_start=None, sentinels=())
TINY = replace(SIZES["modernbert-demo"], layers=4, heads=4, width=32, inner=48, vocabulary=53, length=700, window=8)
LONG = nearby.BLOCK * 3 + 21  # tokens: beyond a block and its window, and no multiple of either


def redrawn(shape: ComposedShape, std: float = 0.2) -> ComposedEncoder:
    """All weights N(0, 0.2): with the small initial ones, half of the mistakes would not show."""
    model, generator = families.make(shape, 1).eval(), torch.Generator().manual_seed(2)
    assert isinstance(model, ComposedEncoder)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, std, generator=generator)
    return model


def tokens(*size: int, seed: int = 3) -> Tensor:
    return torch.randint(4, TINY.vocabulary, size, generator=torch.Generator().manual_seed(seed))


def theirs_of(model: ComposedEncoder) -> ModernBertForMaskedLM:
    config = ModernBertConfig(**modernbert.config(model.shape, SPECIALS))
    theirs = ModernBertForMaskedLM(config).eval()
    theirs.set_attn_implementation("eager")
    names = theirs.load_state_dict(to_theirs(modernbert.rules(model.shape), model.state_dict()), strict=False)
    assert (names.missing_keys, names.unexpected_keys) == (["decoder.weight"], [])  # tied
    return theirs


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"feed_forward": "geglu"},
        {"feed_forward": "swiglu", "biases": True},
        {"window": None},
        {"window": 9, "global_every": 2, "local_rotary_base": None, "norm_epsilon": 1e-3},
    ],
    ids=str,
)
@pytest.mark.parametrize("lengths", [[12, 5, 9], [7, 7], [LONG, 40, 1]], ids=str)
def test_logits_and_gradients_are_those_of_modernbert(changed: dict[str, Any], lengths: list[int]) -> None:
    model = redrawn(replace(TINY, **changed))
    theirs = theirs_of(model)
    real = attentions.real_tokens(torch.tensor(lengths), max(lengths))
    inputs = tokens(*real.shape)
    got = model(inputs, real=real)[real]
    wanted = theirs(inputs, attention_mask=real.long()).logits[real]
    assert (got - wanted).abs().max() < 1e-5
    got.logsumexp(-1).mean().backward()
    wanted.logsumexp(-1).mean().backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert len(gradients) == len(list(model.parameters()))
    found = to_theirs(modernbert.rules(model.shape), gradients)
    for name, parameter in theirs.named_parameters():
        assert parameter.grad is not None
        assert (found[name] - parameter.grad).abs().max() < 2e-5 * max(1.0, float(parameter.grad.abs().max())), name


@pytest.mark.parametrize("mutation", ["window", "every", "base", "local base", "gelu", "first norm", "padding"])
def test_a_mistake_is_far_beyond_the_tolerance(mutation: str) -> None:
    model = redrawn(TINY)
    theirs, inputs = theirs_of(model), tokens(2, 300)
    real = attentions.real_tokens(torch.tensor([300, 230]), 300)
    wrong: dict[str, dict[str, Any]] = {
        "window": {"window": 6},
        "every": {"global_every": 2},
        "base": {"rotary_base": 150_000},
        "local base": {"local_rotary_base": 11_000},
        "gelu": {"feed_forward": "geglu"},
    }
    if mutation in wrong:
        other = redrawn(replace(TINY, **wrong[mutation]))
        other.load_state_dict(model.state_dict())
        model = other
    elif mutation == "first norm":
        model.layers[0].register_module("attention_norm", nn.LayerNorm(32, bias=False))
    with torch.no_grad():
        wanted = theirs(inputs, attention_mask=real.long()).logits
        got = model(inputs, real=None if mutation == "padding" else real)
    assert (got - wanted)[real].abs().max() > 1e-4


OTHERS: list[dict[str, Any]] = [
    {},
    {"positions": "learned"},
    {"positions": "sinusoidal", "norm_place": "post"},
    {"positions": "relative"},
    {"positions": "none", "norm": "rms", "feed_forward": "relu"},
    {"window": None, "dropout": 0.1},
]


@pytest.mark.parametrize("changed", OTHERS, ids=str)
@pytest.mark.parametrize("lengths", [[12, 5, 1], [LONG, 150, 3]], ids=str)
def test_rows_together_without_padding_are_as_each_alone(changed: dict[str, Any], lengths: list[int]) -> None:
    model = redrawn(replace(TINY, **changed))
    real = attentions.real_tokens(torch.tensor(lengths), max(lengths))
    inputs = tokens(*real.shape)
    with torch.no_grad():
        got = model(inputs, real=real)
        model.unpads = False
        padded = model(inputs, real=real)
        for row, length in enumerate(lengths):
            alone = model(inputs[row : row + 1, :length])[0]
            assert (got[row, :length] - alone).abs().max() < 1e-5 * max(1.0, float(alone.abs().max()))
    assert torch.isfinite(padded).all()
    assert (got - padded)[real].abs().max() < 1e-5 * max(1.0, float(padded.abs().max()))


@pytest.mark.parametrize("changed", OTHERS, ids=str)
def test_documents_in_one_row_are_as_each_alone(changed: dict[str, Any]) -> None:
    model, lengths = redrawn(replace(TINY, **changed)), [200, 7, 1, 140]
    inputs = tokens(1, sum(lengths) + 5)
    documents = torch.tensor([[n for n, length in enumerate(lengths) for _ in range(length)] + [0] * 5])
    positions = torch.tensor([[at for length in lengths for at in range(length)] + [0] * 5])
    real = attentions.real_tokens(torch.tensor([sum(lengths)]), inputs.shape[1])  # padding claims to be of a document
    with torch.no_grad():
        got, first = model(inputs, real=real, positions=positions, documents=documents)[0], 0
        for length in lengths:
            alone = model(inputs[:, first : first + length])[0]
            assert (got[first : first + length] - alone).abs().max() < 1e-5 * max(1.0, float(alone.abs().max()))
            first += length
        mixed = model(inputs, real=real, positions=positions)[0]
    assert (got - mixed)[: lengths[0]].abs().max() > 1e-2


def test_a_local_layer_sees_half_of_its_window_on_each_side() -> None:
    model = redrawn(replace(TINY, layers=2, window=8, positions="none"))  # layer 0 is global
    attention = model.layers[1].get_submodule("attention")
    for length in (12, LONG):
        x = torch.randn(1, length, 32, generator=torch.Generator().manual_seed(5), requires_grad=True)
        _, local = model._around(None, None, torch.arange(length)[None], None, length)  # pyright: ignore[reportPrivateUsage]
        assert (local.blocks is None) == (length < 100)
        for at in {0, 5, length // 2, nearby.BLOCK, length - 1} & set(range(length)):
            (slope,) = torch.autograd.grad(attention(x, local)[0, at].sum(), x)
            seen = slope[0].abs().sum(-1).nonzero()[:, 0].tolist()
            assert seen == list(range(max(0, at - 4), min(length, at + 5)))


def test_the_example_of_the_docstring() -> None:
    assert doctest.testmod(nearby).failed == 0


def examples(lengths: list[int], width: int) -> dict[str, Tensor]:
    """Three predictions a row, the last row with one only."""
    places = torch.tensor([[1, length // 2, length - 1] for length in lengths])
    inputs = tokens(len(lengths), width)
    targets = inputs.gather(1, places)
    targets[-1, 1:] = IGNORE
    return {"inputs": inputs, "lengths": torch.tensor(lengths), "masked_positions": places, "targets": targets}


@pytest.mark.parametrize("norm_place", ["pre", "post"])
@pytest.mark.parametrize("unpads", [True, False])
def test_the_loss_reads_masked_tokens_only(norm_place: str, unpads: bool) -> None:
    model = redrawn(replace(TINY, norm_place=norm_place))
    model.unpads = unpads
    given = examples([20, 9, 5], 20)
    found = model.losses(given)
    real = attentions.real_tokens(given["lengths"], 20)
    with torch.no_grad():
        logits = model(given["inputs"], real=real)
    at = logits.gather(1, given["masked_positions"][..., None].expand(-1, -1, 53))
    wanted = nn.functional.cross_entropy(at.flatten(0, 1), given["targets"].flatten(), ignore_index=IGNORE, reduction="sum")
    assert float(found["tokens"].detach()) == pytest.approx(float(wanted), rel=1e-5)
    assert int(found["tokens_right"]) == int((at.argmax(-1) == given["targets"]).sum())
    found["tokens"].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("recomputed", [True, False])
def test_it_learns(recomputed: bool) -> None:
    """Every weight has a gradient, and some steps fit a batch."""
    model = families.make(replace(TINY, width=64), 1).train()
    if recomputed:
        from training.models.recompute import recompute

        recompute(families.layers(model))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    given, losses = examples([20, 9, 5], 20), list[float]()
    for _ in range(12):
        loss = model.losses(given)["tokens"] / 7
        loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.any(), name
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(math.log(53), abs=0.15) and losses[-1] < losses[0] - 0.5


@pytest.mark.parametrize(("size", "millions"), [("modernbert-base", 149), ("modernbert-large", 395)])
def test_sizes_are_those_of_the_paper(size: str, millions: int) -> None:
    """Table 4 and 2.2: 149 and 395 million."""
    with torch.device("meta"):
        found = families.parameters(families.build(SIZES[size]))
        assert int(found / 1e6) == millions
        theirs = ModernBertForMaskedLM(ModernBertConfig(**modernbert.config(SIZES[size], SPECIALS)))
    assert found == sum(p.numel() for p in theirs.parameters())
