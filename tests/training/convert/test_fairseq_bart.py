"""Archives written as fairseq writes them, read back: the same logits as the model they were made of, and nothing executed."""

import json
import pickle
import warnings
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import BartConfig, BartForConditionalGeneration

from pipelines.contract.tokenizers.families import Specials, specials
from pipelines.contract.tokenizers.loading import Tokenizer, TokenizerError
from training.checkpoints.trained import load as load_trained
from training.convert import bart as hugging_face
from training.convert import fairseq_bart
from training.convert.importing import import_model
from training.convert.rules import WeightsError, to_theirs
from training.models.bart import BART, BARTShape

TEXTS = [
    "The old house stood near the river.\nPeople told stories about it, every evening.",
    "Größe, 東京 and 🦊: bytes are never unknown.",
]
SHAPE = BARTShape(encoder_layers=2, decoder_layers=3, heads=4, width=64, vocabulary=1, length=20)
FILLERS = ["madeupword0000", "madeupword0001"]


def gpt2_like(folder: Path) -> dict[str, int]:
    """encoder.json and vocab.bpe of a small byte-level BPE, <|endoftext|> last as in GPT-2's; returns the pieces."""
    library: Any = Library(models.BPE())
    library.pre_tokenizer, library.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    library.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False))
    model = json.loads(library.to_str())["model"]
    pieces = {**model["vocab"], "<|endoftext|>": len(model["vocab"])}
    (folder / "encoder.json").write_text(json.dumps(pieces))
    merges = "".join(f"{' '.join(pair)}\n" for pair in model["merges"])
    (folder / "vocab.bpe").write_text(f"#version: 0.2\n{merges}")
    return pieces


def dictionary(pieces: dict[str, int], folder: Path) -> dict[str, int]:
    """dict.txt in an order of its own, as by frequency; returns the id of every piece."""
    numbers = sorted(pieces.values(), key=lambda number: (number * 7919) % 311)
    lines = [f"{number} {1000 - place}" for place, number in enumerate(numbers)] + [f"{filler} 0" for filler in FILLERS]
    (folder / "dict.txt").write_text("\n".join(lines) + "\n")
    names = {number: piece for piece, number in pieces.items()}
    order = ["<s>", "<pad>", "</s>", "<unk>", *(names[number] for number in numbers), *FILLERS, "<mask>"]
    return {piece: i for i, piece in enumerate(order)}


def theirs(ids: int) -> BartForConditionalGeneration:
    """A BART of Hugging Face's over so many ids, with every weight drawn."""
    shape = BARTShape(2, 3, 4, 64, vocabulary=ids, length=20)
    config = hugging_face.config(shape, Specials(pad=1, begin=0, end=2, mask=ids - 1, decoder_start=2, sentinels=()))
    made = BartForConditionalGeneration(BartConfig(**config)).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.2, generator=generator)
    return made


def state(model: BartForConditionalGeneration) -> dict[str, Tensor]:
    """Its weights under fairseq's names, written down once more: fairseq/models/transformer, modules/transformer_layer.py."""
    found: dict[str, Tensor] = OrderedDict()
    found["encoder.version"] = torch.tensor([3.0])
    found["decoder.version"] = torch.tensor([3.0])
    for name, tensor in model.state_dict().items():
        if name.startswith(("model.encoder.", "model.decoder.")):
            found[name.removeprefix("model.")] = tensor.clone()
    found["decoder.output_projection.weight"] = found["decoder.embed_tokens.weight"]
    return found


def settings(**changed: Any) -> dict[str, Any]:
    """What fairseq-train keeps of its arguments, as far as a model's are concerned, and a few others."""
    return {
        "arch": "bart_base",
        "task": "denoising",
        "activation_fn": "gelu",
        "encoder_layers": 2,
        "decoder_layers": 3,
        "encoder_embed_dim": 64,
        "decoder_embed_dim": 64,
        "encoder_ffn_embed_dim": 256,
        "decoder_ffn_embed_dim": 256,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_normalize_before": False,
        "decoder_normalize_before": False,
        "encoder_learned_pos": True,
        "decoder_learned_pos": True,
        "no_scale_embedding": True,
        "layernorm_embedding": True,
        "share_all_embeddings": True,
        "share_decoder_input_output_embed": True,
        "max_source_positions": 20,
        "max_target_positions": 20,
        "dropout": 0.1,
        "lr": [0.0004],
        **changed,
    }


