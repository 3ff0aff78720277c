"""Modified Kneser-Ney: a hand-computed example, sums of 1, and KenLM's own probabilities of the same text."""

import math
from itertools import product

import numpy as np
import pytest
from places import FIXTURES

from training.ancestors import ngrams
from training.ancestors.ngrams import NGrams

A, B, END, BEGIN = 0, 1, 2, 3


def probability(model: NGrams, context: list[int], piece: int) -> float:
    """p of a piece after a context that begins a document."""
    documents = [np.array(context if piece == END else [*context, piece], np.int64)]
    return float(np.exp(model.log_probabilities(documents)[len(context)]))


def test_a_bigram_model_computed_by_hand():
    # <s> a b a b </s>. Bigrams: <s>a 1, ab 2, ba 1, b</s> 1. Too few for other discounts than 0.5, 1 and 1.5.
    model = ngrams.train([np.array([A, B, A, B])], order=2, end=END, pieces=3)
    # Different pieces before: a has <s> and b, b has a, </s> has b; together 4. Of them 1 + 0.5 + 0.5 are taken off.
    rest = (1 + 0.5 + 0.5) / 4
    unigram = {A: (2 - 1) / 4 + rest / 3, B: (1 - 0.5) / 4 + rest / 3, END: (1 - 0.5) / 4 + rest / 3}
    assert probability(model, [], A) == pytest.approx((1 - 0.5) / 1 + 0.5 * unigram[A])  # after <s>
    assert probability(model, [A], B) == pytest.approx((2 - 1) / 2 + (1 / 2) * unigram[B])
    assert probability(model, [A], END) == pytest.approx((1 / 2) * unigram[END])  # never seen
    assert probability(model, [A, B], END) == pytest.approx((1 - 0.5) / 2 + (1 / 2) * unigram[END])
    assert model.parameters == (4 + 4) + 4


def test_discounts_are_those_of_chen_and_goodman():
    counts = np.repeat([1, 2, 3, 4, 5, 9], [10, 5, 4, 2, 1, 3])  # t_1 = 10, t_2 = 5, t_3 = 4, t_4 = 2
    y = 10 / (10 + 2 * 5)
    assert ngrams.discounts_of(counts) == pytest.approx((1 - 2 * y * 5 / 10, 2 - 3 * y * 4 / 5, 3 - 4 * y * 2 / 4))
    assert ngrams.discounts_of(np.array([1, 1, 2])) == (0.5, 1.0, 1.5)  # no 3


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_the_probabilities_after_any_context_sum_to_1(order: int):
    random = np.random.default_rng(1)
    documents = [random.choice(4, size, p=[0.5, 0.3, 0.15, 0.05]) for size in random.integers(0, 40, 30)]
    model = ngrams.train(documents, order=order, end=5, pieces=6)  # piece 4 never occurs
    seen = [list(context) for context in product(range(5), repeat=2)] + [document.tolist() for document in documents[:5]]
    for context in seen:
        each = [float(np.exp(model.log_probabilities([np.array([*context, piece])])[len(context)])) for piece in range(5)]
        each.append(float(np.exp(model.log_probabilities([np.array(context, np.int64)])[-1])))
        assert min(each) > 0
        assert math.fsum(each) == pytest.approx(1, abs=1e-12)


def test_documents_do_not_see_each_other():
    model = ngrams.train([np.array([A, B]), np.array([B, A, A])], order=3, end=END, pieces=3)
    one, other = np.array([A, B, B]), np.array([B, A])
    apart = np.concatenate([model.log_probabilities([one]), model.log_probabilities([other])])
    assert np.array_equal(model.log_probabilities([one, other]), apart)
    assert len(apart) == 3 + 1 + 2 + 1


def test_all_probabilities_are_those_of_kenlm():
    """shakespeare.arpa: `lmplz -o 3 --discount_fallback` (KenLM 0.3.0) of shakespeare.txt, a document a line."""
    folder = FIXTURES / "ngrams"
    lines = [line.split() for line in (folder / "shakespeare.txt").read_text().splitlines()]
    number = {word: n for n, word in enumerate(sorted({word for line in lines for word in line}))}
    end = len(number)
    model = ngrams.train([np.array([number[word] for word in line]) for line in lines], order=3, end=end, pieces=end + 2)
    number |= {"</s>": end, "<s>": model.begin}  # and <unk>, which KenLM counts among the pieces
    compared = 0
    for line in (folder / "shakespeare.arpa").read_text().splitlines():
        log10, _, rest = line.partition("\t")
        gram = rest.split("\t")[0].split(" ")
        if not rest or gram[-1] in ("<s>", "<unk>"):
            continue
        assert own_and_lower(model, [number[word] for word in gram]) == pytest.approx(10 ** float(log10), rel=2e-6), gram
        compared += 1
    assert compared == 187 - 2 + 352 + 333


def own_and_lower(model: NGrams, gram: list[int]) -> float:
    """p of the last piece after exactly those before it."""
    if not gram:
        return 1 / model.pieces
    numbers = [0]
    for order, piece in zip(model.orders, gram, strict=False):
        key = numbers[-1] * (model.begin + 1) + piece
        numbers.append(int(np.searchsorted(order.keys, key)))
        assert order.keys[numbers[-1]] == key
    backoff = model.orders[len(gram) - 2].backoff[numbers[-2]] if len(gram) > 1 else model.rest
    return float(model.orders[len(gram) - 1].own[numbers[-1]] + backoff * own_and_lower(model, gram[1:]))
