"""Perplexity by KenLM's models: its arithmetic, CCNet's normalisation, and what is said of files that cannot be used."""

import importlib.util
import sys
from pathlib import Path

import ngram_models
import pyarrow as pa
import pytest
import sentencepiece
from places import FIXTURES

from pipelines.text.judgement.perplexity import PerplexityError, ccnet, load

ARPA = FIXTURES / "ngrams" / "shakespeare.arpa"
# log10 p by kenlm 0.3.0, and the number of words with the end of the sentence
SCORES = {
    "first citizen before we proceed any further hear me speak": (-7.209290504455566, 11),
    "speak speak": (-2.6962263584136963, 3),
    "zebra": (-3.761413097381592, 2),
    "the people are hungry zebra for bread": (-16.26743507385254, 8),
}


@pytest.fixture(autouse=True)
def kenlm(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("kenlm") is None:
        monkeypatch.setitem(sys.modules, "kenlm", ngram_models)


@pytest.mark.parametrize("text", SCORES)
def test_perplexity_is_of_a_token_of_which_the_end_of_a_line_is_one(text: str) -> None:
    total, tokens = SCORES[text]
    (found,) = load(ARPA, None, "none")(pa.array([text])).to_pylist()
    assert found == pytest.approx(10 ** (-total / tokens), rel=1e-5)


def test_every_line_is_a_sentence_and_blank_ones_do_not_count() -> None:
    (one, two), (three, four) = SCORES["speak speak"], SCORES["zebra"]
    found = load(ARPA, None, "none")(pa.array(["speak speak\n\n \nzebra", "", "\n \n"]))
    assert found.type == pa.float32()
    assert found.to_pylist() == [pytest.approx(10 ** (-(one + three) / (two + four)), rel=1e-5), None, None]


def test_a_text_like_the_models_has_a_lower_perplexity() -> None:
    like, unlike = load(ARPA, None, "ccnet")(pa.array(["First Citizen: we are ACCOUNTED poor", "Add to cart!"])).to_pylist()
    assert like < unlike


def test_ccnet_reads_lower_case_zeros_and_plain_signs() -> None:
    assert ccnet(" Das «Größte» kostet 12,50 € — im\tCafé…\x07 ") == 'das "großte" kostet 00,00 €  -  imcafe...'
    assert ccnet("１２３ ＡＢＣ，東京。ガ") == "000 ａｂｃ,東京.カ"
    assert ccnet("") == ""


def test_a_model_of_pieces_reads_pieces(tmp_path: Path) -> None:
    lines = (FIXTURES / "ngrams" / "shakespeare.txt").read_text().splitlines()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(lines), model_prefix=str(tmp_path / "sp"), vocab_size=60, minloglevel=2
    )
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "sp.model"))
    text = "we are accounted poor citizens"
    pieces = " ".join(processor.encode(text, out_type=str))
    assert pieces.startswith("▁")
    by_pieces = load(ARPA, tmp_path / "sp.model", "none")(pa.array([text])).to_pylist()
    assert by_pieces == load(ARPA, None, "none")(pa.array([pieces])).to_pylist()
    assert by_pieces != load(ARPA, None, "none")(pa.array([text])).to_pylist()


def test_files_that_are_no_models_are_named(tmp_path: Path) -> None:
    (tmp_path / "cut.arpa").write_bytes(ARPA.read_bytes()[:2000])
    (tmp_path / "none.model").write_text("hello")
    with pytest.raises(PerplexityError, match=r"cut\.arpa: is no n-gram model of KenLM, or is cut off \(Cannot read model"):
        load(tmp_path / "cut.arpa", None, "ccnet")
    with pytest.raises(PerplexityError, match=r"none\.model: is no SentencePiece model"):
        load(ARPA, tmp_path / "none.model", "ccnet")


def test_without_kenlm_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kenlm", None)
    with pytest.raises(PerplexityError, match=r"pip install 'corpusmill\[perplexity\]'"):
        load(ARPA, None, "ccnet")
