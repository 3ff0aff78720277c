"""BERT against Hugging Face's `BertForPreTraining`: logits, losses, gradients, and weights under both names.

Float32 stays within 1e-5 (2e-5 where norms of size 1 make logits of size 10), float64 within 1e-12, so that no mistake is
small enough to pass. Their embedding takes no gradient at [PAD], ours and Google's do; rows here have none among real tokens.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, BertModel

from pipelines.contract.tokenizers.families import Specials
from training.convert import bert as convert
from training.convert.rules import WeightsError, to_ours, to_theirs
from training.data.rows.batch import IGNORE
from training.models import attention, families
from training.models.bert import BERT, GELUS, SIZES, BERTShape, Embeddings, at_positions
from training.models.families import make, parameters, shape_of_dict
from training.run.config import load
from training.run.device import Device
from training.run.distributed.processes import World
from training.run.feed import open_feed
from training.run.pretrain import prepare_job
from training.run.progress import METRICS, read_metrics
from training.run.trainer import train

TINY = BERTShape(layers=3, heads=4, width=64, vocabulary=53, length=24, dropout=0.0)
SPECIALS = Specials(pad=0, begin=2, end=3, mask=4, decoder_start=None, sentinels=())
ROWS = 4
Examples = dict[str, Tensor]
Models = tuple[BERT, Any]


def redrawn(shape: BERTShape = TINY, norms: int = 0) -> BERT:
    """All weights N(0, 0.2), those of norms N(`norms`, 0.2): with the small initial ones, half of the mistakes would not show.

    Norms about 0 leave so little that all tokens attend to each other alike, and queries get gradients of 1e-6; about 1 they
    attend to few.
    """
    model = BERT(shape).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(norms if name.endswith("norm.weight") else 0, 0.2, generator=generator)
    return model


def their_config(shape: BERTShape, kernel: str = "sdpa") -> Any:
    of: Any = BertConfig
    return of(**convert.config(shape, SPECIALS), attn_implementation=kernel)


def huggingface(model: BERT, kernel: str = "sdpa") -> Any:
    """The same model there, in evaluation mode."""
    theirs: Any = BertForPreTraining(their_config(model.shape, kernel))
    found = theirs.load_state_dict(to_theirs(convert.rules(model.shape), model.state_dict()), strict=False)
    assert not found.unexpected_keys
    assert set(found.missing_keys) == {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}  # tied
    theirs.tie_weights()
    return theirs.eval()


def both(kernel: str = "sdpa", dtype: torch.dtype = torch.float32, shape: BERTShape = TINY, norms: int = 0) -> Models:
    model = redrawn(shape, norms).to(dtype)
    return model, huggingface(model, kernel).to(dtype)


def rows(length: int, side: str = "right") -> Examples:
    """Rows of several lengths in two segments, without [PAD] but where `real` says so."""
    generator = torch.Generator().manual_seed(length)
    real = torch.zeros(ROWS, length, dtype=torch.bool)
    for row in range(ROWS):
        size = length - row * length // ROWS  # never 0
        real[row, slice(0, size) if side == "right" else slice(length - size, length)] = True
    inputs = torch.randint(5, TINY.vocabulary, (ROWS, length), generator=generator) * real
    segments = torch.randint(0, 2, (ROWS, length), generator=generator)
    return {"inputs": inputs, "segments": segments, "real": real}


def logits(models: Models, given: Examples) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Of both heads, ours and theirs."""
    model, theirs = models
    with torch.no_grad():
        found = theirs(
            input_ids=given["inputs"], token_type_ids=given["segments"], attention_mask=given["real"].long(), return_dict=True
        )
        return model(given["inputs"], given["segments"], given["real"]), (found.prediction_logits, found.seq_relationship_logits)


def difference(models: Models, given: Examples) -> float:
    ours, theirs = logits(models, given)
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))


