"""RoBERTa and DistilBERT with their tokenizers, models with heads of other tasks, and encoders alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers as library
import torch
import transformers
from tokenizers import decoders, models, pre_tokenizers, trainers

from pipelines.contract.tokenizers.families import FAMILIES, specials, spelled_as
from pipelines.exports.tokenizer import export_huggingface
from training.checkpoints import trained
from training.convert import huggingface
from training.convert.export import export
from training.convert.importing import import_model
from training.convert.rules import WeightsError
from training.data.shards import open_dataset
from training.generation.answers import Request, fill_texts, generate_texts
from training.models import families
from training.models.bert import BERT, BERTShape
from training.models.t5 import T5
from training.run.pretrain import pretrain

LINES = ["to be in the old house near the river . many stories of the town were told"] * 9
BERT_PIECES = FAMILIES["bert"].pieces
NUMBERS: dict[str, Any] = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 60}
DISTIL: dict[str, Any] = {"dim": 24, "n_layers": 2, "n_heads": 3, "hidden_dim": 60, "max_position_embeddings": 32}


def drawn(model: Any) -> Any:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.4)
    return model.eval()


def write_byte_bpe(folder: Path) -> int:
    """vocab.json and merges.txt as RoBERTa has them: <mask> comes last."""
    made: Any = library.Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special, alphabet = list(FAMILIES["bart"].pieces), pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet))
    data = json.loads(made.to_str())["model"]
    size = len(data["vocab"])
    (folder / "vocab.json").write_text(json.dumps({**data["vocab"], "<mask>": size}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in data["merges"])]) + "\n")
    mask = {
        "__type": "AddedToken",
        "content": "<mask>",
        "lstrip": True,
        "rstrip": False,
        "normalized": False,
        "single_word": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps({"mask_token": mask}))  # as published: its tokenizer.json has this
    return size + 1


def write_pieces_of_t5(folder: Path) -> None:
    made: Any = library.Tokenizer(models.Unigram([(piece, -2.0) for piece in [*FAMILIES["t5"].pieces, "a"]], 2))
    made.add_special_tokens(list(FAMILIES["t5"].pieces))
    made.save(str(folder / "tokenizer.json"))


def write_wordpiece(folder: Path) -> int:
    words = dict.fromkeys(LINES[0].split())
    pieces = [*BERT_PIECES, *words, "##s", "##er"]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    return len(pieces)


@pytest.fixture(scope="module", params=["roberta", "distilbert"])
def folders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path, Path]:
    """The name, their folder, ours, and our export."""
    name, folder = str(request.param), tmp_path_factory.mktemp(str(request.param))
    theirs = folder / "theirs"
    theirs.mkdir()
    if name == "roberta":
        size = write_byte_bpe(theirs)
        config: Any = transformers.RobertaConfig(vocab_size=size, max_position_embeddings=34, type_vocab_size=1, **NUMBERS)
        model = transformers.RobertaForMaskedLM(config)
    else:
        model = transformers.DistilBertForMaskedLM(transformers.DistilBertConfig(vocab_size=write_wordpiece(theirs), **DISTIL))
    drawn(model).save_pretrained(theirs)
    report = import_model(theirs, folder / "ours")
    assert (report.family, report.remarks) == ("bert", ())
    assert report.kind == f"Hugging Face's {type(model).__name__}"
    assert export(folder / "ours", folder / "out", export_huggingface).architecture == type(model).__name__
    return name, theirs, folder / "ours", folder / "out"


def test_masks_are_filled_as_by_their_pipeline(folders: tuple[str, Path, Path, Path]) -> None:
    name, theirs, ours, out = folders
    loaded = trained.load(ours)
    assert isinstance(loaded.model, BERT)
    mask = "<mask>" if name == "roberta" else "[MASK]"
    texts = [f"to be {mask} the old house", f"many stories of the{mask} were told", f"{mask} river"]
    filled = fill_texts(loaded.model, loaded.tokenizer, texts)
    pipelines: list[Any] = [transformers.pipeline("fill-mask", str(out))]
    if name == "roberta":
        pipelines.append(transformers.pipeline("fill-mask", str(theirs)))
    for pipeline in pipelines:
        for text, answer in zip(texts, filled, strict=True):
            found = pipeline(text)
            assert [guess.id for guess in answer.masks[0]] == [one["token"] for one in found]
            assert [guess.probability for guess in answer.masks[0]] == pytest.approx([one["score"] for one in found], abs=1e-5)
    with pytest.raises(ValueError, match=f"has no mask to fill; write {mask.replace('[', '.')[:5]}"):
        fill_texts(loaded.model, loaded.tokenizer, ["to be"])


def test_a_second_export_is_the_same_to_the_byte(folders: tuple[str, Path, Path, Path], tmp_path: Path) -> None:
    out = folders[3]
    report = import_model(out, tmp_path / "back")
    assert report.remarks == ()
    export(tmp_path / "back", tmp_path / "again", export_huggingface)
    names = sorted(file.name for file in out.iterdir())
    assert names == sorted(file.name for file in (tmp_path / "again").iterdir())
    for file in names:
        assert (tmp_path / "again" / file).read_bytes() == (out / file).read_bytes()
    config = json.loads((out / "tokenizer_config.json").read_text())
    assert (config["model_max_length"], config["model_input_names"]) == (32, ["input_ids", "attention_mask"])


def test_a_text_is_wrapped_as_there(folders: tuple[str, Path, Path, Path]) -> None:
    name, theirs, _, out = folders
    published, exported = (transformers.AutoTokenizer.from_pretrained(folder) for folder in (theirs, out))
    for texts in (("to be",), ("to be", "in the house"), (f"be {'<mask>' if name == 'roberta' else '[MASK]'} in",)):
        assert exported(*texts)["input_ids"] == published(*texts)["input_ids"]


def test_a_roberta_is_trained_further_and_exported(
    make_dataset: Callable[..., Path], documents: Any, tiny_config: Path, tmp_path: Path
) -> None:
    """Its tokens are made with the pieces of BART, which are RoBERTa's."""
    tokens = make_dataset(tmp_path / "tokens", documents, families=["bart"])
    tokenizer = open_dataset(str(tokens), None).tokenizer
    pad = tokenizer.special_ids["<pad>"]
    config: Any = transformers.RobertaConfig(
        vocab_size=tokenizer.size, max_position_embeddings=33 + pad, type_vocab_size=1, pad_token_id=pad, **NUMBERS
    )
    drawn(transformers.RobertaForMaskedLM(config)).save_pretrained(tmp_path / "theirs")
    (tmp_path / "theirs" / "tokenizer.model").write_bytes(tokenizer.model)
    import_model(tmp_path / "theirs", tmp_path / "ours")
    sets: dict[str, object] = {
        "data.tokens": str(tokens), "objective.name": "masked_lm", "objective.next_sentence": False, "model.family": "bert",
        "model.layers": 2, "model.heads": 3, "model.width": 24, "model.inner": 60, "model.length": 32, "model.segments": 1,
        "model.first_position": pad + 1, "model.pooled": False, "train.init_from": str(tmp_path / "ours"), "train.steps": 3,
    }  # fmt: skip
    pretrain(tiny_config, tuple(f"{key}={json.dumps(value)}" for key, value in sets.items()))
    export(tmp_path / "run", tmp_path / "out", export_huggingface)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out").eval()
    ours = trained.load(tmp_path / "run").model
    rows = torch.tensor([[pad + 4, pad + 5, pad + 9, pad + 7]])
    with torch.no_grad():
        assert (theirs(rows).logits - ours(rows)[0]).abs().max() < 1e-5
    for wrong, message in (
        ("objective.next_sentence=true", r"needs a head for pairs and two segments, .* pooled = false and segments = 1; set it"),
        ("model.inner=64", "the weight layers.0.feed_forward.inner.weight has the shape"),
    ):
        changed = (*(f"{key}={json.dumps(value)}" for key, value in sets.items()), wrong, f'run.out="{tmp_path / "other"}"')
        with pytest.raises(ValueError, match=message):
            pretrain(tiny_config, changed)


