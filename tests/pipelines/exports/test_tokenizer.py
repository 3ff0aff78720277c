"""What is exported gives Hugging Face's AutoTokenizer our ids, and a family's template about them."""

import bz2
import html
import io
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import tokenizers as library
import transformers
from examples import many
from fastwarc.warc import ArchiveIterator, WarcRecordType
from hypothesis import given
from hypothesis import strategies as st
from places import SHARED
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.families import FAMILIES, Family, SpecialsError
from pipelines.contract.tokenizers.loading import Tokenizer, TokenizerError
from pipelines.exports.tokenizer import export_huggingface

DATA = SHARED
LINES = [
    "The miller's wife had seven geese, and none of them would swim....",
    "Im Herbst 1987 zog die Müllerin mit sieben Gänsen über die Brücke.",
    "水车转动，磨坊主人睡着了。 Мельница стояла у реки.",
] * 20
EDGES = [
    *["", "\n", "\n\n", " ", "  a  b ", "\ta\t", "a\n\n\nb\n", " \n \n", "geese \n  geese\n", "\u2581a\u2581 \u2581", "\r\n\r\n"],
    *[
        "x\x85y\x0b\x1c\u2028\xa0\u3000z",
        "a\x00b",
        "🪿👨\u200d👩\u200d👧 鵝",
        "<0x41><0x0A>",
        "\ufeffx",
        "\U0010ffff e\u0301",
        "<[MASK>",
    ],
    *[character * n for character in ".=-a " for n in (2, 3, 5, 8, 13, 37)],
]
CONTROL = list(dict.fromkeys(piece for family in FAMILIES.values() for piece in (*family.pieces, *family.last)))
IDENTITY = {
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "byte_fallback": True,
    "split_digits": True,
    "user_defined_symbols": ["\n"],
}


def trained(kind: loading.Kind, lines: list[str] = LINES, size: int = 600, **options: Any) -> Tokenizer:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type=kind,
        vocab_size=size,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        unk_id=0,
        unk_piece="<unk>",
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        control_symbols=[piece for piece in CONTROL if piece != "<unk>"],
        required_chars="".join(map(chr, range(0x21, 0x7F))),
        **options,
    )
    return loading.from_bytes(model.getvalue(), kind)


