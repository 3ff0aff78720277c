"""Which texts hold an item: whole, edited, in part; what frequency and second signs decide; and how it is shown."""

import doctest
import random
import time

import numpy as np
import pyarrow as pa

from pipelines.text.copies import contamination
from pipelines.text.copies.contamination import (
    SIGN_LENGTH,
    SIGN_WORDS,
    Benchmarks,
    Frequencies,
    Rules,
    Signs,
    matches,
    no_signs,
    weights,
)
from pipelines.text.copies.item_grams import collected, grams, hits, index, run_hashes

RULES = Rules(share=0.4, short_words=13, frequent=20)
OTHER = "and so it went on for a long while until the evening came and the lamps were lit along it"


def numbered(first: int, behind: int, name: str = "w") -> str:
    return " ".join(f"{name}{i}" for i in range(first, behind))


def benchmarks(items: list[str], corpus: list[str] | None = None, signs: list[str] | None = None) -> Benchmarks:
    """Items of a benchmark, weighted by a corpus; `signs` has one for each item."""
    known = collected([grams(pa.array(items), ngram=5)])
    reference = index(known, ngram=5)
    frequencies = None
    if corpus is not None:
        found = hits(pa.array(corpus), reference)
        size = len(known.hashes)
        documents = np.bincount(np.unique(found.rows * size + found.grams) % size, minlength=size)
        frequencies = Frequencies(documents, len(corpus))
    beside = no_signs(len(items))
    if signs is not None:
        beside = Signs(np.arange(len(items) + 1), *run_hashes(pa.array(signs), SIGN_LENGTH))
    return Benchmarks(reference, beside, weights(known, frequencies, RULES))


def found(texts: list[str], held: Benchmarks) -> list[tuple[int, int, int, int]]:
    places = matches(pa.array(texts), held, RULES)
    return list(zip(*(column.tolist() for column in (places.rows, places.items, places.first, places.last)), strict=True))


def edited(text: str, every: int) -> str:
    return " ".join("xyz" if n % every == every - 1 else word for n, word in enumerate(text.split()))


def test_an_item_is_found_whole_or_with_every_twelfth_word_changed() -> None:
    held = benchmarks([numbered(0, 40)])
    assert found([f"{OTHER} {numbered(0, 40)} {OTHER}", edited(numbered(0, 40), 12), edited(numbered(0, 40), 4)], held) == [
        (0, 0, 20, 59),
        (1, 0, 0, 34),
    ]


def test_a_quotation_of_less_than_the_share_is_none() -> None:
    held = benchmarks([numbered(0, 100)])
    assert found([f"{OTHER} {numbered(10, 40)} {OTHER}"], held) == []
    assert found([numbered(10, 64)], held) == [(0, 0, 0, 53)]  # 50 n-grams in a row that no other document has


def test_a_quoted_half_is_none_where_half_of_an_edited_item_is_one() -> None:
    held = benchmarks([numbered(0, 50)])
    half, spread = numbered(10, 35), edited(numbered(0, 50), 11)
    assert found([f"{OTHER} {half} {OTHER}"], held) == []  # 21 of 46 n-grams, in 25 words
    assert found([f"{OTHER} {spread} {OTHER}"], held) == [(0, 0, 20, 69)]  # 26 n-grams, from one end to the other


def test_what_is_scattered_over_a_text_does_not_add_up() -> None:
    parts = [numbered(first, first + 6) for first in range(0, 30, 6)]
    held = benchmarks([" ".join(parts)])
    assert found([" ".join(parts)], held) == [(0, 0, 0, 29)]
    assert found([f" {OTHER} {OTHER} ".join(parts)], held) == []


def test_every_copy_in_a_text_is_a_place() -> None:
    held = benchmarks([numbered(0, 20)])
    text = f"{numbered(0, 20)} {OTHER} {OTHER} {numbered(0, 20)} {OTHER} {OTHER} {OTHER} {numbered(0, 20)}"
    assert found([text], held) == [(0, 0, 0, 19), (0, 0, 60, 79), (0, 0, 140, 159)]


def test_a_short_item_must_be_there_as_a_whole() -> None:
    held = benchmarks([numbered(0, 8)])
    assert found([f"a {numbered(0, 8)} b", numbered(0, 7), edited(numbered(0, 8), 4)], held) == [(0, 0, 1, 8)]


