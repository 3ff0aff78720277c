"""The trainer sees every line, special pieces have their ids and no text has them; errors are in the config's words."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contract.tokenizers import families, loading
from pipelines.contract.tokenizers.families import FAMILIES, Family
from pipelines.contract.tokenizers.loading import Tokenizer
from pipelines.text.tokenization import train_sentencepiece
from pipelines.text.tokenization.vocabulary import Recipe, cut, special_pieces, train, trainer_memory, training_lines

LINES = ["The mill by the river turned and turned, and 12 geese looked on."] * 20
SHARED: tuple[tuple[Family, ...], ...] = (("bert",), ("gpt",), ("bart",), ("t5",), ("bart", "t5"), ("gpt", "bert", "t5", "bart"))
KINDS: tuple[loading.Kind, ...] = ("bpe", "unigram")


def trained(kind: loading.Kind, wanted: Sequence[Family], recipe: Recipe | None = None, size: int = 700) -> Tokenizer:
    return loading.from_bytes(train(LINES, kind, size, special_pieces(wanted, ["<more>"]), 1, recipe or Recipe()), kind)


@pytest.fixture(scope="module")
def by_family() -> dict[tuple[str, tuple[Family, ...]], Tokenizer]:
    return {(kind, wanted): trained(kind, wanted) for kind in KINDS for wanted in SHARED}


def test_a_line_is_cut_at_spaces_or_between_characters() -> None:
    assert list(cut("to be or not", 6)) == ["to be", "or not"]
    assert list(cut("你好吗", 7)) == ["你好", "吗"]
    assert list(cut("abc", 3)) == ["abc"]


@given(st.text(st.sampled_from("ab é水😀"), min_size=1, max_size=60), st.integers(4, 12))
def test_a_cut_line_loses_only_spaces(line: str, limit: int) -> None:
    pieces = list(cut(line, limit))
    assert all(0 < len(piece.encode()) <= limit for piece in pieces)
    assert "".join(pieces).replace(" ", "") == line.replace(" ", "")


def test_training_lines_leave_nothing_out() -> None:
    texts = pa.array(["one\n\ntwo \u2585 blocks\n", "x" * 5000, "", "水" * 2000])
    lines = list(training_lines([texts]))
    assert lines[:2] == ["one", "two   blocks"]
    assert [len(line.encode()) for line in lines[2:]] == [4192, 808, 4191, 1809]
    train([*lines, *LINES], "bpe", 500, (), 1)  # raises when a line is left out


@pytest.mark.parametrize(
    ("line", "reason"),
    [("x" * 4193, r"Found too long line \(4193 > 4192\)"), ("a \u2585", "Reserved chars are found")],
)
def test_a_line_that_the_trainer_skips_is_an_error(line: str, reason: str) -> None:
    with pytest.raises(AssertionError, match=f"took 20 of 21 lines.*{reason}"):
        train([*LINES, line], "bpe", 500, (), 1)


def test_the_first_ids_are_the_families_pieces_in_their_order(by_family: dict[tuple[str, tuple[Family, ...]], Tokenizer]) -> None:
    for wanted in SHARED[:4]:
        pieces, last = FAMILIES[wanted[0]].pieces, FAMILIES[wanted[0]].last
        for kind in KINDS:
            tokenizer = by_family[kind, wanted]
            names = [str(tokenizer.processor.id_to_piece(i)) for i in range(tokenizer.size)]
            assert tuple(names[: len(pieces)]) == pieces
            assert tuple(names[tokenizer.size - len(last) :]) == last
            rest = ["<more>"] if FAMILIES[wanted[0]].unknown else ["<unk>", "<more>"]
            assert list(tokenizer.special_ids) == [*pieces, *rest, *last]
    t5 = by_family["bpe", ("t5",)].special_ids
    assert (t5["<pad>"], t5["</s>"], t5["<unk>"], t5["<extra_id_99>"], t5["<extra_id_0>"]) == (0, 1, 2, 3, 102)


def test_families_that_share_a_vocabulary_have_each_its_pieces_and_one_unknown(
    by_family: dict[tuple[str, tuple[Family, ...]], Tokenizer],
) -> None:
    for (_, wanted), tokenizer in by_family.items():
        for family in wanted:
            ids = families.specials(family, tokenizer.special_ids, "here")
            found = [ids.pad, ids.begin, ids.end, ids.mask, *ids.sentinels]
            spelled = [FAMILIES[family].pad, FAMILIES[family].begin, FAMILIES[family].end, FAMILIES[family].mask]
            names = [None if i is None else tokenizer.processor.id_to_piece(i) for i in found]
            assert names == [*spelled, *(f"<extra_id_{n}>" for n in range(len(ids.sentinels)))]
        unknown = [i for i in range(tokenizer.size) if tokenizer.processor.is_unknown(i)]
        assert len(unknown) == 1
    special = special_pieces(["gpt", "bert", "t5"])
    assert special.first[:8] == ("<|endoftext|>", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<pad>", "</s>")
    assert "<unk>" not in special.first


def test_sentencepiece_knows_the_first_familys_roles(by_family: dict[tuple[str, tuple[Family, ...]], Tokenizer]) -> None:
    def roles(*wanted: Family) -> tuple[int, int, int, int]:
        processor = by_family["bpe", wanted].processor
        return processor.pad_id(), processor.bos_id(), processor.eos_id(), processor.unk_id()

    assert roles("bert") == (0, 2, 3, 1)
    assert roles("gpt") == (-1, -1, 0, 1)
    assert roles("bart") == (1, 0, 2, 3)
    assert roles("t5") == (0, -1, 1, 2)
    assert roles("bart", "t5") == (1, 0, 2, 3)


def test_no_text_yields_a_special_piece(by_family: dict[tuple[str, tuple[Family, ...]], Tokenizer]) -> None:
    for tokenizer in by_family.values():
        names = list(tokenizer.special_ids)
        for text in [*names, "".join(names), " ".join(names), "a" + "b".join(names), "".join(names).lower()]:
            assert not set(tokenizer.encode(text)) & set(tokenizer.special_ids.values())
            assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("normalizer", ["nfkc", "nfkc_lower"])
def test_no_normalised_text_yields_a_special_piece(normalizer: str) -> None:
    tokenizer = trained("unigram", ["bert", "t5"], Recipe(normalizer=normalizer))  # type: ignore[arg-type]
    for name in tokenizer.special_ids:
        wide = "".join(chr(ord(c) + 0xFEE0) for c in name)  # full-width forms, which NFKC turns into name
        assert not set(tokenizer.encode(f"{name} {wide} x{name}")) & set(tokenizer.special_ids.values())


@pytest.mark.parametrize("kind", KINDS)
@given(text=st.text(st.characters(exclude_characters="\u2581", exclude_categories=["Cs"]), max_size=30))
def test_the_identity_normaliser_keeps_every_text(
    by_family: dict[tuple[str, tuple[Family, ...]], Tokenizer], kind: str, text: str
) -> None:
    tokenizer = by_family[kind, ("gpt",)]
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_other_normalisers_unify_characters_and_white_space_and_have_no_newline() -> None:
    nfkc = trained("bpe", ["bert"], Recipe(normalizer="nfkc"))
    assert nfkc.newline_id is None
    assert nfkc.decode(nfkc.encode("  The \n\tﬁne　ＭＩＬＬ ")) == "The fine MILL"
    lower = trained("bpe", ["bert"], Recipe(normalizer="nfkc_lower"))
    assert lower.decode(lower.encode("The ﬁne MILL")) == "the fine mill"
    names = [str(lower.processor.id_to_piece(i)) for i in range(lower.size)]
    assert not any(name.isupper() and len(name) == 1 for name in names)


def test_digits_stay_together_and_strange_characters_unknown_if_so_asked() -> None:
    together = trained("bpe", ["gpt"], Recipe(split_digits=False, byte_fallback=False), 150)
    assert [together.processor.id_to_piece(i) for i in together.encode("12")] == ["▁12"]
    unknown = together.special_ids["<unk>"]
    assert unknown in together.encode("水")
    assert not any(together.processor.is_byte(i) for i in range(together.size))


def test_more_special_pieces_must_leave_text_its_own() -> None:
    for piece in ("a", "two words", " x", "", "<0x41>"):
        with pytest.raises(ValueError, match=r"^control_pieces holds .*which text needs itself"):
            special_pieces(["gpt"], [piece])
    assert special_pieces(["gpt"], ["<sep>", "<sep>", "<|endoftext|>"]).first == ("<|endoftext|>", "<unk>", "<sep>")
    assert special_pieces([], ["<sep>"]).first == ("<unk>", "<sep>")


def test_a_size_below_the_characters_is_an_error_with_the_least_size() -> None:
    with pytest.raises(
        ValueError, match=r"^size is 300, but the characters, the bytes and the special pieces alone are 3\d\d: raise it"
    ):
        train(LINES, "bpe", 300, (), 1)


def test_no_text_and_too_little_coverage_are_errors() -> None:
    with pytest.raises(ValueError, match="there is no text to train on"):
        train([], "bpe", 500, (), 1)
    with pytest.raises(ValueError, match=r"^character_coverage is 0\.9, but SentencePiece takes 0\.98 to 1"):
        train(LINES, "bpe", 500, (), 1, Recipe(character_coverage=0.9))


@pytest.mark.parametrize("kind", KINDS)
def test_too_little_text_makes_a_smaller_vocabulary(kind: loading.Kind) -> None:
    assert 350 < loading.from_bytes(train(LINES, kind, 4000, (), 1), kind).size < 500


@pytest.mark.parametrize("kind", KINDS)
def test_equal_arguments_make_equal_bytes(kind: loading.Kind) -> None:
    """Every training is a process of its own."""
    lines = [f"{line} {n} wheels and {'ab' * (n % 7)}" for n, line in enumerate(LINES * 3)]
    assert train(lines, kind, 420, (), 2) == train(lines, kind, 420, (), 2)


def test_digits_are_split() -> None:
    tokenizer = loading.from_bytes(train(LINES, "bpe", 420, (), 1), "bpe")
    assert [tokenizer.processor.id_to_piece(i) for i in tokenizer.encode("12")] == ["▁", "1", "2"]


def test_the_trainers_memory_is_told_by_its_text() -> None:
    assert trainer_memory("bpe", {}) == 150_000_000
    assert trainer_memory("bpe", {"en": 10, "ja": 10}) - 150_000_000 == 460
    assert trainer_memory("unigram", {"en": 10, "ja": 10}) - 150_000_000 == 440
    assert trainer_memory("unigram", {"en": 2**31}) == 150_000_000 + 44 * 2**31
    assert trainer_memory("bpe", {"en": 2**31}) == 150_000_000 + 10 * 2**31


def test_a_trainer_that_is_killed_names_the_field(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    killed = tmp_path / "killed.py"
    killed.write_text("import os, signal, sys\nsys.stdin.readline()\nos.kill(os.getpid(), signal.SIGKILL)\n")
    monkeypatch.setattr(train_sentencepiece, "__file__", str(killed))
    with pytest.raises(ValueError, match=r"^sample_bytes: SentencePiece's trainer was killed by signal 9 .* lower it"):
        train(LINES * 10_000, "bpe", 500, (), 1)


def test_an_error_in_the_text_stops_the_trainer() -> None:
    def lines() -> Iterator[str]:
        yield from LINES
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        train(lines(), "bpe", 500, (), 1)


@pytest.mark.skipif(sys.platform != "linux", reason="the signal of a parent's death is Linux'")
def test_no_trainer_outlives_a_build_that_is_killed() -> None:
    """Its input stays open here, so only the death of the process that started it can end it."""
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-P', {train_sentencepiece.__file__!r}, '{{}}'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as build:
        assert build.stdin is not None and build.stdout is not None
        trainer = Path("/proc", build.stdout.readline().decode().strip())
        eventually(lambda: "_sentencepiece" in (trainer / "maps").read_text())
        eventually(lambda: ") S " in (trainer / "stat").read_text())  # it waits for its first line
        build.kill()
        eventually(lambda: not trainer.exists() or ") Z " in (trainer / "stat").read_text())


def eventually(look: Callable[[], bool]) -> None:
    for _ in range(6000):
        if look():
            return
        time.sleep(0.05)
    pytest.fail("not within 300 s")


def test_the_trainer_is_a_program() -> None:
    options = '{"vocab_size": 20, "model_type": "bpe", "hard_vocab_limit": false, "minloglevel": 2}'
    command = [sys.executable, "-P", train_sentencepiece.__file__, options]
    model = subprocess.run(command, input=b"to be\nor not\n", capture_output=True, check=True).stdout
    assert loading.from_bytes(model, "bpe").size == 20
