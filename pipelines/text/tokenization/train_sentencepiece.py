r"""Train one SentencePiece model: a program that takes options (JSON) as its argument and lines on stdin; the model is on stdout.

    printf 'to be\nor not\n' | python -P train_sentencepiece.py '{"vocab_size": 300, "model_type": "bpe"}' > tokenizer.model

`vocabulary.train` starts it. A separate process has three advantages: the trainer's whole log can be read (it writes to file
descriptor 2, past Python), its memory is freed when it ends, and a machine that runs out of memory kills the trainer, not
the build. It imports only SentencePiece. The log of a failed run ends with FAILED and the reason.
"""

import ctypes
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import sentencepiece

FAILED = "TRAINING FAILED: "
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def train(options: Mapping[str, Any], lines: BinaryIO, model: BinaryIO) -> None:
    """Train on lines, without their newlines, and write the serialised model."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line.removesuffix(b"\n") for line in lines), model_writer=model, **options
    )
    model.flush()


def main(arguments: Sequence[str]) -> int:
    """Return 0, or 1 after printing the trainer's error."""
    if sys.platform == "linux":  # a killed build takes its trainer with it
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    try:
        train(json.loads(arguments[0]), sys.stdin.buffer, sys.stdout.buffer)
    except RuntimeError as error:
        print(FAILED + str(error).replace("\n", " "), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
