"""Harmful updates: losses and gradient norms that are not finite, or far above the recent ones."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.contract.errors import UserError

_HISTORY = 16  # updates needed before a z-score is computed


class SpikeError(UserError):
    """Too many updates in a row were skipped; the message names the numbers to change."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The z-scores of a loss and a gradient norm, and the reason to skip the update, if there is one."""

    loss_z: float | None
    gradient_norm_z: float | None
    reason: str | None


class Spikes:
    """A detector that compares each update with the last `window` updates; skipped ones are not remembered.

    Without `limit`, only updates that are not finite are skipped. A low value is never a spike.
    """

    def __init__(self, window: int, limit: float | None, max_skipped: int) -> None:
        self._losses: deque[float] = deque(maxlen=window)
        self._norms: deque[float] = deque(maxlen=window)
        self._limit, self._max_skipped = limit, max_skipped
        self._skipped = 0  # in a row

    def judge(self, loss: float, norm: float) -> Verdict:
        """Judge an update by its loss and gradient norm, and remember it unless it is skipped.

        Raises SpikeError at the `max_skipped`-th skipped update in a row.
        """
        verdict = self._verdict(loss, norm)
        if verdict.reason is None:
            self._losses.append(loss)
            self._norms.append(norm)
            self._skipped = 0
            return verdict
        self._skipped += 1
        if self._skipped >= self._max_skipped:
            raise SpikeError(
                f"{self._skipped} updates in a row were skipped (train.max_skipped), the last one for its {verdict.reason}; "
                "train on in another run.out, from the last checkpoint (train.init_from), with a lower train.learning_rate or "
                "train.clip, or with a higher train.skip_above"
            )
        return verdict

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint; JSON keeps every bit of a float."""
        return {"losses": list(self._losses), "norms": list(self._norms), "skipped": self._skipped}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`."""
        self._losses.extend(state["losses"])
        self._norms.extend(state["norms"])
        self._skipped = int(state["skipped"])

    def _verdict(self, loss: float, norm: float) -> Verdict:
        for name, value in (("loss", loss), ("gradient norm", norm)):
            if not math.isfinite(value):
                return Verdict(None, None, f"{name} {value}")
        loss_z, norm_z = _z(loss, self._losses), _z(norm, self._norms)
        reason = None
        for name, z in (("loss", loss_z), ("gradient norm", norm_z)):
            if self._limit is not None and z is not None and z > self._limit:
                reason = f"{name}'s z-score of {z:.1f}"
        return Verdict(loss_z, norm_z, reason)


def _z(value: float, before: deque[float]) -> float | None:
    """Return the z-score of a value: standard deviations above the mean; None while there are too few values."""
    if len(before) < _HISTORY:
        return None
    mean = math.fsum(before) / len(before)
    variance = math.fsum((one - mean) ** 2 for one in before) / len(before)
    return (value - mean) / max(math.sqrt(variance), 1e-6 * abs(mean), 1e-12)
