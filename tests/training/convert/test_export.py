"""What is exported is loaded by Hugging Face's own classes, and answers as ours does."""

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import transformers
from places import FIXTURES
from torch import Tensor

from pipelines.contract.tokenizers.families import Family, specials
from pipelines.contract.tokenizers.loading import Tokenizer
from pipelines.exports.tokenizer import export_huggingface
from training.checkpoints import trained
from training.convert import huggingface
from training.convert.export import ExportError, ExportReport, export
from training.convert.importing import ImportingError, import_model
from training.data.shards import open_dataset
from training.models import families
from training.models.bart import BARTShape
from training.models.bert import BERTShape
from training.models.composed import SIZES as COMPOSED
from training.models.gpt import GPTShape
from training.models.t5 import T5Shape

PADDED = 448  # rows of the models' vocabulary: more than any of the tokenizers has pieces
SHAPES: dict[str, families.Shape] = {
    "gpt": GPTShape(layers=2, heads=4, width=32, vocabulary=PADDED, length=64),
    "bert": BERTShape(layers=2, heads=4, width=32, vocabulary=PADDED, length=64),
    "bert_tanh": BERTShape(layers=2, heads=4, width=32, vocabulary=PADDED, length=64, activation="gelu_tanh"),
    "bart": BARTShape(encoder_layers=2, decoder_layers=3, heads=4, width=32, vocabulary=PADDED, length=64),
    # as many layers in both stacks: generate() of transformers 5.23 makes a T5 decoder's cache by the encoder's number
    "t5": T5Shape(2, 2, heads=4, head_width=6, width=32, inner=48, vocabulary=PADDED),
    "t5_1_1": T5Shape(2, 2, heads=4, head_width=6, width=32, inner=48, vocabulary=PADDED, gated=True, tied=False),
}
CLASSES = {
    "gpt": transformers.AutoModelForCausalLM,
    "bert": transformers.AutoModelForPreTraining,
    "bart": transformers.AutoModelForSeq2SeqLM,
    "t5": transformers.AutoModelForSeq2SeqLM,
}
TEXTS = ("the old house stood near the river", "many stories")


@dataclass(frozen=True)
class Exported:
    run: Path
    folder: Path
    model: Any
    family: Family
    tokenizer: Tokenizer
    report: ExportReport


@pytest.fixture(scope="session", params=SHAPES)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, make_dataset: Callable[..., Path]
) -> Exported:
    family = cast(Family, request.param.split("_")[0])
    folder = tmp_path_factory.mktemp(request.param)
    documents = {("train", "books", "en"): [["the old house stood near the river and the people told many stories about it"] * 3]}
    dataset = make_dataset(folder / "tokens", documents, families=[family], vocabulary=290)
    tokenizer = open_dataset(str(dataset), None).tokenizer
    model = redrawn(SHAPES[request.param])
    trained.save(folder / "run", model, family, tokenizer, {})
    report = export(folder / "run", folder / "hf", export_huggingface)
    return Exported(folder / "run", folder / "hf", model, family, tokenizer, report)


def redrawn(shape: families.Shape) -> Any:
    model = families.make(shape, 1).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2, generator=generator)
    return model


def test_truncation_cuts_to_the_positions_of_the_model(exported: Exported) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported.folder)
    tokens = len(tokenizer("many stories " * 100, truncation=True)["input_ids"])
    if exported.family == "t5":
        assert tokens > 200
    else:
        assert (tokenizer.model_max_length, tokens) == (64, 64)


def loaded(of: Exported, cls: Any = None) -> Any:
    """Their model, of which nothing was missing, too much, or of another shape."""
    model, told = (cls or CLASSES[of.family]).from_pretrained(of.folder, output_loading_info=True)
    assert not any(told.values()), told
    return model.eval()


def answer(of: Exported, text: str, tokens: int) -> list[int]:
    """Greedy, by our model: the likeliest id each time, computed anew from the whole row."""
    ids = specials(of.family, of.tokenizer.special_ids, "test")
    before = of.tokenizer.encode(text)
    inputs = torch.tensor([before if of.family == "gpt" else wrapped(of, before)])
    row = before if of.family == "gpt" else [cast(int, ids.decoder_start)]
    start = len(row)
    while len(row) - start < tokens:
        now = torch.tensor([row])
        with torch.no_grad():
            logits = of.model(now) if of.family == "gpt" else of.model(inputs, now)
        chosen = int(logits[0, -1, : of.tokenizer.size].argmax())
        if of.family == "bart" and len(row) - start == tokens - 1:
            chosen = ids.end  # Hugging Face forces it on the last token that is asked for
        row = [*row, chosen]
        if chosen == ids.end:
            break
    return row


