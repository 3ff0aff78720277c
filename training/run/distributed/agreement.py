"""All processes of a run begin with the same settings and the first one's checkpoint, also if their machines share no disk.

Each process compares the (step, sha256 of the manifest) of the first one's checkpoint with what lies on its own disk. If all
have it, each loads its own copy; otherwise the first process sends the tensors, and says which process had something else.
"""

import hashlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.contract import manifest
from training.checkpoints import store as checkpoint
from training.checkpoints.store import Checkpoint, CheckpointError
from training.data.config import may_change
from training.run.config import RunConfig
from training.run.distributed.processes import DistributedError, World


@dataclass(frozen=True, slots=True)
class Sent(Checkpoint):
    """A checkpoint that the first process sends; every process has to call its methods, in the same order."""

    world: World
    whole: Checkpoint | None  # in the first process

    def load(self, name: str, device: str = "cpu") -> dict[str, Any]:
        """Return the tensors of "model" or "optimizer", sent one by one. Raises CheckpointError in all processes."""
        return self.world.send(lambda: self._own().load(name))

    def content(self, name: str) -> bytes:
        """Return the content of another file. Raises CheckpointError in all processes."""
        return self.world.first(lambda: self._own().content(name))

    def _own(self) -> Checkpoint:
        assert self.whole is not None, "only the first process reads"
        return self.whole


def agreed(world: World, find: Callable[[], Checkpoint | None], own: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """Return the checkpoint that the first process finds, for all of them; None if it finds none.

    `own` is the folder in which this process's copy of it would lie. Raises in all processes what `find` raises in the first.
    """
    if world.size == 1:
        return find()
    kept: list[Checkpoint] = []

    def facts() -> tuple[str, int, dict[str, Any], str] | None:
        found = find()
        if found is None:
            return None
        kept.append(found)
        return str(found.path), found.step, found.state, _sha256(found)

    known = world.first(facts)
    mine = kept[0] if kept else _copy(own, known)
    has = ", ".join(sorted(path.name for path in own.glob("step-*"))) or "no checkpoint"
    reports = world.gather((mine is not None or known is None, f"process {world.rank} on {socket.gethostname()} has {has}"))
    if known is None:
        return None
    path, step, state, _ = known
    if all(equal for equal, _ in reports):
        return mine
    if world.rank == 0:
        others = "; ".join(text for equal, text in reports if not equal)
        say(f"{path} (step {step}) is not on the disk of every process ({others}): process 0 on {socket.gethostname()} sends it")
    return Sent(Path(path), step, state, world, kept[0] if kept else None)


def refuse_unequal(config: RunConfig, identity: dict[str, Any], world: World) -> None:
    """Raise DistributedError, naming process, host and field, if the processes' settings or data differ where it matters."""
    if world.size == 1:
        return
    mine = {f"data: {name}": value for name, value in identity.items()}
    for section, known in config.compared().items():
        free = may_change(known)
        mine |= {f"{section}.{name}": value for name, value in known.model_dump(mode="json").items() if name not in free}
    digests = {name: manifest.fingerprint({"value": value}) for name, value in mine.items()}
    reports = world.gather((socket.gethostname(), digests))
    first_host, first = reports[0]
    for rank, (host, theirs) in enumerate(reports):
        if other := [name for name in first if theirs.get(name) != first[name]]:
            raise DistributedError(
                f"{other[0]}: differs between process 0 on {first_host} and process {rank} on {host}; start all with the same "
                "config, arguments and data"
            )


def _copy(own: Path, known: tuple[str, int, dict[str, Any], str] | None) -> Checkpoint | None:
    """Return this process's whole copy of a checkpoint, or None."""
    if known is None:
        return None
    try:
        found = checkpoint.read(own / Path(known[0]).name)
        return found if _sha256(found) == known[3] else None
    except (CheckpointError, OSError):
        return None


def _sha256(found: Checkpoint) -> str:
    return hashlib.sha256(found.content(checkpoint.MANIFEST)).hexdigest()
