"""GGUF files: the official names, every tensor as it is, llama.cpp's numbers and pieces, and another reader's logits."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, PoolingType, TokenType
from numpy.typing import NDArray
from tuning import SHAPES

from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.families import Specials
from training.checkpoints import trained
from training.compression import gguf
from training.convert.export import ExportError
from training.convert.huggingface import FAMILIES
from training.models import heads
from training.models.families import Model, make
from training.models.gpt import GPTShape
from training.models.t5 import T5Shape
from training.tasks import tuned

pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers, about GGUF


def read(folder: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]], dict[str, GGMLQuantizationType]]:
    """Numbers, tensors and types of a file, as gguf's own reader has them."""
    reader = GGUFReader(str(folder / gguf.FILE))
    numbers = {name: field.contents() for name, field in reader.fields.items()}
    return numbers, {t.name: np.asarray(t.data) for t in reader.tensors}, {t.name: t.tensor_type for t in reader.tensors}


def theirs(folder: Path, shape: GPTShape | T5Shape) -> Any:
    """The model as transformers reads it from the file; its numbers are given, as it reads some of them only."""
    import transformers

    names = FAMILIES["gpt" if isinstance(shape, GPTShape) else "t5"]
    config = transformers.AutoConfig.for_model(**names.config(shape, Specials(0, None, 1, None, 0, ())))
    kind = getattr(transformers, names.ARCHITECTURE)
    return kind.from_pretrained(folder, gguf_file=gguf.FILE, config=config, dtype=torch.float32).eval()


def test_gpt_is_read_by_transformers_with_the_same_logits(bases: Mapping[str, Path], tmp_path: Path) -> None:
    base = trained.load(bases["gpt"])
    gguf.export(bases["gpt"], tmp_path / "out")
    numbers, tensors, _ = read(tmp_path / "out")
    assert numbers["general.architecture"] == "gpt2"
    wanted = {
        "block_count": 2,
        "context_length": 32,
        "embedding_length": 32,
        "feed_forward_length": 128,
        "attention.head_count": 2,
    }
    assert {name: numbers[f"gpt2.{name}"] for name in wanted} == wanted
    assert numbers["gpt2.attention.layer_norm_epsilon"] == pytest.approx(1e-5)
    weights = base.model.state_dict()
    for theirs_, ours in (
        ("blk.1.attn_qkv", "layers.1.attention.query_key_value"),
        ("blk.0.ffn_down", "layers.0.feed_forward.output"),
    ):
        np.testing.assert_array_equal(tensors[f"{theirs_}.weight"], weights[f"{ours}.weight"])
        np.testing.assert_array_equal(tensors[f"{theirs_}.bias"], weights[f"{ours}.bias"])
    assert len(tensors) == len(weights) and "output.weight" not in tensors
    ids = torch.arange(5, 25).view(2, 10)
    with torch.inference_mode():
        torch.testing.assert_close(theirs(tmp_path / "out", base.model.shape)(ids).logits, base.model(ids), rtol=0, atol=1e-5)


@pytest.mark.parametrize("gated", [False, True])
def test_t5_is_read_by_transformers_with_the_same_logits(gated: bool, bases: Mapping[str, Path], tmp_path: Path) -> None:
    """A tied head is written scaled: llama.cpp multiplies with it as it is."""
    base = trained.load(bases["t5"])
    shape = replace(base.model.shape, gated=gated, tied=not gated, encoder_layers=2, decoder_layers=2)
    model = make(shape, 1).eval()
    trained.save(tmp_path / "t5", model, "t5", base.tokenizer, {})
    gguf.export(tmp_path / "t5", tmp_path / "out")
    numbers, tensors, _ = read(tmp_path / "out")
    assert numbers["t5.block_count"] == 2 and numbers["t5.decoder_block_count"] == 2
    assert numbers["t5.attention.key_length"] == 16 and numbers["t5.attention.relative_buckets_count"] == 32
    assert numbers["t5.decoder_start_token_id"] == base.tokenizer.special_ids["<pad>"]
    tokens = model.embeddings.tokens.weight.detach()
    head = tokens * 32**-0.5 if model.head is None else model.head.weight.detach()
    np.testing.assert_array_equal(tensors["output.weight"], head)
    np.testing.assert_array_equal(
        tensors["dec.blk.0.attn_rel_b.weight"], model.get_submodule("decoder.relative_bias").weight.detach()
    )
    assert ("enc.blk.0.ffn_gate.weight" in tensors) == gated
    ids = torch.arange(5, 25).view(2, 10)
    other = theirs(tmp_path / "out", replace(shape, tied=False))
    with torch.inference_mode():
        found = other(input_ids=ids, decoder_input_ids=ids).logits
        torch.testing.assert_close(found, model(ids, ids), rtol=0, atol=1e-4)


