"""The likelihood of the end of a text for models that are not causal: what the harness' loglikelihood means for them.

    context "The capital of France is", continuation " Paris"; [m] is a mask

    BERT   [CLS] The capital of France is [m] [SEP]  -> Paris      each piece with only that piece masked, summed: pseudo-log-
                                                                   likelihood (Salazar et al. 2020, arXiv 1910.14659, 2)
    BART   <s> The capital of France is [m] </s>     | </s> <s> The capital of France is  -> Paris
    T5     The capital of France is [m] </s>         | <pad> [m]                          -> Paris

As these models are pretrained, the encoder's text has a gap at its end, which the decoder fills: T5 behind the sentinel, BART by
writing the whole text. `text_to_text` is for those that were fine-tuned to answer: the encoder reads the context alone, and the
decoder scores the continuation after its start.

A text without a context is all continuation. Texts longer than the positions are asked in windows, each token once, the last
window full. A BERT's tokens also see those after them, so its sums are no probabilities of texts: they compare texts of equal
length (choices of a task), and are lower bounds of nothing.
"""

from collections.abc import Iterator, Sequence

from training.evaluation.likelihood import Question
from training.generation.texts import Speller

LENGTH = 512  # tokens of a window of a T5, which has no positions
_SPECIALS = 3  # most tokens of a row beside the text's


def questions(
    words: Speller, ids: Sequence[int], first: int, positions: int, *, text_to_text: bool = False
) -> Iterator[Question]:
    """Yield the questions about the ids of a text from `first` on."""
    at, room = first, positions - _SPECIALS
    while at < len(ids):
        end = min(at + room, len(ids))
        begin = max(0, end - room)
        yield from _window(words, ids[begin:end], at - begin, text_to_text)
        at = end


def _window(words: Speller, ids: Sequence[int], first: int, text_to_text: bool) -> Iterator[Question]:
    special = words.specials
    before = [] if special.begin is None else [special.begin]
    if words.family == "bert":
        assert special.mask is not None
        for at in range(first, len(ids)):
            row = [*before, *ids[:at], special.mask, *ids[at + 1 :], special.end]
            yield Question(row, len(before) + at, [ids[at]])
        return
    assert special.decoder_start is not None
    mask = special.sentinels[0] if special.mask is None else special.mask
    gap = [] if text_to_text else [mask]
    if text_to_text:
        shown = [special.decoder_start, *before]
    else:
        shown = [special.decoder_start, mask] if words.family == "t5" else [special.decoder_start, *before, *ids[:first]]
    inputs = [*before, *ids[:first], *gap, special.end]
    yield Question(inputs, len(shown) - 1, ids[first:], [*shown, *ids[first:-1]])
