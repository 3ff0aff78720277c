"""Models of other widths, norms, heads and activations than the published first ones: read, exported, and read again."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from pipelines.contract.tokenizers.families import Specials
from training.convert import huggingface
from training.models import families
from training.run.resources import flops

V = 61
BERT = {
    "vocab_size": V, "max_position_embeddings": 24, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3,
    "intermediate_size": 100,
}  # fmt: skip
GPT = {"vocab_size": V, "n_positions": 24, "n_embd": 16, "n_layer": 2, "n_head": 2}
BART = {
    "vocab_size": V, "max_position_embeddings": 24, "d_model": 16, "encoder_layers": 1, "decoder_layers": 2,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
}  # fmt: skip
T5 = {"vocab_size": V, "d_model": 16, "d_kv": 6, "d_ff": 24, "num_layers": 1, "num_decoder_layers": 2, "num_heads": 2}
UNTIED = {"tie_word_embeddings": False}
# name: Hugging Face's class, its config, and the numbers of our shape that tell
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "tinybert": ("BertForPreTraining", BERT, {"inner": 100, "norm_epsilon": 1e-12}),
    "bert_epsilon": ("BertForPreTraining", {**BERT, "layer_norm_eps": 0.01}, {"norm_epsilon": 0.01}),
    "bert_untied": ("BertForPreTraining", {**BERT, **UNTIED}, {"tied": False}),
    "bert_segments": (
        "BertForPreTraining",
        {**BERT, "type_vocab_size": 3, "intermediate_size": 96},
        {"segments": 3, "inner": None},
    ),
    "roberta": (
        "RobertaForMaskedLM",
        {**BERT, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "intermediate_size": 96},
        {"first_position": 2, "length": 22, "segments": 1, "pooled": False, "norm_epsilon": 1e-5, "inner": None},
    ),
    "roberta_untied": ("RobertaForMaskedLM", {**BERT, **UNTIED, "type_vocab_size": 2}, {"tied": False, "segments": 2}),
    "distilbert": (
        "DistilBertForMaskedLM",
        {"vocab_size": V, "max_position_embeddings": 24, "dim": 24, "n_layers": 2, "n_heads": 3, "hidden_dim": 96},
        {"first_position": 0, "length": 24, "segments": 0, "pooled": False, "inner": None},
    ),
    "distilbert_untied": (
        "DistilBertForMaskedLM",
        {"vocab_size": V, "dim": 24, "n_layers": 1, "n_heads": 3, "hidden_dim": 40, "activation": "gelu_new", **UNTIED},
        {"tied": False, "inner": 40, "activation": "gelu_tanh", "length": 512},
    ),
    "gpt_inner": ("GPT2LMHeadModel", {**GPT, "n_inner": 40, "layer_norm_epsilon": 0.01}, {"inner": 40, "norm_epsilon": 0.01}),
    "gpt_untied": ("GPT2LMHeadModel", {**GPT, **UNTIED}, {"tied": False, "inner": None}),
    "gpt_relu": ("GPT2LMHeadModel", {**GPT, "activation_function": "relu"}, {"activation": "relu"}),
    "gpt_gelu": ("GPT2LMHeadModel", {**GPT, "activation_function": "gelu"}, {"activation": "gelu"}),  # Cerebras-GPT
    "bart_inner": ("BartForConditionalGeneration", {**BART, "encoder_ffn_dim": 40, "decoder_ffn_dim": 40}, {"inner": 40}),
    "bart_decoder": (
        "BartForConditionalGeneration",
        {**BART, "decoder_ffn_dim": 48, "decoder_attention_heads": 4, "activation_function": "relu"},
        {"inner": None, "decoder_inner": 48, "decoder_heads": 4, "activation": "relu"},
    ),
    "bart_encoder": (
        "BartForConditionalGeneration",
        {**BART, "encoder_ffn_dim": 40, "activation_function": "gelu_new"},
        {"inner": 40, "decoder_inner": 64, "activation": "gelu_tanh"},
    ),
    "bart_untied": ("BartForConditionalGeneration", {**BART, **UNTIED}, {"tied": False}),
    "t5_silu": ("T5ForConditionalGeneration", {**T5, "feed_forward_proj": "gated-silu"}, {"gated": True, "activation": "silu"}),
    "t5_gelu": ("T5ForConditionalGeneration", {**T5, "feed_forward_proj": "gelu"}, {"gated": False, "activation": "gelu"}),
    "t5_epsilon": (
        "T5ForConditionalGeneration",
        {**T5, "layer_norm_epsilon": 0.01, "feed_forward_proj": "gated-gelu"},
        {"norm_epsilon": 0.01, "gated": True, "activation": None},
    ),
}  # fmt: skip
INPUTS = torch.tensor([[3, 14, 15, 9, 26, 5], [35, 8, 9, 7, 0, 0]])
REAL = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
DECODER = torch.tensor([[2, 31, 4, 15], [2, 7, 7, 18]])
EACH = pytest.mark.parametrize("name", CASES)


def made(name: str, folder: Path) -> Any:
    """Their model with weights N(0, 0.2), saved in the folder."""
    cls, numbers, _ = CASES[name]
    kind: Any = getattr(transformers, cls)
    torch.manual_seed(1)
    model = kind(kind.config_class(**numbers)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
        if cls.startswith("Bart"):
            for stack in (model.model.encoder, model.model.decoder):  # transformers 5 unties them with the head
                stack.embed_tokens.weight.copy_(model.model.shared.weight)
    model.save_pretrained(folder)
    return model


def theirs_and_ours(theirs: Any, ours: Any) -> list[tuple[Tensor, Tensor]]:
    """Pairs of outputs, at the tokens that are not padding."""
    inputs, real, kind = INPUTS, REAL.bool(), type(ours).__name__
    with torch.no_grad():
        if kind == "GPT":
            return [(theirs(inputs, attention_mask=REAL).logits[real], ours(inputs, real=real)[real])]
        if kind == "BERT":
            found, (tokens, pairs) = theirs(inputs, attention_mask=REAL), ours(inputs, real=real)
            if pairs is None:
                return [(found.logits[real], tokens[real])]
            return [(found.prediction_logits[real], tokens[real]), (found.seq_relationship_logits, pairs)]
        found = theirs(inputs, attention_mask=REAL, decoder_input_ids=DECODER).logits
        return [(found, ours(inputs, DECODER, real=real))]


def read(folder: Path) -> tuple[str, families.Model]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        family, shape, weights = huggingface.read(folder)
    model = families.make(shape, 3).eval()
    model.load_state_dict(weights, strict=True)
    return family, model


@EACH
def test_logits_are_hugging_faces_here_and_of_the_export(name: str, tmp_path: Path) -> None:
    theirs = made(name, tmp_path / "theirs")
    family, ours = read(tmp_path / "theirs")
    wanted: Mapping[str, Any] = CASES[name][2]
    assert {number: getattr(ours.shape, number) for number in wanted} == wanted
    for other, own in theirs_and_ours(theirs, ours):
        assert (other - own).abs().max() < 1e-5
    specials = Specials(pad=1, begin=0, end=2, mask=4, decoder_start=2, sentinels=())
    huggingface.write(tmp_path / "out", ours, family, specials, V)
    again, said = type(theirs).from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(said.values()), said
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == [type(theirs).__name__]
    for other, own in theirs_and_ours(again.eval(), ours):
        assert (other - own).abs().max() < 1e-5
    _, back = read(tmp_path / "out")
    assert back.shape == ours.shape
    huggingface.write(tmp_path / "twice", back, family, specials, V)
    for file in (tmp_path / "out").iterdir():
        assert (tmp_path / "twice" / file.name).read_bytes() == file.read_bytes()


@EACH
def test_such_a_model_learns(name: str, tmp_path: Path) -> None:
    """All weights get a gradient, and the operations of a row follow the widths."""
    made(name, tmp_path)
    _, model = read(tmp_path)
    kind = type(model).__name__
    lengths, targets, kinds = REAL.sum(1), DECODER, min(2, getattr(model.shape, "segments", 2)) or 1
    examples = {
        "GPT": {"inputs": INPUTS, "targets": INPUTS.flip(1)},
        "BERT": {
            "inputs": INPUTS, "lengths": lengths, "segments": torch.arange(6) % kinds * REAL,
            "targets": torch.tensor([[5], [6]]),
            "masked_positions": torch.tensor([[2], [1]]),
            **({"next_sentence": torch.tensor([0, 1])} if getattr(model.shape, "pooled", False) else {}),
        },
        "BART": {"inputs": INPUTS, "lengths": lengths, "targets": targets, "decoder_inputs": DECODER},
        "T5": {"inputs": INPUTS, "lengths": lengths, "targets": targets, "decoder_inputs": DECODER},
    }[kind]  # fmt: skip
    losses: Any = model.losses(examples)
    sum(value for term, value in losses.items() if not term.endswith("_right")).backward()
    untouched = {name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()}
    assert untouched <= {"embeddings.positions.weight"}
    assert any(weight.shape[0] == V for name, weight in model.named_parameters() if name == "head.weight") != getattr(
        model.shape, "tied", True
    )


def test_checkpoints_from_before_a_number_existed_have_its_default() -> None:
    old = {"layers": 2, "heads": 2, "width": 16, "vocabulary": 20, "length": 8, "dropout": 0.0}
    assert families.shape_of_dict("gpt", old) == families.gpt.GPTShape(**old)
    assert families.shape_of_dict("bert", old) == families.bert.BERTShape(**old)
    with pytest.raises(ValueError, match=r"the numbers of a gpt are layers, .* not heads, width"):
        families.shape_of_dict("gpt", {name: old[name] for name in ("heads", "width")})
    with pytest.raises(ValueError, match=r"the numbers of a gpt are .* speed"):
        families.shape_of_dict("gpt", {**old, "speed": 1})


def test_operations_follow_the_inner_width() -> None:
    """A matrix entry takes 6 operations a token: 2 layers, 2 matrices, 10 columns more."""
    small = families.shape("gpt", "demo", {"layers": 2, "width": 128})
    wide = families.shape("gpt", "demo", {"layers": 2, "width": 128, "inner": 522})
    assert flops.gpt(wide, 100) - flops.gpt(small, 100) == 6 * 100 * 2 * 2 * 128 * 10
    narrow = families.shape("bart", "demo", {"inner": 100, "decoder_inner": 50})
    usual = families.shape("bart", "demo", {})
    assert flops.bart(usual, 10, 20) - flops.bart(narrow, 10, 20) == 6 * 2 * 2 * 128 * ((512 - 100) * 10 + (512 - 50) * 20)


def test_numbers_of_a_shape_are_checked() -> None:
    for numbers, message in (
        ({"inner": "3072"}, "inner: must be like int, not '3072'"),
        ({"inner": 0}, "inner: must be from 1 to 2"),
        ({"first_position": -1}, "first_position: must be from 0 to 2"),
        ({"tied": 1}, "tied: must be like True, not 1"),
        ({"norm_epsilon": 1.0}, "norm_epsilon: must be a number from 0 to less than 1"),
    ):
        with pytest.raises(ValueError, match=message):
            families.shape("bert", "demo", numbers)
    assert families.shape("bert", "demo", {"segments": 0, "pooled": False}).segments == 0  # pyright: ignore[reportAttributeAccessIssue]
