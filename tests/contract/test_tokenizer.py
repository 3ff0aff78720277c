"""A tokenizer is found by its manifest, is checked, and loses nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contract import files, manifest
from pipelines.contract import tokenizer as tokenizers
from pipelines.contract.manifest import Manifest
from pipelines.text.vocabulary import train

CONTROL = ("[PAD]", "[UNK]", "[CLS]", "[MASK]", "<|endoftext|>", "<extra_id_0>")
LINES = [
    "The miller's wife had seven geese, and none of them would swim.",
    "Im Herbst 1987 zog die Müllerin mit sieben Gänsen über die Brücke.",
    "Her seven geese went north; the miller went nowhere at all.",
] * 20


def trained(kind: tokenizers.Kind) -> tokenizers.Tokenizer:
    return tokenizers.from_bytes(train(LINES, kind, 480, CONTROL, 1), kind)


BPE, UNIGRAM = trained("bpe"), trained("unigram")
TOKENIZERS = {"bpe": BPE, "unigram": UNIGRAM}
BOTH = pytest.mark.parametrize("kind", TOKENIZERS)


@BOTH
def test_special_pieces_have_the_first_ids_in_their_order(kind: tokenizers.Kind) -> None:
    tokenizer = TOKENIZERS[kind]
    assert tokenizer.special_ids == {piece: i for i, piece in enumerate(CONTROL)}
    assert tokenizer.newline_id == len(CONTROL)


def test_the_unknown_piece_stands_first_when_no_control_piece_is_one() -> None:
    tokenizer = tokenizers.from_bytes(train(LINES, "bpe", 480, ("<|endoftext|>",), 1), "bpe")
    assert tokenizer.special_ids == {"<unk>": 0, "<|endoftext|>": 1}


@BOTH
@pytest.mark.parametrize("text", [*CONTROL, "a [MASK]<extra_id_0> <|endoftext|>[UNK]", "<s></s><0x0A>"])
def test_no_text_spells_a_special_piece(kind: tokenizers.Kind, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    ids = tokenizer.encode(text)
    assert not set(ids) & set(tokenizer.special_ids.values())
    assert tokenizer.decode(ids) == text


@BOTH
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"), max_size=60))
def test_decoding_gives_the_text_back(kind: tokenizers.Kind, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    assert tokenizer.decode(tokenizer.encode(text)) == text


@BOTH
@pytest.mark.parametrize(
    "text",
    [
        *["", " ", "\n", "\n\n\n", "  two  spaces  ", " \n \n", "geese\n  geese\n", "\ta\tb", "a\x00b"],
        *["x\x85y\x1cz\x0b\u2028\xa0\u3000", "\r\n", "鵝🪿e\u0301", "\u2585"],
    ],
)
def test_white_space_and_rare_characters_come_back(kind: tokenizers.Kind, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    assert tokenizer.decode(tokenizer.encode(text)) == text


@BOTH
def test_the_mark_of_a_space_comes_back_as_a_space(kind: tokenizers.Kind) -> None:
    tokenizer = TOKENIZERS[kind]
    assert tokenizer.decode(tokenizer.encode("a\u2581b")) == "a b"


@BOTH
def test_a_word_has_the_same_pieces_at_the_start_of_a_line_and_in_it(kind: tokenizers.Kind) -> None:
    tokenizer = TOKENIZERS[kind]
    word, newline = tokenizer.encode("geese"), tokenizer.newline_id
    assert tokenizer.encode("geese geese\ngeese\n\ngeese") == [*word, *word, newline, *word, newline, newline, *word]


def test_special_ids_are_left_out_of_decoded_text() -> None:
    ids = [BPE.special_ids["[CLS]"], *BPE.encode("seven\ngeese"), BPE.special_ids["<|endoftext|>"]]
    assert BPE.decode(ids) == "seven\ngeese"


def test_pieces_know_where_words_start() -> None:
    rows = {row["piece"]: row for row in tokenizers.pieces(BPE).to_pylist()}
    assert len(rows) == BPE.size
    starts = {name: row["word_start"] for name, row in rows.items()}
    assert starts["▁the"] and starts["▁"] and starts["\n"] and starts["."] and starts[";"]
    assert not starts["e"] and not starts["<0xE4>"] and not starts["[MASK]"]
    assert (rows["▁the"]["utf8_bytes"], rows["ü"]["utf8_bytes"], rows["<0xE4>"]["utf8_bytes"]) == (4, 2, 1)
    assert (rows["[MASK]"]["kind"], rows["<0xE4>"]["kind"], rows["▁the"]["kind"]) == ("special", "byte", "text")


def test_a_piece_in_a_script_without_spaces_starts_a_word() -> None:
    chinese = tokenizers.from_bytes(train(["水车转动，磨坊主人睡着了。"] * 30, "bpe", 400, (), 1), "bpe")
    starts = {row["piece"]: row["word_start"] for row in tokenizers.pieces(chinese).to_pylist()}
    assert starts["水"] and starts["，"]


def dataset(folder: str, **changes: object) -> Manifest:
    with files.writing(files.join(folder, "tokenizer.model")) as stream:
        stream.write(BPE.model)
    facts = {**BPE.facts("tokenizer.model"), **changes}
    made = Manifest(
        dataset="vocabulary/x", fingerprint=manifest.fingerprint({}), made_from={}, parts=(), facts={"tokenizer": facts}
    )
    manifest.write(folder, made)
    return made


def test_a_tokenizer_is_loaded_by_its_manifest(tmp_path: object) -> None:
    dataset(str(tmp_path))
    loaded = tokenizers.load(str(tmp_path))
    assert loaded == BPE
    assert (loaded.size, loaded.kind, loaded.special_ids) == (BPE.size, "bpe", BPE.special_ids)


def test_another_tokenizer_than_the_manifests_is_an_error(tmp_path: object) -> None:
    dataset(str(tmp_path))
    with files.writing(files.join(str(tmp_path), "tokenizer.model")) as stream:
        stream.write(UNIGRAM.model)
    with pytest.raises(tokenizers.TokenizerError, match=r"tokenizer\.model: this is another tokenizer than the manifest's"):
        tokenizers.load(str(tmp_path))


def test_a_manifest_that_lies_about_special_ids_is_an_error(tmp_path: object) -> None:
    dataset(str(tmp_path), special_ids={"[PAD]": 7})
    with pytest.raises(tokenizers.TokenizerError, match=r"facts\.tokenizer\.special_ids"):
        tokenizers.load(str(tmp_path))


def test_a_missing_or_broken_model_is_an_error(tmp_path: object) -> None:
    with pytest.raises(tokenizers.TokenizerError, match=r"absent\.model: the tokenizer is missing"):
        tokenizers.load_file(files.join(str(tmp_path), "absent.model"), "bpe")
    files.write_text(files.join(str(tmp_path), "broken.model"), "no model")
    with pytest.raises(tokenizers.TokenizerError, match=r"broken\.model: not a SentencePiece model"):
        tokenizers.load_file(files.join(str(tmp_path), "broken.model"), "bpe")


def test_a_dataset_without_a_tokenizer_is_an_error(tmp_path: object) -> None:
    manifest.write(str(tmp_path), Manifest(dataset="corpus", fingerprint="0", made_from={}, parts=()))
    with pytest.raises(tokenizers.TokenizerError, match="the manifest of corpus names no tokenizer"):
        tokenizers.load(str(tmp_path))