def masked() -> Examples:
    """Examples of `masked_lm`, rows padded behind, masked positions too."""
    given = rows(24)
    positions = torch.tensor([[1, 5, 6, 20], [2, 3, 17, 0], [7, 0, 0, 0], [0, 4, 0, 0]])
    targets = torch.tensor([[9, 52, 7, 8], [5, 5, 40, IGNORE], [6, IGNORE, IGNORE, IGNORE], [11, 12, IGNORE, IGNORE]])
    return {
        "inputs": given["inputs"],
        "segments": given["segments"],
        "lengths": given["real"].sum(1),
        "masked_positions": positions,
        "targets": targets,
        "next_sentence": torch.tensor([1, 0, 0, 1]),
    }


def pretraining_loss(sums: Mapping[str, Tensor], given: Examples) -> Tensor:
    """Each term divided by its own count, as Hugging Face does."""
    return sums["tokens"] / int((given["targets"] != IGNORE).sum()) + sums["pairs"] / len(given["inputs"])


def huggingface_loss(theirs: Any, given: Examples) -> Tensor:
    labels = torch.full_like(given["inputs"], -100)
    for row in range(len(labels)):
        for position, target in zip(given["masked_positions"][row], given["targets"][row], strict=True):
            if target != IGNORE:
                labels[row, position] = target
    real = attention.real_tokens(given["lengths"], labels.shape[1]).long()
    return theirs(
        input_ids=given["inputs"], token_type_ids=given["segments"], attention_mask=real, labels=labels,
        next_sentence_label=given["next_sentence"],
    ).loss  # fmt: skip


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("activation", GELUS)
@pytest.mark.parametrize("norms", [0, 1])
def test_logits_are_huggingfaces(kernel: str, activation: str, norms: int) -> None:
    shape = replace(TINY, activation=activation)
    models, exact = both(kernel, torch.float32, shape, norms), both(kernel, torch.float64, shape, norms)
    for length in (1, 7, 24):
        for side in ("left", "right"):
            assert difference(models, rows(length, side)) < 1e-5 * (1 + norms), (length, side)
            assert difference(exact, rows(length, side)) < 1e-12, (length, side)


def test_logits_without_segments_and_padding_are_huggingfaces() -> None:
    model, theirs = both()
    inputs = rows(9)["inputs"].clamp_min(5)
    with torch.no_grad():
        tokens, pairs = model(inputs)
        found = theirs(input_ids=inputs)
    assert tokens.shape == (ROWS, 9, TINY.vocabulary)
    assert pairs.shape == (ROWS, 2)
    assert (tokens - found.prediction_logits).abs().max() < 1e-5
    assert (pairs - found.seq_relationship_logits).abs().max() < 1e-5


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-4), (torch.float64, 1e-12)])
def test_loss_and_gradients_are_huggingfaces(kernel: str, dtype: torch.dtype, limit: float) -> None:
    (model, theirs), given = both(kernel, dtype, norms=1), masked()
    loss, expected = pretraining_loss(model.losses(given), given), huggingface_loss(theirs, given)
    loss.backward()
    expected.backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=limit)
    got = to_theirs(convert.rules(TINY), {name: gradient(parameter) for name, parameter in model.named_parameters()})
    wanted = {name: gradient(parameter) for name, parameter in theirs.named_parameters()}
    assert set(got) == set(wanted)
    for name, of_theirs in wanted.items():
        largest = float(of_theirs.abs().max())
        if name.endswith("self.key.bias"):  # a number added to all logits of a query changes no softmax
            assert largest < 1e-6
            largest = 1.0
        assert largest > 1e-3, f"{name} is not tested"
        assert float((got[name] - of_theirs).abs().max()) < limit * largest, name


def gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def test_base_size_with_its_own_initialisation_is_huggingfaces() -> None:
    shape = replace(SIZES["base"], dropout=0.0)
    with torch.device("meta"):
        theirs: Any = BertForPreTraining(their_config(shape))
    theirs = theirs.to_empty(device="cpu")
    theirs.tie_weights()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():  # as transformers' PreTrainedModel._init_weights
            if name.endswith("LayerNorm.weight"):
                parameter.fill_(1)
            elif name.endswith("bias"):
                parameter.zero_()
            else:
                parameter.normal_(0, 0.02, generator=generator)
        theirs.bert.embeddings.position_ids.copy_(torch.arange(512)[None])
    with torch.device("meta"):
        model = BERT(shape)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    weights = to_ours(convert.rules(shape), theirs.state_dict(), shapes, "there", convert.IGNORED)
    model.load_state_dict(weights, assign=True)
    given = rows(16)
    assert difference((model.eval(), theirs.eval()), given) < 1e-5


