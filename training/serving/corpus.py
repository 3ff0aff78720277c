"""A corpus that is asked questions, and who looks for the answers."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from training.run.device import Device
from training.search.asking import Encoder, ask, encoder_of
from training.search.passages import Index
from training.serving.metrics import Metrics
from training.serving.worker import Worker
from training.tasks import tuned
from training.tasks.tuned import TunedModel

DEVICE = Device("cpu", "float32")


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus and who looks for answers in it: the best passages are read, and answers below the threshold are none."""

    index: Index
    reader: TunedModel
    encoder: Encoder | None
    passages: int
    threshold: float
    worker: Worker

    def answer(self, question: str, top: int) -> list[dict[str, Any]]:
        """Return the answers, the surest first; `begin` and `end` are the answer's characters in its sentence."""
        found = ask(
            self.index,
            question,
            self.reader,
            DEVICE,
            encoder=self.encoder,
            passages=self.passages,
            threshold=self.threshold,
        )
        return [
            {
                "answer": one.answer,
                "score": one.probability,
                "title": one.title,
                "url": one.url,
                "sentence": one.before + one.answer + one.after,
                "begin": len(one.before),
                "end": len(one.before) + len(one.answer),
            }
            for one in found[:top]
        ]


def load(arguments: argparse.Namespace, index: Callable[[], Index], queue: int, metrics: Metrics) -> Corpus:
    """Load the runs that the command line names (training.arguments.add_serve), and the index.

    With an encoder, the vectors of all passages are made now unless they are kept. Raises UserError as `tuned.load_for`.
    """
    reader = tuned.load_for(arguments.reader, "question_answering", "--reader")
    encoder = tuned.load_for(arguments.encoder, "similarity", "--encoder") if arguments.encoder else None
    made, worker = index(), Worker("ask", queue)
    metrics.watch("/ask", lambda: min(1, worker.waiting), lambda: max(0, worker.waiting - 1))
    vectors = None if encoder is None else encoder_of(made, encoder, DEVICE)
    return Corpus(made, reader, vectors, arguments.passages, arguments.threshold, worker)