class Archive:
    """A folder as bart.base.tar.gz unpacks, GPT-2's files beside it, and the model that it holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ids = dictionary(gpt2_like(folder), folder)
        self.model = theirs(len(self.ids))
        self.weights = state(self.model)

    def save(self, content: Any = None, **options: Any) -> str:
        """Write model.pt; returns its folder."""
        torch.save(content or {"args": Namespace(**settings()), "model": self.weights}, self.folder / "model.pt", **options)
        return str(self.folder)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def logits(shape: BARTShape, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    model = BART(shape).eval()
    model.load_state_dict(weights)
    with torch.no_grad():
        return model(ids, ids.flip(1))


def assert_agrees(archive: Archive, loaded: tuple[BARTShape, dict[str, Tensor], Tokenizer], tolerance: float = 1e-5) -> None:
    shape, weights, tokenizer = loaded
    ids = torch.tensor([[0, *tokenizer.encode("The river"), 2][:12]])
    with torch.no_grad():
        wanted = archive.model(input_ids=ids, decoder_input_ids=ids.flip(1)).logits
    assert (logits(shape, weights, ids)[..., : wanted.shape[-1]] - wanted).abs().max() < tolerance
    assert all(tensor.dtype == torch.float32 for tensor in weights.values())


def test_an_archive_is_the_model_that_it_was_made_of(archive: Archive) -> None:
    loaded = fairseq_bart.load(archive.save())
    assert loaded[0] == BARTShape(2, 3, 4, 64, vocabulary=len(archive.ids), length=20, dropout=0.1)
    assert_agrees(archive, loaded)
    assert_agrees(archive, fairseq_bart.load(str(archive.folder / "model.pt")))


def test_the_tokenizer_has_the_ids_of_the_dictionary(archive: Archive) -> None:
    tokenizer = fairseq_bart.load(archive.save())[2]
    assert tokenizer.kind == "byte_bpe" and tokenizer.size == len(archive.ids)
    assert {piece: i for i, piece in enumerate(tokenizer.piece_names())} == archive.ids
    found = specials("bart", tokenizer.special_ids, "the archive")
    assert (found.begin, found.pad, found.end, found.decoder_start, found.mask) == (0, 1, 2, 2, len(archive.ids) - 1)
    gpt2 = json.loads((archive.folder / "encoder.json").read_text())
    library: Any = Library(models.BPE.from_file(str(archive.folder / "encoder.json"), str(archive.folder / "vocab.bpe")))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    names = {number: piece for piece, number in gpt2.items()}
    for text in TEXTS:
        pieces = [names[number] for number in library.encode(text).ids]
        assert tokenizer.encode(text) == [archive.ids[piece] for piece in pieces]
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode("<mask>") != [found.mask]  # no text yields a special id


def test_files_of_hugging_faces_gpt2_do_as_well(archive: Archive) -> None:
    wanted = fairseq_bart.load(archive.save())[2]
    (archive.folder / "encoder.json").rename(archive.folder / "vocab.json")
    (archive.folder / "vocab.bpe").rename(archive.folder / "merges.txt")
    assert fairseq_bart.load(str(archive.folder))[2].sha256 == wanted.sha256


@pytest.mark.parametrize(
    "content",
    [
        lambda weights: {
            "args": None,
            "cfg": {"model": Namespace(**settings()), "task": {"_name": "denoising"}},
            "model": weights,
        },
        lambda weights: {"cfg": {"model": settings()}, "model": weights},
        lambda weights: {"args": Namespace(**settings()), "model": weights, "extra_state": {"epoch": 3}, "optimizer_history": []},
    ],
    ids=["cfg with arguments", "cfg with a dict", "training state"],
)
def test_newer_and_whole_checkpoints(archive: Archive, content: Callable[[Any], Any]) -> None:
    assert_agrees(archive, fairseq_bart.load(archive.save(content(archive.weights))))


@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_every_torch_and_in_half_precision(archive: Archive, zipped: bool) -> None:
    archive.model.half().float()  # what is compared is rounded as the file is
    half = {name: tensor.half() for name, tensor in archive.weights.items()}
    content = {"args": Namespace(**settings()), "model": half}
    assert_agrees(archive, fairseq_bart.load(archive.save(content, _use_new_zipfile_serialization=zipped)))


def test_joined_queries_keys_and_values_of_old_releases(archive: Archive) -> None:
    joined: dict[str, Tensor] = {}
    for name, tensor in archive.weights.items():
        if ".q_proj." not in name:
            if ".k_proj." not in name and ".v_proj." not in name:
                joined[name] = tensor
            continue
        parts = [archive.weights[name.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"]
        joined[name.replace(".q_proj.", ".in_proj_")] = torch.cat(parts)
    joined.pop("decoder.output_projection.weight")  # they have none, too
    assert_agrees(archive, fairseq_bart.load(archive.save({"args": Namespace(**settings()), "model": joined})))


def test_classification_heads_are_left_out_and_said(archive: Archive) -> None:
    for name in ("dense.weight", "dense.bias", "out_proj.weight", "out_proj.bias"):
        archive.weights[f"classification_heads.mnli.{name}"] = torch.ones(3)
    path = archive.save()
    with pytest.warns(UserWarning, match=r"model\.pt: its classification heads \(mnli\) are left out"):
        assert_agrees(archive, fairseq_bart.load(path))


def test_a_model_without_mask_gets_a_row_of_zeros(archive: Archive) -> None:
    tokens = archive.weights["encoder.embed_tokens.weight"][:-1]
    names = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "decoder.output_projection.weight")
    archive.weights.update(dict.fromkeys(names, tokens))
    path = archive.save()
    with pytest.warns(UserWarning, match="no row for <mask>"):
        shape, weights, tokenizer = fairseq_bart.load(path)
    assert shape.vocabulary == tokenizer.size == len(archive.ids)
    found = logits(shape, weights, torch.tensor([[0, 9, 8, 2]]))
    assert not found[..., -1].any()
    with torch.no_grad():
        wanted = archive.model(input_ids=torch.tensor([[0, 9, 8, 2]]), decoder_input_ids=torch.tensor([[2, 8, 9, 0]])).logits
    assert (found - wanted)[..., :-1].abs().max() < 1e-5


def test_an_import_makes_a_checkpoint_of_it(archive: Archive, tmp_path: Path) -> None:
    report = import_model(archive.save(), tmp_path / "imported")
    found = load_trained(report.checkpoint)
    assert found.family == "bart" and found.tokenizer.size == len(archive.ids) == report.vocabulary
    assert_agrees(archive, (found.model.shape, found.model.state_dict(), found.tokenizer))  # pyright: ignore[reportArgumentType]


# --- what is refused


class Evil:
    """A pickle that would run a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        import os

        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_refused_and_not_executed(archive: Archive, tmp_path: Path, zipped: bool) -> None:
    made = tmp_path / "made"
    path = archive.save({"args": Evil(made), "model": archive.weights}, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"model\.pt: a pickle that needs (posix|nt)\.system"):
        fairseq_bart.load(path)
    (archive.folder / "model.pt").write_bytes(pickle.dumps(Evil(made)))
    with pytest.raises(WeightsError, match=r"model\.pt"):
        fairseq_bart.load(path)
    assert not made.exists()