def test_the_pieces_of_roberta_are_those_of_bart() -> None:
    ids = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 9}
    found = specials("bert", ids, "test")
    assert (found.begin, found.end, found.pad, found.mask, found.decoder_start) == (0, 2, 1, 9, None)
    both = {**ids, **{piece: 20 + n for n, piece in enumerate(BERT_PIECES)}}
    assert specials("bert", both, "test").mask == 24
    assert (spelled_as("bert", both), spelled_as("bart", ids), spelled_as("bert", {})) == ("bert", "bart", "bert")


def test_positions_must_be_those_of_the_padding_id(folders: tuple[str, Path, Path, Path], tmp_path: Path) -> None:
    name, _, ours, _ = folders
    if name == "roberta":
        loaded = trained.load(ours)
        with pytest.raises(ValueError, match=r"first_position is 2, .* here 1; the tokenizer is another"):
            huggingface.write(
                tmp_path, loaded.model, "bert", specials("bert", {**loaded.tokenizer.special_ids, "<pad>": 0}, ""), 9
            )
    odd = families.make(BERTShape(1, 2, 8, vocabulary=9, length=4, segments=0, pooled=True), 1)
    with pytest.raises(
        ValueError, match=r"is Hugging Face's distilbert, which has no head for pairs; set model\.pooled to false"
    ):
        huggingface.write(tmp_path, odd, "bert", specials("bert", dict(zip(BERT_PIECES, range(5), strict=True)), ""), 9)


