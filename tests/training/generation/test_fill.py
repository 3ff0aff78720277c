"""Masks that are filled and texts that are restored, and the same by Hugging Face's pipelines from what we export."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers as library
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.families import FAMILIES as PIECES
from pipelines.contract.tokenizers.families import Family, sentinel, specials
from pipelines.contract.tokenizers.loading import Tokenizer
from pipelines.contract.tokenizers.published import load_existing
from pipelines.exports.tokenizer import export_huggingface
from training.checkpoints import trained
from training.convert.export import export
from training.data.shards import open_dataset
from training.generation.answers import Filled, Request, fill_texts, generate_texts
from training.generation.beams import Beams
from training.generation.fill import fill
from training.generation.texts import Speller, spans_of, speller
from training.models.bart import BARTShape
from training.models.bert import BERT, BERTShape
from training.models.families import Model, Shape, make
from training.models.gpt import GPTShape
from training.models.t5 import T5Shape

FAMILIES: tuple[Family, ...] = ("gpt", "bert", "bart", "t5")
MASK, SIZE = 4, 30


def redrawn(shape: Shape) -> Model:
    """Large weights, so that answers depend on what they answer; no biases, as the last would decide alone."""
    made = make(shape, 1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "norm" not in name and not name.endswith("bias"):
                parameter.normal_(0, 0.3 if "tokens" in name else 0.6, generator=generator)
    return made.eval()


def bert() -> BERT:
    made = redrawn(BERTShape(vocabulary=SIZE, length=12, layers=2, heads=2, width=16))
    assert isinstance(made, BERT)
    return made


def test_masks_are_filled_with_the_likeliest_ids_of_uneven_rows() -> None:
    made, rows = bert(), [[2, 7, MASK, 9, MASK, 20, 3], [2, MASK, 3], [2, 9, 8, MASK, 3]]
    found = fill(made, rows, MASK, best=4)
    assert [len(masks) for masks in found] == [2, 1, 1]
    for row, masks in zip(rows, found, strict=True):
        with torch.no_grad():
            probabilities = made(torch.tensor([row]))[0][0].softmax(-1)
        for place, guesses in zip([place for place, i in enumerate(row) if i == MASK], masks, strict=True):
            best = probabilities[place].topk(4)
            assert [guess.id for guess in guesses] == best.indices.tolist()
            assert [guess.probability for guess in guesses] == pytest.approx(best.values.tolist(), abs=1e-6)


def test_padding_is_no_mask() -> None:
    assert [len(masks) for masks in fill(bert(), [[2, 0, 3], [2, 5, 6, 0, 3]], 0)] == [1, 1]


def test_padding_of_the_vocabulary_is_never_guessed() -> None:
    (((*guesses,),),) = fill(bert(), [[2, MASK, 3]], MASK, best=SIZE, vocabulary=20)
    assert sorted(guess.id for guess in guesses) == list(range(20))
    assert sum(guess.probability for guess in guesses) == pytest.approx(1, abs=1e-5)


def test_impossible_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="the text has no mask"):
        fill(bert(), [[2, MASK, 3], [2, 3]], MASK)
    with pytest.raises(ValueError, match="the prompt has 13 tokens, and the model 12 positions"):
        fill(bert(), [[MASK] * 13], MASK)
    with pytest.raises(ValueError, match="best: must be 1 or more, not 0"):
        fill(bert(), [[MASK]], MASK, best=0)


def test_spans_stand_behind_their_sentinels() -> None:
    assert spans_of([90, 6, 89, 10, 11], {90, 89}) == {90: [6], 89: [10, 11]}
    assert spans_of([5, 90, 89, 7, 90, 8, 1, 6], {90, 89, 1}) == {90: [], 89: [7], 1: [6]}


@pytest.fixture(scope="session")
def tokenizer(make_dataset: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory, documents: object) -> Tokenizer:
    """One for all four families."""
    folder = make_dataset(tmp_path_factory.mktemp("families") / "tokens", documents, families=FAMILIES)
    return open_dataset(str(folder)).tokenizer


def of_tokenizer(family: str, tokenizer: Tokenizer) -> Model:
    """A model that is not likely to make bytes: of bytes that are no characters the libraries make different texts."""
    size = tokenizer.size + 3  # padded
    shapes: dict[str, Shape] = {
        "gpt": GPTShape(vocabulary=size, length=64, layers=2, heads=2, width=16),
        "bert": BERTShape(vocabulary=size, length=64, layers=2, heads=2, width=16),
        "bart": BARTShape(vocabulary=size, length=64, encoder_layers=2, decoder_layers=2, heads=2, width=16),
        "t5": T5Shape(2, 2, heads=2, head_width=8, width=16, inner=32, vocabulary=size),
    }
    made = redrawn(shapes[family])
    with torch.no_grad():
        weight = next(p for name, p in made.named_parameters() if name.endswith("tokens.weight"))
        weight[[i for i, kind in enumerate(tokenizer.piece_kinds()) if kind == "byte"]] = 0
        if family == "gpt":  # words rather than their ends
            weight[[i for i, piece in enumerate(tokenizer.piece_names()) if not piece.startswith("\u2581")]] *= 0.1
    return made


TEXTS = {
    "bert": ["the [MASK] house", "[MASK]", "the old[MASK] near \n [MASK]  river [MASK] [MASK]", "two\n[MASK]\nlines [SEP]"],
    "bart": ["the <mask> house", "<mask>", "the old<mask> near \n <mask>  river <mask> <mask>", "a\n\nb <mask>\u2003c [MASK]"],
    "t5": ["the <extra_id_0> house", "<extra_id_0>", "old<extra_id_0>near \n <extra_id_1> <extra_id_99>", "none <mask>"],
    "gpt": ["the old house", "the [MASK] <mask> <extra_id_0>", "<|endoftext|>the  old\n\n house ", "a <|endoftext|> river"],
}
MASKS = {"bert": "[MASK]", "bart": "<mask>", "t5": "<extra_id_3>", "gpt": "<|endoftext|>"}
# "_" for the mask: line starts, doubled spaces, tabs, line ends, masks side by side
AROUND = [
    "be _ in",
    "_ be\n_ in",
    "be  _  in",
    "be\t_\tin",
    "be _",
    "be\n _\n in",
    "be\u3000_\xa0in",
    "be__ in _ _",
    " _ ",
    "be_in",
    "be _.",
]


def made_elsewhere(kind: str) -> Tokenizer:
    """A tokenizer of the library: byte-level as GPT-2's and BART's, BERT's WordPiece, or pieces that begin with "▁"."""
    special = [piece for family in FAMILIES for piece in (*PIECES[family].pieces, *PIECES[family].last)]
    options: dict[str, Any] = {"vocab_size": 420, "special_tokens": list(dict.fromkeys(special))}
    if kind == "byte_bpe":
        made: Any = library.Tokenizer(models.BPE())
        made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        trainer: Any = trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **options)
    elif kind == "wordpiece":
        made = library.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        made.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(**options)
    else:
        made = library.Tokenizer(models.Unigram())
        made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer = trainers.UnigramTrainer(unk_token="<unk>", **options)
    made.train_from_iterator(["to be in the old house near the river . many stories"] * 9, trainer)
    return loading.from_bytes(made.to_str().encode(), kind, "tokenizers")  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def tokenizers(tokenizer: Tokenizer) -> dict[str, Tokenizer]:
    return {"bpe": tokenizer, "byte_bpe": made_elsewhere("byte_bpe"), "wordpiece": made_elsewhere("wordpiece")}


