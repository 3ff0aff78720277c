"""Models of blocks against their definitions, written out in float64 below, against GPT-2 and against Hugging Face's Llama."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.t5.modeling_t5 import T5Attention

from training.checkpoints import trained
from training.convert.rules import Rule, to_theirs
from training.data.rows.batch import IGNORE
from training.models import attention as attentions
from training.models import families, gpt
from training.models.attention import rotate
from training.models.composed import SIZES, Composed, ComposedShape
from training.models.positions import rotation, sinusoids
from training.run import config
from training.run.pretrain import pretrain

ROOT = ROOT
TINY = ComposedShape(vocabulary=53, length=12, layers=3, heads=4, width=64)
LLAMA = replace(TINY, norm="rms", positions="rotary", feed_forward="swiglu", biases=False)
CHANGED: list[dict[str, Any]] = [
    {name: choice} for name, choices in ComposedShape.CHOICES.items() for choice in choices if choice != getattr(TINY, name)
] + [
    {"biases": False},
    {"norm": "rms", "norm_place": "post", "positions": "sinusoidal", "feed_forward": "relu"},
    {"norm": "rms", "positions": "relative", "feed_forward": "geglu", "biases": False},
    {"norm_place": "post", "positions": "rotary", "feed_forward": "reglu", "biases": False},
]


def new(shape: ComposedShape) -> Composed:
    model = families.make(shape, 1)
    assert isinstance(model, Composed)
    return model.eval()


def redrawn(shape: ComposedShape, std: float = 0.2) -> Composed:
    """All weights N(0, 0.2): with the small initial ones, half of the mistakes would not show."""
    model, generator = new(shape), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, std, generator=generator)
    return model


def tokens(*size: int, seed: int = 3) -> Tensor:
    return torch.randint(0, TINY.vocabulary, size, generator=torch.Generator().manual_seed(seed))


def padded(lengths: list[int], side: str) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of these lengths: inputs, which of them are real, and the positions of those that are."""
    real = attentions.real_tokens(torch.tensor(lengths), max(lengths))
    real = real.flip(1) if side == "left" else real
    return tokens(len(lengths), max(lengths)), real, (real.cumsum(1) - 1).clamp_min(0)


ACTIVATIONS = {
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: x * (x > 0),
    "silu": lambda x: x / (1 + torch.exp(-x)),
}  # fmt: skip
GATES = {"geglu": "gelu_tanh", "swiglu": "silu", "reglu": "relu", "geglu_erf": "gelu"}


