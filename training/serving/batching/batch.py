"""Continuous batching (Yu et al. 2022, Orca, 3.1): between two steps new rows join and finished rows leave.

Each row draws by its own seed and the number of its token, so its answer depends neither on its place in the batch nor on the
other rows. Nothing here knows of threads or of HTTP: `step` does the work, whoever calls it.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipelines.contract.tokenizers.loading import Tokenizer
from training.generation.choose import uniforms
from training.models.rows import RowMemory
from training.serving.batching.decoder import READ, Decoder, Reading
from training.serving.batching.jobs import Chance, Failed, Finish, Job, Piece, PromptRead, chances
from training.serving.batching.text import StopStrings, TokenTexts


@dataclass(eq=False, slots=True)
class Row:
    """An answer that is being written."""

    job: Job
    number: int  # of the answer to its prompt
    memory: RowMemory
    uniforms: Tensor  # (tokens,), one for each draw
    texts: TokenTexts
    stop: StopStrings
    last: int = 0
    written: int = 0
    unsent: int = 0  # tokens since the last piece
    chances: list[Chance] = field(default_factory=list[Chance])  # likewise
    finish: Finish | None = None  # why it has ended


class Batch:
    """Jobs that wait, the one whose prompt is being read, and the rows that are being written."""

    def __init__(self, decoder: Decoder, tokenizer: Tokenizer, end: int, names: Mapping[int, str]) -> None:
        """`end`: the id that ends an answer. `names`: special pieces that answers spell out."""
        self.decoder, self.tokenizer, self.end, self.names = decoder, tokenizer, end, names
        self.waiting: deque[Job] = deque()
        self.reading: tuple[Job, Reading] | None = None
        self.rows: list[Row] = []

    @property
    def idle(self) -> bool:
        """Whether a step would do nothing."""
        return not (self.waiting or self.reading or self.rows)

    def step(self) -> None:
        """Read up to READ tokens of prompts, then add a token to each row."""
        self.rows = [row for row in self.rows if not row.job.cancelled]
        self._read()
        if self.rows:
            scores = self.decoder.step([row.memory for row in self.rows], [row.last for row in self.rows])
            self._write(self.rows, scores)
            self.rows = [row for row in self.rows if row.finish is None]

    def fail(self, message: str) -> None:
        """Give up all jobs."""
        jobs = {row.job for row in self.rows} | set(self.waiting) | ({self.reading[0]} if self.reading else set())
        self.rows, self.reading = [], None
        self.waiting.clear()
        for job in jobs:
            job.emit(Failed(message))

    def _read(self) -> None:
        """Read the prompts of waiting jobs, as far as there are rows for their answers."""
        budget = READ
        while budget > 0 and (self.reading or self._take()):
            assert self.reading is not None
            job, reading = self.reading
            if job.cancelled:
                self.reading = None
                continue
            before = reading.at
            scores = reading.go_on()
            budget -= reading.at - before
            if scores is not None:
                self.reading = None
                self._begin(job, reading, scores)

    def _take(self) -> bool:
        """Begin to read the prompt of the next job, if its answers have rows."""
        while self.waiting and self.waiting[0].cancelled:
            self.waiting.popleft()
        if not self.waiting or len(self.rows) + len(self.waiting[0].seeds) > self.decoder.most_rows:
            return False
        job = self.waiting.popleft()
        capacity = job.tokens + (0 if self.decoder.has_encoder else len(job.ids))
        self.reading = job, Reading(self.decoder, job.ids, capacity, keep_hidden=job.score_prompt)
        return True

    def _begin(self, job: Job, reading: Reading, scores: Tensor) -> None:
        """Let the answers to a prompt join, each with its first token."""
        job.emit(PromptRead(self._prompt_chances(job, reading)))
        if job.tokens == 0:
            for number in range(len(job.seeds)):
                job.emit(Piece(number, "", 0, [], "length"))
            return
        memory = reading.memory()
        before = [] if self.decoder.has_encoder else job.ids
        rows = [
            Row(
                job,
                number,
                memory.copy() if number else memory,
                uniforms([seed], job.tokens)[0] if job.choice.temperature else torch.empty(0),
                TokenTexts(self.tokenizer, before, self.names),
                StopStrings(job.stops),
            )
            for number, seed in enumerate(job.seeds)
        ]
        self._write(rows, scores.expand(len(rows), -1))
        self.rows += [row for row in rows if row.finish is None]

    @torch.inference_mode()
    def _prompt_chances(self, job: Job, reading: Reading) -> list[Chance]:
        if reading.hidden is None or job.likeliest is None:
            return []
        found, at = [Chance(job.ids[0], None, [])], 1
        for hidden in reading.hidden:
            following = job.ids[at : at + len(hidden)]
            if following:
                scores = self.decoder.head(hidden[: len(following)])[:, : self.tokenizer.size]
                found += chances(scores, following, job.likeliest)
                at += len(following)
        return found

    @torch.inference_mode()
    def _write(self, rows: list[Row], scores: Tensor) -> None:
        """Choose a token for each row by its scores (B, V)."""
        scores = scores[:, : self.tokenizer.size]  # the vocabulary may be padded
        likeliest = scores.argmax(-1).tolist()
        for place, row in enumerate(rows):
            job = row.job
            chosen = likeliest[place]
            if job.choice.temperature:
                chosen = int(job.choice(scores[place : place + 1], row.uniforms[row.written : row.written + 1]))
            row.last, row.written, row.unsent = chosen, row.written + 1, row.unsent + 1
            if job.likeliest is not None:
                row.chances += chances(scores[place : place + 1], [chosen], job.likeliest)
            self._give(row)

    def _give(self, row: Row) -> None:
        """Give out the text that the row's last token completes, and the row's end."""
        ended = row.last == self.end
        text = "" if ended else row.stop.push(row.texts.push(row.last))
        if (ended or row.written == row.job.tokens) and not row.stop.stopped:
            text += row.stop.push(row.texts.flush())
            text += row.stop.flush()
        if ended or row.stop.stopped:
            row.finish = "stop"
        elif row.written == row.job.tokens:
            row.finish = "length"
        if text or row.finish or row.chances:
            row.job.emit(Piece(row.number, text, row.unsent, row.chances, row.finish))
            row.unsent, row.chances = 0, []
