"""Dialogues as the text that a model continues, cut to fit it.

    User: Where is the house?
    Assistant: Near the river.
    User: Which one?
    Assistant:

The system's message stands first, as it is. A run whose state has an entry `chat` names another template: its fields.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, NamedTuple, TypeAlias

from pipelines.contract.errors import UserError
from training.checkpoints.store import Checkpoint

Role: TypeAlias = Literal["system", "user", "assistant"]


class Turn(NamedTuple):
    """A message of a dialogue."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Template:
    """How turns are written; `{}` is the text. An answer ends before any of the stops."""

    system: str = "{}\n"
    user: str = "User: {}\n"
    assistant: str = "Assistant: {}\n"
    answer: str = "Assistant:"  # what the model continues
    stops: tuple[str, ...] = ("\nUser:",)

    def __post_init__(self) -> None:
        for name in ("system", "user", "assistant"):
            if "{}" not in getattr(self, name):
                raise UserError(f"chat.{name}: has no {{}} for the text, but is {getattr(self, name)!r}")

    def text(self, turns: Sequence[Turn]) -> str:
        r"""Return the text that the model continues.

        >>> Template().text([Turn("user", "Hello")])
        'User: Hello\nAssistant:'
        """
        forms = {"system": self.system, "user": self.user, "assistant": self.assistant}
        return "".join(forms[turn.role].replace("{}", turn.text) for turn in turns) + self.answer


class Fitted(NamedTuple):
    """A dialogue that fits a model."""

    ids: list[int]  # the row that the model reads
    cut: int  # turns that were left out


def fit(template: Template, turns: Sequence[Turn], row_of: Callable[[str], list[int]], most: int) -> Fitted | None:
    """Return the row of at most so many ids, without the oldest turns where it is too long; None if the last turn is.

    A system message at the beginning stays. What remains begins with a user's turn, if one but the last is left.
    """
    first = [turn for turn in turns[:1] if turn.role == "system"]
    rest = turns[len(first) :]

    def row(cut: int) -> list[int]:
        return row_of(template.text([*first, *rest[cut:]]))

    cuts = range(max(1, len(rest)))
    cut = bisect_left(cuts, True, key=lambda cut: len(row(cut)) <= most)
    if cut == len(cuts):
        return None
    while 0 < cut < len(rest) - 1 and rest[cut].role == "assistant":
        cut += 1
    return Fitted(row(cut), cut)


def template_of(found: Checkpoint) -> Template:
    """Return the template that a checkpoint's state names, or the plain one. Raises UserError if it makes no sense."""
    named = found.state.get("chat")
    if named is None:
        return Template()
    known = {one.name for one in fields(Template)}
    if not isinstance(named, dict) or not set(named) <= known:
        raise UserError(f"{found.path}: chat in state.json must have only {', '.join(sorted(known))}")
    stops = {"stops": tuple(map(str, named["stops"]))} if "stops" in named else {}
    return replace(Template(), **{name: str(value) for name, value in named.items()} | stops)


class Trimmed:
    """Leaves out the white space before the first word of an answer, and that alone."""

    def __init__(self) -> None:
        self._begun = False

    def push(self, text: str) -> str:
        """Return the text without what is to be left out."""
        if not self._begun:
            text = text.lstrip()
            self._begun = bool(text)
        return text
