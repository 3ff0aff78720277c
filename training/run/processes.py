"""Several processes that train one model: torchrun starts them, DDP or FSDP2 keeps them together.

    torchrun --no-python --nproc-per-node 8 corpusmill pretrain configs/pretrain/gpt2_small.toml

The gradient of a step is the sum over processes (torch would average: the loss is divided by counts of the whole step
already). States leave this module whole, on the CPU and under the plain model's names, so that a checkpoint does not tell how
many processes wrote it.
"""

import gc
import os
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from pipelines.contract.errors import UserError
from training.models import families
from training.models.bert import BERT
from training.models.families import Model
from training.run.device import Device

_TIMEOUT = timedelta(minutes=30)  # the first process may build row indexes while the others wait
_ANSWER_TIMEOUT = timedelta(seconds=10)


class DistributedError(UserError):
    """The processes cannot train together; the message says what to change."""


@dataclass(frozen=True, slots=True)
class World:
    """All processes of a run, and which of them this is."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    def sums(self, values: Mapping[str, float]) -> dict[str, float]:
        """Each value summed over all processes, which give the same names; counts below 2^53 stay exact."""
        if self.size == 1:
            return dict(values)
        together = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        dist.all_reduce(together)
        return dict(zip(values, together.tolist(), strict=True))

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.sums({"here": 1})


@contextmanager
def join(device: str) -> Generator[World]:
    """Meet the other processes that torchrun started, over gloo on CPUs and NCCL on GPUs; alone, there is nothing to meet.

    Raises DistributedError when torchrun started more processes than there are GPUs.
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
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=_TIMEOUT)
    try:
        yield World(dist.get_rank(), size, device)
    finally:
        gc.collect()  # FSDP's modules are cycles that hold the group: its threads, left to Python's end, sometimes crash there
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
    """Whether every process still answers. gloo raises bare RuntimeErrors for lost ones, NCCL a DistError."""
    if dist.get_backend() != "gloo":
        return True
    try:
        dist.monitored_barrier(timeout=_ANSWER_TIMEOUT)
    except RuntimeError:
        return False
    return True


class Learner:
    """A model as this process trains it: alone."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def losses(self, examples: dict[str, Tensor]) -> dict[str, Tensor]:
        """The model's sums by term over the examples of this process."""
        return self.model.losses(examples)

    def accumulating(self, last: bool) -> AbstractContextManager[Any]:
        """Around a micro-batch: only the last one of a step exchanges gradients."""
        return nullcontext()

    def whole(self) -> Model:
        """A model that can be asked anything, by this process alone."""
        return self.model


class _Losses(nn.Module):
    """DDP exchanges gradients of what it calls."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, examples: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.model.losses(examples)


class Replicated(Learner):
    """DDP: every process has a whole copy."""

    def __init__(self, model: Model, device: Device) -> None:
        super().__init__(model)
        self._together = DistributedDataParallel(
            _Losses(model),
            device_ids=[torch.cuda.current_device()] if device.name == "cuda" else None,
            forward_sync_buffers=False,
            gradient_as_bucket_view=True,
            find_unused_parameters=isinstance(model, BERT),  # without pairs, their head has no gradient
        )
        self._together.register_comm_hook(None, _sum)

    def losses(self, examples: dict[str, Tensor]) -> dict[str, Tensor]:
        """As alone; the backward pass exchanges gradients."""
        return self._together(examples) if torch.is_grad_enabled() else self.model.losses(examples)

    def accumulating(self, last: bool) -> AbstractContextManager[Any]:
        """Without the exchange of gradients, but for the last."""
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
        """Gradients stay whole in each process until the last."""
        assert isinstance(self.model, FSDPModule)
        self.model.set_requires_gradient_sync(last)
        yield

    def whole(self) -> Model:
        """A copy put together from all processes, which all take part."""
        copy = families.build(self.model.shape)
        copy.load_state_dict(model_state(self))
        return copy


def learner(model: Model, world: World, device: Device, strategy: Literal["ddp", "fsdp"]) -> Learner:
    """The model for this process to train; alone it stays as it is."""
    if world.size == 1:
        return Learner(model)
    return Sharded(model) if strategy == "fsdp" else Replicated(model, device)


def model_state(learner: Learner) -> dict[str, Tensor]:
    """All weights by name, whole, in every process; every process has to ask."""
    return {name: _whole(tensor) for name, tensor in learner.model.state_dict().items()}


def optimizer_state(learner: Learner, optimizers: list[torch.optim.Optimizer]) -> dict[str, Any]:
    """What the optimisers know of each weight, by its name, whole, in every process; every process has to ask.

    Rates and decays are not in it: the config and the step decide them.
    """
    known = {weight: state for optimizer in optimizers for weight, state in optimizer.state.items()}
    return {
        name: {key: _whole(value) for key, value in known[weight].items()}
        for name, weight in learner.model.named_parameters()
        if weight in known
    }


def load_model_state(learner: Learner, state: Mapping[str, Tensor]) -> None:
    """Give this process its part of the weights."""
    own = learner.model.state_dict()
    learner.model.load_state_dict({name: _part(tensor, own[name]) for name, tensor in state.items()})


def load_optimizer_state(learner: Learner, optimizers: list[torch.optim.Optimizer], state: Mapping[str, Any]) -> None:
    """Give this process its part of what optimizers knew."""
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
    """This process' share of what is as large as a weight, as the weight itself is shared."""
    if isinstance(like, DTensor) and isinstance(value, Tensor) and value.ndim:
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return value
