"""The model against Hugging Face's BART: logits, gradients, losses, weights both ways; one thing wrong at a time is seen."""

import copy
import itertools
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BartConfig, BartForConditionalGeneration

from pipelines.contract.tokenizers.families import Specials, specials
from training.convert import bart as convert
from training.convert.rules import WeightsError, to_ours, to_theirs
from training.data.rows.batch import IGNORE
from training.models import bart, blocks
from training.models.bart import BART, SIZES, BARTShape
from training.models.families import build, make, parameters
from training.run.config import load
from training.run.feed import Feed, open_feed
from training.run.pretrain import pretrain

TINY = BARTShape(encoder_layers=3, decoder_layers=2, heads=4, width=64, vocabulary=97, length=24)
SPECIALS = Specials(pad=1, begin=0, end=2, mask=96, decoder_start=2, sentinels=())
TIED = {"lm_head.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"}
WHERE = "model.safetensors"


def redrawn(shape: BARTShape = TINY) -> BART:
    """All weights N(0, 0.2), those of norms and biases, too: with initial ones, half of the mistakes would not show."""
    model = BART(shape).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2, generator=generator)
    return model


def hugging_face(model: BART, attention: str = "sdpa", specials: Specials = SPECIALS) -> BartForConditionalGeneration:
    """The same model there, by its exported config and weights."""
    numbers = convert.config(model.shape, specials)
    made = BartForConditionalGeneration(BartConfig(**numbers, attn_implementation=attention)).eval()
    found = made.load_state_dict(to_theirs(convert.rules(model.shape), model.state_dict()), strict=False)
    assert set(found.missing_keys) == {*TIED, "final_logits_bias"} and not found.unexpected_keys
    return made