def test_a_short_item_of_frequent_words_needs_a_sign_nearby() -> None:
    question, answer = "what is the name of the lake", "Lake Aral of old"
    corpus = [f"{n} {question} {n}" for n in range(15)]
    held = benchmarks([question], corpus, signs=[answer])
    near, far = " x" * (SIGN_WORDS - 4), " x" * (SIGN_WORDS - 3)
    texts = [
        question,
        f"{question}? {answer}!",
        f"{answer}{near} {question}",
        f"{question}{near} {answer}",
        f"{question}{far} {answer}",
    ]
    assert [row for row, *_ in found(texts, held)] == [1, 2, 3]
    assert [row for row, *_ in found(texts, benchmarks([question], corpus[:12], signs=[answer]))] == [0, 1, 2, 3, 4]


def test_a_sign_inside_the_item_is_none() -> None:
    question = "what is the name of the lake"
    corpus = [f"{n} {question} {n}" for n in range(15)]
    assert found([question, f"{question} the lake"], benchmarks([question], corpus, signs=["the lake"])) == [(1, 0, 0, 6)]


def test_a_quotation_that_many_documents_have_does_not_count() -> None:
    quotation, frame = numbered(0, 30, "q"), "which of these men has once said"
    item = f"{frame} {quotation}"
    alone, whole = f"{OTHER} {quotation} {OTHER}", f"{OTHER} {item} {OTHER}"
    assert [row for row, *_ in found([alone, whole], benchmarks([item], [alone]))] == [0, 1]
    assert [row for row, *_ in found([alone, whole], benchmarks([item], [f"{n} {alone}" for n in range(21)]))] == [1]
    # An item that is nothing else cannot be told from its source.
    assert found([alone], benchmarks([quotation], [f"{n} {alone}" for n in range(21)])) == []


def test_a_template_of_many_items_does_not_count() -> None:
    template = numbered(0, 20, "t")
    items = [f"{template} {numbered(first, first + 6)}" for first in range(0, 60, 6)]
    held = benchmarks(items)
    assert found([f"{template} {OTHER}"], held) == []
    assert found([f"{template} {numbered(0, 6)}"], held) == [(0, 0, 0, 25)]
    assert found([numbered(0, 26)], benchmarks([numbered(0, 26)] * 3)) == [(0, 0, 0, 25), (0, 1, 0, 25), (0, 2, 0, 25)]


def test_in_large_corpora_a_frequent_ngram_is_one_of_a_share() -> None:
    known = collected([grams(pa.array([numbered(0, 20)]), ngram=5)])
    documents = np.full(16, 500)
    assert weights(known, Frequencies(documents, 50_000_000), RULES).grams.all()
    assert not weights(known, Frequencies(documents, 49_000_000), RULES).grams.any()


def test_a_script_without_spaces() -> None:
    item = "中华人民共和国全国人民代表大会常务委员会今天在北京举行会议讨论"
    held = benchmarks([item])
    assert found([f"甲{item}乙", item[:15] + "甲" + item[16:], item[:12]], held) == [(0, 0, 1, 31), (1, 0, 0, 30)]


def test_the_bytes_are_those_of_the_text() -> None:
    text = "Sie sagte: „DIE Straße — nach\nCafé, Numero 2; führt, führt <b>& führt</b> zum See hin und zurück!“ Ja."
    places = matches(
        pa.array(["", text]), benchmarks(["die strasse nach cafe numero 2 führt führt führt zum see hin und zuruck"]), RULES
    )
    data = text.encode()
    assert data[places.starts[0] : places.ends[0]].decode() == text[text.index("DIE") : text.index("!“")]


def test_rows_are_independent_of_each_other() -> None:
    draw = random.Random(1)
    words = [f"w{i}" for i in range(12)]
    texts = [" ".join(draw.choices(words, k=60)) for _ in range(40)]
    held = benchmarks([" ".join(draw.choices(words, k=15)) for _ in range(30)] + texts[:5])
    alone = [(row, *place[1:]) for row, text in enumerate(texts) for place in found([text], held)]
    assert found(texts, held) == alone
    assert len(alone) >= 5


def test_a_million_equal_words_take_linear_time() -> None:
    held = benchmarks(["word " * 13, numbered(0, 20)])
    found(["word"], held)
    start = time.monotonic()
    places = found(["word " * 1_000_000], held)
    assert time.monotonic() - start < 20
    assert {item for _, item, *_ in places} <= {0}


def test_examples_of_the_documentation() -> None:
    result = doctest.testmod(contamination, extraglobs={"pa": pa})
    assert (result.failed, result.attempted > 0) == (0, True)
