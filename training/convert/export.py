"""Export a trained model as a folder that `AutoModel….from_pretrained`, `AutoTokenizer` and `pipeline()` of Hugging Face load."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.new_folder import is_taken, new_folder
from pipelines.contract.tokenizers.families import Family, specials
from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints import trained
from training.convert import huggingface
from training.convert.formats.weight_files import SHARD_BYTES, read_json
from training.convert.huggingface import TaskHead
from training.models.bert import BERTShape
from training.models.composed import ComposedShape
from training.models.families import Shape, parameters, pieces_of
from training.models.heads import with_all_heads

WriteTokenizer = Callable[[Tokenizer, str, Family], None]  # pipelines.exports.tokenizer.export_huggingface


CARD = "README.md"  # what the hub shows of a model
_TOKENIZER, _TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"


class ExportError(UserError):
    """A model cannot be exported; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The report of an export: its source, the model and the files written."""

    out: str
    checkpoint: str
    family: str
    architecture: str  # Hugging Face's class
    parameters: int
    vocabulary: int
    files: dict[str, int]  # bytes by name

    @property
    def bytes(self) -> int:
        """Bytes of all files together."""
        return sum(self.files.values())


def export(
    path: str | Path,
    out: str | Path,
    write_tokenizer: WriteTokenizer,
    shard_bytes: int = SHARD_BYTES,
    *,
    head: TaskHead | None = None,
    card: str | None = None,
) -> ExportReport:
    """Write the model of a run's newest checkpoint, or of a checkpoint, and its tokenizer, for Hugging Face.

    Args:
        path: the run's folder, or the checkpoint's.
        out: a folder, or one of an object store, that is empty or does not exist; it appears once everything is written.
        write_tokenizer: writes a tokenizer's files into a folder.
        shard_bytes: larger models are split into several files.
        head: of a task, in the place of the heads of pretraining.
        card: the text of README.md.

    Raises ValueError (CheckpointError, ExportError, SpecialsError, TokenizerError, WeightsError) that names the file and the fix.
    """
    if is_taken(str(out)):
        raise ExportError(f"{out}: is not an empty folder; name another, or remove it")
    source = trained.load(path)
    model = with_all_heads(source.model)
    shape, family = model.shape, pieces_of(model.shape)
    try:
        huggingface.names_of(source.family, shape)
    except UserError as error:
        raise ExportError(f"{source.where}: {error}") from error
    special_ids = specials(family, source.tokenizer.special_ids, source.where)
    with new_folder(str(out)) as temporary:
        write_tokenizer(source.tokenizer, str(temporary), family)
        _fit_tokenizer(temporary, shape)
        if family == "gpt":
            _keep_first_space(temporary)
        huggingface.write(temporary, model, source.family, special_ids, source.tokenizer.size, shard_bytes, head)
        if card is not None:
            files.write_text(str(temporary / CARD), card)
        architecture = read_json(temporary / huggingface.CONFIG)["architectures"][0]
        written = {file.name: file.stat().st_size for file in sorted(temporary.iterdir())}
    return ExportReport(
        out=str(out),
        checkpoint=source.where,
        family=source.family,
        architecture=architecture,
        parameters=parameters(model),
        vocabulary=source.tokenizer.size,
        files=written,
    )


def _fit_tokenizer(folder: Path, shape: Shape) -> None:
    """Name what the model reads, and its positions, to which `truncation=True` cuts texts (T5 has no limit)."""
    config = read_json(folder / _TOKENIZER_CONFIG)
    if isinstance(shape, ComposedShape) or (isinstance(shape, BERTShape) and shape.segments < 2):
        config["model_input_names"] = [name for name in config["model_input_names"] if name != "token_type_ids"]
    if (length := getattr(shape, "length", None)) is not None:
        config["model_max_length"] = length
    files.write_text(str(folder / _TOKENIZER_CONFIG), json.dumps(config, ensure_ascii=False, indent=2) + "\n")


def _keep_first_space(folder: Path) -> None:
    r"""Let the decoder keep the space before a first piece, as the pipeline "text-generation" needs it.

    The pipeline decodes the new pieces alone and appends their text to the prompt: "In the beginning" + " of". The decoder of a
    SentencePiece model ends with a rule that removes the first space of a text (\A) and of a line; those of other projects have
    Metaspace or Strip.
    """
    data = read_json(folder / _TOKENIZER)
    decoder: dict[str, Any] = data.get("decoder") or {}
    if "decoders" in decoder:
        decoder["decoders"] = [stage for stage in map(_keeping_first_space, decoder["decoders"]) if stage is not None]
    elif decoder:
        data["decoder"] = _keeping_first_space(decoder)
    files.write_text(str(folder / _TOKENIZER), json.dumps(data, ensure_ascii=False, indent=1) + "\n")


def _keeping_first_space(stage: dict[str, Any]) -> dict[str, Any] | None:
    """Return a decoder's stage without what removes the first space of a text; None if it does nothing else."""
    match stage:
        case {"type": "Replace", "pattern": {"Regex": str(rules)}}:
            kept = "|".join(rule for rule in rules.split("|") if not rule.startswith(r"\A"))
            return {**stage, "pattern": {"Regex": kept}} if kept else None
        case {"type": "Metaspace"}:
            return {**stage, "prepend_scheme": "never"}
        case {"type": "Strip", "content": " "}:
            return {**stage, "start": 0}
        case _:
            return stage