def test_any_other_class_is_refused_by_its_name(archive: Archive) -> None:
    path = archive.save({"args": Namespace(**settings(criterion=Path("x"))), "model": archive.weights})
    with pytest.raises(WeightsError, match=r"needs pathlib\.\w*Path"):
        fairseq_bart.load(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_a_truncated_file_is_refused(archive: Archive, share: float) -> None:
    path = archive.save()
    file = archive.folder / "model.pt"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(WeightsError, match=r"model\.pt: not a whole file"):
        fairseq_bart.load(path)


def refusal(archive: Archive, content: Any = None) -> str:
    path = archive.save(content)
    with warnings.catch_warnings(), pytest.raises(ValueError) as error:
        warnings.simplefilter("ignore")
        fairseq_bart.load(path)
    assert isinstance(error.value, WeightsError | TokenizerError)
    return str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        "encoder.embed_tokens.weight",
        "decoder.layers.2.encoder_attn.k_proj.bias",
        "encoder.layers.1.fc2.weight",
        "decoder.embed_positions.weight",
    ],
)
def test_a_missing_weight_is_named(archive: Archive, name: str) -> None:
    del archive.weights[name]
    assert f"model.pt: has no weight {name}" in refusal(archive)


def test_other_weights_are_named(archive: Archive) -> None:
    one = {**archive.weights, "encoder.embed_tokens.weight": torch.tensor(1.0)}
    assert "encoder.embed_tokens.weight has 0 rows" in refusal(archive, {"args": Namespace(**settings()), "model": one})
    archive.weights["encoder.layer_norm.weight"] = torch.ones(64)  # mBART's
    assert "encoder.layer_norm.weight" in refusal(archive)
    del archive.weights["encoder.layer_norm.weight"]
    archive.weights["decoder.output_projection.weight"] = archive.weights["decoder.output_projection.weight"] + 1
    assert "decoder.output_projection.weight differs from encoder.embed_tokens.weight" in refusal(archive)
    archive.weights["encoder.layers.0.fc1.bias"] = "none"  # pyright: ignore[reportArgumentType]
    assert "\"model\" holds a str named 'encoder.layers.0.fc1.bias'" in refusal(archive)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("activation_fn", "relu"),
        ("encoder_normalize_before", True),
        ("no_scale_embedding", False),
        ("layernorm_embedding", False),
        ("encoder_learned_pos", False),
        ("share_all_embeddings", False),
        ("decoder_attention_heads", "2"),
        ("encoder_ffn_embed_dim", None),
        ("max_target_positions", 30),
        ("encoder_attention_heads", None),
        ("encoder_attention_heads", torch.ones(2)),
        ("encoder_layers", 10**6),
        ("dropout", "much"),
        ("dropout", 1.5),
        ("encoder_embed_dim", 2**40),
    ],
)
def test_settings_of_another_model_are_named(archive: Archive, field: str, value: object) -> None:
    said = refusal(archive, {"args": Namespace(**settings(**{field: value})), "model": archive.weights})
    assert said.startswith(f"{archive.folder / 'model.pt'}: ")
    assert field in said


