"""Tokenizers of others load, give the ids that Hugging Face gives, and no text spells one of their special pieces."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import tokenizers as library
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.families import FAMILIES, specials
from pipelines.contract.tokenizers.loading import Tokenizer, TokenizerError
from pipelines.contract.tokenizers.pieces import piece_table, word_starts
from pipelines.contract.tokenizers.published import load_existing

LINES = [
    "The miller's wife had seven geese, and none of them would swim.",
    "Im Herbst 1987 zog die Müllerin mit sieben Gänsen über die Brücke.",
    "水车转动，磨坊主人睡着了。 Мельница стояла у реки.",
] * 20
TEXTS = [
    *[
        "",
        " ",
        "The geese\n\nswim.",
        "Ünd  über\tdie\u3000Brücke\r\n",
        "水车 转动，了",
        "x\x85y\x0b\x1c\u2028 \x00 \x07\ufffd",
        "don't I'll",
    ],
    *[
        "鵝🪿e\u0301 ﬁ ½ \u2581a",
        "1987 3.14 a_b-c",
        "  leading",
        "trailing  ",
        "Мельница" * 30,
        "a" * 150,
        "\n",
        "\ud7ff\ue000\U0010ffff",
    ],
]
SPELLED = [
    *["[MASK]", "a[CLS]b", "[UNK]", "<|endoftext|>", "x<|endoftext|>y", "<extra_id_0>", "<s>", "</s> <pad>", "<unk>", "<mask>"],
    *["\U0010ffff<s>\U0010ffff", "\U0010ffff[MASK]\U0010ffff"],
]
BART_PIECES = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def bert_folder(folder: Path, lower: bool, config: dict[str, Any] | None) -> Path:
    folder.mkdir()
    made: Any = library.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=lower)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(LINES, trainers.WordPieceTrainer(vocab_size=300, special_tokens=list(FAMILIES["bert"].pieces)))
    vocab = made.get_vocab()
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in sorted(vocab, key=vocab.__getitem__)), encoding="utf-8")
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def byte_folder(folder: Path, pieces: list[str]) -> Path:
    folder.mkdir()
    made: Any = library.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=400, special_tokens=pieces, initial_alphabet=alphabet))
    made.model.save(str(folder))
    return folder


def unigram_json(file: Path) -> Path:
    """As T5's tokenizer.json: special pieces in the vocabulary with the score 0, which every text that spells them would take."""
    made: Any = library.Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    pieces = ["<pad>", "</s>", "<unk>"]
    made.train_from_iterator(LINES, trainers.UnigramTrainer(vocab_size=150, special_tokens=pieces, unk_token="<unk>"))
    made.add_special_tokens([f"<extra_id_{n}>" for n in reversed(range(100))])
    made.add_tokens(["Brücke"])
    file.write_text(made.to_str(), encoding="utf-8")
    return file


def sentencepiece_model(file: Path, kind: str, **options: Any) -> Path:
    model = io.BytesIO()
    defaults = {"vocab_size": 120, "hard_vocab_limit": False, "minloglevel": 2, "num_threads": 1}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, model_type=kind, **{**defaults, **options}
    )
    file.write_bytes(model.getvalue())
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    bert_folder(root / "uncased", True, None)
    bert_folder(root / "cased", False, None)
    bert_folder(root / "said_cased", True, {"do_lower_case": False, "tokenize_chinese_chars": False})
    byte_folder(root / "gpt2", ["<|endoftext|>"])
    byte_folder(root / "bart", BART_PIECES)
    unigram_json(root / "t5.json")
    sentencepiece_model(root / "t5.model", "unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    llama = {
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "split_digits": True,
    }
    sentencepiece_model(root / "llama.model", "bpe", vocab_size=400, **llama)
    return root


@pytest.fixture(scope="module")
def loaded(folder: Path) -> dict[str, Tokenizer]:
    names = ["uncased/vocab.txt", "cased", "said_cased", "gpt2", "bart/merges.txt", "t5.json", "t5.model", "llama.model"]
    return {name.split("/")[0]: load_existing(str(folder / name)) for name in names}


NAMES = ["uncased", "cased", "said_cased", "gpt2", "bart", "t5.json", "t5.model", "llama.model"]
EACH = pytest.mark.parametrize("name", NAMES)