class Reference:
    """The definitions, one row of tokens at a time, without a line of the model's code."""

    def __init__(self, model: Composed) -> None:
        self.shape = model.shape
        self.w = {name: tensor.detach().double() for name, tensor in model.state_dict().items()}

    def logits(self, row: Tensor) -> Tensor:
        """(T,) -> (T, V)."""
        s, x = self.shape, self.w["embeddings.tokens.weight"][row]
        if s.positions == "learned":
            x = x + self.w["embeddings.positions.weight"][: len(row)]
        elif s.positions == "sinusoidal":
            x = x * math.sqrt(s.width) + torch.tensor([[paper(p, c, s.width) for c in range(s.width)] for p in range(len(row))])
        for n in range(s.layers):
            for part, name in ((self.attention, "attention"), (self.feed_forward, "feed_forward")):
                at = f"layers.{n}.{name}"
                if s.norm_place == "pre":
                    x = x + part(self.norm(x, f"{at}_norm"), at)
                else:
                    x = self.norm(x + part(x, at), f"{at}_norm")
        x = self.norm(x, "norm") if s.norm_place == "pre" else x
        return x @ self.w["embeddings.tokens.weight"].T

    def linear(self, x: Tensor, name: str) -> Tensor:
        assert (f"{name}.bias" in self.w) == self.shape.biases
        return x @ self.w[f"{name}.weight"].T + self.w.get(f"{name}.bias", torch.zeros(()))

    def norm(self, x: Tensor, name: str) -> Tensor:
        assert (f"{name}.bias" in self.w) == (self.shape.biases and self.shape.norm == "layer")
        if self.shape.norm == "rms":
            return x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-6) * self.w[f"{name}.weight"]
        centred = x - x.mean(-1, keepdim=True)
        x = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5) * self.w[f"{name}.weight"]
        return x + self.w.get(f"{name}.bias", torch.zeros(()))

    def feed_forward(self, x: Tensor, name: str) -> Tensor:
        kind = self.shape.feed_forward
        if kind in ACTIVATIONS:
            return self.linear(ACTIVATIONS[kind](self.linear(x, f"{name}.inner")), f"{name}.output")
        gate, inner = self.linear(x, f"{name}.gate_inner").chunk(2, -1)
        return self.linear(ACTIVATIONS[GATES[kind]](gate) * inner, f"{name}.output")

    def attention(self, x: Tensor, name: str) -> Tensor:
        heads, length = self.shape.heads, len(x)
        query, key, value = self.linear(x, f"{name}.query_key_value").view(length, 3, heads, -1).permute(1, 2, 0, 3)
        if self.shape.positions == "rotary":
            query, key = turned(query), turned(key)
        scores = query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])
        if self.shape.positions == "relative":
            scores = scores + self.t5_bias(length)
        scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), -math.inf)
        mixed = scores.softmax(-1) @ value
        return self.linear(mixed.transpose(0, 1).flatten(1), f"{name}.output")

    def t5_bias(self, length: int) -> Tensor:
        """(H, T, T): Hugging Face's buckets."""
        distance = torch.arange(length)[None, :] - torch.arange(length)[:, None]
        bucket = T5Attention._relative_position_bucket(  # pyright: ignore[reportPrivateUsage]
            distance, bidirectional=False, num_buckets=32, max_distance=128
        )
        return self.w["relative.weight"][bucket].permute(2, 0, 1)