def test_heads_that_do_not_divide_the_width_are_refused(archive: Archive) -> None:
    wrong = Namespace(**settings(encoder_attention_heads=3, decoder_attention_heads=3))
    assert "model.pt: heads must divide width" in refusal(archive, {"args": wrong, "model": archive.weights})


@pytest.mark.parametrize(
    "content", [{"weights": {}}, [1, 2], {"model": {}, "args": None}, {"model": {}, "cfg": {}}, {"model": {}, "args": 3}]
)
def test_other_contents_are_refused(archive: Archive, content: Any) -> None:
    assert "as fairseq saves it" in refusal(archive, content)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("17", "line 3 is '17', not a symbol and a count"),
        ("8 x", "not a symbol and a count"),
        ("</s> 3", "line 3 has '</s>' for the second time"),
    ],
)
def test_a_dictionary_that_is_none_is_refused_with_its_line(archive: Archive, line: str, said: str) -> None:
    path = archive.folder / "dict.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], line, *lines[3:]]) + "\n")
    assert f"{path}: " in (message := refusal(archive)) and said in message


def test_files_that_do_not_belong_together_are_refused(archive: Archive) -> None:
    path = archive.folder / "dict.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-2]) + "\n")
    assert f"{len(archive.ids)} rows, but dict.txt makes {len(archive.ids) - 3} symbols" in refusal(archive)
    path.write_text("\n".join([*lines[:-1], "▁the 5"]) + "\n")  # of SentencePiece
    assert "'▁the' is no piece of encoder.json" in refusal(archive)
    path.write_text("\n".join(["99999 5", *lines[1:]]) + "\n")
    assert "'99999' is no piece of encoder.json" in refusal(archive)
    path.write_text("\n".join([*lines[:-1], *FILLERS[1:]]) + "\n")
    assert "not a symbol and a count" in refusal(archive)


def test_a_dictionary_without_a_piece_of_text_is_refused(archive: Archive) -> None:
    path = archive.folder / "dict.txt"
    lines = path.read_text().splitlines()
    number = lines[7].split(" ")[0]
    path.write_text("\n".join([*lines[:7], "madeupword0007 0", *lines[8:]]) + "\n")
    assert f"dict.txt: has no line for {number}, " in refusal(archive)


@pytest.mark.parametrize("merges", ["Ġ q\nx y\n", "three in line\n"])
def test_merges_of_another_vocabulary_are_refused(archive: Archive, merges: str) -> None:
    (archive.folder / "vocab.bpe").write_text(f"#version: 0.2\n{merges}")
    said = refusal(archive)
    assert said.startswith(f"{archive.folder / 'vocab.bpe'}: ") and "merges.txt" not in said and "vocab.json" not in said


@pytest.mark.parametrize("name", ["dict.txt", "encoder.json", "vocab.bpe", "model.pt"])
def test_a_missing_file_is_named(archive: Archive, name: str) -> None:
    path = archive.save()
    (archive.folder / name).unlink()
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        fairseq_bart.load(path)


def test_barts_own_vocabulary_instead_of_gpt2s_is_refused(archive: Archive) -> None:
    (archive.folder / "encoder.json").write_text(json.dumps(archive.ids))
    assert "has the ids of the model already; give GPT-2's" in refusal(archive)


def test_an_archive_that_is_still_packed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="unpack the archive"):
        fairseq_bart.load(str(tmp_path / "bart.base.tar.gz"))


def test_names_are_those_that_hugging_face_found(archive: Archive) -> None:
    """The table of names, read the other way, gives back the archive."""
    shape, weights, _ = fairseq_bart.load(archive.save())
    there = to_theirs(hugging_face.rules(shape), weights)
    wanted = archive.model.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in there.items())