def test_what_they_are(loaded: dict[str, Tokenizer]) -> None:
    found = {name: (t.library, t.kind, t.file_name, t.keeps_text, t.by_lines) for name, t in loaded.items()}
    wordpiece = ("tokenizers", "wordpiece", "tokenizer.json", False, False)
    assert found == {
        **{name: wordpiece for name in ("uncased", "cased", "said_cased")},
        "gpt2": ("tokenizers", "byte_bpe", "tokenizer.json", True, False),
        "bart": ("tokenizers", "byte_bpe", "tokenizer.json", True, False),
        "t5.json": ("tokenizers", "unigram", "tokenizer.json", False, False),
        "t5.model": ("sentencepiece", "unigram", "tokenizer.model", False, True),
        "llama.model": ("sentencepiece", "bpe", "tokenizer.model", True, False),
    }
    assert loaded["uncased"].special_ids == {piece: i for i, piece in enumerate(FAMILIES["bert"].pieces)}
    assert loaded["gpt2"].special_ids == {"<|endoftext|>": 0}
    assert loaded["bart"].special_ids == {piece: i for i, piece in enumerate(BART_PIECES)}
    assert loaded["t5.model"].special_ids == {"<pad>": 0, "</s>": 1, "<unk>": 2}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("uncased", transformers.BertTokenizerFast),
        ("cased", transformers.BertTokenizerFast),
        ("said_cased", transformers.BertTokenizerFast),
        ("gpt2", transformers.GPT2Tokenizer),
        ("bart", transformers.BartTokenizer),
    ],
)
def test_ids_and_texts_are_hugging_faces(folder: Path, loaded: dict[str, Tokenizer], name: str, kind: Any) -> None:
    options = {"do_lower_case": name == "uncased"} if "cased" in name else {}
    theirs, ours = kind.from_pretrained(str(folder / name), **options), loaded[name]
    for text in [*TEXTS, *LINES[:3]]:
        wanted = theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.encode(text) == wanted
        assert ours.decode(wanted) == theirs.decode(wanted, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert ours.encode_batch(TEXTS) == [ours.encode(text) for text in TEXTS]


@EACH
@pytest.mark.parametrize("text", SPELLED)
def test_no_text_spells_a_special_piece(loaded: dict[str, Tokenizer], name: str, text: str) -> None:
    tokenizer = loaded[name]
    special = set(tokenizer.special_ids.values()) - {tokenizer.unknown_id}
    assert not set(tokenizer.encode(text)) & special
    assert not set(tokenizer.encode(f"The {text} geese{text}")) & special
    if tokenizer.keeps_text:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_spelled_mask_is_text_to_wordpiece(loaded: dict[str, Tokenizer]) -> None:
    trained = [*LINES, "[ ] mask"]
    made: Any = library.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = list(FAMILIES["bert"].pieces)
    made.train_from_iterator(trained * 9, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, min_frequency=1))
    tokenizer = loading.from_bytes(made.to_str().encode(), "wordpiece", "tokenizers")
    names = tokenizer.piece_names()
    assert [names[i] for i in tokenizer.encode("[MASK]")] == ["[", "mask", "]"]
    assert made.encode("[MASK]").tokens == ["[MASK]"]  # what the library does by itself


def test_a_word_that_is_not_split_is_no_special_piece_either() -> None:
    vocab = {"[UNK]": 0, "[MASK]": 1, "a": 2}
    made: Any = library.Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["[UNK]", "[MASK]"])
    tokenizer = loading.from_bytes(made.to_str().encode(), "wordpiece", "tokenizers")
    assert tokenizer.encode("a [MASK] a") == [2, 0, 2]


def test_pieces_that_are_added_but_not_special_are_found(loaded: dict[str, Tokenizer]) -> None:
    tokenizer = loaded["t5.json"]
    names = tokenizer.piece_names()
    assert names[tokenizer.size - 1] == "Brücke" and tokenizer.size - 1 in tokenizer.encode("die Brücke.")


def test_added_text_in_byte_level_vocabularies(folder: Path) -> None:
    made: Any = library.Tokenizer.from_str(load_existing(str(folder / "gpt2")).model.decode())
    made.add_tokens(["  ", "swim  "])
    kept = loading.from_bytes(made.to_str().encode(), "byte_bpe", "tokenizers")
    assert kept.keeps_text and kept.encode("  ") == [kept.size - 2]
    assert piece_table(kept)["utf8_bytes"].to_pylist()[-2:] == [2, 6]
    made.add_tokens(["é"])
    assert not loading.from_bytes(made.to_str().encode(), "byte_bpe", "tokenizers").keeps_text


