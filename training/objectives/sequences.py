"""What the objectives of an encoder and a decoder share: padding, and the targets as the decoder sees them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.rows.batch import IGNORE, Examples
from training.kernels import jit

Ids = NDArray[np.int64]


def padded(inputs: Ids, lengths: Ids, targets: Ids, target_lengths: Ids, *, pad: int, start: int) -> Examples:
    """Make examples from inputs (N, S) and targets (N, T) of these lengths (N,); what is beyond the lengths is undefined.

    Both arrays are padded in place. `decoder_inputs` are the targets shifted by one, after the decoder's first piece:

        targets         7 8 1 IGNORE          length 3, start 0, pad 0
        decoder_inputs  0 7 8 0
    """
    decoder_inputs = np.empty_like(targets)
    _pad(inputs, lengths, targets, target_lengths, decoder_inputs, pad, start)
    return {"inputs": inputs, "lengths": lengths, "decoder_inputs": decoder_inputs, "targets": targets}


def count_targets(examples: Examples) -> dict[str, int]:
    """Return by how many predictions the loss is divided: all targets that are not padding."""
    return {"tokens": int(np.count_nonzero(examples["targets"] != IGNORE))}


@jit
def _pad(  # pragma: no cover (compiled)
    inputs: Any, lengths: Any, targets: Any, target_lengths: Any, decoder_inputs: Any, pad: int, start: int
) -> None:
    for n in range(len(lengths)):
        for i in range(lengths[n], inputs.shape[1]):
            inputs[n, i] = pad
        decoder_inputs[n, 0] = start
        for i in range(1, target_lengths[n]):
            decoder_inputs[n, i] = targets[n, i - 1]
        for i in range(target_lengths[n], targets.shape[1]):
            targets[n, i] = IGNORE
            decoder_inputs[n, i] = pad