def test_a_tuned_bert_has_its_head_and_labels(tuned_run: Path, tmp_path: Path) -> None:
    gguf.export(tuned_run, tmp_path / "out", "f16")
    numbers, tensors, types = read(tmp_path / "out")
    run = tuned.load(tuned_run)
    assert numbers["general.architecture"] == "bert" and numbers["bert.attention.causal"] is False
    assert numbers["bert.pooling_type"] == PoolingType.RANK and numbers["bert.classifier.output_labels"] == ["river", "town"]
    assert numbers["tokenizer.ggml.token_type_count"] == 2
    weights = run.model.state_dict()
    np.testing.assert_array_equal(tensors["cls.weight"], weights["body.pooler.weight"].half())
    np.testing.assert_array_equal(tensors["cls.output.weight"], weights["head.output.weight"].half())
    np.testing.assert_array_equal(tensors["cls.output.bias"], weights["head.output.bias"])
    query, key, value = weights["body.layers.1.attention.query_key_value.weight"].half().chunk(3)
    for name, part in (("q", query), ("k", key), ("v", value)):
        np.testing.assert_array_equal(tensors[f"blk.1.attn_{name}.weight"], part)
    kept = {name for name, kind in types.items() if kind == GGMLQuantizationType.F32}
    assert {"position_embd.weight", "token_types.weight", "token_embd_norm.weight", "blk.0.attn_output.bias"} <= kept
    assert types["token_embd.weight"] == types["blk.0.ffn_up.weight"] == GGMLQuantizationType.F16
    assert not any(name.startswith(("cls.pred", "pooler", "token_head")) for name in tensors)


def test_pieces_and_special_ids_are_the_tokenizer_s(bases: Mapping[str, Path], tmp_path: Path) -> None:
    gguf.export(bases["bert"], tmp_path / "out")
    numbers, tensors, _ = read(tmp_path / "out")
    tokenizer = trained.load(bases["bert"]).tokenizer
    assert numbers["tokenizer.ggml.model"] == "llama"
    assert numbers["tokenizer.ggml.tokens"] == tokenizer.piece_names()
    assert numbers["tokenizer.ggml.scores"] == [tokenizer.processor.get_score(n) for n in range(tokenizer.size)]
    types = numbers["tokenizer.ggml.token_type"]
    kinds = {
        "special": {TokenType.CONTROL, TokenType.UNKNOWN},
        "byte": {TokenType.BYTE},
        "text": {TokenType.NORMAL, TokenType.USER_DEFINED},
    }
    assert all(kind in kinds[name] for kind, name in zip(types, tokenizer.piece_kinds(), strict=True))
    for role, piece in (("bos", "[CLS]"), ("seperator", "[SEP]"), ("padding", "[PAD]"), ("mask", "[MASK]")):
        assert numbers[f"tokenizer.ggml.{role}_token_id"] == tokenizer.special_ids[piece]
    assert numbers["tokenizer.ggml.unknown_token_id"] == tokenizer.unknown_id
    assert numbers["tokenizer.ggml.add_bos_token"] is True and numbers["bert.pooling_type"] == PoolingType.NONE
    assert len(tensors["token_embd.weight"]) == numbers["bert.vocab_size"] == tokenizer.size


