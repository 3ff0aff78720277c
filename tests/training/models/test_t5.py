"""T5 1.0 and 1.1 against Hugging Face's: logits, gradients, losses, weights both ways; one thing wrong at a time is seen.

Float32 stays within 1e-5 of the largest logit, float64 within 1e-11, which leaves no room for a mistake. Their norm takes the
mean square in float32 whatever the model's dtype; in float64 it is replaced here by the same in float64.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForSeq2SeqLM, T5Config, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5Attention, T5LayerNorm

from pipelines.contract.tokenizers.families import Specials
from training.convert import huggingface
from training.convert import t5 as convert
from training.convert.rules import WeightsError, to_ours, to_theirs
from training.data.rows.batch import IGNORE
from training.models import attention, t5
from training.models.blocks import ACTIVATIONS, RMSNorm
from training.models.families import build, make, parameters, shape_of_dict
from training.models.positions import RelativeBias
from training.models.t5 import SIZES, T5, T5Shape
from training.run.config import load
from training.run.device import Device
from training.run.distributed.processes import World
from training.run.pretrain import prepare_job
from training.run.progress import METRICS, read_metrics
from training.run.trainer import train

V1_0 = T5Shape(
    encoder_layers=3, decoder_layers=3, heads=4, head_width=24, width=64, inner=96, vocabulary=101, dropout=0.0
)  # inner width of attention: 96
V1_1 = replace(V1_0, gated=True, tied=False)
BOTH = pytest.mark.parametrize("shape", [V1_0, V1_1], ids=["1.0", "1.1"])
SPECIALS = Specials(pad=0, begin=None, end=1, mask=None, decoder_start=0, sentinels=())
Rows = dict[str, Tensor]


@pytest.fixture
def exact_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their norm without its float32."""

    def forward(self: Any, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    monkeypatch.setattr(T5LayerNorm, "forward", forward)


def redrawn(shape: T5Shape, norms: float = 0.0) -> T5:
    """All weights N(0, 0.2), those of norms N(`norms`, 0.2).

    Norms about 0 let all tokens attend alike; about 1, logits that no one scales make queries see one key, and float32 is not
    enough any more.
    """
    model = T5(shape).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(norms if name.endswith("norm.weight") else 0.0, 0.2, generator=generator)
    return model


def hugging_face(model: T5, kernel: str = "sdpa") -> Any:
    """The same model there, by its exported config and weights, which are shared: nothing is drawn, nothing copied."""
    of: Any = T5Config
    with torch.device("meta"):
        theirs: Any = T5ForConditionalGeneration(of(**convert.config(model.shape, SPECIALS), attn_implementation=kernel))
    rules = convert.rules(model.shape)
    weights = to_theirs(rules, model.state_dict())
    weights |= {name: weights[rule.theirs[0]] for rule in rules for name in rule.also}
    theirs.load_state_dict(weights, assign=True)
    return theirs.eval()


def rows(source: int, target: int) -> Rows:
    """Rows with padding before, behind, on both sides and nowhere; the second one's decoder starts after padding."""
    generator = torch.Generator().manual_seed(source + target)
    real, decoder_real = torch.ones(4, source, dtype=torch.bool), torch.ones(4, target, dtype=torch.bool)
    if source > 4:
        real[0, : source // 3] = real[1, -(source // 2) :] = real[2, 0] = real[2, -2:] = False
        decoder_real[1, : target // 3] = False
    return {
        "inputs": torch.randint(2, 101, (4, source), generator=generator),
        "decoder_inputs": torch.randint(2, 101, (4, target), generator=generator),
        "real": real,
        "decoder_real": decoder_real,
    }


def their_logits(theirs: Any, given: Rows) -> Tensor:
    names = {"input_ids": "inputs", "decoder_input_ids": "decoder_inputs"}
    masks = {"attention_mask": given["real"].long(), "decoder_attention_mask": given["decoder_real"].long()}
    return theirs(**{name: given[ours] for name, ours in names.items()}, **masks, use_cache=False).logits


def difference(model: T5, theirs: Any, given: Rows) -> float:
    """Largest difference of real tokens' logits, as a share of the largest logit."""
    with torch.no_grad():
        wanted = their_logits(theirs, given)
        off = (model(**given) - wanted)[given["decoder_real"]]
    return float(off.abs().max() / wanted.abs().max())


@BOTH
@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("norms", [0.0, 0.3])
@pytest.mark.parametrize(("source", "target"), [(1, 1), (7, 5), (40, 60), (300, 290)])  # 300: beyond max_distance
def test_logits_are_hugging_faces(shape: T5Shape, kernel: str, norms: float, source: int, target: int) -> None:
    model = redrawn(shape, norms)
    assert difference(model, hugging_face(model, kernel), rows(source, target)) < 1e-5


@BOTH
@pytest.mark.usefixtures("exact_norm")
def test_logits_are_hugging_faces_in_float64(shape: T5Shape) -> None:
    model = redrawn(shape, norms=1).double()
    assert difference(model, hugging_face(model, "eager"), rows(150, 140)) < 1e-11


@pytest.mark.parametrize("size", ["base", "v1.1-small"])
def test_logits_at_a_published_size(size: str) -> None:
    with torch.device("meta"):
        model = T5(SIZES[size])
    model.to_empty(device="cpu").eval()
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    t5.init(model)
    given = rows(9, 6)
    assert difference(model, hugging_face(model), given) < 1e-5


@BOTH
@pytest.mark.parametrize(("dtype", "norms", "limit"), [(torch.float32, 0.0, 1e-5), (torch.float64, 1.0, 1e-10)])
@pytest.mark.usefixtures("exact_norm")
def test_gradients_are_hugging_faces(shape: T5Shape, dtype: torch.dtype, norms: float, limit: float) -> None:
    model = redrawn(shape, norms).to(dtype)
    theirs = hugging_face(model, "eager")
    given = rows(150, 20)
    given["decoder_real"][:] = True
    targets = torch.randint(2, 101, (4 * 20,), generator=torch.Generator().manual_seed(3))
    for logits in (model(**given), their_logits(theirs, given)):
        functional.cross_entropy(logits.flatten(0, 1), targets).backward()
    theirs_by_name = dict(theirs.named_parameters(remove_duplicate=False))
    rules = convert.rules(shape)
    ours = to_theirs(rules, {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None})
    for rule in rules:
        for name in rule.theirs:
            grads = [theirs_by_name[other].grad for other in (name, *rule.also)]  # tied ones were assigned apart
            wanted = torch.stack([grad for grad in grads if grad is not None]).sum(0)
            assert wanted.abs().max() > 0, name
            assert (ours[name] - wanted).abs().max() < limit * max(1.0, float(wanted.abs().max())), name


@BOTH
def test_losses_are_hugging_faces(shape: T5Shape) -> None:
    model = redrawn(shape)
    theirs = hugging_face(model)
    generator = torch.Generator().manual_seed(4)
    targets = torch.randint(2, 101, (3, 9), generator=generator)
    targets[0, 6:] = targets[2, 2:] = IGNORE
    for lengths in ([12, 12, 12], [12, 5, 1]):  # without padding there is no mask
        inputs = torch.randint(2, 101, (3, 12), generator=generator)
        real = attention.real_tokens(torch.tensor(lengths), 12)
        decoder_inputs = torch.cat([torch.zeros(3, 1, dtype=torch.int64), targets[:, :-1].clamp_min(0)], dim=1)
        examples = {"inputs": inputs, "lengths": torch.tensor(lengths), "decoder_inputs": decoder_inputs, "targets": targets}
        sums = model.losses(examples)
        wanted = theirs(input_ids=inputs, attention_mask=real.long(), labels=targets).loss  # it shifts them itself
        assert set(sums) == {"tokens"}
        assert float(sums["tokens"].detach()) / 17 == pytest.approx(float(wanted.detach()), abs=1e-6)


def unscaled(model: T5) -> None:
    for module in model.modules():
        if isinstance(module, attention.SelfAttention | attention.CrossAttention):
            module.scale = None


def in_feed_forwards(activation: str) -> Callable[[T5], None]:
    def change(model: T5) -> None:
        for module in model.modules():
            if hasattr(module, "activation"):
                module.activation = ACTIVATIONS[activation]  # pyright: ignore[reportArgumentType]

    return change


def flipped(model: T5) -> None:
    for stack in (model.encoder, model.decoder):
        bucket = stack.relative_bias.bucket
        stack.relative_bias.bucket = lambda distance, bucket=bucket: bucket(-distance)  # pyright: ignore[reportAttributeAccessIssue]


def set_number(name: str, value: Any) -> Callable[[T5], None]:
    def change(model: T5) -> None:
        *path, last = name.split(".")
        setattr(model.get_submodule(".".join(path)), last, value)

    return change


def without_output_scale(model: T5) -> None:
    model._head = lambda hidden: (hidden, model.embeddings.tokens.weight)  # pyright: ignore[reportPrivateUsage]


def without_padding_mask(model: T5) -> None:
    encode, decode = model.encode, model.decode
    model.encode = lambda inputs, **_: encode(inputs)  # pyright: ignore[reportAttributeAccessIssue]
    model.decode = lambda *given, **masks: decode(*given, **(masks | {"real": None}))  # pyright: ignore[reportAttributeAccessIssue]


def mean_taken(model: T5) -> None:
    for module in model.modules():
        if isinstance(module, RMSNorm):
            module.forward = lambda x, norm=module: functional.layer_norm(x, norm.normalized_shape, norm.weight, None, 1e-6)


@pytest.mark.usefixtures("exact_norm")
@pytest.mark.parametrize(
    ("shape", "change"),
    [
        pytest.param(V1_0, unscaled, id="divided by sqrt(head_width)"),
        pytest.param(V1_0, flipped, id="distances the other way round"),
        pytest.param(V1_0, set_number("encoder.relative_bias.bidirectional", False), id="encoder's buckets for the past only"),
        pytest.param(V1_0, set_number("decoder.relative_bias.bidirectional", True), id="decoder's buckets both ways"),
        pytest.param(V1_0, set_number("encoder.relative_bias.max_distance", 256), id="logarithm to 256"),
        pytest.param(V1_0, without_output_scale, id="1.0's head not scaled"),
        pytest.param(V1_0, without_padding_mask, id="padding is seen"),
        pytest.param(V1_0, mean_taken, id="LayerNorm"),
        pytest.param(V1_0, in_feed_forwards("gelu"), id="GELU in 1.0"),
        pytest.param(V1_1, in_feed_forwards("gelu"), id="GELU with erf in 1.1"),
        pytest.param(V1_1, unscaled, id="1.1 divided by sqrt(head_width)"),
        pytest.param(V1_1, flipped, id="1.1 distances the other way round"),
    ],
)
def test_a_mistake_is_seen(shape: T5Shape, change: Callable[[T5], None]) -> None:
    model = redrawn(shape, norms=1).double()
    theirs, given = hugging_face(model), rows(60, 20)
    assert difference(model, theirs, given) < 1e-11
    change(model)
    assert difference(model, theirs, given) > 1e-4


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "max_distance"), [(32, 128), (8, 20), (64, 1000)])
def test_buckets_are_hugging_faces_for_all_distances(bidirectional: bool, buckets: int, max_distance: int) -> None:
    distances = torch.arange(-3000, 3001)
    ours = RelativeBias(1, bidirectional=bidirectional, buckets=buckets, max_distance=max_distance).bucket(distances)
    wanted = T5Attention._relative_position_bucket(distances, bidirectional, buckets, max_distance)  # pyright: ignore[reportPrivateUsage]
    assert torch.equal(ours, wanted)


def test_buckets_of_some_distances() -> None:
    distances = torch.tensor([-200, -128, -127, -16, -8, -7, -1, 0, 1, 7, 8, 16, 127, 128, 200])
    both_ways = [15, 15, 15, 10, 8, 7, 1, 0, 17, 23, 24, 26, 31, 31, 31]
    assert RelativeBias(2, bidirectional=True).bucket(distances).tolist() == both_ways
    past = [31, 31, 31, 16, 8, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert RelativeBias(2, bidirectional=False).bucket(distances).tolist() == past


def test_biases_of_the_last_queries() -> None:
    relative = RelativeBias(2, bidirectional=True)
    nn.init.normal_(relative.weight)
    biases = relative(3, 40)
    assert biases.shape == (1, 2, 3, 40)
    for query, key in ((0, 0), (1, 38), (2, 39), (0, 39)):
        bucket = int(relative.bucket(torch.tensor(key - (37 + query))))
        assert torch.equal(biases[0, :, query, key], relative.weight[bucket])
    assert torch.equal(relative(40, 40)[:, :, 37:], biases)
    hidden = relative(3, 40, attention.past(3, 40, torch.device("cpu")))
    assert float(hidden[0, 0, 0, 38].detach()) < -1e37 and torch.equal(hidden[..., :38], biases[..., :38])


@BOTH
def test_a_cache_changes_nothing(shape: T5Shape) -> None:
    model, given = redrawn(shape), rows(12, 9)
    with torch.no_grad():
        memory = model.encode(given["inputs"], real=given["real"])
        wanted = model.decode(given["decoder_inputs"], memory, real=given["real"], decoder_real=given["decoder_real"])
        for steps in ([1] * 9, [4, 1, 3, 1]):
            cache, parts, first = model.empty_cache(), [], 0
            for last in torch.tensor(steps).cumsum(0).tolist():
                new, seen = given["decoder_inputs"][:, first:last], given["decoder_real"][:, :last]
                parts.append(model.decode(new, memory, real=given["real"], decoder_real=seen, cache=cache))
                first = last
            assert cache.length == 9
            off = (torch.cat(parts, dim=1) - wanted)[given["decoder_real"]]
            assert off.abs().max() < 1e-5 * wanted.abs().max()


@BOTH
def test_a_padded_row_is_as_it_is_alone(shape: T5Shape) -> None:
    """Padding in front moves tokens, but no distance."""
    model, given = redrawn(shape), rows(12, 9)
    with torch.enable_grad():  # with gradients the attention is another one
        together = model(**given)
    assert torch.isfinite(together).all()
    for row in range(4):
        real, decoder_real = given["real"][row], given["decoder_real"][row]
        alone = model(given["inputs"][row, real][None], given["decoder_inputs"][row, decoder_real][None])
        assert (together[row, decoder_real] - alone[0]).abs().max() < 1e-5


@pytest.mark.parametrize("bias_rows", [1, 3])
@pytest.mark.parametrize("scale", [1.0, None])
def test_attention_with_a_bias_that_learns_is_the_librarys(bias_rows: int, scale: float | None) -> None:
    generator = torch.Generator().manual_seed(5)
    sizes = ((3, 2, 5, 8), (3, 2, 7, 8), (3, 2, 7, 6), (bias_rows, 2, 5, 7))
    given = [torch.randn(size, generator=generator, dtype=torch.float64, requires_grad=True) for size in sizes]
    grad = torch.randn((3, 2, 5, 6), generator=generator, dtype=torch.float64)
    query, key, value, bias = given
    ours = attention.attend(query, key, value, sees=bias, causal=False, scale=scale, dropout=0.0)
    wanted = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
    assert type(ours.grad_fn).__name__ == "_LearntBiasBackward"
    assert (ours - wanted).abs().max() < 1e-12
    for a, b in zip(torch.autograd.grad(ours, given, grad), torch.autograd.grad(wanted, given, grad), strict=True):
        assert (a - b).abs().max() < 1e-12


def test_rms_norm_is_the_librarys_with_its_gradients() -> None:
    generator = torch.Generator().manual_seed(6)
    ours, library = RMSNorm(16, eps=1e-6, dtype=torch.float64), nn.RMSNorm(16, eps=1e-6, dtype=torch.float64)
    with torch.no_grad():
        library.weight.copy_(ours.weight.normal_(generator=generator))
    x = (
        torch.randn(2, 3, 16, generator=generator, dtype=torch.float64)
        * torch.tensor([1e-4, 1.0, 1e4], dtype=torch.float64)[:, None]
    )
    grad = torch.randn(2, 3, 16, generator=generator, dtype=torch.float64)
    found: list[tuple[Tensor, ...]] = []
    for norm in (ours, library):
        given = x.clone().requires_grad_()
        normed = norm(given)
        normed.backward(grad)
        assert given.grad is not None and norm.weight.grad is not None
        found.append((normed, given.grad, norm.weight.grad))
        assert torch.equal(normed, ours(given)) or norm is library
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, rtol=1e-11, atol=1e-12)
    with torch.no_grad():
        assert torch.allclose(ours(x), found[0][0], rtol=1e-12)


def test_dropout_is_where_hugging_face_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for shape in (V1_0, V1_1):
        model = redrawn(replace(shape, dropout=0.1))
        theirs, given = hugging_face(model), rows(7, 5)
        calls: dict[str, list[str]] = {"ours": [], "theirs": []}
        for name, run in (("ours", lambda: model(**given)), ("theirs", lambda: their_logits(theirs, given))):  # noqa: B023
            monkeypatch.setattr(nn.Dropout, "forward", lambda _, x, to=calls[name]: to.append("dropout") or x)
            monkeypatch.setattr(
                functional,
                "scaled_dot_product_attention",
                lambda query, *_, to=calls[name], **numbers: to.append(f"attention {numbers['dropout_p']}") or query,
            )
            model.train()
            theirs.train()
            run()
            monkeypatch.undo()
        assert calls["ours"] == calls["theirs"]
        assert calls["ours"].count("attention 0.1") == 9 and calls["ours"].count("dropout") == 4 + 3 * 3 + 3 * 4


@BOTH
def test_a_folder_of_hugging_faces_goes_both_ways(shape: T5Shape, tmp_path: Path) -> None:
    """Release 5 always says `tie_word_embeddings: true` when it writes; the head and its scale must not change."""
    model, given = redrawn(shape), rows(12, 9)
    folders = tmp_path / "ours", tmp_path / "theirs"
    huggingface.write(folders[0], model, "t5", SPECIALS, shape.vocabulary)
    assert json.loads((folders[0] / "config.json").read_text())["tie_word_embeddings"] is shape.tied
    theirs: Any = AutoModelForSeq2SeqLM.from_pretrained(folders[0])
    assert (theirs.lm_head.weight is theirs.shared.weight) is shape.tied
    assert theirs.config.scale_decoder_outputs is shape.tied
    assert difference(model, theirs, given) < 1e-5
    theirs.save_pretrained(folders[1])
    for folder in folders:
        family, found, weights = huggingface.read(folder)
        assert (family, found) == ("t5", shape)
        again = build(found)
        again.load_state_dict(weights)
        assert all(torch.equal(weight, model.state_dict()[name]) for name, weight in again.state_dict().items())


def test_weights_of_old_checkpoints() -> None:
    model = redrawn(V1_0)
    rules, shapes = convert.rules(V1_0), {name: weight.shape for name, weight in model.state_dict().items()}
    weights = to_theirs(rules, model.state_dict())
    bias = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"  # of the first releases; never used
    old = {**weights, bias: torch.ones(32, 4), "encoder.embed_tokens.weight": weights["shared.weight"]}
    found = to_ours(rules, old, shapes, "t5", convert.IGNORED)
    assert all(torch.equal(weight, found[name]) for name, weight in model.state_dict().items())
    with pytest.raises(WeightsError, match=r"lm_head\.weight differs from shared\.weight"):
        to_ours(rules, {**weights, "lm_head.weight": weights["shared.weight"] + 1}, shapes, "t5")
    with pytest.raises(WeightsError, match=r"has no weight lm_head\.weight"):
        to_ours(convert.rules(V1_1), weights, shapes, "t5")


@pytest.mark.parametrize(
    ("changes", "numbers"),
    [
        ({}, {}),
        ({"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}, {"gated": True, "tied": False}),  # Flan-T5
        ({"model_type": "mt5", "tie_word_embeddings": False}, {"gated": False, "tied": False}),
        ({"scale_decoder_outputs": False, "tie_word_embeddings": True}, {"tied": False}),  # as release 5 writes 1.1
        ({"num_decoder_layers": 7, "dropout_rate": 0.0}, {"decoder_layers": 7, "dropout": 0.0}),
        ({"d_kv": 128, "num_heads": 32}, {"head_width": 128, "heads": 32}),
    ],
)
def test_the_shape_of_a_config(changes: Mapping[str, Any], numbers: Mapping[str, Any]) -> None:
    config = {**convert.config(SIZES["small"], SPECIALS), **changes}
    assert convert.shape(config) == replace(SIZES["small"], **numbers)


def test_the_shape_of_a_config_with_few_fields() -> None:
    fields = ("model_type", "d_ff", "d_kv", "d_model", "num_heads", "num_layers", "vocab_size")
    config = {name: convert.config(SIZES["small"], SPECIALS)[name] for name in fields}
    assert convert.shape(config) == SIZES["small"]
    assert convert.shape({**config, "model_type": "mt5"}) == replace(SIZES["small"], gated=True, tied=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "umt5"}, "model_type is 'umt5'"),
        ({"feed_forward_proj": "gated-mish"}, "feed_forward_proj is 'gated-mish'"),
        ({"dense_act_fn": "gelu"}, "dense_act_fn is 'gelu'"),
        ({"d_ff": None}, "d_ff must be a whole number, and is None"),
        ({"relative_attention_num_buckets": 30}, "buckets must be a multiple of 4"),
    ],
)
def test_a_config_of_another_model_is_refused(changes: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert.shape({**convert.config(SIZES["small"], SPECIALS), **changes})


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="buckets must be a multiple of 4"):
        replace(V1_0, buckets=6)
    with pytest.raises(ValueError, match="max_distance must be more than buckets / 2, and 16 is not"):
        replace(V1_0, max_distance=16)
    assert shape_of_dict("t5", {name: getattr(V1_1, name) for name in V1_1.__dataclass_fields__}) == V1_1


