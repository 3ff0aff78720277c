"""The circumstances that decide the last bits of a run, besides config and data; a change on resume is a warning."""

import hashlib
import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch

from training.checkpoints.store import release
from training.run.config import TrainSection
from training.run.device import Device
from training.run.distributed.processes import World

_ROOT = Path(__file__).resolve().parents[2]
_CODE = ("training", "pipelines/contract")  # all of our code that training runs


def circumstances(settings: TrainSection, device: Device, world: World) -> dict[str, Any]:
    """Return the circumstances by name, as JSON. If all are equal, a resumed run equals an undisturbed one, bit for bit."""
    return {
        "code": f"{release()} ({code()[:12]})",
        "torch": torch.__version__,
        "machine": machine(device),
        "device": device.name,
        "threads": torch.get_num_threads(),
        "processes": world.size,
        "strategy": settings.strategy if world.size > 1 else None,
        "accumulate": settings.accumulate,
        "compile": settings.compile,
        "activation_checkpointing": settings.activation_checkpointing,
    }


@cache
def code() -> str:
    """Return the sha256 (hex) of the sources that training runs: finer than the version, as commits are more frequent."""
    digest = hashlib.sha256()
    for folder in _CODE:
        for path in sorted((_ROOT / folder).rglob("*.py")):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(_ROOT).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def machine(device: Device) -> str:
    """Return the GPU's name, or the processor's with the vector instructions that torch uses."""
    if device.name == "cuda":
        return torch.cuda.get_device_name()
    return f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}"


def _processor() -> str:
    """Return the model from Linux's /proc/cpuinfo (Arm has none there), else from Python's platform module."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())
