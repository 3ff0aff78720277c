"""Folders that Hugging Face's classes wrote, and folders that are broken or mean harm."""

import json
import os
import pickle
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import transformers
from torch import Tensor

from training.convert import huggingface
from training.convert.formats import weight_files
from training.convert.rules import WeightsError
from training.models import families

V = 61
GPT2 = {"vocab_size": V, "n_positions": 24, "n_embd": 16, "n_layer": 2, "n_head": 2}
BERT = {
    "vocab_size": V, "max_position_embeddings": 24, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 64,
}  # fmt: skip
BART = {
    "vocab_size": V, "max_position_embeddings": 24, "d_model": 16, "encoder_layers": 1, "decoder_layers": 2,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
}  # fmt: skip
T5 = {"vocab_size": V, "d_model": 16, "d_kv": 6, "d_ff": 24, "num_layers": 1, "num_decoder_layers": 2, "num_heads": 2}
GATED = {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
MADE: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2)),
    "bert": lambda: transformers.BertForPreTraining(transformers.BertConfig(**BERT)),
    "bart": lambda: transformers.BartForConditionalGeneration(transformers.BartConfig(**BART)),
    "t5": lambda: transformers.T5ForConditionalGeneration(transformers.T5Config(**T5)),
    "t5_1_1": lambda: transformers.T5ForConditionalGeneration(transformers.T5Config(**GATED)),
    "mt5": lambda: transformers.MT5ForConditionalGeneration(transformers.MT5Config(**GATED)),
}
INPUTS = torch.tensor([[3, 14, 15, 9, 26, 5], [35, 8, 9, 7, 9, 3]])
DECODER = torch.tensor([[0, 31, 4, 15], [0, 2, 7, 18]])


def made(name: str, folder: Path) -> Any:
    """A model of theirs with weights N(0, 0.2), and a head of its own where it is 1.1."""
    torch.manual_seed(1)
    model = MADE[name]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
    if name not in ("t5_1_1", "mt5"):
        return model
    # transformers 5 ties a new model whatever its config says, but not one that it reads with two weights
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    weights["lm_head.weight"] = torch.randn(V, 16) * 0.2
    (folder / "untied").mkdir()
    safetensors.torch.save_file(weights, folder / "untied" / "model.safetensors", {"format": "pt"})
    config = json.loads(model.config.to_json_string()) | {"tie_word_embeddings": False}
    config.pop("scale_decoder_outputs", None)
    (folder / "untied" / "config.json").write_text(json.dumps(config))
    return type(model).from_pretrained(folder / "untied").eval()


def assert_same_logits(theirs: Any, folder: Path) -> families.Model:
    """Our model of the folder, after its logits were compared."""
    family, shape, weights = huggingface.read(folder)
    model: Any = families.make(shape, 3).eval()
    model.load_state_dict(weights, strict=True)
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    with torch.no_grad():
        if family == "gpt":
            pairs = [(model(INPUTS), theirs(INPUTS).logits)]
        elif family == "bert":
            found = theirs(INPUTS)
            pairs = list(zip(model(INPUTS), (found.prediction_logits, found.seq_relationship_logits), strict=True))
        else:
            pairs = [(model(INPUTS, DECODER), theirs(input_ids=INPUTS, decoder_input_ids=DECODER).logits)]
    for ours, other in pairs:
        assert (ours - other.float()).abs().max() < 1e-5
    return model


@pytest.mark.parametrize("name", MADE)
def test_what_save_pretrained_wrote_is_read(name: str, tmp_path: Path) -> None:
    theirs = made(name, tmp_path)
    theirs.save_pretrained(tmp_path / "whole")
    assert_same_logits(theirs, tmp_path / "whole")
    theirs.save_pretrained(tmp_path / "shards", max_shard_size="8KB")
    assert len(list((tmp_path / "shards").glob("model-*.safetensors"))) > 3
    assert_same_logits(theirs, tmp_path / "shards")
    if name in ("t5_1_1", "mt5"):
        assert not getattr(assert_same_logits(theirs, tmp_path / "untied").shape, "tied", True)


@pytest.mark.parametrize("name", ["t5_1_1", "mt5"])
def test_a_new_t5_1_1_of_transformers_5_has_its_embedding_for_a_head(name: str, tmp_path: Path) -> None:
    theirs = MADE[name]().eval()
    theirs.save_pretrained(tmp_path)
    assert "lm_head.weight" not in safetensors.torch.load_file(tmp_path / "model.safetensors")
    with pytest.warns(UserWarning, match=r"there is no lm_head\.weight: it begins as shared\.weight"):
        model = assert_same_logits(theirs, tmp_path)
    assert not getattr(model.shape, "tied", True)