WORDPIECE = """{"version": "1.0", "added_tokens": [%s], "normalizer": {"type": "BertNormalizer", "clean_text": true,
"handle_chinese_chars": true, "strip_accents": null, "lowercase": true}, "pre_tokenizer": {"type": "BertPreTokenizer"},
"model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
"vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "go": 5, "##ing": 6}}}"""
BYTES = """{"version": "1.0", "added_tokens": [%s], "normalizer": null, "pre_tokenizer": {"type": "ByteLevel",
"add_prefix_space": false, "trim_offsets": true, "use_regex": %s}, 
"decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}, "model": {"type": "BPE",
"vocab": {"<|endoftext|>": 0, "g": 1, "o": 2, "Ġ": 3, "go": 4}, "merges": [["g", "o"]]}}"""


def special(*pieces: str) -> str:
    flags = '"single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true'
    return ", ".join(f'{{"id": {n}, "content": "{piece}", {flags}}}' for n, piece in enumerate(pieces))


def with_tokenizer(folder: Path, text: str, kind: loading.Kind, family: str) -> Path:
    tokenizer = loading.from_bytes(text.encode(), kind, "tokenizers")
    trained.save(folder, make(SHAPES[family](tokenizer.size), 1), family, tokenizer, {})
    return folder


def test_wordpiece_marks_beginnings_and_byte_level_bpe_has_its_merges(tmp_path: Path) -> None:
    run = with_tokenizer(
        tmp_path / "bert", WORDPIECE % special("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), "wordpiece", "bert"
    )
    gguf.export(run, tmp_path / "one")
    numbers = read(tmp_path / "one")[0]
    assert numbers["tokenizer.ggml.model"] == "bert"
    assert numbers["tokenizer.ggml.tokens"] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "▁go", "ing"]
    gguf.export(with_tokenizer(tmp_path / "gpt", BYTES % (special("<|endoftext|>"), "true"), "byte_bpe", "gpt"), tmp_path / "two")
    numbers = read(tmp_path / "two")[0]
    assert numbers["tokenizer.ggml.model"] == "gpt2" and numbers["tokenizer.ggml.pre"] == "gpt-2"
    assert numbers["tokenizer.ggml.merges"] == ["g o"] and numbers["tokenizer.ggml.token_type"][0] == TokenType.CONTROL
    other = with_tokenizer(tmp_path / "other", BYTES % (special("<|endoftext|>"), "false"), "byte_bpe", "gpt")
    with pytest.raises(ExportError, match="splits words by another rule than GPT-2's"):
        gguf.export(other, tmp_path / "three")


def saved(base: trained.Trained, model: Model, folder: Path) -> Path:
    trained.save(folder, model, base.family, base.tokenizer, {})
    return folder


def test_what_gguf_has_not_is_refused_and_pruned_heads_are_zeros(bases: Mapping[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="GGUF has no architecture for a bart of this shape; it has GPT-2, BERT and T5"):
        gguf.export(bases["bart"], tmp_path / "out")
    gpt, t5 = trained.load(bases["gpt"]), trained.load(bases["t5"])
    run = saved(gpt, make(replace(gpt.model.shape, activation="relu"), 1), tmp_path / "relu")
    with pytest.raises(ExportError, match=r"its activation is relu, and llama.cpp's gpt2 has gelu_tanh"):
        gguf.export(run, tmp_path / "out")
    assert isinstance(t5.model.shape, T5Shape)
    run = saved(t5, make(replace(t5.model.shape, max_distance=64), 1), tmp_path / "near")
    with pytest.raises(ExportError, match=r"its max_distance 64; llama.cpp's t5 has relu"):
        gguf.export(run, tmp_path / "out")
    huge = make(gpt.model.shape, 1)
    huge.get_submodule("layers.0.feed_forward.inner").weight.data[0, 0] = 1e6
    with pytest.raises(ExportError, match=r"blk.0.ffn_up.weight has values beyond 65,504.*--type f32"):
        gguf.export(saved(gpt, huge, tmp_path / "huge"), tmp_path / "out", "f16")
    assert not (tmp_path / "out").exists()
    gguf.export(saved(gpt, heads.without_heads(gpt.model, [[1], [0, 1]]), tmp_path / "pruned"), tmp_path / "out")
    numbers, tensors, _ = read(tmp_path / "out")
    assert numbers["gpt2.attention.head_count"] == 2 and tensors["blk.0.attn_qkv.weight"].shape == (96, 32)
    assert not tensors["blk.0.attn_output.weight"][:, 16:].any() and tensors["blk.1.attn_output.weight"][:, 16:].any()