def test_missing_pieces_of_a_family_come_last(folder: Path) -> None:
    tokenizer = load_existing(str(folder / "t5.model"), families=["t5"])
    before = load_existing(str(folder / "t5.model"))
    ids = specials("t5", tokenizer.special_ids, "here")
    assert tokenizer.size == before.size + 100
    assert ids.sentinels == tuple(reversed(range(before.size, tokenizer.size)))
    assert tokenizer.encode(LINES[0]) == before.encode(LINES[0])
    assert not set(tokenizer.encode("<extra_id_7>")) & set(ids.sentinels)
    gpt2 = load_existing(str(folder / "gpt2"), families=["gpt", "bart"], control_pieces=["[new]"])
    size = load_existing(str(folder / "gpt2")).size
    assert gpt2.special_ids == {
        "<|endoftext|>": 0,
        "<s>": size,
        "<pad>": size + 1,
        "</s>": size + 2,
        "<mask>": size + 3,
        "[new]": size + 4,
    }
    assert gpt2.encode("<mask> [new]") == load_existing(str(folder / "gpt2")).encode("<mask> [new]")
    with pytest.raises(TokenizerError, match=r"t5\.model: '▁' is a piece of text in it"):
        load_existing(str(folder / "t5.model"), control_pieces=["▁"])


def test_it_is_loaded_again_by_kind_and_library(loaded: dict[str, Tokenizer], tmp_path: Path) -> None:
    for tokenizer in loaded.values():
        file = tmp_path / tokenizer.file_name
        file.write_bytes(tokenizer.model)
        again = loading.load_file(str(file), tokenizer.kind, tokenizer.sha256, tokenizer.library)
        assert again == tokenizer and again.encode(LINES[1]) == tokenizer.encode(LINES[1])
    with pytest.raises(TokenizerError, match=r"holds a tokenizer of kind unigram, not bpe"):
        loading.from_bytes(loaded["t5.json"].model, "bpe", "tokenizers")


@EACH
def test_the_table_of_pieces_fits(loaded: dict[str, Tokenizer], name: str) -> None:
    tokenizer = loaded[name]
    table = piece_table(tokenizer)
    assert table.num_rows == tokenizer.size
    sizes, offset = table["utf8_bytes"].to_numpy(), tokenizer.line_prefix_bytes
    for text in filter(None, TEXTS if tokenizer.keeps_text else []):
        assert sizes[tokenizer.encode(text)].sum() - offset == len(text.replace("\u2581", " " if offset else "\u2581").encode())
    starts, opens = table["word_start"].to_numpy(), table["opens_word"].to_numpy()
    names = tokenizer.piece_names()
    ids = np.array(tokenizer.encode("geese, 水车 swim."))
    words = [names[i] for i, first in zip(ids, word_starts(ids, starts, opens), strict=True) if first]
    assert next(word.lstrip("▁Ġ")[:1] for word in words if word not in ("▁", "Ġ")) == "g"
    assert "," in words and "." in words


@EACH
def test_offsets_are_bytes_of_the_text(loaded: dict[str, Tokenizer], name: str) -> None:
    tokenizer = loaded[name]
    for text in [*TEXTS, *LINES[:3], "\n".join(LINES[:4])]:
        ids, begins, ends = tokenizer.encode_with_offsets(text)
        assert ids == tokenizer.encode(text)
        assert len(begins) == len(ends) == len(ids)
        assert (np.diff(begins) >= 0).all() and (np.diff(ends) >= 0).all() and (begins <= ends).all()
        assert (ends <= len(text.encode())).all()
    text = "Ü 水 geese"
    ids, begins, ends = tokenizer.encode_with_offsets(text)
    first = next(n for n, i in enumerate(ids) if tokenizer.piece_names()[i].lstrip("▁Ġ").startswith("g"))
    assert begins[first] in (len("Ü 水".encode()), len("Ü 水 ".encode()))
    assert ends[-1] == len(text.encode())


