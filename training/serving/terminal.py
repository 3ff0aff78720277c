"""`corpusmill chat RUN`: a dialogue with a model in the terminal, by the same code as the server's.

A line is a turn; an empty one is passed over. `/new` begins again, `/quit` or the end of the input ends.
"""

import argparse
import sys
from collections.abc import Generator, Iterable

from pipelines.contract.errors import UserError
from training.checkpoints import trained
from training.checkpoints.remote import here
from training.generation.choose import Choice
from training.generation.texts import Speller
from training.serving.batching.batch import Batch
from training.serving.batching.jobs import Event, Job, Piece
from training.serving.dialogue import Template, Trimmed, Turn, fit, template_of
from training.serving.endpoints.chat import room_for_answer
from training.serving.served import batch_of


class Chat:
    """A dialogue that goes on."""

    def __init__(self, batch: Batch, words: Speller, template: Template, system: str | None = None) -> None:
        self.batch, self.words, self.template = batch, words, template
        self.first = [] if system is None else [Turn("system", system)]
        self.turns: list[Turn] = []
        self.cut = 0  # turns that the last answer no longer saw

    def answer(self, text: str, tokens: int, choice: Choice, seed: int) -> Generator[str]:
        """Add a turn of the user's; yield the answer as it is written, and add it, too.

        Raises UserError for a turn that is longer than the model's positions; it is not added.
        """
        decoder, turns = self.batch.decoder, [*self.first, *self.turns, Turn("user", text)]
        positions = decoder.positions or sys.maxsize
        most = positions if decoder.has_encoder else positions + 1 - min(tokens, room_for_answer(positions, None))
        fitted = fit(self.template, turns, self.words.row, most)
        if fitted is None:
            raise UserError(f"this turn is longer than the model's {positions:,} positions; write a shorter one")
        self.cut, room = fitted.cut, decoder.room(len(fitted.ids), tokens)
        events: list[Event] = []
        job = Job(fitted.ids, room, [seed], events.append, choice, self.template.stops)
        self.batch.waiting.append(job)
        trimmed, parts = Trimmed(), list[str]()
        while not self.batch.idle:
            self.batch.step()
            for event in events:
                if isinstance(event, Piece) and (part := trimmed.push(event.text)):
                    parts.append(part)
                    yield part
            events.clear()
        self.turns += [Turn("user", text), Turn("assistant", "".join(parts))]


def run(arguments: argparse.Namespace) -> int:
    """Chat (training.arguments.add_chat); return the exit code."""
    found = trained.find(here(arguments.folder))
    batch, words = batch_of(trained.load(found.path), 1)
    chat = Chat(batch, words, template_of(found), arguments.system)
    choice = Choice(arguments.temperature, arguments.top_k, arguments.top_p)
    for number, line in enumerate(_lines()):
        if line == "/quit":
            break
        if line == "/new":
            chat.turns = []
            continue
        try:
            for part in chat.answer(line, arguments.tokens, choice, arguments.seed + number):
                print(part, end="", flush=True)
            print(flush=True)
        except UserError as error:
            print(error, file=sys.stderr)
    return 0


def _lines() -> Iterable[str]:
    """Yield the lines that are typed, or those of a file; prompts are shown to people only."""
    prompted = sys.stdin.isatty()
    while True:
        if prompted:
            print("> ", end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()
