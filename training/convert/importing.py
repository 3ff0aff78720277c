"""Turn published models into our checkpoints, for generation, further training and export.

a folder of Hugging Face's       config.json, model.safetensors or pytorch_model.bin, and a tokenizer
a folder of Google's BERT        bert_config.json, bert_model.ckpt.*, vocab.txt
a folder of OpenAI's GPT-2       hparams.json, model.ckpt.*, encoder.json, vocab.bpe
a folder of fairseq's BART       model.pt (or the .pt file itself), dict.txt, encoder.json, vocab.bpe
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.new_folder import is_taken, new_folder
from pipelines.contract.tokenizers.families import Family, specials
from pipelines.contract.tokenizers.loading import Tokenizer, TokenizerError
from pipelines.contract.tokenizers.published import load_existing
from training.checkpoints import trained
from training.checkpoints.store import CHECKPOINTS, MANIFEST, name_of
from training.convert import fairseq_bart, google_bert, huggingface, openai_gpt2, roberta
from training.convert.formats import weight_files
from training.models import families
from training.models.families import Shape, parameters

_Reader = Callable[[str], tuple[Shape, dict[str, Tensor], Tokenizer]]
_ORIGINALS: Mapping[str, tuple[str, Family, _Reader]] = {  # by a file of the folder: whose model it is, and its reader
    "bert_config.json": ("Google's BERT", "bert", google_bert.load),
    "hparams.json": ("OpenAI's GPT-2", "gpt", openai_gpt2.load),
    "*.pt": ("fairseq's BART", "bart", fairseq_bart.load),
}
_KNOWN = (
    "config.json with model.safetensors or pytorch_model.bin (Hugging Face), bert_config.json (Google's BERT), hparams.json "
    "(OpenAI's GPT-2) or a .pt file (fairseq's BART)"
)


class ImportingError(UserError):
    """A model cannot be imported; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The report of an import: the model, its source and remarks."""

    source: str
    kind: str  # whose model it was
    family: str
    parameters: int
    vocabulary: int  # pieces of the tokenizer
    checkpoint: str
    writes: bool  # it fills, continues or answers texts: not a T5 encoder alone
    remarks: tuple[str, ...]  # what the user should know: newly drawn weights, ids that differ


def import_model(source: str | Path, out: str | Path, tokenizer: str | None = None) -> ImportReport:
    """Write a published model and its tokenizer into a folder, as a checkpoint.

    Args:
        source: the folder or file of the model (see the module).
        out: a folder that is empty or does not exist.
        tokenizer: the tokenizer's folder, if not beside the weights; only for folders of Hugging Face's.

    Raises ValueError (ImportingError, WeightsError, TokenizerError, SpecialsError, CheckpointError) that names the file, the
    field or weight, and the fix.
    """
    path = files.on_this_machine(source, "the model")
    if is_taken(str(out)):
        raise ImportingError(f"{out}: is not an empty folder; name another, or remove it")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        original = _original(path)
        whose, family, shape, weights, model_tokenizer = (
            _hugging_face(path, tokenizer) if original is None else _read_original(original, path, tokenizer)
        )
    special_ids = specials(families.pieces_of(shape), model_tokenizer.special_ids, str(source))
    if model_tokenizer.size > shape.vocabulary:
        raise ImportingError(
            f"{source}: the tokenizer has {model_tokenizer.size} pieces, the special ones of {family} included, and the model "
            f"{shape.vocabulary}; they do not belong together: name the model's own with --tokenizer"
        )
    remarks = [str(warning.message) for warning in caught if warning.category is UserWarning]
    if original is None:
        remarks += huggingface.other_ids(path if path.is_dir() else path.parent, family, shape, special_ids)
    with torch.device("meta"):  # skips drawing weights that are replaced at once
        model = families.build(shape)
    model.load_state_dict(weights, assign=True)
    with new_folder(str(out), last=f"{CHECKPOINTS}/{name_of(0)}/{MANIFEST}") as folder:
        saved = trained.save(folder, model, family, model_tokenizer, {"source": str(source), "kind": whose})
    return ImportReport(
        source=str(source),
        kind=whose,
        family=family,
        parameters=parameters(model),
        vocabulary=model_tokenizer.size,
        checkpoint=files.join(str(out), saved.relative_to(folder).as_posix()),
        writes=getattr(shape, "decoder_layers", None) != 0,
        remarks=tuple(remarks),
    )


_Read = tuple[str, str, Shape, dict[str, Tensor], Tokenizer]  # whose model it was, and the content of its files


def _original(path: Path) -> str | None:
    """Return the pattern of the original project's file in a folder; None for a folder of Hugging Face's."""
    if not path.exists() and not any(path.parent.glob(f"{path.name}.*")):  # TensorFlow's files go by their common prefix
        raise ImportingError(f"{path}: there is no such folder; there should be {_KNOWN} in it")
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and (folder / huggingface.CONFIG).exists() and any((folder / name).exists() for name in weight_files.NAMES):
        return None
    original = next((pattern for pattern in _ORIGINALS if any(folder.glob(pattern))), None)
    if original is None and not (folder / huggingface.CONFIG).exists():
        raise ImportingError(f"{path}: no model is known by its files; there should be {_KNOWN}")
    return original


def _read_original(original: str, path: Path, tokenizer: str | None) -> _Read:
    whose, family, load = _ORIGINALS[original]
    if tokenizer is not None:
        raise ImportingError(f"{path}: --tokenizer is for folders of Hugging Face's; put the files of {whose} beside its weights")
    shape, weights, model_tokenizer = load(str(path))
    return whose, family, shape, weights, model_tokenizer


def _hugging_face(path: Path, tokenizer: str | None) -> _Read:
    folder = path if path.is_dir() else path.parent
    family, shape, weights = huggingface.read(folder)
    names = huggingface.names_of(family, shape)
    spelling: Family = "bart" if names is roberta else families.pieces_of(shape)  # RoBERTa's pieces have BART's names
    written = weight_files.read_json(folder / huggingface.CONFIG).get("architectures")
    whose = f"Hugging Face's {written[0] if isinstance(written, list) and written else names.ARCHITECTURE}"
    return whose, family, shape, weights, _tokenizer(tokenizer or str(folder), spelling, given=tokenizer is not None)


def _tokenizer(path: str, family: Family, *, given: bool) -> Tokenizer:
    try:
        return load_existing(path, [family])
    except TokenizerError as error:
        if given:
            raise
        raise TokenizerError(f"{error}; or name another place with --tokenizer") from error