def test_a_bert_without_a_head_for_pairs(tmp_path: Path) -> None:
    model = families.make(BERTShape(1, 2, 8, vocabulary=9, length=4, pooled=False), 1).eval()
    ids = specials("bert", dict(zip(BERT_PIECES, range(5), strict=True)), "")
    huggingface.write(tmp_path, model, "bert", ids, 9)
    theirs, said = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert type(theirs).__name__ == "BertForMaskedLM" and not any(said.values())
    family, shape, weights = huggingface.read(tmp_path)
    assert (family, shape, set(weights)) == ("bert", model.shape, set(model.state_dict()))
    examples = {
        "inputs": torch.tensor([[2, 4, 3]]), "lengths": torch.tensor([3]), "segments": torch.zeros(1, 3, dtype=torch.long),
        "masked_positions": torch.tensor([[1]]), "targets": torch.tensor([[5]]), "next_sentence": torch.tensor([0]),
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"no head for pairs \(model.pooled is false\); set objective.next_sentence to false"):
        model.losses(examples)


# Heads of other tasks

CONFIGS: dict[str, Callable[[], Any]] = {
    "Bert": lambda: transformers.BertConfig(vocab_size=40, max_position_embeddings=16, **NUMBERS),
    "Roberta": lambda: transformers.RobertaConfig(vocab_size=40, max_position_embeddings=18, type_vocab_size=1, **NUMBERS),
    "DistilBert": lambda: transformers.DistilBertConfig(vocab_size=40, **DISTIL),
    "GPT2": lambda: transformers.GPT2Config(
        vocab_size=40, n_positions=16, n_embd=24, n_layer=2, n_head=3, pad_token_id=0, eos_token_id=2
    ),
    "Bart": lambda: transformers.BartConfig(
        vocab_size=40, max_position_embeddings=16, d_model=24, encoder_layers=1, decoder_layers=1, encoder_attention_heads=3,
        decoder_attention_heads=3, encoder_ffn_dim=60, decoder_ffn_dim=60,
    ),
    "T5": lambda: transformers.T5Config(vocab_size=110, d_model=24, d_kv=6, d_ff=60, num_layers=2, num_heads=3),
}  # fmt: skip
INPUTS = torch.tensor([[5, 6, 7, 8, 2]])


