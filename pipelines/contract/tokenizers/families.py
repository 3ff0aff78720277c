"""The special pieces of each model family: their names, their roles, and the order of their ids in the published vocabularies.

    >>> FAMILIES["t5"].pieces[:4]
    ('<pad>', '</s>', '<unk>', '<extra_id_99>')

A vocabulary shared by several families has the pieces of each; `specials` finds a family's ids by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipelines.contract.errors import UserError

Family = Literal["bert", "gpt", "bart", "t5"]

SENTINELS = 100  # of T5 (Raffel et al. 2020, arXiv 1910.10683, 3.1.4)
MODES = ("[NLU]", "[S2S]", "[NLG]")  # UL2's names of its regular, sequential and extreme denoisers (arXiv 2205.05131, 3.1)
END_OF_TEXT = "<|endoftext|>"  # GPT-2's name


class SpecialsError(UserError):
    """A vocabulary lacks special pieces of a family; the message names them and the fix."""


@dataclass(frozen=True, slots=True)
class FamilyPieces:
    """Special pieces by role; None for a role that the family lacks. A decoder's first piece is `decoder_start`."""

    pieces: tuple[str, ...]  # in order: the first ids of a vocabulary for this family only
    unknown: str | None
    pad: str
    begin: str | None  # before a text: [CLS], <s>
    end: str  # after a text: [SEP], </s>, <|endoftext|>
    mask: str | None
    decoder_start: str | None
    last: tuple[str, ...] = ()  # after all other pieces in the published vocabulary


def sentinel(number: int) -> str:
    """Return T5's name for a sentinel. Sentinels are used from 0 on; their ids descend."""
    return f"<extra_id_{number}>"


def mode_ids(special_ids: Mapping[str, int]) -> tuple[int, ...]:
    """Return the ids of UL2's modes, in the order of MODES: the last three sentinels in a T5 vocabulary without these pieces."""
    names = MODES if special_ids.keys() >= set(MODES) else tuple(sentinel(SENTINELS - 1 - n) for n in range(len(MODES)))
    return tuple(special_ids[name] for name in names)


FAMILIES: Mapping[Family, FamilyPieces] = {
    "bert": FamilyPieces(
        ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), unknown="[UNK]", pad="[PAD]", begin="[CLS]", end="[SEP]", mask="[MASK]",
        decoder_start=None,
    ),
    "gpt": FamilyPieces(
        (END_OF_TEXT,), unknown=None, pad=END_OF_TEXT, begin=END_OF_TEXT, end=END_OF_TEXT, mask=None, decoder_start=None
    ),
    "bart": FamilyPieces(
        ("<s>", "<pad>", "</s>", "<unk>"), unknown="<unk>", pad="<pad>", begin="<s>", end="</s>", mask="<mask>",
        decoder_start="</s>", last=("<mask>",),
    ),
    "t5": FamilyPieces(
        ("<pad>", "</s>", "<unk>", *(sentinel(n) for n in reversed(range(SENTINELS)))), unknown="<unk>", pad="<pad>", begin=None,
        end="</s>", mask=None, decoder_start="<pad>",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Specials:
    """The ids of a family's special pieces in one vocabulary."""

    pad: int
    begin: int | None
    end: int
    mask: int | None
    decoder_start: int | None
    sentinels: tuple[int, ...]  # by number; only T5 has any


def spelled_as(family: Family, special_ids: Mapping[str, int]) -> Family:
    """Return the family whose names the special pieces of a vocabulary have: RoBERTa is a BERT with the pieces of BART.

    >>> spelled_as("bert", {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4})
    'bart'
    """
    has_own, has_other = ({FAMILIES[one].begin, FAMILIES[one].mask} & special_ids.keys() for one in ("bert", "bart"))
    return "bart" if family == "bert" and not has_own and has_other else family


def specials(family: Family, special_ids: Mapping[str, int], where: str) -> Specials:
    """Return the ids of a family's special pieces, given those of a tokenizer.

    Raise SpecialsError if one is missing; `where` names the dataset in its message.
    """
    roles = FAMILIES[spelled_as(family, special_ids)]
    needed = [*roles.pieces, *roles.last]
    missing = [piece for piece in needed if piece not in special_ids and piece != roles.unknown]
    if missing:
        more = f" (and {len(missing) - 3} more)" if len(missing) > 3 else ""
        raise SpecialsError(
            f"{where}: its tokenizer has no piece {', '.join(missing[:3])}{more}, which {family} needs; "
            f'add "{family}" to the families of its [[vocabularies]] section and build again'
        )
    return Specials(
        pad=special_ids[roles.pad],
        begin=special_ids[roles.begin] if roles.begin else None,
        end=special_ids[roles.end],
        mask=special_ids[roles.mask] if roles.mask else None,
        decoder_start=special_ids[roles.decoder_start] if roles.decoder_start and family != "bert" else None,
        sentinels=tuple(special_ids[sentinel(n)] for n in range(SENTINELS)) if family == "t5" else (),
    )
