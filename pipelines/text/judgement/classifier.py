"""A fastText classifier of text quality, which tells texts like the curated sources from texts like the crawl.

    train(features(texts), curated, "quality.bin", seed=1)
    score = load("quality.bin")
    score(texts)                 # 0 to 1 for each; 1: like the curated sources

It sees only lower-case words, without digits, punctuation and line breaks, from the beginning of a text, so that it learns
neither layout nor length. DCLM filters with a fastText classifier, too (arXiv 2406.11794).
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

VERSION = 1

PREFIX_CHARACTERS = 2000  # of a text, in training and in scoring: about 330 English words

# Written without spaces: each character is a word.
_UNSPACED = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"
_CURATED, _CRAWL = "__label__curated", "__label__crawl"
_TEXTS_PER_CALL = 4096  # fastText takes lists of Python strings

# At most 2^17 pairs, and words that occur at least once per 2,000 examples: about 10 MB on disk for any corpus.
_PAIR_BUCKETS = 2**17
_DIMENSIONS = 16
# Low on purpose: with 1,000 examples, a rate of 0.5 or 25 epochs separate the classes better (area under the curve .99 instead
# of .93), but by subject; the scores of other web pages then agree less with people's (.59 instead of .72).
_EPOCHS = 5
_LEARNING_RATE = 0.2

Scorer = Callable[[pa.Array], pa.Array]


def features(texts: pa.Array) -> pa.Array:
    r"""Return the classifier's input for each text: the words of its beginning.

    >>> features(pa.array(["The 3 Bears,\nand Goldilocks!", "東京は。", None])).to_pylist()
    ['the bears and goldilocks', '東 京 は', '']
    """
    beginning = pc.utf8_slice_codeunits(texts, 0, PREFIX_CHARACTERS)
    words = pc.replace_substring_regex(pc.utf8_lower(beginning), r"[^\p{L}\p{M}]+", " ")
    words = pc.replace_substring_regex(words, _UNSPACED, r" \1 ")
    words = pc.replace_substring_regex(words, " +", " ")
    return pc.fill_null(pc.utf8_trim(words, " "), "")


def train(words: pa.Array, curated: NDArray[np.bool_], path: str | Path, *, seed: int) -> None:
    """Train on features of texts in the order of the rows (the caller mixes the classes) and write the model.

    Equal rows and seeds give equal bytes. Training uses one thread, because with more fastText writes a different model
    every time.
    """
    labels = pc.if_else(pa.array(curated), _CURATED, _CRAWL)
    lines = pc.binary_join_element_wise(labels, words, " ")
    with TemporaryDirectory(prefix="corpusmill-") as folder:
        examples = Path(folder) / "examples.txt"
        with examples.open("w", encoding="utf-8", newline="\n") as out:
            for line in lines:
                out.write(f"{line.as_py()}\n")
        model: Any = fasttext.train_supervised(
            input=str(examples),
            dim=_DIMENSIONS,
            epoch=_EPOCHS,
            lr=_LEARNING_RATE,
            wordNgrams=2,
            bucket=_PAIR_BUCKETS,
            minCount=max(3, len(words) // 2000),
            loss="softmax",
            thread=1,
            seed=seed,
            verbose=0,
        )
        model.save_model(str(path))


def load(path: str | Path) -> Scorer:
    """Return a model's scorer, from texts to float32 scores, 0 to 1 (null for a null, 0 for a text without words)."""
    model: Any = fasttext.load_model(str(path))

    def score(texts: pa.Array) -> pa.Array:
        chunks = [texts.slice(start, _TEXTS_PER_CALL) for start in range(0, len(texts), _TEXTS_PER_CALL)]
        scores = np.concatenate([np.empty(0, np.float32), *(_scores(model, features(chunk)) for chunk in chunks)])
        return pa.array(scores, mask=pc.is_null(texts).to_numpy(zero_copy_only=False))

    return score


def _scores(model: Any, words: pa.Array) -> NDArray[np.float32]:
    labels, likelihoods = model.predict(words.to_pylist(), k=1)
    best = np.fromiter((p[0] for p in likelihoods), np.float32, len(words))
    curated = np.fromiter((label[0] == _CURATED for label in labels), np.bool_, len(words))
    scores = np.clip(np.where(curated, best, 1 - best), 0, 1)  # fastText's probabilities reach 1.00001
    return np.where(pc.equal(words, "").to_numpy(zero_copy_only=False), np.float32(0), scores)


def strongest_words(path: str | Path, count: int = 25) -> dict[str, list[str]]:
    """Return the words with the most weight for each class, which show what the classifier has learned."""
    model: Any = fasttext.load_model(str(path))
    words = [word for word in model.get_words() if word != "</s>"]
    labels = model.get_labels()
    output = model.get_output_matrix()
    direction = output[labels.index(_CURATED)] - output[labels.index(_CRAWL)]
    weights = model.get_input_matrix()[[model.get_word_id(word) for word in words]] @ direction
    order = np.argsort(weights, kind="stable")
    return {"crawl": [words[i] for i in order[:count]], "curated": [words[i] for i in order[::-1][:count]]}


def area_under_curve(scores: NDArray[np.floating[Any]], positive: NDArray[np.bool_]) -> float:
    """Return the share of (positive, negative) pairs in which the positive one scores higher; ties count half."""
    ranks = pc.rank(pa.array(scores), sort_keys="ascending", tiebreaker="min").to_numpy().astype(np.float64)
    last = pc.rank(pa.array(scores), sort_keys="ascending", tiebreaker="max").to_numpy()
    middle = (ranks + last) / 2
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if positives == 0 or negatives == 0:
        raise ValueError("the area under the curve needs both classes")
    return float((middle[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))
