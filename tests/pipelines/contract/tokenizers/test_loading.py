"""A tokenizer is found by its manifest, is checked, and loses nothing."""

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import tokenizers as library
from examples import many
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, trainers

from pipelines.contract import files, manifest
from pipelines.contract.manifest import Manifest
from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.pieces import piece_table, word_starts
from pipelines.text.tokenization.vocabulary import train

CONTROL = ("[PAD]", "[UNK]", "[CLS]", "[MASK]", "<|endoftext|>", "<extra_id_0>")
LINES = [
    "The miller's wife had seven geese, and none of them would swim.",
    "Im Herbst 1987 zog die Müllerin mit sieben Gänsen über die Brücke.",
    "Her seven geese went north; the miller went nowhere at all.",
] * 20


def trained(kind: loading.Kind) -> loading.Tokenizer:
    return loading.from_bytes(train(LINES, kind, 480, CONTROL, 1), kind)


BPE, UNIGRAM = trained("bpe"), trained("unigram")
TOKENIZERS = {"bpe": BPE, "unigram": UNIGRAM}
BOTH = pytest.mark.parametrize("kind", TOKENIZERS)


@BOTH
def test_special_pieces_have_the_first_ids_in_their_order(kind: loading.Kind) -> None:
    tokenizer = TOKENIZERS[kind]
    assert tokenizer.special_ids == {piece: i for i, piece in enumerate(CONTROL)}
    assert tokenizer.newline_id == len(CONTROL)


def test_the_unknown_piece_stands_first_when_no_control_piece_is_one() -> None:
    tokenizer = loading.from_bytes(train(LINES, "bpe", 480, ("<|endoftext|>",), 1), "bpe")
    assert tokenizer.special_ids == {"<unk>": 0, "<|endoftext|>": 1}