def wordpiece() -> Tokenizer:
    made: Any = library.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    special = list(FAMILIES["bert"].pieces)
    made.train_from_iterator(LINES, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    return loading.from_bytes(made.to_str().encode(), "wordpiece", "tokenizers")


def byte_bpe() -> Tokenizer:
    made: Any = library.Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = [*FAMILIES["bart"].pieces, *FAMILIES["bart"].last, "<|endoftext|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet))
    return loading.from_bytes(made.to_str().encode(), "byte_bpe", "tokenizers")


TOKENIZERS: dict[str, Tokenizer] = {
    "bpe": trained("bpe", **IDENTITY),
    "unigram": trained("unigram", **IDENTITY),
    "nfkc": trained("unigram", size=420, normalization_rule_name="nmt_nfkc_cf"),
    "no_bytes": trained("bpe", size=420, normalization_rule_name="nmt_nfkc"),
    "whole": trained("bpe", **{**IDENTITY, "user_defined_symbols": []}),
    "reaching": trained("bpe", split_by_whitespace=False, **{**IDENTITY, "user_defined_symbols": []}),
    "no_prefix": trained("bpe", add_dummy_prefix=False, **IDENTITY),
    "char": trained("char", add_dummy_prefix=False, **IDENTITY),
    "wordpiece": wordpiece(),
    "byte_bpe": byte_bpe(),
}
EACH = pytest.mark.parametrize("name", TOKENIZERS)
EXACT = pytest.mark.parametrize("name", ["bpe", "unigram", "char"])


def loaded(tokenizer: Tokenizer, folder: Path, family: Family | None = None) -> Any:
    export_huggingface(tokenizer, str(folder), family)
    return transformers.AutoTokenizer.from_pretrained(str(folder))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {name: loaded(tokenizer, tmp_path_factory.mktemp(name)) for name, tokenizer in TOKENIZERS.items()}


def is_near_tie(name: str, text: str) -> bool:
    """Runs of one character have many equally good cuts: unigram's float32 and float64 may differ there."""
    return TOKENIZERS[name].kind == "unigram" and any(c * 3 in text for c in ".=-")


@EACH
def test_ids_and_texts_are_ours(theirs: dict[str, Any], name: str) -> None:
    tokenizer, other = TOKENIZERS[name], theirs[name]
    assert len(other) == tokenizer.size
    for text in [*EDGES, *LINES[:3], "\n".join(LINES[:5])]:
        # The library cannot leave the order of marks as it is where there is a normaliser: our documents are NFC anyway.
        text = unicodedata.normalize("NFC", text) if name in ("nfkc", "no_bytes") else text
        if is_near_tie(name, text):
            continue
        ids = tokenizer.encode(text)
        assert other(text, add_special_tokens=False)["input_ids"] == ids, text
        known = [i for i in ids if i != tokenizer.unknown_id]
        assert other.decode(known) == tokenizer.decode(known), text


@EXACT
@many
@given(
    text=st.text(
        st.one_of(st.sampled_from("the milr.\n \u2581\t1水<0xE>"), st.characters(exclude_categories=["Cs"])), max_size=40
    )
)
def test_ids_are_ours_for_any_text(theirs: dict[str, Any], name: str, text: str) -> None:
    if name == "unigram" and re.search(r"(.)\1\1", text):
        return
    special = [piece for piece in CONTROL if piece in text]
    if special:
        return
    ids = TOKENIZERS[name].encode(text)
    assert theirs[name](text, add_special_tokens=False)["input_ids"] == ids
    assert theirs[name].decode(ids) == TOKENIZERS[name].decode(ids)


def test_berts_template(tmp_path: Path) -> None:
    for name in ("bpe", "wordpiece"):
        tokenizer = TOKENIZERS[name]
        other = loaded(tokenizer, tmp_path / name, "bert")
        a, b, ids = tokenizer.encode("geese"), tokenizer.encode("die Brücke"), tokenizer.special_ids
        cls, sep = ids["[CLS]"], ids["[SEP]"]
        assert other("geese")["input_ids"] == [cls, *a, sep]
        pair = other("geese", "die Brücke")
        assert pair["input_ids"] == [cls, *a, sep, *b, sep]
        assert pair["token_type_ids"] == [0] * (len(a) + 2) + [1] * (len(b) + 1)
        assert (other.pad_token_id, other.mask_token_id, other.cls_token_id) == (ids["[PAD]"], ids["[MASK]"], cls)
        assert other.unk_token_id == tokenizer.unknown_id
        assert other(["geese", "a b c"], padding=True)["input_ids"][0][-1] == ids["[PAD]"]


def test_barts_template(tmp_path: Path) -> None:
    for name in ("unigram", "byte_bpe"):
        tokenizer = TOKENIZERS[name]
        other = loaded(tokenizer, tmp_path / name, "bart")
        a, b, ids = tokenizer.encode("geese"), tokenizer.encode("die Brücke"), tokenizer.special_ids
        assert other("geese")["input_ids"] == [ids["<s>"], *a, ids["</s>"]]
        wanted = [ids["<s>"], *a, ids["</s>"], ids["</s>"], *b, ids["</s>"]]
        assert other("geese", "die Brücke")["input_ids"] == wanted
        assert [other.bos_token, other.eos_token, other.pad_token, other.mask_token] == ["<s>", "</s>", "<pad>", "<mask>"]
        assert other.decode(other("geese")["input_ids"], skip_special_tokens=True) == "geese"


def test_t5s_template_and_sentinels(tmp_path: Path) -> None:
    tokenizer = TOKENIZERS["unigram"]
    other = loaded(tokenizer, tmp_path, "t5")
    ids, a = tokenizer.special_ids, tokenizer.encode("geese")
    assert other("geese")["input_ids"] == [*a, ids["</s>"]]
    assert other("geese", "geese")["input_ids"] == [*a, ids["</s>"], *a, ids["</s>"]]
    assert (other.pad_token_id, other.eos_token_id, other.bos_token) == (ids["<pad>"], ids["</s>"], None)
    found = other("geese <extra_id_0> geese <extra_id_99>", add_special_tokens=False)["input_ids"]
    assert found == [*a, ids["<extra_id_0>"], *a, ids["<extra_id_99>"]]


def test_gpts_text_stands_alone(tmp_path: Path) -> None:
    for name in ("bpe", "byte_bpe"):
        tokenizer = TOKENIZERS[name]
        other = loaded(tokenizer, tmp_path / name, "gpt")
        assert other("geese\nswim")["input_ids"] == tokenizer.encode("geese\nswim")
        end = tokenizer.special_ids["<|endoftext|>"]
        assert other.eos_token_id == other.bos_token_id == other.pad_token_id == end
        assert other.model_input_names == ["input_ids", "attention_mask"]


@pytest.mark.parametrize(
    ("name", "family", "mask"), [("bpe", "bert", "[MASK]"), ("unigram", "bart", "<mask>"), ("byte_bpe", "bart", "<mask>")]
)
def test_a_mask_in_a_text_is_hugging_faces_convention(tmp_path: Path, name: str, family: Family, mask: str) -> None:
    """Here their rule holds: a spelled special piece is its id. Ours, that it is text, is theirs by split_special_tokens."""
    tokenizer = TOKENIZERS[name]
    other = loaded(tokenizer, tmp_path, family)
    behind = tokenizer.encode("swim") if tokenizer.library == "sentencepiece" else tokenizer.encode(" swim")
    text = f"geese {mask} swim"
    wanted = [*tokenizer.encode("geese"), tokenizer.special_ids[mask], *behind]
    assert other(text, add_special_tokens=False)["input_ids"] == wanted
    split = transformers.AutoTokenizer.from_pretrained(str(tmp_path), split_special_tokens=True)
    assert split(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text)


def test_a_models_config_beside_it_changes_nothing(tmp_path: Path) -> None:
    export_huggingface(TOKENIZERS["bpe"], str(tmp_path), "bert")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    other = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    assert other("geese\n\n geese", add_special_tokens=False)["input_ids"] == TOKENIZERS["bpe"].encode("geese\n\n geese")


def test_it_is_the_same_twice(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        export_huggingface(TOKENIZERS["unigram"], str(tmp_path / folder), "t5")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_what_cannot_be_exported_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpecialsError, match=r"has no piece <pad>, </s>, <extra_id_99> .*which t5 needs"):
        export_huggingface(TOKENIZERS["wordpiece"], str(tmp_path), "t5")
    own = trained("bpe", **{**IDENTITY, "user_defined_symbols": ["\n", "mill"]})
    with pytest.raises(TokenizerError, match=r"user-defined pieces \('mill'\)"):
        export_huggingface(own, str(tmp_path))
    both = trained("bpe", **{**IDENTITY, "normalization_rule_name": "nfkc"})
    with pytest.raises(TokenizerError, match=r"has the piece \\n and a normaliser"):
        export_huggingface(both, str(tmp_path))
    assert not list(tmp_path.iterdir())


def sentences() -> Iterator[str]:
    for file in sorted((DATA / "langid" / "sentences").glob("*.txt")):
        lines = file.read_text("utf-8", "replace").split("\n")
        yield from ("\n".join(lines[i : i + 15]) for i in range(0, len(lines), 15))


def wikitext() -> Iterator[str]:
    for file in sorted((DATA / "wikipedia" / "minidumps").iterdir()):
        yield from re.findall(r"<text[^>]*>(.*?)</text>", bz2.decompress(file.read_bytes()).decode("utf-8", "replace"), re.S)


def books() -> Iterator[str]:
    for language in ("en", "de", "pl", "lzh"):
        for file in sorted((DATA / "books" / language).glob("*.txt"))[:6]:
            text = file.read_text("utf-8", "replace")
            yield from (text[i : i + 1500] for i in range(20_000, min(len(text), 400_000), 20_000))
    for file in sorted((DATA / "books" / "ja").glob("*.txt")):
        text = file.read_bytes().decode("cp932", "replace")
        yield from (text[i : i + 1000] for i in range(0, min(len(text), 20_000), 5000))


def handbook() -> Iterator[str]:
    with (DATA / "crawl" / "other" / "debian-handbook-26-languages.warc.gz").open("rb") as stream:
        for number, record in enumerate(ArchiveIterator(stream, record_types=WarcRecordType.response)):
            if number % 3 == 0:
                page = re.sub(r"(?s)<(script|style).*?</\1>", "", record.reader.read().decode("utf-8", "replace"))
                yield re.sub(r"<[^>]+>", " ", page)


@pytest.fixture(scope="module")
def documents() -> list[str]:
    if not DATA.is_dir():
        pytest.skip("the real data (../shared/data) is not here")
    found = [*sentences(), *wikitext(), *books(), *handbook()]
    return [html.unescape(text)[:1000] for text in found if text.strip()]


@pytest.mark.parametrize(("kind", "allowed"), [("bpe", 0), ("unigram", 5)])
def test_two_thousand_real_documents_have_our_ids(documents: list[str], tmp_path: Path, kind: loading.Kind, allowed: int) -> None:
    assert len(documents) >= 2000
    lines = [line[:500] for text in documents[::4] for line in text.split("\n") if line]
    tokenizer = trained(kind, lines, 6000, input_sentence_size=5000, shuffle_input_sentence=False, **IDENTITY)
    ours = tokenizer.encode_batch(documents)
    other = loaded(tokenizer, tmp_path)
    ids = other(documents, add_special_tokens=False)["input_ids"]
    different = [text for text, a, b in zip(documents, ours, ids, strict=True) if a != b]
    print(kind, len(different), len(documents))
    assert len(different) <= allowed, different[:5]
    assert other.batch_decode(ours) == [tokenizer.decode(row) for row in ours]