def paper(position: int, channel: int, width: int) -> float:
    """Vaswani et al. 2017, 3.5: PE(pos, 2i) = sin(pos / 10000^(2i / D)), PE(pos, 2i + 1) = cos(the same)."""
    angle = position / 10_000 ** (channel // 2 * 2 / width)
    return math.cos(angle) if channel % 2 else math.sin(angle)


def turned(x: Tensor) -> Tensor:
    """Su et al. 2021, 3.2.1: a pair of channels is a complex number, and turned by position times frequency. (H, T, K)."""
    half = x.shape[-1] // 2
    pairs = torch.complex(x[..., :half], x[..., half:])
    frequencies = 10_000.0 ** (-2 * torch.arange(half, dtype=torch.float64) / x.shape[-1])
    angles = torch.arange(x.shape[-2])[:, None] * frequencies
    pairs = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([pairs.real, pairs.imag], -1)


@pytest.mark.parametrize("changed", CHANGED, ids=str)
def test_logits_are_those_of_the_definitions(changed: dict[str, Any]) -> None:
    model, inputs = redrawn(replace(TINY, **changed)), tokens(2, 12)
    with torch.no_grad():
        got = model.double()(inputs)
    wanted = torch.stack([Reference(model).logits(row) for row in inputs])
    float32_tables = model.shape.positions in ("rotary", "sinusoidal")
    assert (got - wanted).abs().max() < (2e-5 if float32_tables else 1e-10)


@pytest.mark.parametrize(
    ("changed", "taken_for"),
    [
        ({"norm_place": "post"}, {"norm": "rms", "biases": False}),
        ({"feed_forward": "gelu"}, {"feed_forward": "gelu_tanh"}),
        ({"feed_forward": "silu"}, {"feed_forward": "gelu"}),
        ({"feed_forward": "geglu"}, {"feed_forward": "swiglu"}),
        ({"positions": "rotary"}, {"positions": "none"}),
        ({"positions": "sinusoidal"}, {"positions": "none"}),
        ({"positions": "relative"}, {"positions": "none"}),
    ],
    ids=str,
)
def test_another_definition_is_far_beyond_the_tolerance(changed: dict[str, Any], taken_for: dict[str, Any]) -> None:
    model = redrawn(replace(TINY, **changed))
    reference = Reference(model)
    reference.shape = replace(model.shape, **taken_for)
    reference.w = {name: w for name, w in reference.w.items() if reference.shape.biases or not name.endswith("bias")}
    with torch.no_grad():
        assert (model(tokens(1, 12))[0] - reference.logits(tokens(1, 12)[0])).abs().max() > 1e-4


def test_the_defaults_are_gpt2() -> None:
    shape = gpt.GPTShape(vocabulary=53, length=12, layers=3, heads=4, width=64)
    theirs, ours = families.make(shape, 7).eval(), families.make(TINY, 7).eval()
    assert isinstance(theirs, gpt.GPT) and isinstance(ours, Composed)
    drawn, same = theirs.state_dict(), ours.state_dict()
    assert list(drawn) == list(same) and all(torch.equal(drawn[name], same[name]) for name in drawn)  # the initialisation, too
    ours = redrawn(TINY)
    theirs.load_state_dict(ours.state_dict())
    inputs, real, positions = padded([12, 5, 9], "left")
    with torch.no_grad():
        got = ours(inputs, real=real, positions=positions)
        assert (got - theirs(inputs, real=real, positions=positions)).abs().max() < 1e-6
    examples = {"inputs": inputs, "targets": inputs.roll(-1, 1)}
    ours.losses(examples)["tokens"].backward()
    theirs.losses(examples)["tokens"].backward()
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert mine.grad is not None and other.grad is not None
        assert (mine.grad - other.grad).abs().max() < 1e-6 * max(1.0, float(other.grad.abs().max())), name


def llama_rules(shape: ComposedShape) -> list[Rule]:
    rules = [Rule("embeddings.tokens.weight", ("model.embed_tokens.weight",)), Rule("norm.weight", ("model.norm.weight",))]
    for n in range(shape.layers):
        ours, theirs = f"layers.{n}", f"model.layers.{n}"
        rules += [
            Rule(f"{ours}.attention_norm.weight", (f"{theirs}.input_layernorm.weight",)),
            Rule(f"{ours}.attention.query_key_value.weight", tuple(f"{theirs}.self_attn.{p}_proj.weight" for p in "qkv")),
            Rule(f"{ours}.attention.output.weight", (f"{theirs}.self_attn.o_proj.weight",)),
            Rule(f"{ours}.feed_forward_norm.weight", (f"{theirs}.post_attention_layernorm.weight",)),
            Rule(f"{ours}.feed_forward.gate_inner.weight", tuple(f"{theirs}.mlp.{p}_proj.weight" for p in ("gate", "up"))),
            Rule(f"{ours}.feed_forward.output.weight", (f"{theirs}.mlp.down_proj.weight",)),
        ]
    return rules


def llama(model: Composed) -> LlamaForCausalLM:
    s = model.shape
    made = LlamaConfig(
        vocab_size=s.vocabulary,
        hidden_size=s.width,
        intermediate_size=s.inner_width,
        num_hidden_layers=s.layers,
        num_attention_heads=s.heads,
        max_position_embeddings=s.length,
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
    )
    theirs = LlamaForCausalLM(made).eval()
    theirs.set_attn_implementation("eager")
    names = theirs.load_state_dict(to_theirs(llama_rules(s), model.state_dict()), strict=False)
    assert (names.missing_keys, names.unexpected_keys) == (["lm_head.weight"], [])  # tied
    return theirs


@pytest.mark.parametrize("side", ["left", "right"])
def test_rms_rotary_swiglu_without_biases_is_llama(side: str) -> None:
    model = redrawn(LLAMA)
    theirs = llama(model)
    inputs, real, positions = padded([12, 5, 9], side)
    got = model(inputs, real=real, positions=positions)[real]
    wanted = theirs(inputs, attention_mask=real.long(), position_ids=positions).logits[real]
    assert (got - wanted).abs().max() < 1e-5
    got.logsumexp(-1).sum().backward()
    wanted.logsumexp(-1).sum().backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    found = to_theirs(llama_rules(LLAMA), gradients)
    assert len(gradients) == len(list(model.parameters()))
    for name, parameter in theirs.named_parameters():
        assert parameter.grad is not None
        assert (found[name] - parameter.grad).abs().max() < 2e-5 * max(1.0, float(parameter.grad.abs().max())), name


@pytest.mark.parametrize("mutation", ["frequencies", "pairs", "gate", "epsilon"])
def test_a_mistake_is_far_beyond_the_tolerance(mutation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = new(LLAMA) if mutation == "epsilon" else redrawn(LLAMA)  # an epsilon shows beside small weights
    theirs, inputs = llama(model), tokens(2, 12)
    if mutation == "frequencies":
        monkeypatch.setattr("training.models.composed.rotation", lambda at, width, base: rotation(at, width, base=9_000.0))
    elif mutation == "pairs":
        monkeypatch.setattr(attentions, "rotate", neighbours)
    for module in model.modules():
        if mutation == "gate" and hasattr(module, "gate_inner"):
            module.get_submodule("gate_inner").get_parameter("weight").data = swapped(module)
        if mutation == "epsilon" and isinstance(module, nn.RMSNorm):
            monkeypatch.setattr(module, "eps", 1e-5)
    with torch.no_grad():
        difference = (model(inputs) - theirs(inputs).logits).abs().max()
    assert difference > 1e-4


def neighbours(x: Tensor, by: Tensor) -> Tensor:
    """The other convention: channels 2 n and 2 n + 1 are a pair."""
    cosine, sine = by.unbind(0)
    first, second = x[..., ::2], x[..., 1::2]
    return torch.stack([first * cosine - second * sine, second * cosine + first * sine], -1).flatten(-2)


def swapped(module: nn.Module) -> Tensor:
    gate, inner = module.get_submodule("gate_inner").get_parameter("weight").data.chunk(2)
    return torch.cat([inner, gate])


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500))
def test_turned_vectors_see_distances_only(first: int, second: int, shift: int) -> None:
    query, key = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def score(at: int, other: int) -> float:
        by = rotation(torch.tensor([at, other]), 8)
        return float((rotate(query, by[:, :1]) * rotate(key, by[:, 1:])).sum())

    assert score(first, second) == pytest.approx(score(first + shift, second + shift), abs=5e-4)


