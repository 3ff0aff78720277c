"""Files of weights: safetensors, one or several with an index, and pickles of torch.save, read without executing code.

model.safetensors                    all weights, or
model-00001-of-00002.safetensors     some of them each, and
model.safetensors.index.json         which weight is in which file
pytorch_model.bin                    a pickle (also several, with pytorch_model.bin.index.json)
"""

import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from pipelines.contract import files
from training.convert.rules import WeightsError

INDEX = ".index.json"
SAFETENSORS, PICKLE = "model.safetensors", "pytorch_model.bin"
NAMES = (SAFETENSORS, SAFETENSORS + INDEX, PICKLE, PICKLE + INDEX)  # the first that exists is read
SHARD_BYTES = 5_000_000_000  # Hugging Face's max_shard_size up to its release 4
_METADATA = {"format": "pt"}  # transformers refuses a file without it
_FOREIGN = ("tf_model.h5", "flax_model.msgpack", "model.ckpt.index")
_ZIP = b"PK\x03\x04"  # the first bytes of files of torch.save since torch 1.6


def read(folder: Path) -> tuple[dict[str, Tensor], str]:
    """Return the weights of a folder by name, on the CPU, and their file (or index).

    They are views of mapped files: copy those to keep. Raises WeightsError, with the file and the fix, for a file that is
    missing, incomplete, or holds more than weights.
    """
    path = next((folder / name for name in NAMES if (folder / name).exists()), None)
    if path is None:
        foreign = next(
            (f"; {name} is TensorFlow's or Flax's, save it with PyTorch" for name in _FOREIGN if (folder / name).exists()), ""
        )
        raise WeightsError(f"{folder}: has none of {', '.join(NAMES)}{foreign}")
    return (_read_indexed(path) if path.name.endswith(INDEX) else _read_file(path)), str(path)


def write(folder: Path, weights: Mapping[str, Tensor], shard_bytes: int = SHARD_BYTES) -> None:
    """Write model.safetensors, or several files and their index if one would be larger than `shard_bytes`.

    A file holds at least one weight, in the order of the names given. The same weights give the same bytes.
    Raises WeightsError if the files cannot be written (a full disk).
    """
    shards = _shards(weights, shard_bytes)
    if len(shards) == 1:
        _write_file(folder / SAFETENSORS, shards[0], weights)
        return
    stem, ending = SAFETENSORS.split(".")
    places: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = f"{stem}-{number:05d}-of-{len(shards):05d}.{ending}"
        _write_file(folder / file, names, weights)
        places.update(dict.fromkeys(names, file))
    index = {"metadata": {"total_size": sum(map(_bytes, weights.values()))}, "weight_map": places}
    files.write_text(str(folder / (SAFETENSORS + INDEX)), json.dumps(index, indent=2) + "\n")


def read_pickle(path: Path, allowed: Sequence[type] = ()) -> Any:
    """Read a file of torch.save that holds tensors, numbers, texts, and lists and dicts of them, without executing code.

    `allowed` are further types that it may hold. Raises WeightsError, naming the type, if it needs another one, or if it is
    incomplete.
    """
    try:
        with path.open("rb") as stream:
            mapped = stream.read(len(_ZIP)) == _ZIP
        with torch.serialization.safe_globals(list(allowed)), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about protocols and TorchScript; failures are raised below
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except FileNotFoundError:
        raise WeightsError(f"{path}: there is no such file") from None
    except Exception as error:  # damaged bytes make the unpickler raise any
        if wanted := re.search(r"GLOBAL (\S+)", str(error)):
            raise WeightsError(
                f"{path}: a pickle that needs {wanted[1]}, which might execute anything, so it is not read; "
                "have whoever trusts it save the weights as model.safetensors"
            ) from error
        if "TorchScript" in str(error):
            raise WeightsError(f"{path}: holds a program (TorchScript), not weights; save model.state_dict() there") from error
        raise WeightsError(f"{path}: not a whole file of torch.save ({_reason(error)}); fetch it again") from error


def _reason(error: Exception) -> str:
    """Return the first sentence, without torch's advice to trust the file."""
    match = re.search(r"WeightsUnpickler error: (.*)", str(error))
    reason = re.split(r"\.\s|\n", match[1] if match else str(error))[0]
    return type(error).__name__ if not reason or "load failed" in reason else reason


def _read_file(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise WeightsError(f"{path}: not a whole file of safetensors ({_reason(error)}); fetch it again") from error
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not weights by name; save model.state_dict() there")
    for name, tensor in cast(dict[Any, Any], content).items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise WeightsError(
                f"{path}: holds a {type(tensor).__name__} named {name!r}, which is no weight; save model.state_dict() there"
            )
    return cast(dict[str, Tensor], content)


def _read_indexed(index: Path) -> dict[str, Tensor]:
    places = _places(index)
    shards: dict[str, dict[str, Tensor]] = {}
    for file in dict.fromkeys(places.values()):
        if Path(file).name != file or not file.endswith((".safetensors", ".bin")):
            raise WeightsError(
                f"{index}: names {file!r}, which is no file of weights beside it; it is no index of Hugging Face's"
            )
        if not (index.parent / file).exists():
            raise WeightsError(f"{index.parent / file}: is missing, and {index.name} names it; fetch it too")
        shards[file] = _read_file(index.parent / file)
    for name, file in places.items():
        if name not in shards[file]:
            raise WeightsError(f"{index.parent / file}: has no weight {name}, which {index.name} says it has; fetch both again")
    return {name: shards[file][name] for name, file in places.items()}


def _places(index: Path) -> dict[str, str]:
    """Map weights to their files."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in cast(dict[str, Any], places).values()):
        raise WeightsError(f"{index}: has no weight_map, a file by weight; fetch it again")
    return cast(dict[str, str], places)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file. Raises WeightsError if the file is missing or holds no object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{path}: is missing; give a folder with the files as they were published") from None
    except ValueError as error:
        raise WeightsError(f"{path}: not JSON ({error}); fetch it again") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds no JSON object; fetch it again")
    return cast(dict[str, Any], content)


def _shards(weights: Mapping[str, Tensor], shard_bytes: int) -> list[list[str]]:
    """Return the names of the weights in each file."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name, tensor in weights.items():
        size = _bytes(tensor)
        if shards[-1] and filled + size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _write_file(path: Path, names: Iterable[str], weights: Mapping[str, Tensor]) -> None:
    """Write some of the weights; the file gets its name once it is complete and on the disk."""
    temporary = files.temporary_path(path)
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        safetensors.torch.save_file({name: weights[name].detach().cpu().contiguous() for name in names}, temporary, _METADATA)
        temporary.chmod(mode)  # the library's files are the owner's alone, whatever umask says
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: cannot be written ({error}); free some space, or name another folder") from error
    finally:
        temporary.unlink(missing_ok=True)