def wrapped(of: Exported, ids: list[int]) -> list[int]:
    found = specials(of.family, of.tokenizer.special_ids, "test")
    return [*([] if found.begin is None else [found.begin]), *ids, found.end]


def test_auto_model_has_our_logits(exported: Exported) -> None:
    theirs = loaded(exported)
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported.folder)
    if exported.family == "gpt":
        tokenizer.padding_side = "left"
    rows = tokenizer(list(TEXTS), padding=True, return_tensors="pt")
    real = rows["attention_mask"].bool()
    assert not bool(real.all())
    with torch.no_grad():
        pairs = both(exported, theirs, rows, real)
    for ours, other, seen in pairs:
        assert other.shape[-1] in (exported.tokenizer.size, 2)
        assert (ours[..., : other.shape[-1]] - other)[seen].abs().max() < 1e-5


def both(of: Exported, theirs: Any, rows: Any, real: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Our logits, theirs, and where they count."""
    inputs, everything = rows["input_ids"], torch.ones(2, dtype=torch.bool)
    if of.family == "gpt":
        positions = (real.long().cumsum(1) - 1).clamp_min(0)
        ours = of.model(inputs, real=real, positions=positions)
        return [(ours, theirs(inputs, attention_mask=rows["attention_mask"], position_ids=positions).logits, real)]
    if of.family == "bert":
        segments = torch.arange(inputs.shape[1])[None] % 2 * real
        ours, pair = of.model(inputs, segments=segments, real=real)
        found = theirs(inputs, attention_mask=rows["attention_mask"], token_type_ids=segments)
        return [(ours, found.prediction_logits, real), (pair, found.seq_relationship_logits, everything)]
    decoder = torch.tensor([[2, 9, 11, 4], [2, 8, 30, 31]])
    found = theirs(inputs, attention_mask=rows["attention_mask"], decoder_input_ids=decoder).logits
    return [(of.model(inputs, decoder, real=real), found, everything)]


def test_auto_tokenizer_wraps_texts_as_ours(exported: Exported) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(exported.folder)
    assert len(theirs) == exported.tokenizer.size
    ids = exported.tokenizer.encode(TEXTS[0])
    assert theirs(TEXTS[0])["input_ids"] == (ids if exported.family == "gpt" else wrapped(exported, ids))


@pytest.mark.parametrize("exported", ["gpt", "bart", "t5", "t5_1_1"], indirect=True)
def test_it_continues_and_answers_as_ours(exported: Exported) -> None:
    theirs, tokenizer = loaded(exported), transformers.AutoTokenizer.from_pretrained(exported.folder)
    for text in TEXTS:
        rows = tokenizer(text, return_tensors="pt")
        found = theirs.generate(**rows, max_new_tokens=12, do_sample=False)[0].tolist()
        assert found == answer(exported, text, 12)
        if exported.family != "gpt":
            continue
        pipeline = transformers.pipeline("text-generation", model=str(exported.folder))
        (made,) = pipeline(text, max_new_tokens=12, do_sample=False)
        assert made["generated_text"] == exported.tokenizer.decode(found)


@pytest.mark.parametrize("exported", ["bert", "bert_tanh", "bart"], indirect=True)
def test_it_fills_masks_as_ours(exported: Exported) -> None:
    pipeline: Any = transformers.pipeline("fill-mask", model=str(exported.folder))
    ids = specials(exported.family, exported.tokenizer.special_ids, "test")
    assert ids.mask is not None
    before, behind = (exported.tokenizer.encode(text) for text in ("the old", "stood near the river"))
    row = torch.tensor([wrapped(exported, [*before, ids.mask, *behind])])
    with torch.no_grad():
        if exported.family == "bert":
            logits = exported.model(row)[0]
        else:
            shifted = torch.cat([torch.tensor([[cast(int, ids.decoder_start)]]), row[:, :-1]], dim=1)
            logits = exported.model(row, shifted)
    likely = logits[0, 1 + len(before), : exported.tokenizer.size].softmax(-1).topk(5)
    found = pipeline(f"the old {pipeline.tokenizer.mask_token} stood near the river", top_k=5)
    assert [one["token"] for one in found] == likely.indices.tolist()
    assert [one["score"] for one in found] == pytest.approx(likely.values.tolist(), abs=1e-5)


def test_what_is_read_back_is_bit_for_bit_what_was_written(exported: Exported) -> None:
    family, shape, weights = huggingface.read(exported.folder)
    size = exported.tokenizer.size
    assert family == exported.family
    assert shape == type(shape)(**{**{name: getattr(exported.model.shape, name) for name in shape.__slots__}, "vocabulary": size})
    ours = exported.model.state_dict()
    assert set(weights) == set(ours)
    for name, tensor in weights.items():
        assert torch.equal(tensor, ours[name][: len(tensor)])
        assert len(tensor) == (size if len(ours[name]) == PADDED else len(ours[name]))


def test_an_export_is_imported_again(exported: Exported, tmp_path: Path) -> None:
    report = import_model(exported.folder, tmp_path / "back")
    assert (report.family, report.vocabulary, report.remarks) == (exported.family, exported.tokenizer.size, ())
    back = trained.load(tmp_path / "back")
    assert report.checkpoint == back.where and report.parameters == families.parameters(back.model)
    for text in TEXTS:
        assert back.tokenizer.encode(text) == exported.tokenizer.encode(text)
    assert back.tokenizer.special_ids.keys() == exported.tokenizer.special_ids.keys()
    again = export(tmp_path / "back", tmp_path / "hf", export_huggingface)
    assert again.files == exported.report.files and "tokenizer.model" in again.files
    for name in again.files:
        assert (tmp_path / "hf" / name).read_bytes() == (exported.folder / name).read_bytes()
    assert again.files["model.safetensors"] == exported.report.files["model.safetensors"]


def test_it_is_written_the_same_twice_and_in_shards(exported: Exported, tmp_path: Path) -> None:
    export(exported.run, tmp_path / "twice", export_huggingface)
    for name in exported.report.files:
        assert (tmp_path / "twice" / name).read_bytes() == (exported.folder / name).read_bytes()
    report = export(exported.run, tmp_path / "shards", export_huggingface, shard_bytes=60_000)
    shards = [name for name in report.files if name.endswith(".safetensors")]
    assert len(shards) > 1 and "model.safetensors" not in shards
    cut = loaded(Exported(exported.run, tmp_path / "shards", exported.model, exported.family, exported.tokenizer, report))
    whole = loaded(exported)
    assert all(torch.equal(a, b) for a, b in zip(cut.state_dict().values(), whole.state_dict().values(), strict=True))


def test_the_folder_says_what_hugging_face_asks(exported: Exported) -> None:
    config = json.loads((exported.folder / "config.json").read_text())
    ids = specials(exported.family, exported.tokenizer.special_ids, "test")
    assert config["vocab_size"] == exported.tokenizer.size
    assert config["tie_word_embeddings"] == (not exported.folder.parent.name.startswith("t5_1_1"))
    assert exported.report.vocabulary == exported.tokenizer.size and exported.report.bytes > 100_000
    file = exported.folder / "generation_config.json"
    if exported.family == "bert":
        assert not file.exists()
        return
    expected = {"eos_token_id": ids.end, "pad_token_id": ids.pad}
    expected |= {"gpt": {"bos_token_id": ids.begin}, "t5": {"decoder_start_token_id": ids.pad}}.get(exported.family, {})
    if exported.family == "bart":
        expected |= {"bos_token_id": ids.begin, "decoder_start_token_id": ids.end, "forced_eos_token_id": ids.end}
    assert json.loads(file.read_text()) == expected


@pytest.mark.parametrize("exported", ["t5_1_1"], indirect=True)
def test_t5_1_1_keeps_a_head_of_its_own(exported: Exported, tmp_path: Path) -> None:
    theirs = loaded(exported)
    assert not torch.equal(theirs.lm_head.weight, theirs.shared.weight)
    theirs.save_pretrained(tmp_path)  # transformers 5 writes "tie_word_embeddings": true, whatever it read
    _, shape, weights = huggingface.read(tmp_path)
    assert isinstance(shape, T5Shape) and not shape.tied
    assert torch.equal(weights["head.weight"], exported.model.state_dict()["head.weight"][: exported.tokenizer.size])


@pytest.mark.parametrize("exported", ["gpt"], indirect=True)
def test_nothing_is_left_of_an_export_that_fails(exported: Exported, tmp_path: Path) -> None:
    def full(tokenizer: Tokenizer, folder: str, family: Family) -> None:
        Path(folder, "tokenizer.json").write_text("{")
        raise OSError("no space left on the device")

    with pytest.raises(OSError, match="no space"):
        export(exported.run, tmp_path / "out", full)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.safetensors").touch()
    with pytest.raises(ExportError, match="out: is not an empty folder; name another"):
        export(exported.run, tmp_path / "out", export_huggingface)
    with pytest.raises(ImportingError, match="out: is not an empty folder; name another"):
        import_model(exported.folder, tmp_path / "out")


@pytest.mark.parametrize("exported", ["gpt"], indirect=True)
def test_a_composed_model_is_nobodys(exported: Exported, tmp_path: Path) -> None:
    trained.save(tmp_path / "run", families.make(COMPOSED["demo"], 1), "composed", exported.tokenizer, {})
    with pytest.raises(ExportError, match="composed is not a published family"):
        export(tmp_path / "run", tmp_path / "out", export_huggingface)


@pytest.mark.parametrize("exported", ["gpt"], indirect=True)
def test_imports_that_cannot_be(exported: Exported, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ImportingError, match="nowhere: there is no such folder"):
        import_model(tmp_path / "nowhere", out)
    with pytest.raises(ImportingError, match=r"no model is known by its files; there should be config\.json .* or a \.pt file"):
        import_model(tmp_path, out)
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((exported.folder / name).read_bytes())
    with pytest.raises(
        ValueError, match=r"bare: no tokenizer .* vocab.json and merges.txt; or name another place with --tokenizer"
    ):
        import_model(bare, out)
    report = import_model(bare, out, str(exported.folder))
    assert report.vocabulary == exported.tokenizer.size
    with pytest.raises(ValueError, match="there is no such file"):
        import_model(bare, tmp_path / "other", str(tmp_path / "none"))


ORIGINALS = FIXTURES / "tensor_bundle"


@pytest.mark.parametrize(
    ("name", "source", "kind", "family"),
    [
        ("bert", "", "Google's BERT", "bert"),
        ("bert", "bert_model.ckpt", "Google's BERT", "bert"),
        ("gpt2", "", "OpenAI's GPT-2", "gpt"),
        ("gpt2", "model.ckpt", "OpenAI's GPT-2", "gpt"),
    ],
)
def test_originals_become_hugging_faces(name: str, source: str, kind: str, family: Family, tmp_path: Path) -> None:
    report = import_model(ORIGINALS / name / source, tmp_path / "ours")
    assert (report.kind, report.family, report.remarks) == (kind, family, ())
    with pytest.raises(ImportingError, match="--tokenizer is for folders of Hugging Face's; put the files of"):
        import_model(ORIGINALS / name, tmp_path / "other", str(ORIGINALS / name))
    export(tmp_path / "ours", tmp_path / "theirs", export_huggingface)
    model = trained.load(tmp_path / "ours").model
    theirs, told = CLASSES[family].from_pretrained(tmp_path / "theirs", output_loading_info=True)
    assert not any(told.values()), told
    row = torch.arange(9)[None] % 7
    with torch.no_grad():
        ours, other = model(row), theirs.eval()(row)
    ours, other = (ours, other.logits) if family == "gpt" else (ours[0], other.prediction_logits)
    assert (ours - other).abs().max() < 1e-5
    assert len(transformers.AutoTokenizer.from_pretrained(tmp_path / "theirs")) == report.vocabulary


@pytest.mark.parametrize("exported", ["bart"], indirect=True)
def test_ids_of_another_tokenizer_are_told(exported: Exported, tmp_path: Path) -> None:
    folder = tmp_path / "hf"
    folder.mkdir()
    for file in exported.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"eos_token_id": 9}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = import_model(folder, tmp_path / "out")
    end = exported.tokenizer.special_ids["</s>"]
    assert report.remarks == (f"{folder / 'config.json'}: eos_token_id is 9, and the tokenizer's is {end}, which is taken",)