@pytest.mark.parametrize("kind", ["bpe", "byte_bpe", "wordpiece"])
@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_around_masks_are_the_same_after_an_import(
    family: Family, kind: str, tokenizers: dict[str, Tokenizer], tmp_path: Path
) -> None:
    """Ours, Hugging Face's from the export, and ours from it: with the files written here, and with Hugging Face's alone."""
    made = tokenizers[kind]
    export_huggingface(made, str(tmp_path / "out"), family)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    theirs.save_pretrained(tmp_path / "saved")
    back = [load_existing(str(tmp_path / name), [family]) for name in ("out", "saved")]
    assert (back[0].sha256 == made.sha256) == (kind == "bpe")
    export_huggingface(back[0], str(tmp_path / "again"), family)
    for file in (tmp_path / "out").iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()
    texts = [text.replace("_", MASKS[family]) for text in AROUND]
    rows = [theirs(text)["input_ids"] for text in texts]
    for own in (made, *back):
        words = Speller(family, own, specials(family, own.special_ids, "test"))
        assert [words.row(text) for text in texts] == rows


def test_white_space_around_a_mask_is_as_its_tokenizer_says(tmp_path: Path) -> None:
    export_huggingface(made_elsewhere("byte_bpe"), str(tmp_path), "bert")
    file = tmp_path / "tokenizer.json"
    data = json.loads(file.read_text())
    for token in data["added_tokens"]:
        token["rstrip"] = token["content"] == "[MASK]"
    file.write_text(json.dumps(data))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    own, theirs = load_existing(str(tmp_path), ["bert"]), transformers.AutoTokenizer.from_pretrained(tmp_path)
    words = Speller("bert", own, specials("bert", own.special_ids, "test"))
    mask = own.special_ids["[MASK]"]
    assert words.encode("be [MASK] in") == [*own.encode("be "), mask, *own.encode("in")]
    for text in AROUND:
        assert (
            words.encode(text.replace("_", "[MASK]"))
            == theirs(text.replace("_", "[MASK]"), add_special_tokens=False)["input_ids"]
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_texts_with_masks_are_hugging_faces(family: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Of other special pieces than masks a text may spell any: they are text to us, and not to Hugging Face."""
    export_huggingface(tokenizer, str(tmp_path), family)  # pyright: ignore[reportArgumentType]
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    words = speller(of_tokenizer(family, tokenizer), tokenizer)
    others = {name for of in TEXTS.values() for name in ("[MASK]", "<mask>", "[SEP]", sentinel(0))} - set(words.masks)
    for text in TEXTS[family]:
        if not any(name in text for name in others):
            ids = words.row(text)
            assert ids == theirs(text)["input_ids"]


def test_only_masks_of_the_family_are_masks(tokenizer: Tokenizer) -> None:
    for family, texts in TEXTS.items():
        words = speller(of_tokenizer(family, tokenizer), tokenizer)
        special = set(tokenizer.special_ids.values()) - set(words.masks.values())
        special -= {words.specials.end} if family == "gpt" else set()
        for text in texts:
            assert not special & set(words.encode(text))
            assert words.has_mask(text) == any(name in text for name in words.masks)
    assert speller(of_tokenizer("t5", tokenizer), tokenizer).has_mask("<extra_id_100> <extra_id_05> <extra_id_>") is False


def test_a_text_without_a_mask_gets_one(tokenizer: Tokenizer) -> None:
    for family, expected in (("bert", "old [MASK]"), ("bart", "old <mask>"), ("t5", "old <extra_id_0>"), ("gpt", "old")):
        words = speller(of_tokenizer(family, tokenizer), tokenizer)
        assert words.with_mask("old") == words.with_mask(expected) == expected
        assert words.with_mask("") == expected.removeprefix("old").strip()


def test_texts_are_filled(tokenizer: Tokenizer) -> None:
    made = of_tokenizer("bert", tokenizer)
    assert isinstance(made, BERT)
    made.train()
    filled = fill_texts(made, tokenizer, ["the [MASK] house", "[MASK] river [MASK]"], best=3)
    assert made.training
    assert [[len(guesses) for guesses in of.masks] for of in filled] == [[3], [3, 3]]
    begin, end, mask = (tokenizer.special_ids[name] for name in ("[CLS]", "[SEP]", "[MASK]"))
    row = [begin, *tokenizer.encode("the"), mask, *tokenizer.encode("house"), end]
    with torch.no_grad():
        best = made.eval()(torch.tensor([row]))[0][0, row.index(mask), : tokenizer.size].softmax(-1).topk(3)
    (first,) = filled[0].masks
    assert [guess.id for guess in first] == best.indices.tolist()
    assert [guess.probability for guess in first] == pytest.approx(best.values.tolist(), abs=1e-6)
    assert [guess.text for guess in first] == [tokenizer.decode([guess.id]) for guess in first]
    assert filled[0].text == tokenizer.decode([first[0].id if i == mask else i for i in row[1:-1]])
    with pytest.raises(ValueError, match="'the old' has no mask to fill"):
        fill_texts(made, tokenizer, ["[MASK]", "the old"])


def test_t5s_spans_are_put_back(tokenizer: Tokenizer) -> None:
    words = speller(of_tokenizer("t5", tokenizer), tokenizer)
    a, b, end = tokenizer.special_ids[sentinel(0)], tokenizer.special_ids[sentinel(1)], tokenizer.special_ids["</s>"]
    text = "the <extra_id_0> near <extra_id_1> river"
    old, many = tokenizer.encode("old house"), tokenizer.encode("the")
    for answer, expected in (
        ([a, *old, b, *many, end, *many], "the old house near the river"),
        ([b, *many, a, *old], "the old house near the river"),
        ([a, b, *many, end], "the near the river"),
        ([*many, a, *old, end], "the old house near <extra_id_1> river"),
        ([*many], "the <extra_id_0> near <extra_id_1> river"),
        ([a, *old, a, *many, b, end], "the old house near river"),
    ):
        assert words.restored(text, answer) == expected


# The same by Hugging Face, from what we export


@pytest.fixture(scope="module")
def exported(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Model, Path]]:
    folder, out = tmp_path_factory.mktemp("exported"), dict[str, tuple[Model, Path]]()
    for family in FAMILIES:
        made = of_tokenizer(family, tokenizer)
        trained.save(folder / family, made, family, tokenizer, {})
        export(folder / family, folder / f"{family}_hf", export_huggingface)
        out[family] = (made, folder / f"{family}_hf")
    return out


def quiet(call: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


def test_an_exported_bert_fills_masks_as_ours(exported: dict[str, tuple[Model, Path]], tokenizer: Tokenizer) -> None:
    made, folder = exported["bert"]
    assert isinstance(made, BERT)
    pipeline: Any = quiet(lambda: transformers.pipeline("fill-mask", str(folder)))
    texts = ["the [MASK] house", "many stories about [MASK]", "the [MASK] of the [MASK] people"]
    for text, filled in zip(texts, fill_texts(made, tokenizer, texts), strict=True):
        theirs = pipeline(text)
        same_masks(filled, [theirs] if len(filled.masks) == 1 else theirs)
        if len(filled.masks) == 1:
            assert filled.text == theirs[0]["sequence"]


def same_masks(filled: Filled, theirs: list[Any]) -> None:
    for ours, of in zip(filled.masks, theirs, strict=True):
        assert [guess.id for guess in ours] == [guess["token"] for guess in of]
        assert [guess.probability for guess in ours] == pytest.approx([guess["score"] for guess in of], abs=1e-6)


def test_an_exported_gpt_continues_as_ours(exported: dict[str, tuple[Model, Path]], tokenizer: Tokenizer) -> None:
    """The pipeline decodes the new ids alone and writes them behind the prompt."""
    made, folder = exported["gpt"]
    pipeline: Any = quiet(lambda: transformers.pipeline("text-generation", str(folder)))
    pipeline.model.generation_config.max_length = None
    prompts = ["the old house", "many", "  the\told  ", "the\n\nold river.", "<|endoftext|>many stories", "In the beginning"]
    answers = [answer.text for (answer,) in generate_texts(made, tokenizer, prompts, Request(10))]
    for prompt, ours in zip(prompts, answers, strict=True):
        (theirs,) = quiet(lambda prompt=prompt: pipeline(prompt, max_new_tokens=10, do_sample=False))
        assert theirs["generated_text"] == ours and ours.startswith(prompt)
    assert any(answer.removeprefix(prompt).startswith(" ") for prompt, answer in zip(prompts, answers, strict=True))


@pytest.mark.parametrize("kind", ["byte_bpe", "unigram"])
def test_a_gpt_over_pieces_of_others_continues_as_its_export(kind: str, tmp_path: Path) -> None:
    own = made_elsewhere(kind)
    made = redrawn(GPTShape(vocabulary=own.size, length=64, layers=2, heads=2, width=16))
    marks = ("\u2581", "\u0120")  # of words
    with torch.no_grad():
        weight = made.embeddings.tokens.weight
        weight[[i for i, piece in enumerate(own.piece_names()) if piece[:1] not in marks]] *= 0.1  # pyright: ignore
    trained.save(tmp_path / "run", made, "gpt", own, {})
    export(tmp_path / "run", tmp_path / "hf", export_huggingface)
    pipeline: Any = quiet(lambda: transformers.pipeline("text-generation", str(tmp_path / "hf")))
    prompts = ["to be", "the old house  ", "many"]
    answers = [answer.text for (answer,) in generate_texts(made, own, prompts, Request(10))]
    for prompt, ours in zip(prompts, answers, strict=True):
        (theirs,) = quiet(lambda prompt=prompt: pipeline(prompt, max_new_tokens=10, do_sample=False))
        assert theirs["generated_text"] == ours
    assert any(answer.removeprefix(prompt).startswith(" ") for prompt, answer in zip(prompts, answers, strict=True))


@pytest.mark.parametrize("family", ["bart", "t5"])
@pytest.mark.parametrize("beams", [1, 3])
def test_an_exported_encoder_decoder_answers_as_ours(
    exported: dict[str, tuple[Model, Path]], tokenizer: Tokenizer, family: str, beams: int
) -> None:
    made, folder = exported[family]
    theirs = quiet(lambda: transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)).eval()
    of = transformers.AutoTokenizer.from_pretrained(folder)
    prompts = ["the old house", "many stories", "the people of the town told"]
    if family == "bart":
        prompts += ["the <mask> near the <mask>"]
    inputs = of(prompts, return_tensors="pt", padding=True)
    ids = quiet(lambda: theirs.generate(**inputs, max_new_tokens=12, num_beams=beams, do_sample=False))
    request = Request(12, how=Beams(beams)) if beams > 1 else Request(12)
    found = generate_texts(made, tokenizer, prompts, request)
    assert [answer.text for (answer,) in found] == of.batch_decode(ids, skip_special_tokens=True)
    assert len({answer.text for (answer,) in found}) > 1
