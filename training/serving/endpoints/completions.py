"""`/v1/completions`: GPT continues each prompt; BART and T5 read it and answer."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response

from training.serving.batching.jobs import Chance, Piece, PromptRead
from training.serving.endpoints.answering import Answers, Asked, respond, room
from training.serving.endpoints.requests import CompletionWanted, parse
from training.serving.errors import invalid
from training.serving.served import Served, ServedModel

_TOKENS = 16  # of an answer by default, as with OpenAI


def router(served: Served) -> APIRouter:
    """Return the endpoint."""
    made = APIRouter()

    @made.post("/v1/completions")
    async def completions(request: Request) -> Response:
        wanted = parse(CompletionWanted, await request.body())
        model = served.model(wanted.model)
        prompts = await asyncio.to_thread(_read, served, model, wanted)
        answers = Answers(served, model, wanted, [prompt.asked for prompt in prompts])
        run = _Completion(model, wanted, prompts, answers)
        return await respond(request, wanted, answers, run.chunks(), run.whole())

    return made


@dataclass(frozen=True, slots=True)
class _Prompt:
    asked: Asked
    text: str  # that echo repeats


@dataclass(slots=True)
class _Answer:
    """An answer as far as it has come."""

    text: str = ""
    chances: list[Chance] = field(default_factory=list[Chance])
    finish: str | None = None


def _read(served: Served, model: ServedModel, wanted: CompletionWanted) -> list[_Prompt]:
    """Encode the prompts. Raises ApiError (400) for those that cannot be answered."""
    if wanted.best_of is not None and wanted.best_of != (wanted.n or 1):
        raise invalid("best_of: must be n; this server returns all that it writes", "best_of")
    if wanted.echo and wanted.logprobs is not None and model.decoder.has_encoder:
        raise invalid("logprobs: with echo, a model without an encoder is needed: this one does not write its prompt", "logprobs")
    if wanted.max_tokens == 0 and not wanted.echo:
        raise invalid("max_tokens: must be 1 or more without echo", "max_tokens")
    prompts: list[_Prompt] = []
    for prompt in wanted.prompts:
        if isinstance(prompt, str):
            ids, text = model.words.row(prompt), prompt
        else:
            ids, size = prompt, model.tokenizer.size
            if max(ids) >= size:
                raise invalid(f"prompt: there is no token {max(ids)}; the tokenizer has {size:,}", "prompt")
            text = model.tokenizer.decode(ids) if wanted.echo else ""
        tokens = room(served, model, len(ids), _TOKENS if wanted.max_tokens is None else wanted.max_tokens, "prompt")
        prompts.append(_Prompt(Asked(ids, tokens, wanted.logprobs, bool(wanted.echo)), text))
    return prompts


class _Completion:
    """A request's answers in OpenAI's words."""

    def __init__(self, model: ServedModel, wanted: CompletionWanted, prompts: Sequence[_Prompt], answers: Answers) -> None:
        self.model, self.wanted, self.prompts, self.answers = model, wanted, prompts, answers
        self.offsets = [0] * (len(prompts) * answers.number)  # characters of the tokens so far
        self.head = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model.name,
        }

    async def whole(self) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        found = [_Answer() for _ in self.offsets]
        async for place, event in self.answers.events():
            for index, text, chances, finish in self._parts(place, event):
                answer = found[index]
                answer.text, answer.finish = answer.text + text, finish
                answer.chances += chances
        choices = [self._choice(index, one.text, one.chances, one.finish) for index, one in enumerate(found)]
        return {**self.head, "choices": choices, "usage": self.answers.usage.content()}

    async def chunks(self) -> AsyncGenerator[dict[str, Any]]:
        """Yield the events of an answer that is streamed."""
        usage = {"usage": None} if self.wanted.with_usage else {}
        async for place, event in self.answers.events():
            for index, text, chances, finish in self._parts(place, event):
                yield {**self.head, "choices": [self._choice(index, text, chances, finish)], **usage}
        if self.wanted.with_usage:
            yield {**self.head, "choices": [], "usage": self.answers.usage.content()}

    def _parts(self, place: int, event: Any) -> list[tuple[int, str, list[Chance], str | None]]:
        """Return what an event adds: (index of the choice, text, chances, finish)."""
        if isinstance(event, PromptRead) and self.wanted.echo:
            first = place * self.answers.number
            text = self.prompts[place].text
            return [(first + number, text, event.chances, None) for number in range(self.answers.number)]
        if isinstance(event, Piece):
            return [(place * self.answers.number + event.answer, event.text, event.chances, event.finish)]
        return []

    def _choice(self, index: int, text: str, chances: Sequence[Chance], finish: str | None) -> dict[str, Any]:
        logprobs = None if self.wanted.logprobs is None else self._logprobs(index, chances)
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}

    def _logprobs(self, index: int, chances: Sequence[Chance]) -> dict[str, Any]:
        """Return the log-probabilities; the offsets are those of the tokens' texts in all of them joined."""
        names = [_name(self.model.token_bytes[chance.id]) for chance in chances]
        offsets: list[int] = []
        for name in names:
            offsets.append(self.offsets[index])
            self.offsets[index] += len(name)
        likeliest = [
            None if chance.logprob is None else {_name(self.model.token_bytes[i]): value for i, value in chance.likeliest}
            for chance in chances
        ]
        return {
            "tokens": names,
            "token_logprobs": [chance.logprob for chance in chances],
            "top_logprobs": likeliest if self.wanted.logprobs else None,
            "text_offset": offsets,
        }


def _name(token: bytes) -> str:
    r"""Return the text of a token; OpenAI's spelling of bytes that are no text.

    >>> _name(b"caf"), _name(bytes([0xC3]))
    ('caf', 'bytes:\\xc3')
    """
    try:
        return token.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token)