def wrong_gelu(patch: pytest.MonkeyPatch, models: Models) -> None:
    for module in models[0].modules():
        if hasattr(module, "activation"):
            patch.setattr(module, "activation", lambda x: functional.gelu(x, approximate="tanh"))


def wrong_gelu_of_the_head(patch: pytest.MonkeyPatch, models: Models) -> None:
    patch.setattr(models[0].token_head, "activation", lambda x: functional.gelu(x, approximate="tanh"))


def no_padding_mask(patch: pytest.MonkeyPatch, models: Models) -> None:
    patch.setattr(attention, "sees_real", lambda real: torch.ones_like(real)[:, None, None, :])


def swapped_segments(patch: pytest.MonkeyPatch, models: Models) -> None:
    right = Embeddings.forward
    patch.setattr(Embeddings, "forward", lambda self, inputs, segments: right(self, inputs, 1 - segments))


def other_norm_epsilon(patch: pytest.MonkeyPatch, models: Models) -> None:
    for module in models[0].modules():
        if isinstance(module, nn.LayerNorm):
            patch.setattr(module, "eps", 1e-5)  # that of torch, GPT-2 and BART


def no_norm_of_embeddings(patch: pytest.MonkeyPatch, models: Models) -> None:
    patch.setattr(models[0].embeddings, "norm", nn.Identity())


def no_bias_of_tokens(patch: pytest.MonkeyPatch, models: Models) -> None:
    models[0].token_head.bias.data.zero_()


def pair_read_at_the_end(patch: pytest.MonkeyPatch, models: Models) -> None:
    right = BERT.pair_logits
    patch.setattr(BERT, "pair_logits", lambda self, hidden: right(self, hidden.flip(1)))


