"""A trained or imported model with its tokenizer: the input of generation, evaluation and exports."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints import store as checkpoint
from training.checkpoints.remote import here
from training.checkpoints.store import Checkpoint, CheckpointError, Content
from training.models import families, quantized
from training.models.families import Model

COMPRESSED = "compressed"  # in the state: {"to", "arithmetic"} of a compressed model (training/models/quantized.py)
TASK, BODY = "task", "body."  # of a fine-tuning: in the state; before the names of the body's weights


@dataclass(frozen=True, slots=True)
class Trained:
    """A model on the CPU, in evaluation mode; its vocabulary may be padded beyond the tokenizer's size."""

    model: Model
    family: str
    tokenizer: Tokenizer
    where: str  # the checkpoint's folder, for messages


def load(path: str | Path, *, compressed: bool = False) -> Trained:
    """Load the model of a run's newest complete checkpoint, or of a checkpoint's folder; of a fine-tuning without its head.

    A compressed model has the floats that its weights stand for; with `compressed` it computes with them as they are stored.

    Raises CheckpointError, with the file and the fix, if there is none, it is incomplete, or its weights do not fit its model.
    """
    found = find(here(path))
    model = _model(found)
    if TASK in found.state:
        tuning = found.fact(TASK).get("body", {}).get("tuning")
        if tuning in ("prompt", "prefix"):
            raise CheckpointError(
                f"{found.path}: its {tuning} is no part of the body; use it with `corpusmill predict`, or name its model.base"
            )
        weights = merged_weights(found.load("model"))
        weights = {name.removeprefix(BODY): tensor for name, tensor in weights.items() if name.startswith(BODY)}
        if not compressed:
            weights = quantized.floats(weights)
        prepare(model, found, weights)
        model.load_state_dict(weights)
    else:
        if compressed:
            prepare(model, found, found.load("model"))
        restore(model, found)
    return Trained(model.eval(), found.fact("model")["family"], tokenizer_of(found), str(found.path))


def find(path: Path) -> Checkpoint:
    """Find the checkpoint of a folder, or the newest complete one of a run; of a fine-tuning the best, if it keeps it.

    Raises CheckpointError if there is none.
    """
    if (path / checkpoint.MANIFEST).exists():
        return checkpoint.read(path)
    found = checkpoint.newest(path / checkpoint.CHECKPOINTS, lambda text: print(text, file=sys.stderr))
    if found is None:
        raise CheckpointError(f"{path}: there is no complete checkpoint; name the run.out of a pretraining run, or a checkpoint")
    if TASK in found.state and (name := path / checkpoint.CHECKPOINTS / checkpoint.BEST).exists():
        return checkpoint.read(name.parent / name.read_text().strip())
    return found


def save(folder: Path, model: Model, family: str, tokenizer: Tokenizer, origin: Mapping[str, Any]) -> Path:
    """Write the checkpoint of step 0 of an import, with weights only; `origin` describes their source."""
    state = {**described(model, family, tokenizer), "origin": dict(origin)}
    content = Content({"model": model.state_dict()}, state, tokenizer_files(tokenizer))
    return checkpoint.save(folder / checkpoint.CHECKPOINTS, 0, content, keep=1)


