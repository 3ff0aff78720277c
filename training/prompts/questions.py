"""What a model of each family is asked about a label in a text; the score of the label is the sum of the answers.

    text "A charming film It was great ." with the label "great"; [m] is a mask

    BERT   [CLS] A charming film It was [m] . [SEP]             -> great        at the mask (PET, arXiv 2001.07676, 3.1)
    GPT    <|endoftext|> A charming film It was                 -> great .      the label and what follows it in the pattern
    BART   <s> A charming film It was [m] . </s>   | </s> <s> A charming film It was  -> great   the text restored up to there
    T5     A charming film It was [m] . </s>       | <pad> [m]  -> great        the span behind the sentinel
    BART, T5 with a pattern without {label}: the text is read by the encoder, and the label with its end is the answer

A label of several pieces is for BERT the sum over its pieces of the log-probability of each, with it and the pieces of the label
after it masked: the pseudo-log-likelihood of Salazar et al. 2020 (arXiv 1910.14659) as corrected by Kauf and Ivanova 2023
(arXiv 2305.10588), for pieces that see their word's later pieces are all but certain.
"""

from collections.abc import Sequence

from training.evaluation.likelihood import Question
from training.generation.texts import Speller
from training.tasks.errors import PromptError
from training.tasks.labels.patterns import Spelled

SPECIALS = 3  # most tokens of a row beside the text's


def about_label(words: Speller, text: Spelled) -> list[Question]:
    """Return the questions about the label in a text."""
    ids, start, end = list(text.ids), text.start, text.end
    special = words.specials
    before = [] if special.begin is None else [special.begin]
    if words.family == "gpt":
        return [Question([special.end, *ids[:-1]], start, ids[start:])]
    if words.family == "bert":
        mask = special.mask
        assert mask is not None
        return [
            Question([*before, *ids[:at], *[mask] * (end - at), *ids[end:], special.end], len(before) + at, ids[at : at + 1])
            for at in range(start, end)
        ]
    mask = special.sentinels[0] if special.mask is None else special.mask
    inputs = [*before, *ids[:start], mask, *ids[end:], special.end]
    assert special.decoder_start is not None
    shown = [special.decoder_start, mask] if words.family == "t5" else [special.decoder_start, *before, *ids[:start]]
    return [Question(inputs, len(shown) - 1, ids[start:end], [*shown, *ids[start : end - 1]])]


def about_answer(words: Speller, text: Sequence[int], label: Sequence[int]) -> list[Question]:
    """Return the question whether a label is the answer to a text. Raises PromptError for a model without a decoder."""
    special = words.specials
    if words.family not in ("bart", "t5"):
        raise PromptError(f"prompt.patterns: a {words.family} needs {{label}} in the pattern; only BART and T5 answer beside it")
    before = [] if special.begin is None else [special.begin]
    assert special.decoder_start is not None
    shown = [special.decoder_start, *before]
    return [Question([*before, *text, special.end], len(shown) - 1, [*label, special.end], [*shown, *label])]