@BOTH
@pytest.mark.parametrize("text", [*CONTROL, "a [MASK]<extra_id_0> <|endoftext|>[UNK]", "<s></s><0x0A>"])
def test_no_text_spells_a_special_piece(kind: loading.Kind, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    ids = tokenizer.encode(text)
    assert not set(ids) & set(tokenizer.special_ids.values())
    assert tokenizer.decode(ids) == text


@BOTH
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"), max_size=60))
def test_decoding_gives_the_text_back(kind: loading.Kind, text: str) -> None:
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
def test_white_space_and_rare_characters_come_back(kind: loading.Kind, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    assert tokenizer.decode(tokenizer.encode(text)) == text


@BOTH
def test_the_mark_of_a_space_comes_back_as_a_space(kind: loading.Kind) -> None:
    tokenizer = TOKENIZERS[kind]
    assert tokenizer.decode(tokenizer.encode("a\u2581b")) == "a b"


@BOTH
def test_a_word_has_the_same_pieces_at_the_start_of_a_line_and_in_it(kind: loading.Kind) -> None:
    tokenizer = TOKENIZERS[kind]
    word, newline = tokenizer.encode("geese"), tokenizer.newline_id
    assert tokenizer.encode("geese geese\ngeese\n\ngeese") == [*word, *word, newline, *word, newline, newline, *word]


def test_special_ids_are_left_out_of_decoded_text() -> None:
    ids = [BPE.special_ids["[CLS]"], *BPE.encode("seven\ngeese"), BPE.special_ids["<|endoftext|>"]]
    assert BPE.decode(ids) == "seven\ngeese"


def byte_level() -> loading.Tokenizer:
    made: Any = library.Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        LINES, trainers.BpeTrainer(vocab_size=400, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    )
    return loading.from_bytes(made.to_str().encode(), "byte_bpe", "tokenizers")


def wordpiece() -> loading.Tokenizer:
    vocab = {piece: i for i, piece in enumerate(["[UNK]", "[MASK]", "the", "##y", ",", "水", "##水"])}
    made: Any = library.Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(["[UNK]", "[MASK]"])
    return loading.from_bytes(made.to_str().encode(), "wordpiece", "tokenizers")


BYTE_LEVEL = byte_level()


def words(tokenizer: loading.Tokenizer, ids: list[int]) -> list[str]:
    """Ids in words, the pieces of a word joined."""
    table, names = piece_table(tokenizer), tokenizer.piece_names()
    mask = word_starts(np.array(ids), table["word_start"].to_numpy(), table["opens_word"].to_numpy())
    cuts = [*np.flatnonzero(mask).tolist(), len(ids)]
    return ["|".join(names[i] for i in ids[a:b]) for a, b in itertools.pairwise(cuts)]


def test_pieces_know_where_words_start() -> None:
    rows = {row["piece"]: row for row in piece_table(BPE).to_pylist()}
    assert len(rows) == BPE.size
    starts = {name: row["word_start"] for name, row in rows.items()}
    assert starts["▁the"] and starts["▁"] and starts["\n"] and starts["."] and starts[";"] and starts["<"]
    assert not starts["e"] and not starts["<0xE4>"] and not starts["[MASK]"] and not starts["[UNK]"]
    opens = {name for name, row in rows.items() if row["opens_word"]}
    assert opens == {"▁", "\n", *CONTROL} - {"[UNK]"}
    assert (rows["▁the"]["utf8_bytes"], rows["ü"]["utf8_bytes"], rows["<0xE4>"]["utf8_bytes"]) == (4, 2, 1)
    assert (rows["[MASK]"]["kind"], rows["<0xE4>"]["kind"], rows["▁the"]["kind"]) == ("special", "byte", "text")


def test_a_piece_in_a_script_without_spaces_starts_a_word() -> None:
    chinese = loading.from_bytes(train(["水车转动，磨坊主人睡着了。"] * 30, "bpe", 400, (), 1), "bpe")
    starts = {row["piece"]: row["word_start"] for row in piece_table(chinese).to_pylist()}
    assert starts["水"] and starts["，"]


def test_words_of_ids() -> None:
    bytes_of_goose = [f"<0x{byte:02X}>" for byte in "鵝".encode()]
    found = words(BPE, [BPE.special_ids["[CLS]"], *BPE.encode("the geese, 42 鵝鵝.")])
    assert found[:2] == ["[CLS]", "▁the"]
    assert found[found.index(",") :] == [",", "▁", "4|2", "▁", "|".join(bytes_of_goose * 2), "."]
    assert words(BYTE_LEVEL, BYTE_LEVEL.encode("the\nthe,  the"))[-5:] == [
        "Ċ",
        words(BYTE_LEVEL, BYTE_LEVEL.encode("the"))[0],
        ",",
        "Ġ",
        "Ġthe",
    ]
    short = wordpiece()
    assert words(short, short.encode("they, 水水 the zzz")) == ["the|##y", ",", "水|##水", "the", "[UNK]"]


@pytest.mark.parametrize("tokenizer", [BPE, UNIGRAM, BYTE_LEVEL], ids=["bpe", "unigram", "byte_bpe"])
@given(text=st.text(st.one_of(st.sampled_from("the .1"), st.characters(exclude_categories=["Cs"])), max_size=20))
def test_a_character_is_never_parted(tokenizer: loading.Tokenizer, text: str) -> None:
    table, ids = piece_table(tokenizer), np.array(tokenizer.encode(text), np.int64)
    mask = word_starts(ids, table["word_start"].to_numpy(), table["opens_word"].to_numpy())
    cuts = [*np.flatnonzero(mask).tolist(), len(ids)]
    assert len(ids) == 0 or mask[0]
    for a, b in itertools.pairwise(cuts):
        assert "\ufffd" not in tokenizer.decode(ids[a:b]) or "\ufffd" in text


def test_words_of_several_rows() -> None:
    starts, opens = np.array([False, True, False]), np.array([False, False, True])
    ids = np.array([0, 1, 2, 0, 0, 0])
    assert word_starts(ids, starts, opens).tolist() == [True, True, False, True, False, False]
    assert word_starts(ids, starts, opens, np.array([0, 5, 6])).tolist() == [True, True, False, True, False, True]
    assert word_starts(ids.reshape(2, 3), starts, opens).tolist() == [[True, True, False], [True, False, False]]
    assert word_starts(ids[:0], starts, opens).tolist() == []


def normalising(kind: loading.Kind, rule: str) -> loading.Tokenizer:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, model_type=kind, vocab_size=120, normalization_rule_name=rule,
        hard_vocab_limit=False, num_threads=1, minloglevel=2,
    )  # fmt: skip
    return loading.from_bytes(model.getvalue(), kind)


NORMALISING = {"bpe": normalising("bpe", "nmt_nfkc"), "unigram": normalising("unigram", "nmt_nfkc_cf")}


@BOTH
@many
@given(
    text=st.text(
        st.one_of(
            st.sampled_from("the Müsw \n\n\r\t\x85\u2028\u3000\u0301\u0308\u2581ﬁ½"), st.characters(exclude_categories=["Cs"])
        ),
        max_size=40,
    )
)
def test_lines_are_as_good_as_the_whole_where_a_line_end_is_a_space(kind: loading.Kind, text: str) -> None:
    tokenizer = NORMALISING[kind]
    assert tokenizer.by_lines and tokenizer.newline_id is None and not tokenizer.keeps_text
    assert tokenizer.encode(text) == tokenizer.processor.encode(text)


def test_what_a_model_does_to_text_is_found_out() -> None:
    found = {name: (t.by_lines, t.keeps_text, t.line_prefix_bytes) for name, t in {"ours": BPE, "bytes": BYTE_LEVEL}.items()}
    assert found == {"ours": (True, True, 1), "bytes": (False, True, 0)}
    assert BPE.unknown_id == CONTROL.index("[UNK]") and BYTE_LEVEL.unknown_id is None


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
    loaded = loading.load(str(tmp_path))
    assert loaded == BPE
    assert (loaded.size, loaded.kind, loaded.special_ids) == (BPE.size, "bpe", BPE.special_ids)


def test_another_librarys_tokenizer_is_loaded_by_its_manifest(tmp_path: Path) -> None:
    (tmp_path / BYTE_LEVEL.file_name).write_bytes(BYTE_LEVEL.model)
    facts = {"tokenizer": BYTE_LEVEL.facts(BYTE_LEVEL.file_name)}
    manifest.write(str(tmp_path), Manifest(dataset="vocabulary/x", fingerprint="0", made_from={}, parts=(), facts=facts))
    loaded = loading.load(str(tmp_path))
    assert loaded == BYTE_LEVEL and loaded.encode("the geese") == BYTE_LEVEL.encode("the geese")
    (tmp_path / BYTE_LEVEL.file_name).write_bytes(BYTE_LEVEL.model + b" ")
    with pytest.raises(loading.TokenizerError, match=r"tokenizer\.json: this is another tokenizer than the manifest's"):
        loading.load(str(tmp_path))


def test_another_tokenizer_than_the_manifests_is_an_error(tmp_path: object) -> None:
    dataset(str(tmp_path))
    with files.writing(files.join(str(tmp_path), "tokenizer.model")) as stream:
        stream.write(UNIGRAM.model)
    with pytest.raises(loading.TokenizerError, match=r"tokenizer\.model: this is another tokenizer than the manifest's"):
        loading.load(str(tmp_path))


def test_a_manifest_that_lies_about_special_ids_is_an_error(tmp_path: object) -> None:
    dataset(str(tmp_path), special_ids={"[PAD]": 7})
    with pytest.raises(loading.TokenizerError, match=r"facts\.tokenizer\.special_ids"):
        loading.load(str(tmp_path))


def test_a_missing_or_broken_model_is_an_error(tmp_path: object) -> None:
    with pytest.raises(loading.TokenizerError, match=r"absent\.model: the tokenizer is missing"):
        loading.load_file(files.join(str(tmp_path), "absent.model"), "bpe")
    files.write_text(files.join(str(tmp_path), "broken.model"), "no model")
    with pytest.raises(loading.TokenizerError, match=r"broken\.model: not a SentencePiece model"):
        loading.load_file(files.join(str(tmp_path), "broken.model"), "bpe")


def test_a_dataset_without_a_tokenizer_is_an_error(tmp_path: object) -> None:
    manifest.write(str(tmp_path), Manifest(dataset="corpus", fingerprint="0", made_from={}, parts=()))
    with pytest.raises(loading.TokenizerError, match="the manifest of corpus names no tokenizer"):
        loading.load(str(tmp_path))
