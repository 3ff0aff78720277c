"""The text of an answer as it is written, piece by piece.

Two things are held back until it is known what they are: the bytes of a character whose rest is in the next token, and text
that may be the beginning of a stop string. The texts given out, joined, are the answer; they do not depend on how it is streamed.
"""

from collections.abc import Mapping, Sequence

from pipelines.contract.tokenizers.loading import Tokenizer

_CUT = "\ufffd"  # how a character whose bytes are incomplete is decoded
_MOST_HELD = 8  # tokens: a character has four bytes at most, so what is still incomplete then never was one
_CONTEXT = 8  # tokens of the prompt before an answer: pieces lose the space before them at the start of a text


class TokenTexts:
    """Turns ids into text: what each adds to the text before it."""

    def __init__(self, tokenizer: Tokenizer, before: Sequence[int], names: Mapping[int, str]) -> None:
        """`before`: the ids that the answer continues. `names`: special pieces that are spelled out (T5's sentinels)."""
        self.tokenizer, self.names = tokenizer, names
        self.ids = list(before[-_CONTEXT:])
        self.begin, self.end = 0, len(self.ids)  # ids whose text is known and gives the next its context
        self.any, self.glue = False, ""  # whether there is text yet, and what a sentinel puts before the next

    def push(self, token: int) -> str:
        """Return the text that is complete with this token."""
        if token in self.names:
            text = self.flush() + (" " if self.any else "") + self.names[token]
            self.begin, self.ids, self.glue, self.any = 0, [], " ", True
            self.end = 0
            return text
        self.ids.append(token)
        return self._complete(hold=len(self.ids) - self.end < _MOST_HELD)

    def flush(self) -> str:
        """Return what was held back: the answer ends in the middle of a character."""
        return self._complete(hold=False)

    def _complete(self, *, hold: bool) -> str:
        known = self.tokenizer.decode(self.ids[self.begin : self.end])
        text = self.tokenizer.decode(self.ids[self.begin :])
        if len(text) <= len(known) or (hold and text.endswith(_CUT)):
            return ""
        self.begin, self.end = self.end, len(self.ids)
        new = (self.glue if not text[len(known)].isspace() else "") + text[len(known) :]
        self.any, self.glue = True, ""
        return new


class StopStrings:
    """Finds the first stop string, also across borders of tokens; text before it is given out, it and what follows is not."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.stops, self.held, self.stopped = stops, "", False

    def push(self, text: str) -> str:
        """Return the text that is certain to come before any stop string.

        >>> stop = StopStrings(["###"])
        >>> stop.push("a#"), stop.push("#b#"), stop.push("##c"), stop.stopped
        ('a', '##b', '', True)
        """
        text = self.held + text
        places = [place for stop in self.stops if (place := text.find(stop)) >= 0]
        if places:
            self.stopped, self.held = True, ""
            return text[: min(places)]
        held = max((self._beginning(text, stop) for stop in self.stops), default=0)
        self.held = text[len(text) - held :]
        return text[: len(text) - held]

    def flush(self) -> str:
        """Return what was held back: no more text comes."""
        text, self.held = self.held, ""
        return text

    @staticmethod
    def _beginning(text: str, stop: str) -> int:
        """Return the length of the longest end of the text that begins the stop string."""
        return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