def test_a_quarter_turn() -> None:
    by = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]])  # cosines, sines: the first pair by 90 degrees, the second not
    assert rotate(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), by).tolist() == [[-3.0, 2.0, 1.0, 4.0]]
    assert rotation(torch.tensor([0]), 4).tolist() == [[[1.0, 1.0]], [[0.0, 0.0]]]


@pytest.mark.parametrize(("length", "width"), [(1, 2), (7, 6), (3, 5), (2000, 8)])
def test_sinusoids_are_the_papers(length: int, width: int) -> None:
    wanted = torch.tensor([[paper(p, c, width) for c in range(width)] for p in range(length)])
    assert sinusoids(length, width).shape == (length, width)
    assert (sinusoids(length, width) - wanted).abs().max() < 1e-6


PLACES: list[dict[str, Any]] = [{"positions": choice} for choice in ComposedShape.CHOICES["positions"]] + [{"norm_place": "post"}]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("changed", PLACES, ids=str)
def test_a_padded_row_is_as_it_is_alone(changed: dict[str, Any], side: str) -> None:
    model = redrawn(replace(TINY, **changed))
    inputs, real, positions = padded([12, 5, 1], side)
    with torch.no_grad():
        got = model(inputs, real=real, positions=positions)
        for row in range(3):
            assert (got[row, real[row]] - model(inputs[row, real[row]][None])[0]).abs().max() < 1e-5
    assert torch.isfinite(got).all()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("changed", PLACES, ids=str)