@pytest.mark.parametrize("name", ["gpt2", "bert", "t5"])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_of_today_and_of_2019_are_read(name: str, zipped: bool, tmp_path: Path) -> None:
    theirs = made(name, tmp_path)
    theirs.config.save_pretrained(tmp_path)
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert_same_logits(theirs, tmp_path)


def test_pickles_in_shards_are_read(tmp_path: Path) -> None:
    theirs = made("bart", tmp_path)
    theirs.config.save_pretrained(tmp_path)
    places: dict[str, str] = {}
    for n, (name, tensor) in enumerate(theirs.state_dict().items()):
        places[name] = f"pytorch_model-{n % 3 + 1:05d}-of-00003.bin"
        path = tmp_path / places[name]
        torch.save({**(torch.load(path) if path.exists() else {}), name: tensor}, path)
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    assert_same_logits(theirs, tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    theirs = made("gpt2", tmp_path).to(dtype)
    theirs.save_pretrained(tmp_path / "saved")
    assert_same_logits(theirs.float(), tmp_path / "saved")


def test_names_of_a_model_without_head_and_of_the_first_releases(tmp_path: Path) -> None:
    gpt2, bert = made("gpt2", tmp_path), made("bert", tmp_path)
    gpt2.transformer.save_pretrained(tmp_path / "gpt2")  # the published gpt2 has these names, and the masks of then
    weights = safetensors.torch.load_file(tmp_path / "gpt2" / "model.safetensors")
    assert "wte.weight" in weights
    weights |= {"h.0.attn.bias": torch.ones(1, 1, 24, 24).tril(), "h.1.attn.masked_bias": torch.tensor(-1e4)}
    safetensors.torch.save_file(weights, tmp_path / "gpt2" / "model.safetensors")
    assert_same_logits(gpt2, tmp_path / "gpt2")
    bert.config.save_pretrained(tmp_path / "bert")
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    weights = {name: tensor.clone() for name, tensor in bert.state_dict().items() if "decoder" not in name}
    for new, before in old.items():
        weights = {name.replace(new, before): tensor for name, tensor in weights.items()}
    weights["bert.embeddings.position_ids"] = torch.arange(24)[None]
    torch.save(weights, tmp_path / "bert" / "pytorch_model.bin")
    assert not any("LayerNorm.weight" in name for name in weights)
    assert_same_logits(bert, tmp_path / "bert")


def test_heads_that_bert_for_masked_lm_has_not_are_drawn_and_told(tmp_path: Path) -> None:
    theirs = made("bert", tmp_path)
    only = transformers.BertForMaskedLM(theirs.config).eval()
    only.load_state_dict(theirs.state_dict(), strict=False)
    only.save_pretrained(tmp_path / "saved")
    with pytest.warns(
        UserWarning, match=r"has no bert\.pooler\.dense\.weight, .*; new ones are drawn, which have learnt nothing"
    ):
        _, shape, weights = huggingface.read(tmp_path / "saved")
    model: Any = families.make(shape, 3).eval()
    model.load_state_dict(weights)
    with torch.no_grad():
        assert (model(INPUTS)[0] - only(INPUTS).logits).abs().max() < 1e-5
    only.bert.save_pretrained(tmp_path / "bare")
    with pytest.warns(UserWarning, match=r"has no cls\.predictions"):
        huggingface.read(tmp_path / "bare")


# What is broken


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A GPT-2 that a test may break."""
    made("gpt2", tmp_path).save_pretrained(tmp_path / "gpt2")
    return tmp_path / "gpt2"


def rewrite(path: Path, **changed: Any) -> None:
    """Other fields of a JSON file; None takes one away."""
    content = json.loads(path.read_text()) | changed
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def assert_refused(folder: Path, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        huggingface.read(folder)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"model_type": "xlnet"},
            r"model_type is 'xlnet'; models of bert, roberta, distilbert, gpt2, bart, t5, mt5, modernbert can be read",
        ),
        ({"model_type": None}, "model_type is None"),
        ({"model_type": ["gpt2"]}, r"model_type is \['gpt2'\]"),
        ({"n_head": 3}, r"config\.json: heads must divide width, and 3 does not divide 16"),
        ({"n_head": 0}, r"config\.json: "),
        ({"resid_pdrop": 1.5}, "makes the model's dropout 1.5"),
        ({"n_layer": -1}, "makes the model's layers -1; it must be a whole number from 1"),
        ({"n_layer": 10**7}, "makes the model's layers 10000000, but there are 28 weights"),
        ({"n_layer": 3}, r"has no weight transformer\.h\.2\.ln_1\.weight, "),
        ({"n_layer": 1}, r"has weights that the model lacks: transformer\.h\.1\."),
        ({"n_embd": "16"}, r"config\.json: n_embd must be a whole number, and is '16'"),
        ({"n_embd": None}, "n_embd must be a whole number, and is None"),
        ({"n_embd": 32}, r"model\.safetensors: transformer\.wte\.weight has the shape \(61, 16\), .* it is \(61, 32\)"),
        ({"vocab_size": 2**40}, "makes the model's vocabulary 1099511627776"),
        ({"activation_function": "mish"}, r"config\.json: activation_function is 'mish'; this program knows only"),
        ({"resid_pdrop": "much"}, "makes the model's dropout 'much'; it must be a number from 0"),
    ],
)
def test_a_config_of_another_model_is_an_error(folder: Path, changed: dict[str, Any], message: str) -> None:
    rewrite(folder / "config.json", **changed)
    assert_refused(folder, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"config\.json: is missing"),
        (b"", r"config\.json: not JSON"),
        (b'{"model_type": "gpt2"', r"config\.json: not JSON"),
        (b"\xff\xfe", r"config\.json: not JSON"),
        (b"[1]", r"config\.json: holds no JSON object"),
    ],
)
def test_a_config_that_is_none(folder: Path, content: bytes | None, message: str) -> None:
    (folder / "config.json").unlink()
    if content is not None:
        (folder / "config.json").write_bytes(content)
    assert_refused(folder, message)


@pytest.mark.parametrize("share", [0.0, 0.00005, 0.001, 0.1, 0.5, 0.9, 0.99999])
@pytest.mark.parametrize("kind", ["safetensors", "zipped", "of 2019"])
def test_truncated_weights_are_an_error(folder: Path, kind: str, share: float) -> None:
    path = folder / "model.safetensors"
    if kind != "safetensors":
        weights = safetensors.torch.load_file(path)
        path.unlink()
        path = folder / "pytorch_model.bin"
        torch.save(weights, path, _use_new_zipfile_serialization=kind == "zipped")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert_refused(folder, rf"{path.name}: not a whole file of .*; fetch it again")


def test_a_header_that_lies_is_an_error(folder: Path) -> None:
    header = json.dumps({"transformer.wte.weight": {"dtype": "F32", "shape": [61, 16], "data_offsets": [0, 2**40]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))
    assert_refused(folder, r"model\.safetensors: not a whole file of safetensors")


def test_quantised_weights_are_an_error(folder: Path) -> None:
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights["transformer.h.0.mlp.c_fc.weight"] = weights["transformer.h.0.mlp.c_fc.weight"].to(torch.int8)
    safetensors.torch.save_file(weights, folder / "model.safetensors")
    assert_refused(folder, r"transformer\.h\.0\.mlp\.c_fc\.weight holds torch\.int8, not plain real numbers")


def test_no_weights_or_somebody_elses(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert_refused(
        folder, r"has none of model\.safetensors, model\.safetensors\.index\.json, pytorch_model\.bin, pytorch_model\.bin\.index"
    )
    (folder / "tf_model.h5").touch()
    assert_refused(folder, r"; tf_model\.h5 is TensorFlow's or Flax's, save it with PyTorch")


def test_broken_shards_are_named(folder: Path, tmp_path: Path) -> None:
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weight_files.write(folder, weights, shard_bytes=6000)
    index, (first, second, *_) = folder / "model.safetensors.index.json", sorted(folder.glob("model-*.safetensors"))
    assert {name: tensor.tolist() for name, tensor in weight_files.read(folder)[0].items()} == {
        name: tensor.tolist() for name, tensor in weights.items()
    }
    kept, whole = index.read_text(), second.read_bytes()
    second.unlink()
    assert_refused(folder, rf"{second.name}: is missing, and {index.name} names it; fetch it too")
    second.write_bytes(first.read_bytes())
    name = next(name for name, file in json.loads(kept)["weight_map"].items() if file == second.name)
    assert_refused(folder, rf"{second.name}: has no weight {name}, which {index.name} says it has")
    second.write_bytes(whole[:-1])
    assert_refused(folder, f"{second.name}: not a whole file of safetensors")
    second.write_bytes(whole)
    for outside in ("../secret.safetensors", "/secret.safetensors", "..", ""):
        rewrite(index, weight_map={name: outside})
        assert_refused(folder, "names .*, which is no file of weights beside it")
    for broken in ({"weight_map": None}, {"weight_map": [1]}, {"weight_map": {name: 3}}):
        rewrite(index, **broken)
        assert_refused(folder, "has no weight_map, a file by weight")
    index.write_text(kept[:-20])
    assert_refused(folder, rf"{index.name}: not JSON")


class Harm:
    """Pickled, it is a call of anything."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("kind", ["zipped", "of 2019", "plain pickle"])
@pytest.mark.parametrize("function", ["system", "open", "exec", "torch"])
def test_a_pickle_that_means_harm_is_refused_and_does_none(folder: Path, function: str, kind: str) -> None:
    weights: dict[str, Any] = dict(safetensors.torch.load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()
    trace, path = folder / "trace", folder / "pytorch_model.bin"
    weights["transformer.wte.weight"] = {
        "system": Harm(os.system, f"touch {trace}"),
        "open": Harm(open, str(trace), "w"),
        "exec": Harm(exec, f"open({str(trace)!r}, 'w')"),
        "torch": Harm(torch.save, {}, str(trace)),
    }[function]
    if kind == "plain pickle":
        path.write_bytes(pickle.dumps(weights))
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=kind == "zipped")
    name = {
        "system": r"posix\.system",
        "open": r"_?io\.open",
        "exec": "exec",
        "torch": r"torch\.serialization\.save",
    }
    expected = rf"a pickle that needs {name[function]}, which might execute anything, so it is not read; .*safetensors"
    # of a plain pickle the first number is not torch.save's, whatever comes then
    assert_refused(folder, r"pytorch_model\.bin: " + ("not a whole file" if kind == "plain pickle" else expected))
    assert not trace.exists()


def test_a_pickle_of_something_else_is_an_error(folder: Path) -> None:
    weights: dict[str, Any] = dict(safetensors.torch.load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()
    for content, message in (
        ([1, 2], "holds a list, not weights by name"),
        ({"epoch": 3, **weights}, "holds a int named 'epoch', which is no weight"),
        ({3: torch.ones(1)}, "holds a Tensor named 3, which is no weight"),
        ({"model": weights}, "holds a dict named 'model', which is no weight"),
    ):
        torch.save(content, folder / "pytorch_model.bin")
        assert_refused(folder, message)


@pytest.mark.parametrize("content", [b"", b"some text", b"PK\x03\x04 and no archive", pickle.dumps({"a": 1})])
def test_what_torch_did_not_save_is_an_error_without_advice_to_trust_it(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(
        WeightsError, match=r"pytorch_model\.bin: not a whole file of torch\.save \([^()]*\); fetch it again$"
    ) as error:
        huggingface.read(folder)
    assert "weights_only" not in str(error.value)


def test_a_program_is_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is on its way out
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(folder / "pytorch_model.bin"))
        assert_refused(folder, r"pytorch_model\.bin: holds a program \(TorchScript\), not weights")


# What is written


def test_shards_are_filled_in_order_and_an_index_says_where(tmp_path: Path) -> None:
    weights = {"b": torch.ones(3), "a": torch.zeros(2, 2), "c": torch.full((40,), 2.0), "d": torch.ones(1)}
    weight_files.write(tmp_path, weights, shard_bytes=32)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model-00001-of-00003.safetensors",
        "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors",
        "model.safetensors.index.json",
    ]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": 4 * (3 + 4 + 40 + 1)}
    assert [file[6:11] for file in index["weight_map"].values()] == ["00001", "00001", "00002", "00003"]
    assert list(index["weight_map"]) == ["b", "a", "c", "d"]


def test_one_file_is_enough_and_says_whose_it_is(tmp_path: Path) -> None:
    cut: tuple[Tensor, ...] = (
        torch.arange(12.0).view(6, 2).chunk(3)
    )  # weights that share memory, and one that does not lie in order
    weight_files.write(tmp_path, {"q": cut[0], "k": cut[1], "v": cut[2].t()})
    (file,) = tmp_path.iterdir()
    (tmp_path / "other").touch()
    assert file.stat().st_mode == (tmp_path / "other").stat().st_mode  # may be read by whom umask lets
    with safetensors.safe_open(file, "pt") as found:
        assert found.metadata() == {"format": "pt"}
        assert found.get_tensor("v").tolist() == [[8.0, 10.0], [9.0, 11.0]]
        assert found.get_tensor("k").tolist() == [[4.0, 5.0], [6.0, 7.0]]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(WeightsError, match=r"model\.safetensors: cannot be written \(.*No space left"):
        weight_files.write(tmp_path, {"a": torch.ones(1)})
    assert list(tmp_path.iterdir()) == []
