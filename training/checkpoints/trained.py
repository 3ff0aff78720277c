"""A model that was trained or imported, with its tokenizer: all that generation, evaluation and exports need."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints import store as checkpoint
from training.checkpoints.store import Checkpoint, CheckpointError, Content
from training.models import families
from training.models.families import Model


@dataclass(frozen=True, slots=True)
class Trained:
    """A model on the CPU, in evaluation mode; its vocabulary may be padded beyond the tokenizer's size."""

    model: Model
    family: str
    tokenizer: Tokenizer
    where: str  # the checkpoint's folder, for messages


def load(path: str | Path) -> Trained:
    """The model of a run's newest complete checkpoint, or of a checkpoint's folder.

    Raises CheckpointError, with the file and the fix, when there is none, it is not whole, or its weights are not its model's.
    """
    found = find(Path(path))
    model = _model(found)
    restore(model, found)
    return Trained(model.eval(), found.state["model"]["family"], _tokenizer(found), str(found.path))


def find(path: Path) -> Checkpoint:
    """The checkpoint of a folder, or the newest complete one of a run. Raises CheckpointError when there is none."""
    if (path / checkpoint.MANIFEST).exists():
        return checkpoint.read(path)
    found = checkpoint.newest(path / checkpoint.CHECKPOINTS, lambda text: print(text, file=sys.stderr))
    if found is None:
        raise CheckpointError(f"{path}: there is no complete checkpoint; name the run.out of a pretraining run, or a checkpoint")
    return found


def save(folder: Path, model: Model, family: str, tokenizer: Tokenizer, origin: Mapping[str, Any]) -> Path:
    """Write weights alone as a checkpoint of step 0, what an import makes; `origin` says where they come from."""
    state = {**described(model, family, tokenizer), "origin": dict(origin)}
    content = Content({"model": model.state_dict()}, state, tokenizer_files(tokenizer))
    return checkpoint.save(folder / checkpoint.CHECKPOINTS, 0, content, keep=1)


def described(model: Model, family: str, tokenizer: Tokenizer) -> dict[str, Any]:
    """What the state of a checkpoint says of its model and its tokenizer."""
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
    """The tokenizer's file, to lie in a checkpoint."""
    return {tokenizer.file_name: tokenizer.model}


def restore(model: Model, found: Checkpoint, device: str = "cpu") -> None:
    """Give a model the weights of a checkpoint. Raises CheckpointError, as `weights_for`."""
    model.load_state_dict(weights_for(model, found, device))


def weights_for(model: Model, found: Checkpoint, device: str = "cpu") -> dict[str, Tensor]:
    """The weights of a checkpoint, which fit this model (whose own may be shared among processes).

    Raises CheckpointError that names the first weight which is missing, too many, or of another shape.
    """
    weights, wanted = found.load("model", device), model.state_dict()
    for name, tensor in wanted.items():
        if name not in weights:
            raise CheckpointError(f"{found.path}: has no weight {name}; it is another model's checkpoint")
        if weights[name].shape != tensor.shape:
            shapes = f"{tuple(weights[name].shape)}, this model's {tuple(tensor.shape)}"
            raise CheckpointError(f"{found.path}: the weight {name} has the shape {shapes}; it is another model's checkpoint")
    if extra := sorted(set(weights) - set(wanted)):
        raise CheckpointError(f"{found.path}: has a weight {extra[0]} that the model has not; it is another model's checkpoint")
    return weights


def first_weights(path: str | Path, model: Model, tokenizer: Tokenizer) -> dict[str, Tensor]:
    """What a new model starts with: the weights of a run's newest checkpoint, or of a checkpoint (train.init_from).

    Raises CheckpointError when there is none, it is of another tokenizer (its ids mean other pieces), or of another shape.
    """
    found = find(Path(path))
    theirs = _tokenizer(found)
    if theirs.sha256 != tokenizer.sha256:
        raise CheckpointError(
            f"{found.path}: was trained with another tokenizer ({theirs.size:,} pieces) than the data's ({tokenizer.size:,}); "
            "tokenize the data with it, or remove train.init_from"
        )
    return weights_for(model, found)


def _model(found: Checkpoint) -> Model:
    try:
        facts = found.state["model"]
        return families.build(families.shape_of_dict(facts["family"], facts["shape"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{found.path}: does not say which model it is of ({error!r})") from error


def _tokenizer(found: Checkpoint) -> Tokenizer:
    facts = found.state["tokenizer"]
    name = loading.FILE_NAMES[facts["library"]]
    return loading.from_bytes(found.content(name), facts["kind"], facts["library"], str(found.path / name))