def test_padding_changes_no_gradient(changed: dict[str, Any], side: str) -> None:
    together, alone = redrawn(replace(TINY, **changed)), redrawn(replace(TINY, **changed))
    inputs, real, positions = padded([12, 5, 1], side)
    together(inputs, real=real, positions=positions)[real].logsumexp(-1).sum().backward()
    for row in range(3):
        alone(inputs[row, real[row]][None]).logsumexp(-1).sum().backward()
    for (name, got), wanted in zip(together.named_parameters(), alone.parameters(), strict=True):
        assert got.grad is not None and wanted.grad is not None
        assert (got.grad - wanted.grad).abs().max() < 2e-5 * max(1.0, float(wanted.grad.abs().max())), name


@pytest.mark.parametrize("pieces", [[1] * 12, [5, 1, 6]])
@pytest.mark.parametrize("changed", PLACES, ids=str)
def test_a_cache_changes_nothing(changed: dict[str, Any], pieces: list[int]) -> None:
    model = redrawn(replace(TINY, **changed))
    inputs, real, positions = padded([12, 5, 9], "left")
    with torch.no_grad():
        alone, whole = model.hidden(inputs), model.hidden(inputs, real=real, positions=positions)
        one, other, end = model.empty_cache(), model.empty_cache(), 0
        for piece in pieces:
            now, end = slice(end, end + piece), end + piece
            assert (model.hidden(inputs[:, now], cache=one) - alone[:, now]).abs().max() < 1e-5
            got = model.hidden(inputs[:, now], real=real[:, :end], positions=positions[:, now], cache=other)
            seen = (got - whole[:, now])[real[:, now]]
            assert not len(seen) or seen.abs().max() < 1e-5


@pytest.mark.parametrize("changed", PLACES, ids=str)
def test_a_document_in_a_packed_row_is_as_it_is_alone(changed: dict[str, Any]) -> None:
    model = redrawn(replace(TINY, **changed))
    first, second = tokens(1, 5), tokens(1, 3, seed=4)
    packed = torch.cat([first, second, torch.zeros(1, 2, dtype=torch.long)], dim=1)
    positions = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 0, 0]])
    documents = torch.tensor([[0] * 5 + [1] * 3 + [-1] * 2])
    with torch.no_grad():
        got = model(packed, positions=positions, documents=documents)
        assert torch.isfinite(got).all()
        assert (got[:, :5] - model(first)).abs().max() < 1e-5
        assert (got[:, 5:8] - model(second)).abs().max() < 1e-5
        assert (got[:, 5:8] - model(packed)[:, 5:8]).abs().max() > 1e-2


@pytest.mark.parametrize("width", [64, 128, 768, 1024])
@pytest.mark.parametrize("gated", ["geglu", "swiglu", "reglu", "geglu_erf"])
def test_a_gate_costs_no_weights(width: int, gated: str) -> None:
    shape = ComposedShape(layers=1, heads=4, width=width, vocabulary=8, feed_forward=gated, biases=False)
    assert shape.inner_width % 8 == 0
    with torch.device("meta"):
        plain = families.parameters(Composed(replace(shape, feed_forward="gelu")))
        assert families.parameters(Composed(shape)) == pytest.approx(plain, rel=0.02)
    assert ComposedShape(layers=1, heads=4, width=768, feed_forward=gated).inner_width == 2048


def test_new_weights_are_drawn_as_gpt2s_whatever_is_changed() -> None:
    for changed in CHANGED:
        model = new(ComposedShape(vocabulary=500, length=64, layers=8, heads=4, width=128, **changed))
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                assert not parameter.any()
            elif "norm" in name:
                assert bool((parameter == 1).all())
            else:
                wanted = 0.02 / math.sqrt(16) if name.endswith("output.weight") else 0.02
                assert float(parameter.detach().std()) == pytest.approx(wanted, rel=0.05 if parameter.numel() > 4000 else 0.25), (
                    name
                )


