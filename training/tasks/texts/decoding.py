"""How a task's model writes its answers: the settings, and the search.

Checkpoints are compared by greedy answers, which take a fraction of the time; the finished model is measured and used with
the beams of the settings.
"""

from collections.abc import Sequence

from pydantic import Field

from training.generation.answers import steps_of
from training.generation.beams import Beams, search
from training.generation.choose import Choice
from training.generation.decode import decode
from training.generation.limits import Limits
from training.generation.repeats import WithoutRepeats
from training.models.families import Model
from training.tasks.input.reading import Reader
from training.tasks.task import TaskSettings


class WritingSettings(TaskSettings):
    """The settings of a task whose answer is text."""

    target_length: int = Field(default=128, ge=4, le=2**16)
    """Most tokens of an answer, special ones included; in GPT's row they are part of `length`."""
    separator: str = "\n"
    """For GPT: the text between the input and the answer. Ending in a line end, it does not change the pieces of either."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of a target's probability that is spread over all pieces (arXiv 1512.00567, 7; Transformer, 1706.03762, 5.4: 0.1)."""
    beams: int = Field(default=1, ge=1, le=1024)
    """Beams of the search with which the finished model writes; 1: the likeliest token each time."""
    length_penalty: float = 1.0
    """A beam's score is divided by tokens ** length_penalty: above 0 favours long answers, below 0 short ones."""
    least: int = Field(default=0, ge=0, le=2**16)
    """Fewest tokens before an answer may end."""
    no_repeat: int | None = Field(default=None, ge=1, le=64)
    """No so many tokens follow each other twice in an answer (3 is usual for summaries)."""


def write(body: Model, reader: Reader, prompts: Sequence[Sequence[int]], settings: WritingSettings, beams: int) -> list[str]:
    """Return the text that a model writes after each row that it has read."""
    specials = reader.words.specials
    limits = Limits(
        settings.target_length,
        ends=(specials.end,),
        least=min(settings.least, settings.target_length - 1),
        last=specials.end if reader.family == "bart" else None,  # as in training/generation/answers.py
        vocabulary=reader.tokenizer.size,
    )
    steps = steps_of(body, prompts, specials.decoder_start)
    if settings.no_repeat is not None:
        steps = WithoutRepeats(steps, settings.no_repeat)
    if beams == 1:
        found = decode(steps, limits, Choice())
    else:
        found = [answers[0].ids for answers in search(steps, limits, Beams(beams, settings.length_penalty))]
    return [reader.tokenizer.decode([i for i in ids if i != specials.end]) for ids in found]
