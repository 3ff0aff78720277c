"""The memory of a training step, counted without computing it.

The model that is counted has tensors without content (PyTorch's FakeTensor): one of eleven billion weights takes a few
megabytes. One step is traced: the trainer's own forward and backward pass, clipping and the optimiser, and a pass of evaluation.
Every storage that an operation returns counts from then until it is freed, once, however many tensors share it. On a CPU the
examples are real, so that branches which depend on them (padding or none) are those of the run.

Limits: what an operation takes and frees before it returns is not seen; kernels of the CPU take little.
"""

import warnings
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from training.data.rows.batch import Examples
from training.models.families import Model, Shape, build, layers
from training.models.recompute import recompute
from training.run.config import TrainSection
from training.run.device import Device
from training.run.distributed.processes import Learner
from training.run.trainer import accumulate
from training.run.updates import optimizers as optim

_INDEX, _READ = torch.ops.aten.index.Tensor, torch.ops.aten._local_scalar_dense.default
_PAGE = 2 * 2**20  # of large tensors on a CPU (training/run/device.py)
_CUDA_BLOCK = 512  # PyTorch's allocator on a GPU rounds to this


@dataclass(frozen=True, slots=True)
class Footprint:
    """The bytes of a model in training, in one process that trains alone."""

    weights: int
    optimizer: int  # what the optimiser keeps
    gradients: int  # of all weights
    step: int  # at most, in a step, beside weights and optimizer
    evaluation: int  # at most, in an evaluation, beside weights and optimizer
    layer: int  # weights of the largest layer
    outside: int  # weights outside the layers

    @property
    def activations(self) -> int:
        """What a step takes at most beside weights, optimizer and gradients."""
        return max(0, self.step - self.gradients)


class Storages(TorchDispatchMode):
    """Counts the bytes of living storages of which an operation returned a tensor within the block.

    `size_of` is what the allocator takes for a storage.
    """

    def __init__(self, size_of: Callable[[int], float] = float) -> None:
        super().__init__()
        self.live, self.peak = 0.0, 0.0
        self._size_of = size_of
        self._known: dict[int, float] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _READ and isinstance(args[0], FakeTensor):
            return 1.0 if args[0].is_floating_point() else 1  # a norm or a root mean square of an optimiser: any number will do
        if func is _INDEX and isinstance(args[0], FakeTensor):
            args = (args[0], [place for index in args[1] for place in _places(index)])
        out = func(*args, **(kwargs or {}))
        for value in pytree.tree_leaves(out):
            if isinstance(value, Tensor):
                self.add(value)
        return out

    def add(self, tensor: Tensor) -> None:
        """Count the storage of a tensor from now on, if it is not known."""
        storage = tensor.untyped_storage()
        key = storage._cdata  # pyright: ignore[reportPrivateUsage]  the address that all tensors of it share
        if key not in self._known:
            self._known[key] = self._size_of(storage.nbytes())
            weakref.finalize(storage, self._free, key)
            self.live += self._known[key]
            self.peak = max(self.peak, self.live)

    def _free(self, key: int) -> None:
        self.live -= self._known.pop(key)


def footprint(
    shape: Shape,
    settings: TrainSection,
    device: Device,
    examples: Examples,
    counts: dict[str, int],
    held_out: Examples,
    *,
    keeps_gradients: bool,
) -> Footprint:
    """Trace a step over these examples, a micro-batch, and an evaluation of `held_out`.

    `keeps_gradients`: there are gradients of all weights when the micro-batch begins, as earlier ones or DDP's buckets have them.
    """
    model = empty_model(shape, device)
    if settings.activation_checkpointing:
        recompute(layers(model))
    optimizers = optim.optimizers(model, settings, 1)
    weights = list(model.parameters())
    count = Storages(_cpu if device.name == "cpu" else _cuda)
    for weight in weights:
        count.add(weight)
    with count, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")  # PyTorch looks at it
        _give_gradients(weights)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        kept = sum(_bytes_of(state) for optimizer in optimizers for state in optimizer.state.values())
        before = count.live
        count.peak = before
        learner = Learner(model)
        with torch.no_grad(), device.autocast(), torch.random.fork_rng(devices=[]):
            model.eval()
            learner.losses(device.tensors(held_out))
            model.train()
        evaluation, count.peak = count.peak - before, count.live
        if keeps_gradients:
            _give_gradients(weights)
        with torch.random.fork_rng(devices=[]):
            accumulate(learner, device, [examples], dict(counts), list(counts), (0, 0, 0))
        optim.clip(weights, settings.clip)
        for optimizer in optimizers:
            optimizer.step()
        step = count.peak - before
    return Footprint(
        weights=sum(map(_size, weights)),
        optimizer=kept,
        gradients=sum(map(_size, weights)),
        step=round(step),
        evaluation=round(evaluation),
        layer=max(sum(map(_size, layer.parameters())) for layer in layers(model)),
        outside=sum(map(_size, weights)) - sum(_size(w) for layer in layers(model) for w in layer.parameters()),
    )


def empty_model(shape: Shape, device: Device) -> Model:
    """Return a model of this shape on this device whose tensors have no content."""
    with torch.device("meta"):
        model = build(shape)
    fake, made = FakeTensorMode(allow_non_fake_inputs=True), dict[int, Tensor]()

    def empty(tensor: Tensor) -> Tensor:
        if id(tensor) not in made:  # a weight that two modules share stays one
            with fake:
                content = torch.empty(tensor.shape, dtype=tensor.dtype, device=device.name)
            made[id(tensor)] = nn.Parameter(content, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else content
        return made[id(tensor)]

    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False, remove_duplicate=False):
            setattr(module, name, empty(weight))
        for name, buffer in module.named_buffers(recurse=False, remove_duplicate=False):
            setattr(module, name, empty(buffer))
    return model


def _give_gradients(weights: Iterable[Tensor]) -> None:
    for weight in weights:
        weight.grad = torch.empty_like(weight)


def _places(index: Any) -> list[Any]:
    """Return a mask as the numbers of the places that it chooses: without content, a tensor cannot tell how many they are."""
    if isinstance(index, Tensor) and index.dtype == torch.bool and not isinstance(index, FakeTensor):
        return list(index.nonzero().unbind(1))
    return [index]


def _bytes_of(state: Any) -> int:
    return sum(_size(value) for value in state.values() if isinstance(value, Tensor))


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _cpu(size: int) -> float:
    return size if size < _PAGE else -(-size // _PAGE) * _PAGE


def _cuda(size: int) -> float:
    return -(-size // _CUDA_BLOCK) * _CUDA_BLOCK