@pytest.mark.parametrize("changed", CHANGED, ids=str)
def test_it_learns(changed: dict[str, Any]) -> None:
    """Every weight has a gradient, padding none, and some steps fit a row."""
    model = new(replace(TINY, **changed)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    inputs = tokens(2, 12)
    targets = inputs.roll(-1, 1).masked_fill(torch.arange(12) > 9, IGNORE)
    first = last = 0.0
    for step in range(12):
        loss = model.losses({"inputs": inputs, "targets": targets})["tokens"] / 20
        loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.any(), name
        optimizer.step()
        optimizer.zero_grad()
        first, last = (float(loss.detach()) if step == 0 else first), float(loss.detach())
    assert first == pytest.approx(math.log(53), abs=0.1)
    assert last < first - 0.5


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"norm": "batch"}, "norm: must be one of layer, rms, not 'batch'"),
        ({"norm_place": "sandwich"}, "norm_place: must be one of pre, post"),
        ({"positions": "alibi"}, "positions: must be one of learned, sinusoidal, rotary, relative, none, not 'alibi'"),
        (
            {"feed_forward": "glu"},
            "feed_forward: must be one of gelu, gelu_tanh, relu, silu, geglu, swiglu, reglu, geglu_erf, not 'glu'",
        ),
        ({"biases": "no"}, "biases: must be like True, not 'no'"),
        ({"norm": 1}, "norm: must be like 'layer', not 1"),
        ({"layers": True}, "layers: must be like 4, not True"),
        ({"heads": 3}, "heads must divide width, and 3 does not divide 128"),
        ({"window": 64}, r"window: is of an encoder \(causal = false\) and 2 or more, not 64; remove it"),
        ({"window": 1, "causal": False}, "window: is of an encoder .* not 1"),
        ({"heads": 128, "positions": "rotary"}, "heads: rotary positions turn pairs of channels, and a head has 1"),
        ({"norms": "rms"}, "norms: composed has no such number, but layers, heads"),
        ({"CHOICES": {}}, "CHOICES: composed has no such number"),
    ],
)
def test_what_is_no_block_is_refused_by_name(numbers: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        families.shape("composed", "demo", numbers)


def test_a_config_names_blocks_and_a_run_keeps_them(tiny_config: Path) -> None:
    given = tuple(f"model.{of}" for of in ('family="composed"', 'positions="rotary"', "biases=false", 'feed_forward="geglu"'))
    report = pretrain(tiny_config, (*given, "train.steps=4", "train.eval_every=4", "sample.tokens=0"))
    assert report.last_validation_loss < report.first_validation_loss
    shape = trained.load(report.out).model.shape
    assert isinstance(shape, ComposedShape)
    assert (shape.positions, shape.biases, shape.feed_forward, shape.norm, shape.width) == ("rotary", False, "geglu", "layer", 16)
    with pytest.raises(config.ConfigError, match=r"tiny.toml: model: positions: must be one of learned, .*, not 'rotery'"):
        config.load(tiny_config, (*given, 'model.positions="rotery"'))


def test_an_ablation_changes_one_thing() -> None:
    paths = sorted((ROOT / "configs" / "pretrain" / "ablations").glob("*.toml"))
    loaded = {path.stem: config.load(path) for path in paths}
    base = loaded.pop("baseline")
    demo = config.load(ROOT / "configs" / "pretrain" / "gpt_demo.toml")
    assert base.model.shape(4096, 128) == SIZES["demo"]
    assert base.model.size == demo.model.size and base.data == demo.data and base.rows == demo.rows
    seen: set[str] = set()
    for name, other in loaded.items():
        assert other.run.out == f"build/ablations/{name}"
        changed = {f"model.{key}={value}" for key, value in other.model.numbers.items() if value != base.model.numbers[key]}
        changed |= {
            f"train.{key}" for key in type(base.train).model_fields if getattr(other.train, key) != getattr(base.train, key)
        }
        expected = {"llama": 4, "post_norm_no_warmup": 2}.get(name, 1)
        assert len(changed) == expected, (name, changed)
        assert (other.data, other.rows, other.objective) == (base.data, base.rows, base.objective)
        seen |= changed
    everything = {f"model.{key}={choice}" for key, choices in ComposedShape.CHOICES.items() for choice in choices}
    everything.remove("model.feed_forward=geglu_erf")  # of ModernBERT; beside geglu it shows nothing
    assert everything - seen == {f"model.{key}={getattr(SIZES['demo'], key)}" for key in ComposedShape.CHOICES}
