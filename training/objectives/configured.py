"""From a config to an objective: its special pieces, its numbers, and the rows that it gets."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers import pieces
from pipelines.contract.tokenizers.families import Family, mode_ids, specials
from training.data import config
from training.data.config import FeedConfig, Packing
from training.data.rows.layout import SEPARATED, Layout
from training.data.shards import TokenDataset
from training.objectives import causal_lm, masked_lm, span_corruption, text_infilling, ul2


class Kind(NamedTuple):
    """What an objective's name implies."""

    family: Family  # whose special pieces it needs
    version: int
    packing: Packing  # of its rows, unless the config names one
    predicts_all_text: bool  # each token from those before it: the nats of a text are then a code length of it


KINDS: Mapping[str, Kind] = {
    "causal_lm": Kind("gpt", causal_lm.VERSION, "concatenate", predicts_all_text=True),
    "masked_lm": Kind("bert", masked_lm.VERSION, "pairs", predicts_all_text=False),
    "text_infilling": Kind("bart", text_infilling.VERSION, "sentences", predicts_all_text=False),
    "span_corruption": Kind("t5", span_corruption.VERSION, "concatenate", predicts_all_text=False),
    "ul2": Kind("t5", ul2.VERSION, "concatenate", predicts_all_text=False),
}

Objective = (
    causal_lm.CausalLM
    | masked_lm.MaskedLM
    | text_infilling.TextInfilling
    | span_corruption.SpanCorruption
    | ul2.MixtureOfDenoisers
)


class ObjectiveError(UserError):
    """Sections of a config contradict each other; the message names the fields and the fix."""


def objective(settings: FeedConfig, dataset: TokenDataset) -> Objective:
    """Return the objective of a config over a dataset's vocabulary.

    Raises SpecialsError if the vocabulary lacks the family's special pieces, ValueError for numbers that contradict.
    """
    chosen, length = settings.objective, settings.rows.length
    special_ids = specials(KINDS[chosen.name].family, dataset.tokenizer.special_ids, dataset.uri)
    if settings.rows.document_boundaries and chosen.name != "causal_lm":
        raise ObjectiveError(f"rows.document_boundaries: belongs to causal_lm, but the objective is {chosen.name}; remove it")
    size = dataset.tokenizer.size
    if isinstance(chosen, config.CausalLMSection):
        return causal_lm.CausalLM(length, special_ids.pad, settings.rows.document_boundaries)
    if isinstance(chosen, config.MaskedLMSection):
        words = _words(dataset) if chosen.whole_words else {}
        limits = {"share": chosen.share, "max_predictions": chosen.max_predictions, "pairs": chosen.next_sentence}
        return masked_lm.MaskedLM(length, special_ids, size, **limits, **words)
    if isinstance(chosen, config.TextInfillingSection):
        numbers = chosen.model_dump(exclude={"name"})
        return text_infilling.TextInfilling(length, special_ids, size, **_words(dataset), **numbers)
    if isinstance(chosen, config.UL2Section):
        denoisers = tuple(ul2.Denoiser(one.mode, one.share, one.mean_span, one.weight) for one in chosen.denoisers)
        modes = mode_ids(dataset.tokenizer.special_ids)
        return ul2.MixtureOfDenoisers(length, special_ids, {"R": modes[0], "S": modes[1], "X": modes[2]}, denoisers)
    return span_corruption.SpanCorruption(length, special_ids, chosen.share, chosen.mean_span, chosen.target_length or 0)


def layout(settings: FeedConfig, made: Objective, dataset: TokenDataset) -> Layout:
    """Return the layout of the rows. Raises ObjectiveError, or ValueError of Layout, for a packing that it cannot take."""
    chosen, rows = settings.objective, settings.rows
    pairs = isinstance(chosen, config.MaskedLMSection) and chosen.next_sentence
    usual = "document" if chosen.name == "masked_lm" and not pairs else KINDS[chosen.name].packing
    packing = rows.packing or usual
    if pairs != (packing == "pairs"):
        raise ObjectiveError(
            f"rows.packing: {packing!r} does not go with {chosen.name}{' and next_sentence' if pairs else ''}; "
            "pairs are the rows of masked_lm with next_sentence, and of nothing else"
        )
    if chosen.name == "causal_lm" and packing not in SEPARATED:
        raise ObjectiveError(f"rows.packing: {packing!r} has no end of text, which causal_lm learns; choose one of {SEPARATED}")
    return Layout(
        packing,
        tokens=made.row_tokens,
        overlap=made.overlap,
        separator=dataset.end_of_text() if chosen.name == "causal_lm" else None,
        long_documents=rows.long_documents,
        copies=rows.copies if pairs else 1,
        short_share=rows.short_share,
        sentences=chosen.name == "text_infilling",
    )


def _words(dataset: TokenDataset) -> dict[str, Any]:
    """Return which pieces begin a word, and after which pieces one begins."""
    table = pieces.piece_table(dataset.tokenizer)
    return {name: table[name].to_numpy() for name in ("word_start", "opens_word")}
