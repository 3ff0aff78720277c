"""Models that others published, made checkpoints of ours: to be generated with, trained on, and exported.

a folder of Hugging Face's       config.json, model.safetensors or pytorch_model.bin, and a tokenizer
a folder of Google's BERT        bert_config.json, bert_model.ckpt.*, vocab.txt
a folder of OpenAI's GPT-2       hparams.json, model.ckpt.*, encoder.json, vocab.bpe
a folder of fairseq's BART       model.pt (or the .pt file itself), dict.txt, encoder.json, vocab.bpe
"""

import importlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from pipelines.contract.existing import load_existing
from pipelines.contract.families import Family, specials
from pipelines.contract.tokenizer import Tokenizer, TokenizerError
from training import trained
from training.convert import huggingface
from training.models import families
from training.models.families import Shape, parameters

HUGGING_FACE = "Hugging Face"
_ORIGINALS: Mapping[str, tuple[str, Family]] = {  # a file of a folder -> the module that reads it, and the family
    "bert_config.json": ("google_bert", "bert"),
    "hparams.json": ("openai_gpt2", "gpt"),
    "*.pt": ("fairseq_bart", "bart"),
}


class ImportingError(ValueError):
    """A model cannot be imported; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What was imported."""

    source: str
    kind: str  # whose files they were, and the family
    family: str
    parameters: int
    vocabulary: int  # pieces of the tokenizer
    checkpoint: str
    remarks: tuple[str, ...]  # what a person should know: weights that are new, ids that differ


def import_model(source: str | Path, out: str | Path, tokenizer: str | None = None) -> ImportReport:
    """Write a checkpoint of somebody else's model and tokenizer into a folder.

    Args:
        source: where the files lie (see the module).
        out: a folder that is empty or does not exist.
        tokenizer: where the tokenizer lies, if not beside the weights; for folders of Hugging Face's.

    Raises ValueError (ImportingError, WeightsError, TokenizerError, SpecialsError, CheckpointError) that names the file, the
    field or weight, and the fix.
    """
    path, target = Path(source), Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ImportingError(f"{out}: is not an empty folder; name another, or remove it")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        whose, family, shape, weights, found = _read(path, tokenizer)
    special_ids = specials(family, found.special_ids, str(source))
    if found.size > shape.vocabulary:
        raise ImportingError(
            f"{source}: the tokenizer has {found.size} pieces, the special ones of {family} included, and the model "
            f"{shape.vocabulary}; they do not belong together: name the model's own with --tokenizer"
        )
    remarks = [str(warning.message) for warning in told if warning.category is UserWarning]
    if whose == HUGGING_FACE:
        remarks += huggingface.other_ids(path, family, shape, special_ids)
    with torch.device("meta"):  # nothing is drawn that is replaced at once
        model = families.build(shape)
    model.load_state_dict(weights, assign=True)
    checkpoint = trained.save(target, model, family, found, {"source": str(source), "kind": whose})
    return ImportReport(
        source=str(source),
        kind=f"{whose}, {family}",
        family=family,
        parameters=parameters(model),
        vocabulary=found.size,
        checkpoint=str(checkpoint),
        remarks=tuple(remarks),
    )


def _read(path: Path, tokenizer: str | None) -> tuple[str, Family, Shape, dict[str, Tensor], Tokenizer]:
    """Whose files they are, and what is in them."""
    if not path.exists() and not any(
        path.parent.glob(f"{path.name}.*")
    ):  # of a TensorFlow checkpoint, its files' common name will do
        raise ImportingError(f"{path}: there is no such folder")
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and (folder / huggingface.CONFIG).exists():
        name, shape, weights = huggingface.read(folder)
        family = cast(Family, name)
        return HUGGING_FACE, family, shape, weights, _tokenizer(tokenizer or str(folder), family, given=tokenizer is not None)
    for pattern, (module, family) in _ORIGINALS.items():
        if path.suffix == ".pt" if pattern == "*.pt" and not path.is_dir() else any(folder.glob(pattern)):
            if tokenizer is not None:
                raise ImportingError(f"--tokenizer is of folders of Hugging Face's; put the tokenizer's files into {folder}")
            shape, weights, found = importlib.import_module(f"training.convert.{module}").load(str(path))
            return module.replace("_", " "), family, shape, weights, found
    raise ImportingError(
        f"{path}: no model is known by its files; there should be {huggingface.CONFIG} (Hugging Face), bert_config.json "
        "(Google's BERT), hparams.json (OpenAI's GPT-2) or a .pt file (fairseq's BART)"
    )


def _tokenizer(path: str, family: Family, *, given: bool) -> Tokenizer:
    try:
        return load_existing(path, [family])
    except TokenizerError as error:
        if given:
            raise
        raise TokenizerError(f"{error}; or name another place with --tokenizer") from error