@pytest.mark.parametrize(
    ("mutation", "at_least"),
    [
        (wrong_gelu, 1e-4),
        (wrong_gelu_of_the_head, 1e-4),
        (no_padding_mask, 1e-3),
        (swapped_segments, 1e-3),
        (other_norm_epsilon, 2e-5),
        (no_norm_of_embeddings, 1e-2),
        (no_bias_of_tokens, 1e-1),
        (pair_read_at_the_end, 1e-4),
    ],
)
def test_a_broken_model_is_seen(
    mutation: Callable[[pytest.MonkeyPatch, Models], None], at_least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, given = both(), rows(24)
    assert difference(models, given) < 1e-5
    mutation(monkeypatch, models)
    assert difference(models, given) > at_least


def test_a_row_is_the_same_beside_padding_and_alone() -> None:
    model, given = redrawn(), rows(24)
    with torch.no_grad():
        padded = model.hidden(given["inputs"], given["segments"], given["real"])
        for row, real in enumerate(given["real"]):
            alone = model.hidden(given["inputs"][row : row + 1, real], given["segments"][row : row + 1, real])
            assert (alone[0] - padded[row, real]).abs().max() < 1e-5


def test_losses_are_sums_over_masked_tokens_and_pairs() -> None:
    model, given = redrawn(), masked()
    with torch.no_grad():
        tokens, pairs = model(given["inputs"], given["segments"], attention.real_tokens(given["lengths"], 24))
        found = model.losses(given)
    tokens, expected = tokens.double().log_softmax(-1), dict.fromkeys(("tokens", "tokens_right", "pairs", "pairs_right"), 0.0)
    for row in range(ROWS):
        for position, target in zip(given["masked_positions"][row], given["targets"][row], strict=True):
            if target != IGNORE:
                expected["tokens"] -= float(tokens[row, position, target])
                expected["tokens_right"] += float(tokens[row, position].argmax() == target)
        expected["pairs"] -= float(pairs.double().log_softmax(-1)[row, given["next_sentence"][row]])
        expected["pairs_right"] += float(pairs[row].argmax() == given["next_sentence"][row])
    assert {term: float(loss) for term, loss in found.items()} == pytest.approx(expected, rel=1e-5)
    for term, value in found.items():
        assert value.shape == () and value.dtype == (torch.int64 if term.endswith("right") else torch.float32)


def test_without_pairs_there_is_no_such_term() -> None:
    model, given = redrawn(), masked()
    next_sentence = given.pop("next_sentence")
    alone = model.losses(given)
    assert set(alone) == {"tokens", "tokens_right"}
    assert torch.equal(alone["tokens"], model.losses({**given, "next_sentence": next_sentence})["tokens"])
    alone["tokens"].backward()
    assert model.pooler.weight.grad is None
    assert gradient(model.token_head.bias).any()


def test_padded_masked_positions_contribute_nothing() -> None:
    (model, other), given = (redrawn(), redrawn()), masked()
    wide = {
        **given,
        "masked_positions": functional.pad(given["masked_positions"], (0, 5), value=3),
        "targets": functional.pad(given["targets"], (0, 5), value=IGNORE),
    }
    narrow_loss, wide_loss = pretraining_loss(model.losses(given), given), pretraining_loss(other.losses(wide), given)
    narrow_loss.backward()
    wide_loss.backward()
    assert float(narrow_loss.detach()) == pytest.approx(float(wide_loss.detach()), rel=1e-6)
    for (name, parameter), same in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.allclose(gradient(parameter), gradient(same), atol=1e-6), name


def test_reading_some_positions_is_reading_all_and_choosing() -> None:
    model, given = redrawn(), rows(24)
    read = torch.tensor([[0, 23, 23], [5, 0, 1], [2, 2, 2], [11, 7, 3]])
    with torch.no_grad():
        everything = model.hidden(given["inputs"], given["segments"], given["real"])
        some = model.hidden(given["inputs"], given["segments"], given["real"], read=read)
    assert some.shape == (ROWS, 3, TINY.width)
    assert (some - at_positions(everything, read)).abs().max() < 1e-6
    for row, places in enumerate(read):
        assert torch.equal(at_positions(everything, read)[row], everything[row, places])


def test_weights_go_there_and_come_back() -> None:
    model = redrawn()
    theirs = huggingface(model).state_dict()  # with the tied weights under both names
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    back = to_ours(convert.rules(TINY), theirs, shapes, "there", convert.IGNORED)
    assert set(back) == set(shapes)
    assert all(torch.equal(back[name], tensor) for name, tensor in model.state_dict().items())
    again = to_theirs(convert.rules(TINY), back)
    assert all(torch.equal(theirs[name], tensor) for name, tensor in again.items())
    buffers = {"bert.embeddings.position_ids": torch.arange(24)[None]}
    assert set(to_ours(convert.rules(TINY), {**theirs, **buffers}, shapes, "there", convert.IGNORED)) == set(shapes)
    untied = {**theirs, "cls.predictions.decoder.bias": theirs["cls.predictions.bias"] + 1}
    with pytest.raises(WeightsError, match=r"decoder\.bias differs from cls\.predictions\.bias"):
        to_ours(convert.rules(TINY), untied, shapes, "there", convert.IGNORED)


@pytest.mark.parametrize(
    ("kind", "lacks"),
    [
        (BertForPreTraining, []),
        (BertForMaskedLM, ["bert.pooler.dense", "cls.seq_relationship"]),
        (
            BertModel,
            ["cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions", "cls.seq_relationship"],
        ),
    ],
)
def test_heads_that_a_folder_lacks_are_drawn_and_named(kind: Any, lacks: list[str]) -> None:
    there: Any = kind(their_config(TINY))
    prefix = "bert." if kind is BertModel else ""
    weights = {prefix + name: tensor for name, tensor in there.state_dict().items()}
    full, drawn = convert.complete(TINY, weights)
    expected = {f"{name}.{part}" for name in lacks for part in ("weight", "bias") if f"{name}.{part}" != "cls.predictions.weight"}
    assert set(drawn) == expected
    model = BERT(TINY)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    model.load_state_dict(to_ours(convert.rules(TINY), full, shapes, "there", convert.IGNORED))
    assert all(torch.equal(full[name], weights[name]) for name in weights)
    for name in drawn:  # as a new model has them
        wanted = {"LayerNorm.weight": 1.0}.get(name.removeprefix("cls.predictions.transform."), 0.0)
        assert float(full[name].mean()) == pytest.approx(wanted, abs=2e-3), name
    assert all(torch.equal(tensor, full[name]) for name, tensor in convert.complete(TINY, weights)[0].items())


def test_a_head_that_is_there_in_part_is_not_filled() -> None:
    weights = to_theirs(convert.rules(TINY), redrawn().state_dict())
    shapes = {name: tensor.shape for name, tensor in redrawn().state_dict().items()}
    for name in ("cls.predictions.transform.dense.bias", "bert.pooler.dense.weight", "bert.encoder.layer.1.output.dense.bias"):
        found, drawn = convert.complete(TINY, {key: value for key, value in weights.items() if key != name})
        assert drawn == []
        with pytest.raises(WeightsError, match=f"has no weight {name}"):
            to_ours(convert.rules(TINY), found, shapes, "there")


def test_numbers_go_there_and_come_back() -> None:
    for shape in (*SIZES.values(), replace(TINY, activation="gelu_tanh", dropout=0.2)):
        written = convert.config(shape, SPECIALS)
        assert convert.shape(written) == shape
        assert convert.shape(their_config(shape).to_dict()) == shape
    assert their_config(SIZES["base"]).to_dict() == {
        **BertConfig().to_dict(),
        "architectures": ["BertForPreTraining"],
    }


@pytest.mark.parametrize(
    ("theirs", "ours"), [("gelu", "gelu"), ("gelu_new", "gelu_tanh"), ("gelu_pytorch_tanh", "gelu_tanh"), ("gelu_python", "gelu")]
)
def test_names_of_the_gelu(theirs: str, ours: str) -> None:
    assert convert.shape({**convert.config(TINY, SPECIALS), "hidden_act": theirs}).activation == ours


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", "roberta"),
        ("hidden_act", "relu"),
        ("position_embedding_type", "relative_key"),
        ("is_decoder", True),
        ("num_hidden_layers", "3"),
        ("vocab_size", None),
    ],
)
def test_a_config_of_another_model_is_refused_by_its_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        convert.shape({**convert.config(TINY, SPECIALS), field: value})