def shapes_of(model: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def example(source: int, target: int, seed: int = 1) -> dict[str, Tensor]:
    """Four rows, some padded before, some behind, on both sides; no real token is padding's 1."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(3, TINY.vocabulary, (4, source), generator=generator)
    decoder_inputs = torch.randint(3, TINY.vocabulary, (4, target), generator=generator)
    real, decoder_real = torch.ones(4, source, dtype=torch.bool), torch.ones(4, target, dtype=torch.bool)
    real[1, max(source - 3, 1) :] = False
    real[2, : source // 3] = False
    decoder_real[1, max(target - 2, 1) :] = False
    decoder_real[3, : target // 3] = False
    inputs[~real], decoder_inputs[~decoder_real] = 1, 1
    return {"inputs": inputs, "decoder_inputs": decoder_inputs, "real": real, "decoder_real": decoder_real}


def theirs(model: BartForConditionalGeneration, given: Mapping[str, Tensor]) -> Tensor:
    return model(
        input_ids=given["inputs"],
        attention_mask=given["real"].long(),
        decoder_input_ids=given["decoder_inputs"],
        decoder_attention_mask=given["decoder_real"].long(),
    ).logits


def difference(model: BART, other: BartForConditionalGeneration, given: Mapping[str, Tensor]) -> float:
    """The largest one of a logit of a real token."""
    with torch.no_grad():
        return float((model(**given) - theirs(other, given))[given["decoder_real"]].abs().max())


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(("source", "target"), [(1, 1), (11, 9), (5, 24), (24, 17)])
def test_logits_are_hugging_faces(source: int, target: int, attention: str) -> None:
    model = redrawn()
    assert difference(model, hugging_face(model, attention), example(source, target)) < 1e-5


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_gradients_are_hugging_faces(attention: str) -> None:
    model, given = redrawn(), example(11, 9)
    other = hugging_face(model, attention)
    targets = torch.randint(3, TINY.vocabulary, (4, 9), generator=torch.Generator().manual_seed(3))
    for logits in (model(**given), theirs(other, given)):
        functional.cross_entropy(logits[given["decoder_real"]], targets[given["decoder_real"]]).backward()
    found = {name: parameter.grad for name, parameter in other.named_parameters() if parameter.grad is not None}
    wanted = to_ours(convert.rules(TINY), found, shapes_of(model), "the gradients")
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert (parameter.grad - wanted[name]).abs().max() < 1e-6, name  # the largest of a weight are 0.004 to 0.4
    assert not model.encoder.positions.weight.grad[: bart.OFFSET].any()  # pyright: ignore[reportOptionalSubscript]


def test_padding_behind_the_decoders_row_needs_no_mask() -> None:
    model, given = redrawn(), example(11, 9)
    with torch.no_grad():
        whole = model(given["inputs"], given["decoder_inputs"], real=given["real"])
        cut = model(given["inputs"][1:2], given["decoder_inputs"][1:2, :7], real=given["real"][1:2])
    assert (whole[1, :7] - cut[0]).abs().max() < 1e-5


def test_base_is_hugging_faces_with_its_initialisation() -> None:
    """Which is ours: N(0, 0.02), norms 1, biases 0."""
    model = make(SIZES["base"], 4).eval()
    assert parameters(model) == 139_420_416  # as facebook/bart-base
    with torch.device("meta"):
        assert parameters(build(SIZES["large"])) == 406_291_456  # as facebook/bart-large
        other = BartForConditionalGeneration(BartConfig(**convert.config(SIZES["base"], SPECIALS))).eval()
    assert other.config.init_std == bart.INIT_STD
    other.load_state_dict(to_theirs(convert.rules(SIZES["base"]), model.state_dict()), strict=False, assign=True)
    other.tie_weights()
    other.final_logits_bias = torch.zeros(1, 50265)
    assert difference(model, other, example(7, 5)) < 1e-5


# --- one thing wrong: the comparison above must see it


def without_norm(stack: str, model: BART) -> None:
    model.get_submodule(stack).embeddings_norm = nn.Identity()


def tanh_gelu(model: BART) -> None:
    for module in model.modules():
        if isinstance(module, blocks.FeedForward):
            module.activation = blocks.ACTIVATIONS["gelu_tanh"]


def scaled(model: BART) -> None:
    model.embeddings.tokens.register_forward_hook(lambda module, given, found: found * TINY.width**0.5)


def blind_to_padding(part: str, model: BART) -> None:
    """The encoder, or the decoder's attention to the memory, sees padding."""
    seen = getattr(model, part)
    object.__setattr__(model, part, lambda *given, **named: seen(*given, **{**named, "real": None}))


# What each changes here, at least; equal models differ by less than 1e-5, and logits are of size 1.
MUTATIONS: Mapping[str, tuple[Callable[[BART], None], float]] = {
    "no norm of the encoder's embeddings": (partial(without_norm, "encoder"), 1e-2),
    "no norm of the decoder's embeddings": (partial(without_norm, "decoder"), 1e-2),
    "gelu with tanh": (tanh_gelu, 1e-4),
    "scaled embeddings": (scaled, 3e-3),
    "the encoder sees padding": (partial(blind_to_padding, "encode"), 3e-3),
    "the decoder sees the memory's padding": (partial(blind_to_padding, "decode"), 1e-4),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mistake_is_seen(mutation: str) -> None:
    model, given = redrawn(), example(11, 9)
    other = hugging_face(model)
    mutate, least = MUTATIONS[mutation]
    wrong = copy.deepcopy(model)
    mutate(wrong)
    assert difference(wrong, other, given) > least


@pytest.mark.parametrize("offset", [0, 1])
def test_another_offset_of_positions_is_seen(offset: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, given = redrawn(), example(11, 9)
    other = hugging_face(model)
    monkeypatch.setattr(bart, "OFFSET", offset)
    assert difference(model, other, given) > 3e-3


def test_norms_have_hugging_faces_epsilon() -> None:
    model = BART(TINY)
    for whose in (model, hugging_face(model)):
        assert {module.eps for module in whose.modules() if isinstance(module, nn.LayerNorm)} == {1e-5}


# --- the cache


@pytest.mark.parametrize("pieces", [[1] * 9, [4, 3, 2], [9], [8, 1]])
def test_the_cache_changes_nothing(pieces: list[int]) -> None:
    model, given = redrawn(), example(11, 9)
    with torch.no_grad():
        memory = model.encode(given["inputs"], real=given["real"])
        whole = model.decode(given["decoder_inputs"], memory, real=given["real"], decoder_real=given["decoder_real"])
        cache, found = model.empty_cache(), list[Tensor]()
        for first, end in itertools.pairwise([0, *itertools.accumulate(pieces)]):
            more, seen = given["decoder_inputs"][:, first:end], given["decoder_real"][:, :end]
            found.append(model.decode(more, memory, real=given["real"], decoder_real=seen, cache=cache))
            assert cache.length == end
    assert (torch.cat(found, dim=1) - whole)[given["decoder_real"]].abs().max() < 1e-5


def test_rows_of_the_cache_can_be_chosen_as_beams_do() -> None:
    model, given = redrawn(), example(11, 9)
    rows = torch.tensor([2, 0, 0])
    inputs, real, decoder_inputs = given["inputs"], given["real"], given["decoder_inputs"]
    with torch.no_grad():
        cache, memory = model.empty_cache(), model.encode(inputs, real=real)
        model.decode(decoder_inputs[:, :6], memory, real=real, cache=cache)
        cache.select(rows)
        found = model.decode(decoder_inputs[rows, 6:], memory[rows], real=real[rows], cache=cache)
        wanted = model.decode(decoder_inputs[rows], memory[rows], real=real[rows])[:, 6:]
    assert (found - wanted).abs().max() < 1e-5


# --- what it is trained with


TALE = ["the", "old", "house", "stood", "near", "the", "river", "and", "the", "people", "of", "the", "town", "told", "tales"]


@pytest.fixture(scope="module")
def config_file(make_dataset: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config of a BART that trains in a second, over texts that repeat themselves."""
    folder = tmp_path_factory.mktemp("bart")
    texts = [" ".join((TALE[n % 15 :] + TALE[: n % 15]) * 4) for n in range(40)]
    documents = {("train", "books", "en"): [texts[:30]], ("validation", "books", "en"): [texts[30:]]}
    tokens = make_dataset(folder / "tokens", documents, families=("bart",), sentence_tokens=7)
    path = folder / "bart.toml"
    path.write_text(
        f"""
        [data]
        tokens = "{tokens}"
        batch_rows = 8
        [rows]
        length = 32
        [objective]
        name = "text_infilling"
        [model]
        family = "bart"
        width = 32
        heads = 2
        [train]
        steps = 60
        learning_rate = 1e-2
        warmup_steps = 5
        eval_every = 30
        eval_rows = 16
        threads = 1
        device = "cpu"
        [run]
        out = "{folder / "run"}"
        [sample]
        tokens = 0
        """
    )
    return path


@pytest.fixture(scope="module")
def feed(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Feed:
    return open_feed(load(config_file), folder=tmp_path_factory.mktemp("rows"))


def test_losses_and_gradients_are_hugging_faces(feed: Feed) -> None:
    made = feed.batch(3)
    examples = {name: torch.from_numpy(array) for name, array in made.items()}
    lengths, targets = examples["lengths"], examples["targets"]
    assert len(set(lengths.tolist())) > 1 and bool((targets == IGNORE).any())  # padded in both stacks
    assert int(lengths.max()) < examples["inputs"].shape[1]  # all rows are, in the encoder
    model = redrawn(replace(TINY, vocabulary=feed.dataset.tokenizer.size, length=32))
    other = hugging_face(model, specials=specials("bart", feed.dataset.tokenizer.special_ids, "the dataset"))
    mask = torch.arange(examples["inputs"].shape[1]) < lengths[:, None]
    wanted = other(input_ids=examples["inputs"], attention_mask=mask.long(), labels=targets).loss
    count = feed.counts(made)["tokens"]
    assert count == int((targets != IGNORE).sum())
    got = model.losses(examples)["tokens"] / count
    assert float(got.detach()) == pytest.approx(float(wanted.detach()), rel=1e-6)
    got.backward(), wanted.backward()
    found = {name: parameter.grad for name, parameter in other.named_parameters() if parameter.grad is not None}
    gradients = to_ours(convert.rules(model.shape), found, shapes_of(model), "the gradients")
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert (parameter.grad - gradients[name]).abs().max() < 1e-6, name


def test_padding_changes_no_loss() -> None:
    model, generator = redrawn(), torch.Generator().manual_seed(6)
    inputs, targets = torch.randint(3, TINY.vocabulary, (2, 3, 12), generator=generator)
    decoder_inputs = functional.pad(targets[:, :-1], (1, 0), value=2)
    plain = {"inputs": inputs, "lengths": torch.full((3,), 12), "decoder_inputs": decoder_inputs, "targets": targets}
    padded = {name: functional.pad(tensor, (0, 5), value=1) for name, tensor in plain.items() if name != "lengths"}
    padded |= {"lengths": plain["lengths"], "targets": functional.pad(targets, (0, 5), value=IGNORE)}
    with torch.no_grad():
        wanted = functional.cross_entropy(model(inputs, decoder_inputs).flatten(0, 1), targets.flatten(), reduction="sum")
        for examples in (plain, padded):
            assert float(model.losses(examples)["tokens"]) == pytest.approx(float(wanted), rel=1e-6)


def test_a_run_learns_to_restore_what_was_masked(config_file: Path) -> None:
    report = pretrain(config_file)
    assert report.steps == 60
    assert report.last_validation_loss < 0.6 * report.unigram_entropy < report.first_validation_loss


def test_weights_follow_the_published_initialisation_and_the_seed() -> None:
    shape = replace(TINY, width=128, vocabulary=1000, length=64)
    model = make(shape, seed=4)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        elif "norm" in name:
            assert bool((parameter == 1).all())
        else:
            assert float(parameter.detach().std()) == pytest.approx(0.02, rel=0.05), name
    same, other = make(shape, seed=4), make(shape, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    assert not torch.equal(next(iter(model.parameters())), next(iter(other.parameters())))


def test_dropout_is_that_of_the_published_models() -> None:
    """Of attention, of the feed-forward's inside, and of what is added: the same number, and none in evaluation."""
    model, given = redrawn(replace(TINY, dropout=0.5)), example(11, 9)
    with torch.no_grad():
        assert torch.equal(model(**given), model(**given))
        model.train()
        assert not torch.equal(model(**given), model(**given))
    assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} == {0.5}
    attentions = [model.encoder.layers[0].attention, model.decoder.layers[0].attention, model.decoder.layers[0].memory_attention]
    assert [attention.dropout for attention in attentions] == [0.5] * 3


# --- names of weights, and numbers


def test_weights_come_back_as_they_were() -> None:
    model = redrawn()
    exported = {name: tensor.clone() for name, tensor in hugging_face(model).state_dict().items()}
    back = to_ours(convert.rules(TINY), exported, shapes_of(model), WHERE, zeros=convert.ZEROS)
    assert back.keys() == model.state_dict().keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in model.state_dict().items())


def spoilt(change: Callable[[dict[str, Tensor]], Any]) -> str:
    """What is said of exported weights that were changed."""
    model = redrawn()
    weights = {name: tensor.clone() for name, tensor in hugging_face(model).state_dict().items()}
    change(weights)
    with pytest.raises(WeightsError) as error:
        to_ours(convert.rules(TINY), weights, shapes_of(model), WHERE, zeros=convert.ZEROS)
    return str(error.value)


def test_weights_of_another_model_are_named() -> None:
    key = "model.decoder.layers.1.encoder_attn.k_proj.weight"
    assert f"{WHERE}: has no weight {key}" in spoilt(lambda weights: weights.pop(key))
    assert "model.encoder.layer_norm.weight" in spoilt(
        lambda weights: weights.update({"model.encoder.layer_norm.weight": torch.ones(64)})
    )
    assert "final_logits_bias is not zero" in spoilt(lambda weights: weights["final_logits_bias"].add_(1))
    assert "lm_head.weight differs from model.shared.weight" in spoilt(lambda weights: weights["lm_head.weight"].add_(1))
    wrong = spoilt(lambda weights: weights.update({"model.encoder.embed_positions.weight": torch.ones(24, 64)}))
    assert "model.encoder.embed_positions.weight has the shape (24, 64)" in wrong and "(26, 64)" in wrong


def test_numbers_come_back_as_they_were() -> None:
    assert convert.shape(convert.config(TINY, SPECIALS)) == TINY
    assert convert.shape(BartConfig().to_dict()) == SIZES["large"]  # Hugging Face's default
    config = convert.config(TINY, SPECIALS)
    ids = ("bos_token_id", "pad_token_id", "eos_token_id", "decoder_start_token_id", "forced_eos_token_id")
    assert [config[name] for name in ids] == [0, 1, 2, 2, 2]
    assert {**asdict(TINY), "dropout": 0.0} == asdict(convert.shape({**config, "dropout": 0.0}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", "mbart"),
        ("activation_function", "tanh"),
        ("scale_embedding", True),
        ("normalize_before", True),
        ("add_final_layer_norm", True),
        ("static_position_embeddings", True),
        ("extra_pos_embeddings", 0),
        ("normalize_embedding", False),
        ("d_model", None),
        ("vocab_size", "97"),
        ("encoder_attention_heads", 3),
    ],
)
def test_a_config_of_another_model_is_refused_with_its_field(field: str, value: object) -> None:
    named = "heads must divide width" if field == "encoder_attention_heads" else field
    with pytest.raises(ValueError, match=named):
        convert.shape({**convert.config(TINY, SPECIALS), field: value})


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads must divide width, and 5 does not divide 64"):
        replace(TINY, heads=5)