def test_sizes_have_their_published_numbers_of_weights() -> None:
    published = {
        "small": 60_506_624, "base": 222_903_552, "large": 737_668_096, "3b": 2_851_598_336, "11b": 11_307_321_344,
        "v1.1-small": 76_961_152, "v1.1-base": 247_577_856, "v1.1-large": 783_150_080, "v1.1-xl": 2_849_757_184,
        "v1.1-xxl": 11_135_332_352,
    }  # fmt: skip
    with torch.device("meta"):
        assert {name: parameters(T5(shape)) for name, shape in SIZES.items() if name != "demo"} == published


@BOTH
def test_weights_follow_the_published_initialisation_and_the_seed(shape: T5Shape) -> None:
    shape = replace(shape, width=128, heads=8, head_width=32, inner=512, vocabulary=2000)
    model = make(shape, seed=4)
    stds = {
        "embeddings.tokens.weight": 1.0, "head.weight": 128**-0.5, "relative_bias.weight": 128**-0.5,
        "attention.output.weight": 256**-0.5, "feed_forward.output.weight": 512**-0.5, "inner.weight": 128**-0.5,
        "query.weight": (128 * 32) ** -0.5, "key_value.weight": 128**-0.5,
    }  # fmt: skip
    for name, parameter in model.state_dict().items():
        if name.endswith("norm.weight"):
            assert bool((parameter == 1).all())
        elif name.endswith("query_key_value.weight"):
            queries, others = parameter[:256], parameter[256:]
            assert float(queries.std()) == pytest.approx((128 * 32) ** -0.5, rel=0.05)
            assert float(others.std()) == pytest.approx(128**-0.5, rel=0.05)
        else:
            wanted = next(std for ending, std in stds.items() if name.endswith(ending))
            assert float(parameter.std()) == pytest.approx(wanted, rel=0.2 if "bias" in name else 0.05), name
    same, other = make(shape, seed=4), make(shape, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    assert not torch.equal(model.embeddings.tokens.weight, other.embeddings.tokens.weight)


@BOTH
def test_a_new_model_knows_nothing(shape: T5Shape) -> None:
    """Its logits have variance 1, and so cost half a nat more than ln V."""
    model = make(replace(shape, width=128, vocabulary=4096), seed=3)
    tokens = torch.randint(0, 4096, (8, 32), generator=torch.Generator().manual_seed(1))
    examples = {"inputs": tokens, "lengths": torch.full((8,), 32), "decoder_inputs": tokens, "targets": tokens.roll(1, 0)}
    with torch.no_grad():
        loss = model.losses(examples)["tokens"] / tokens.numel()
    assert float(loss) == pytest.approx(math.log(4096) + 0.5, abs=0.15)


@pytest.mark.parametrize(
    "numbers", [{}, {"model.gated": "true", "model.tied": "false", "model.dropout": "0.1"}], ids=["1.0", "1.1"]
)
def test_the_trainer_lowers_the_loss(
    numbers: Mapping[str, str], make_dataset: Callable[..., Path], documents: Any, tiny_config: Path
) -> None:
    tokens = make_dataset(tiny_config.parent / "t5_tokens", documents, families=("t5",))
    sets = {
        "data.tokens": f'"{tokens}"', "rows.length": "32", "objective.name": '"span_corruption"', "model.family": '"t5"',
        "model.dropout": "0.0", "model.layers": None, "model.encoder_layers": "2", "model.head_width": "16", "model.width": "32",
        "model.inner": "64", "train.steps": "30", "train.eval_every": "30", "train.save_every": "30", "sample.tokens": "0",
        **numbers,
    }  # fmt: skip
    text = tiny_config.read_text().replace("layers = 2\n", "decoder_layers = 2\n")
    tiny_config.write_text(text)
    config = load(tiny_config, tuple(f"{name}={value}" for name, value in sets.items() if value))
    device = Device("cpu", "float32")
    job = prepare_job(config, device, World())
    model = make(config.model.shape(job.course.last.dataset.tokenizer.size, config.positions), seed=1)
    assert isinstance(model, T5)
    train(job, model, device, World())
    held_out = [line["validation_loss"] for line in read_metrics(job.out / METRICS) if "validation_loss" in line]
    assert held_out[0] == pytest.approx(math.log(model.shape.vocabulary) + 0.5, abs=0.5)
    assert held_out[-1] < held_out[0] - 0.7