def test_impossible_numbers_are_named() -> None:
    with pytest.raises(ValueError, match=r"heads must divide width, and 5 does not divide 64"):
        replace(TINY, heads=5)
    with pytest.raises(ValueError, match=r"activation must be one of gelu, gelu_tanh, not 'relu'"):
        replace(TINY, activation="relu")
    with pytest.raises(ValueError, match="bert has no size 'huge'"):
        families.shape("bert", "huge", {})
    with pytest.raises(ValueError, match="activation: must be like"):
        families.shape("bert", "base", {"activation": 1})


# the numbers of google-research/bert's README, in millions, and transformers' count of BertForPreTraining at base size
@pytest.mark.parametrize(
    ("size", "weights"), [("tiny", 4.4e6), ("mini", 11.3e6), ("small", 29.1e6), ("medium", 41.7e6), ("base", 110_106_428)]
)
def test_published_sizes_have_their_numbers_of_weights(size: str, weights: float) -> None:
    with torch.device("meta"):
        model = families.build(SIZES[size])
    assert parameters(model) == pytest.approx(weights, rel=0.01 if size != "base" else 0)
    assert isinstance(model, BERT)
    assert shape_of_dict("bert", {name: getattr(SIZES[size], name) for name in BERTShape.__slots__}) == SIZES[size]