def described(model: Model, family: str, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the description of a model and its tokenizer for a checkpoint's state."""
    return {
        "model": {"family": family, "shape": asdict(model.shape)},
        "tokenizer": {"kind": tokenizer.kind, "library": tokenizer.library},
    }


def parameters_described(facts: Mapping[str, Any]) -> int:
    """Count the weights of the model that a checkpoint's state describes, without allocating them; shared ones count once.

    Raises ValueError for an unknown family or shape.
    """
    with torch.device("meta"):
        return families.parameters(families.build(families.shape_of_dict(facts["family"], facts["shape"])))


def tokenizer_files(tokenizer: Tokenizer) -> dict[str, bytes]:
    """Return the tokenizer's file for a checkpoint, by name."""
    return {tokenizer.file_name: tokenizer.model}


def restore(model: nn.Module, found: Checkpoint, device: str = "cpu") -> None:
    """Load the weights of a checkpoint into a model. Raises CheckpointError, as `weights_for`."""
    model.load_state_dict(weights_for(model, found, device))


def prepare(model: nn.Module, found: Checkpoint, weights: Mapping[str, Tensor]) -> None:
    """Give a plain model the layers that compute with these weights of a compressed checkpoint; others stay as they are.

    Raises CheckpointError if it was compressed in a way that this release does not know.
    """
    if not quantized.is_compressed(weights):
        return
    try:
        quantized.prepare(model, weights, found.fact(COMPRESSED)["arithmetic"])
    except (KeyError, TypeError, AttributeError, UserError) as error:
        raise CheckpointError(
            f"{found.path}: does not describe how it was compressed ({error}); use a newer release, or compress the run again"
        ) from error


def merged_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights with each adapter (training/tasks/tuning/adapters.py) added to the layer that it stands beside."""
    out = dict(weights)
    for name in [name for name in weights if name.endswith(".adapter_in")]:
        layer = name.removesuffix("adapter_in")
        lowered, raised, scale = (out.pop(f"{layer}adapter_{part}") for part in ("in", "out", "scale"))
        out[f"{layer}weight"] = out[f"{layer}weight"] + raised @ lowered * scale
    return out


def weights_for(model: nn.Module, found: Checkpoint, device: str = "cpu") -> dict[str, Tensor]:
    """Return the weights of a checkpoint after checking that they fit this model (which may be sharded).

    Raises CheckpointError with the first weight that is missing, superfluous, or of another shape.
    """
    weights, wanted = found.load("model", device), model.state_dict()
    if not quantized.is_compressed(wanted):
        weights = quantized.floats(weights)
    for name, tensor in wanted.items():
        if name not in weights:
            raise CheckpointError(f"{found.path}: has no weight {name}; it is another model's checkpoint")
        if weights[name].shape != tensor.shape:
            if name.endswith("positions.weight") and weights[name].shape[1:] == tensor.shape[1:]:
                raise CheckpointError(
                    f"{found.path}: has a table of {len(weights[name]):,} positions, this model one of {len(tensor):,} ({name}); "
                    "set model.length to the checkpoint's, and rows.length to no more"
                )
            shapes = f"{tuple(weights[name].shape)}, this model's {tuple(tensor.shape)}"
            raise CheckpointError(f"{found.path}: the weight {name} has the shape {shapes}; it is another model's checkpoint")
    if extra := sorted(set(weights) - set(wanted)):
        raise CheckpointError(f"{found.path}: has a weight {extra[0]} that the model lacks; it is another model's checkpoint")
    return weights


def first_weights(path: str | Path, model: nn.Module, tokenizer: Tokenizer) -> dict[str, Tensor]:
    """Return the initial weights of a new model: those of a run's newest checkpoint, or of a checkpoint (train.init_from).

    Raises CheckpointError if there is none, or if its tokenizer (its ids mean other pieces) or its shape differs.
    """
    found = find(here(path))
    theirs = tokenizer_of(found)
    if theirs.sha256 != tokenizer.sha256:
        raise CheckpointError(
            f"{found.path}: was trained with another tokenizer ({theirs.size:,} pieces) than the data's ({tokenizer.size:,}); "
            "tokenize the data with it, or remove train.init_from"
        )
    return weights_for(model, found)


def _model(found: Checkpoint) -> Model:
    facts = found.fact("model")
    try:
        return families.build(families.shape_of_dict(facts["family"], facts["shape"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{found.path}: does not describe its model ({error!r})") from error


def tokenizer_of(found: Checkpoint) -> Tokenizer:
    """Return the tokenizer of a checkpoint. Raises CheckpointError if it does not describe one."""
    facts = found.fact("tokenizer")
    try:
        name = loading.FILE_NAMES[facts["library"]]
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{found.path}: does not describe its tokenizer ({error!r})") from error
    return loading.from_bytes(found.content(name), facts["kind"], facts["library"], str(found.path / name))