@pytest.mark.parametrize(
    ("kind", "task", "left_out", "new"),
    [
        ("Bert", "SequenceClassification", "classifier.weight", "cls.predictions.transform.dense.weight"),
        ("Bert", "QuestionAnswering", "qa_outputs.bias", "cls.seq_relationship.weight"),
        ("Roberta", "SequenceClassification", "classifier.dense.weight", "lm_head.dense.weight"),
        ("DistilBert", "SequenceClassification", "pre_classifier.weight", "vocab_projector.bias"),
        ("DistilBert", "TokenClassification", "classifier.weight", "vocab_transform.weight"),
        ("GPT2", "SequenceClassification", "score.weight", None),
        ("Bart", "SequenceClassification", "classification_head.dense.weight", None),
        ("Bart", "QuestionAnswering", "qa_outputs.weight", None),
        ("T5", "SequenceClassification", "classification_head.dense.weight", None),
        ("T5", "QuestionAnswering", "qa_outputs.weight", None),
        ("T5", "TokenClassification", "classifier.weight", None),
    ],
)  # fmt: skip
def test_the_body_is_imported_and_the_heads_are_named(
    kind: str, task: str, left_out: str, new: str | None, tmp_path: Path
) -> None:
    cls: Any = getattr(transformers, f"{kind}For{task}")
    theirs = drawn(cls(CONFIGS[kind]()))
    theirs.save_pretrained(tmp_path)
    with pytest.warns(UserWarning) as told:
        family, shape, weights = huggingface.read(tmp_path)
    said = "\n".join(str(one.message) for one in told)
    assert f"{left_out}" in said and "left out: a head of another task" in said
    assert (new is None) == ("which have learnt nothing" not in said) and (new is None or new in said)
    ours: Any = families.make(shape, 1).eval()
    ours.load_state_dict(weights)
    with torch.no_grad():
        if family == "t5":
            body = theirs.transformer if hasattr(theirs, "transformer") else theirs
            assert (ours.encode(INPUTS) - body.encoder(INPUTS).last_hidden_state).abs().max() < 1e-5
            return
        body = getattr(theirs, theirs.base_model_prefix)
        hidden = body(INPUTS).last_hidden_state
        own = ours.decode(torch.tensor([[2, 5, 6, 7, 8]]), ours.encode(INPUTS)) if family == "bart" else ours.hidden(INPUTS)
        assert (own - hidden).abs().max() < 1e-5


def test_unknown_weights_are_still_refused(tmp_path: Path) -> None:
    model = drawn(transformers.GPT2LMHeadModel(CONFIGS["GPT2"]()))
    model.adapter = torch.nn.Linear(2, 2)
    model.save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"has weights that the model lacks: adapter\.bias, adapter\.weight"):
        huggingface.read(tmp_path)


def test_an_encoder_alone(tmp_path: Path) -> None:
    theirs = drawn(transformers.T5EncoderModel(CONFIGS["T5"]()))
    theirs.save_pretrained(tmp_path / "theirs")
    with pytest.warns(UserWarning, match="has no weights of a decoder; the model is an encoder alone"):
        family, shape, weights = huggingface.read(tmp_path / "theirs")
    ours = families.make(shape, 1).eval()
    assert isinstance(ours, T5) and shape == families.shape_of_dict("t5", {**_asdict(shape), "decoder_layers": 0})
    ours.load_state_dict(weights)
    rows, real = torch.tensor([[5, 6, 7, 8], [9, 3, 0, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    with torch.no_grad():
        difference = ours.encode(rows, real=real.bool()) - theirs(rows, attention_mask=real).last_hidden_state
    assert difference[real.bool()].abs().max() < 1e-5
    ids = specials("t5", {piece: n for n, piece in enumerate(FAMILIES["t5"].pieces)}, "")
    huggingface.write(tmp_path / "out", ours, family, ids, 110)
    back, said = transformers.AutoModelForTextEncoding.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert type(back).__name__ == "T5EncoderModel" and not any(said.values()), said
    with torch.no_grad():
        assert torch.equal(back.eval()(rows).last_hidden_state, theirs(rows).last_hidden_state)
    assert huggingface.read(tmp_path / "out")[1] == shape
    write_pieces_of_t5(tmp_path / "theirs")
    report = import_model(tmp_path / "theirs", tmp_path / "ours")
    assert (report.kind, report.writes, len(report.remarks)) == ("Hugging Face's T5EncoderModel", False, 1)
    loaded = trained.load(tmp_path / "ours")
    with pytest.raises(ValueError, match="a T5 encoder alone"):
        generate_texts(loaded.model, loaded.tokenizer, ["a<extra_id_0>"], Request(4))
    with pytest.raises(ValueError, match=r"a T5 encoder alone \(decoder_layers is 0\), so it writes nothing"):
        ours.decode(rows, ours.encode(rows))


def _asdict(shape: families.Shape) -> dict[str, Any]:
    return {name: getattr(shape, name) for name in shape.__slots__}