def test_weights_follow_the_published_initialisation_and_the_seed() -> None:
    shape = replace(TINY, vocabulary=1000, width=128)
    model = make(shape, seed=4)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        elif "norm" in name:
            assert bool((parameter == 1).all())
        else:
            assert float(parameter.detach().abs().max()) <= 0.04
            if parameter.numel() > 1000:  # a normal that is cut at two deviations has .8796 of its deviation
                assert float(parameter.detach().std()) == pytest.approx(0.8796 * 0.02, rel=0.03), name
    same, other = make(shape, seed=4), make(shape, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    assert not torch.equal(model.embeddings.tokens.weight, other.embeddings.tokens.weight)


def test_a_new_model_knows_nothing() -> None:
    given = masked()
    losses = make(TINY, seed=3).losses(given)
    assert float(losses["tokens"].detach()) / 10 == pytest.approx(math.log(TINY.vocabulary), abs=0.1)
    assert float(losses["pairs"].detach()) / ROWS == pytest.approx(math.log(2), abs=0.1)


def test_the_trainer_lowers_both_terms(make_dataset: Callable[..., Path], documents: Any, tiny_config: Path) -> None:
    tokens = make_dataset(tiny_config.parent / "bert_tokens", documents, families=("bert",), sentence_tokens=8)
    sets = {
        "data.tokens": f'"{tokens}"', "data.batch_rows": "16", "rows.length": "32", "rows.packing": '"pairs"',
        "objective.name": '"masked_lm"', "model.family": '"bert"', "model.width": "32", "model.dropout": "0.0",
        "train.steps": "120", "train.eval_every": "120", "train.save_every": "120", "sample.tokens": "0",
    }  # fmt: skip
    config = load(tiny_config, tuple(f"{name}={value}" for name, value in sets.items()))
    device = Device("cpu", "float32")
    job = prepare_job(config, device, World())
    model = make(config.model.shape(job.course.last.dataset.tokenizer.size, config.positions), seed=1)
    assert isinstance(model, BERT)
    train(job, model, device, World())
    lines = read_metrics(job.out / METRICS)
    held_out = [line["validation_loss"] for line in lines if "validation_loss" in line]
    assert held_out[0] == pytest.approx(math.log(model.shape.vocabulary), abs=0.1)
    assert held_out[-1] < held_out[0] - 1.0
    first, last = lines[1]["loss"], np.mean([line["loss"] for line in lines[-5:]])
    assert first == pytest.approx(math.log(model.shape.vocabulary) + math.log(2), abs=0.2)
    assert last < first - 1.0
    for line in lines[1:]:
        assert line["loss"] == pytest.approx(line["tokens_loss"] + line["pairs_loss"], rel=1e-6)
        assert 0 <= line["tokens_accuracy"] <= 1 and line["pairs_accuracy"] * 16 in range(17)
    ended = lines[-1]
    assert ended["validation_tokens_loss"] == ended["validation_loss"]
    assert ended["validation_pairs_loss"] == pytest.approx(math.log(2), abs=0.3)
    assert ended["validation_tokens_accuracy"] > 0.04 > 0.01 > lines[0]["validation_tokens_accuracy"]


def test_a_feeds_batch_goes_through_the_model(make_dataset: Callable[..., Path], documents: Any, tiny_config: Path) -> None:
    tokens = make_dataset(tiny_config.parent / "bert_tokens", documents, families=("bert",), sentence_tokens=8)
    sets = {"data.tokens": f'"{tokens}"', "rows.length": "32", "rows.packing": '"pairs"', "objective.name": '"masked_lm"'}
    config = load(tiny_config, (*(f"{name}={value}" for name, value in sets.items()), 'model.family="bert"', "model.width=32"))
    feed = open_feed(config, folder=tiny_config.parent / "rows")
    examples = feed.batch(0)
    model = make(config.model.shape(feed.dataset.tokenizer.size, config.positions), seed=1)
    sums = model.losses({name: torch.from_numpy(values) for name, values in examples.items()})
    assert set(feed.counts(examples)) == {"tokens", "pairs"}
    assert set(sums) == {"tokens", "pairs", "tokens_right", "pairs_right"}