def errors(folder: Path) -> Iterator[tuple[str, bytes, str]]:
    yield "absent.model", b"", r"absent\.model: there is no such file or folder; give a SentencePiece \.model"
    yield "broken.model", b"no model", r"broken\.model: not a SentencePiece model"
    yield "other.bin", b"x", r"other\.bin: no tokenizer is known by this name"
    yield "empty/readme", b"x", r"empty: no tokenizer is known by this name or is in this folder"
    yield "vocab.txt", b"[PAD]\nthe\n", r"vocab\.txt: it has no piece \[UNK\]"
    yield "twice/vocab.txt", b"[UNK]\nthe\na\nthe\n", r"vocab\.txt: lines 2 and 4 are the same piece 'the'"
    yield "latin/vocab.txt", b"[UNK]\n\xe4\n", r"vocab\.txt: not UTF-8 at byte 6"
    yield "lone/vocab.json", b'{"a": 0}', r"merges\.txt: there is no such file"
    yield "odd/tokenizer.json", b"{", r"tokenizer\.json: not a tokenizer\.json"
    yield "list/tokenizer.json", b'{"model": {}}', r'it has no "model" with a "vocab"'
    yield "word/tokenizer.json", b'{"model": {"type": "WordLevel", "vocab": {"a": 0}}}', r"its model is of type WordLevel"
    yield "new/tokenizer.json", b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}}', r"cannot read it"
    yield "deep/tokenizer.json", b"[" * 100_000, r"deep/tokenizer\.json: not a tokenizer\.json: "
    yield "deep/vocab.json", b"[" * 100_000, r"deep/vocab\.json: not JSON"
    sound = {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}
    for number, (place, value) in enumerate(
        [("model.vocab", {"a": "0"}), ("model.vocab", [["a"]]), ("model.unk_token", 1), ("model.type", [1])]
    ):
        content = {"model": sound["model"] | {place.removeprefix("model."): value}}
        wanted = "model's type" if place == "model.type" else place.replace(".", r"\.")
        yield f"m{number}/tokenizer.json", json.dumps(content).encode(), rf"m{number}/tokenizer\.json: not .*{wanted}"
    for number, added in enumerate([{"a": 1}, ["a"], [{"content": "a"}], [{"id": "1", "content": "a"}]]):
        content = {**sound, "added_tokens": added}
        yield f"a{number}/tokenizer.json", json.dumps(content).encode(), r"tokenizer\.json: not a .*its list of added_tokens"
    yield "stage/tokenizer.json", json.dumps({**sound, "normalizer": [1]}).encode(), r"its normalizer or pre_tokenizer is none"


@pytest.mark.parametrize(("name", "content", "message"), list(errors(Path())), ids=lambda value: str(value)[:20])
def test_a_wrong_file_is_an_error_that_names_it(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    if content:
        file.write_bytes(content)
    with pytest.raises(TokenizerError, match=message):
        load_existing(str(file.parent if name.endswith("readme") else file))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"tokenizer_config\.json: not JSON"),
        ('{"do_lower_case": "yes"}', r"tokenizer_config\.json: do_lower_case is 'yes'; it must be true or false"),
        ('{"strip_accents": 1}', r"tokenizer_config\.json: strip_accents is 1"),
    ],
)
def test_a_wrong_config_beside_a_vocabulary_is_an_error_that_names_it(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "vocab.txt").write_text("[UNK]\nthe\n")
    (tmp_path / "tokenizer_config.json").write_text(content)
    with pytest.raises(TokenizerError, match=message):
        load_existing(str(tmp_path))


def test_merges_that_do_not_fit_are_an_error(folder: Path, tmp_path: Path) -> None:
    vocab = (folder / "gpt2" / "vocab.json").read_bytes()
    (tmp_path / "vocab.json").write_bytes(vocab)
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b c\n")
    with pytest.raises(TokenizerError, match=r"merges\.txt: line 2 is not two pieces"):
        load_existing(str(tmp_path))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na zzzz\n")
    with pytest.raises(TokenizerError, match=r"merges\.txt: it does not belong to .*vocab\.json"):
        load_existing(str(tmp_path))


def test_a_model_of_words_is_an_error(tmp_path: Path) -> None:
    file = sentencepiece_model(tmp_path / "word.model", "word", vocab_size=20)
    with pytest.raises(TokenizerError, match=r"word\.model: a SentencePiece model of the kind word"):
        load_existing(str(file))
