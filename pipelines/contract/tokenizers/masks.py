"""Masks that are spelled out in a text: their names, and the white space around them that belongs to them.

A mask replaces words together with the spaces before them, where pieces begin with their space. So it takes white space with it:

    SentencePiece ("▁old")     on both sides    "the <mask> house"  is  "▁the" <mask> "▁house", as in training
    BART's and RoBERTa's        before it        "the <mask> house"  is  "the" <mask> "Ġhouse", as published
    a tokenizer.json           as its `lstrip` and `rstrip` say

The same holds for Hugging Face's tokenizer of an exported model, which `pipelines/exports/tokenizer.py` writes.
"""

from collections.abc import Mapping

from pipelines.contract.tokenizers.families import FAMILIES, SENTINELS, Family, sentinel, spelled_as
from pipelines.contract.tokenizers.loading import Tokenizer


def mask_names(family: Family | None, special_ids: Mapping[str, int]) -> tuple[str, ...]:
    """Return the pieces that users write into a text in place of words: for T5 its sentinels, in the order of their use."""
    if family == "t5":
        return tuple(sentinel(number) for number in range(SENTINELS))
    mask = None if family is None else FAMILIES[spelled_as(family, special_ids)].mask
    return () if mask is None else (mask,)


def mask_spaces(tokenizer: Tokenizer, family: Family | None) -> dict[str, tuple[bool, bool]]:
    """Return for each mask of a family whether white space before it, and after it, belongs to it."""
    both = tokenizer.library == "sentencepiece" and tokenizer.line_prefix_bytes == 1
    spaces: dict[str, tuple[bool, bool]] = {}
    published = family is not None and spelled_as(family, tokenizer.special_ids) == "bart"
    for name in mask_names(family, tokenizer.special_ids):
        before, after = tokenizer.mask_spaces.get(name, (False, False))
        spaces[name] = (both or before or published, both or after)
    return spaces
