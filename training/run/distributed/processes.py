"""Processes that train one model together: torchrun starts them, DDP or FSDP2 connects them.

    torchrun --no-python --nproc-per-node 8 corpusmill pretrain configs/pretrain/gpt2_small.toml

The gradient of a step is the sum over processes, not torch's average: the loss is already divided by the counts of the whole
step. States leave this module whole, on the CPU and under the plain model's names, so a checkpoint does not depend on the
number of processes.
"""

import gc
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from pipelines.contract.errors import UserError
from training.models import families
from training.models.bert import BERT
from training.models.families import Model
from training.models.tuned import Tuned
from training.run.device import Device
from training.run.distributed.watch import Watch
from training.run.remember.memory import Memory

Trainable = Model | Tuned

_T = TypeVar("_T")
_TIMEOUT = timedelta(minutes=30)  # the first process may build row indexes while the others wait
_ANSWER_TIMEOUT = timedelta(seconds=10)


class DistributedError(UserError):
    """The processes cannot train together; the message names the change to make."""


@dataclass(frozen=True, slots=True)
class World:
    """The number of processes of a run, and the rank of this one."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    watch: Watch | None = None

    @contextmanager
    def waiting(self, place: str) -> Generator[None]:
        """Note that this process may wait for the others within the block, which all of them enter."""
        if self.watch is None:
            yield
            return
        self.watch.enter(place)
        yield
        self.watch.leave()

    def note(self, place: str) -> None:
        """Note where this process is, for the others to name."""
        if self.watch is not None:
            self.watch.note(place)

    def first(self, make: Callable[[], _T]) -> _T:
        """Return in every process what the first one makes; a UserError of it is raised in all."""
        if self.size == 1:
            return make()
        result: list[Any] = [None, None]
        if self.rank == 0:
            try:
                result[0] = make()
            except UserError as error:
                result[1] = error
        with self.waiting("what the first process reads"):
            dist.broadcast_object_list(result)
        if result[1] is not None:
            raise result[1]
        return result[0]

    def gather(self, value: _T) -> list[_T]:
        """Return the values of all processes, by rank."""
        values: list[Any] = [value] * self.size
        if self.size > 1:
            with self.waiting("a comparison of all processes"):
                dist.all_gather_object(values, value)
        return values

    def send(self, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return in every process the (nested) tensors that the first one makes, on the device; they travel one by one."""
        made: list[dict[str, Any]] = []

        def outline() -> dict[str, Any]:
            made.append(make())
            return _outline(made[0])

        with self.waiting("tensors of the first process"):
            return _filled(self.first(outline), made[0] if made else None, self.device)

    def sums(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sum each value over all processes, which pass the same names; counts below 2^53 stay exact."""
        if self.size == 1:
            return dict(values)
        together = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        with self.waiting(f"the sum of {next(iter(values), 'nothing')}"):
            dist.all_reduce(together)
            summed = together.tolist()  # waits for a GPU
        return dict(zip(values, summed, strict=True))

    def barrier(self) -> None:
        """Wait until every process has called this."""
        self.sums({"here": 1})


@contextmanager
def join(device: str) -> Generator[World]:
    """Join the process group that torchrun started, over gloo on CPUs and NCCL on GPUs; alone, do nothing.

    Raises DistributedError if torchrun started more processes than there are GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(device=device)
        return
    if device == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise DistributedError(
                f"--nproc-per-node: this machine has {torch.cuda.device_count()} GPUs, too few for process {local + 1}; lower it"
            )
        torch.cuda.set_device(local)
    store, rank, size = next(rendezvous("env://", timeout=_TIMEOUT))
    dist.init_process_group("nccl" if device == "cuda" else "gloo", store=store, rank=rank, world_size=size, timeout=_TIMEOUT)
    try:
        with Watch(store, rank, size) as watch:
            yield World(rank, size, device, watch)
    finally:
        gc.collect()  # FSDP's modules are cycles that hold the group, whose threads sometimes crash when Python exits
        dist.destroy_process_group()


def lost(error: BaseException, world: World) -> str | None:
    """Return what to do about an error that the loss of another process caused; None for any other error."""
    if world.size == 1 or not isinstance(error, RuntimeError):
        return None
    if not isinstance(error, dist.DistError) and _all_answer():
        return None
    first_line = str(error).partition("\n")[0][:200]
    return (
        f"process {world.rank} of {world.size} can no longer reach the others: one of them was lost; "
        f"run the same command to resume from the last checkpoint ({first_line})"
    )


def _all_answer() -> bool:
    """Return whether every process still answers. gloo raises bare RuntimeErrors for lost ones, NCCL a DistError."""
    if dist.get_backend() != "gloo":
        return True
    try:
        dist.monitored_barrier(timeout=_ANSWER_TIMEOUT)
    except RuntimeError:
        return False
    return True


class Learner:
    """A model that this process trains alone."""

    def __init__(self, model: Trainable, memory: Memory | None = None) -> None:
        self.model = model
        self._memory = memory

    def losses(self, examples: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the sum of the loss over the examples of this process, by term; in training with that of the memory."""
        if self._memory is None or not torch.is_grad_enabled():
            return self.model.losses(examples)
        return self._memory.losses(self.model, examples)

    def accumulating(self, last: bool) -> AbstractContextManager[Any]:
        """Return the context of a micro-batch: only the last one of a step exchanges gradients."""
        return nullcontext()

    def whole(self) -> Trainable:
        """Return a model that this process can run on its own."""
        return self.model


class _Losses(nn.Module):
    """The loss as a forward pass: DDP exchanges only the gradients of what it calls."""

    def __init__(self, model: Trainable, memory: Memory | None) -> None:
        super().__init__()
        self.model = model
        self._memory = memory

    def forward(self, examples: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.model.losses(examples) if self._memory is None else self._memory.losses(self.model, examples)


class Replicated(Learner):
    """DDP: every process has a copy of the model."""

    def __init__(self, model: Trainable, device: Device, memory: Memory | None = None) -> None:
        super().__init__(model, memory)
        self._together = DistributedDataParallel(
            _Losses(model, memory),
            device_ids=[torch.cuda.current_device()] if device.name == "cuda" else None,
            forward_sync_buffers=False,
            gradient_as_bucket_view=True,
            find_unused_parameters=isinstance(model, BERT | Tuned),  # a head that the objective or the task does not use
        )
        self._together.register_comm_hook(None, _sum)

    def losses(self, examples: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute the losses, as `Learner.losses` does; the backward pass exchanges gradients."""
        return self._together(examples) if torch.is_grad_enabled() else self.model.losses(examples)

    def accumulating(self, last: bool) -> AbstractContextManager[Any]:
        """Exchange gradients in the last micro-batch only."""
        return nullcontext() if last else self._together.no_sync()


class Sharded(Learner):
    """FSDP2 (Zhao et al. 2023, arXiv 2304.11277): every process has a share of every weight, its gradient and its moments."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        for layer in families.layers(model):
            fully_shard(layer)
        fully_shard(model)
        register_fsdp_forward_method(model, "losses")
        for part in model.modules():
            if isinstance(part, FSDPModule):
                part.set_gradient_divide_factor(1.0)
                part.set_force_sum_reduction_for_comms(True)

    @contextmanager
    def accumulating(self, last: bool) -> Generator[None]:
        """Reduce gradients in the last micro-batch only."""
        assert isinstance(self.model, FSDPModule)
        self.model.set_requires_gradient_sync(last)
        yield

    def whole(self) -> Model:
        """Gather a copy from all processes; every process has to call it."""
        assert not isinstance(self.model, Tuned)
        copy = families.build(self.model.shape)
        copy.load_state_dict(model_state(self))
        return copy


@dataclass(frozen=True, slots=True)
class _Hole:
    """The place of a tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def _outline(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _outline(part) for name, part in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return _Hole(tuple(value.shape), value.dtype) if isinstance(value, Tensor) else value


def _filled(outline: Any, made: Any, device: str) -> Any:
    """Fill the holes with the first process's tensors, in the order of the outline."""
    if isinstance(outline, dict):
        return {name: _filled(part, made and made[name], device) for name, part in outline.items()}  # pyright: ignore
    if not isinstance(outline, _Hole):
        return outline
    tensor = torch.empty(outline.shape, dtype=outline.dtype, device=device) if made is None else made.to(device).contiguous()
    dist.broadcast(tensor, 0)
    return tensor


def learner(
    model: Trainable, world: World, device: Device, strategy: Literal["ddp", "fsdp"], memory: Memory | None = None
) -> Learner:
    """Wrap the model for this process to train; alone, it stays as it is. `memory` may add to its losses."""
    if world.size == 1:
        return Learner(model, memory)
    if strategy == "fsdp":
        assert not isinstance(model, Tuned) and memory is None, "neither a tuned model nor a memory is sharded"
        return Sharded(model)
    return Replicated(model, device, memory)


def model_state(learner: Learner) -> dict[str, Tensor]:
    """Gather all weights by name, in every process; every process has to call it."""
    return {name: _whole(tensor) for name, tensor in learner.model.state_dict().items()}


def optimizer_state(learner: Learner, optimizers: list[torch.optim.Optimizer]) -> dict[str, Any]:
    """Gather the state of the optimisers by the name of the weight, in every process; every process has to call it.

    Learning rates and decays are left out: the config and the step decide them.
    """
    known = {weight: state for optimizer in optimizers for weight, state in optimizer.state.items()}
    return {
        name: {key: _whole(value) for key, value in known[weight].items()}
        for name, weight in learner.model.named_parameters()
        if weight in known
    }


def load_model_state(learner: Learner, state: Mapping[str, Tensor]) -> None:
    """Load this process's share of the weights."""
    own = learner.model.state_dict()
    learner.model.load_state_dict({name: _part(tensor, own[name]) for name, tensor in state.items()})


def load_optimizer_state(learner: Learner, optimizers: list[torch.optim.Optimizer], state: Mapping[str, Any]) -> None:
    """Load this process's share of the optimisers' state."""
    for optimizer in optimizers:
        mine = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
        for name, weight in learner.model.named_parameters():
            if id(weight) in mine and name in state:
                optimizer.state[weight] = {key: _part(value, weight) for key, value in state[name].items()}


def _sum(_: object, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:  # pyright: ignore[reportPrivateImportUsage]
    work = dist.all_reduce(bucket.buffer(), async_op=True)
    assert work is not None
    return work.get_future().then(lambda done: done.value()[0])


def _whole(value: Any) -> Any:
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


def _part(value: Any, like: Tensor) -> Any:
    """Shard a tensor of the size of a weight in the same way as the weight."""
    if isinstance(like, DTensor) and isinstance(value, Tensor) and value.ndim:
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return value
