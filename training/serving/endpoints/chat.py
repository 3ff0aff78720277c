"""`/v1/chat/completions`: a dialogue is written as a text (dialogue.py), and the model answers it."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from training.serving.batching.jobs import Chance, Piece
from training.serving.dialogue import Role, Trimmed, Turn, fit
from training.serving.endpoints.answering import Answers, Asked, respond, room
from training.serving.endpoints.requests import ChatWanted, parse
from training.serving.errors import too_long
from training.serving.served import Served, ServedModel

ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def router(served: Served) -> APIRouter:
    """Return the endpoint."""
    made = APIRouter()

    @made.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        wanted = parse(ChatWanted, await request.body())
        model = served.model(wanted.model)
        asked = await asyncio.to_thread(_read, served, model, wanted)
        wanted.stop = [*wanted.stops, *model.template.stops]
        answers = Answers(served, model, wanted, [asked])
        run = _Chat(model, wanted, answers)
        return await respond(request, wanted, answers, run.chunks(), run.whole())

    return made


def room_for_answer(positions: int, tokens: int | None) -> int:
    """Return the positions that a dialogue leaves to its answer: those that are wanted, or a quarter.

    >>> room_for_answer(128, None), room_for_answer(128, 20)
    (32, 20)
    """
    return max(1, positions // 4) if tokens is None else tokens


def _read(served: Served, model: ServedModel, wanted: ChatWanted) -> Asked:
    """Write the dialogue as a row that fits. Raises ApiError (400) if its last message does not."""
    tokens = wanted.max_completion_tokens or wanted.max_tokens or None
    turns = [Turn(ROLES[message.role], message.text) for message in wanted.messages]
    decoder = model.decoder
    if decoder.positions is None:
        most = served.limits.prompt_tokens
    elif decoder.has_encoder:
        most = decoder.positions
    else:
        most = decoder.positions + 1 - room_for_answer(decoder.positions, tokens)
    fitted = fit(model.template, turns, model.words.row, most) if most > 0 else None
    if fitted is None:
        row = model.words.row(model.template.text(turns[-1:]))
        raise too_long(len(row), tokens or 1, decoder.positions or served.limits.prompt_tokens, "messages")
    return Asked(fitted.ids, room(served, model, len(fitted.ids), tokens, "messages"), wanted.likeliest)


class _Chat:
    """A request's answers in OpenAI's words."""

    def __init__(self, model: ServedModel, wanted: ChatWanted, answers: Answers) -> None:
        self.model, self.wanted, self.answers = model, wanted, answers
        self.trims = [Trimmed() for _ in range(answers.number)]
        self.head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": model.name}

    async def whole(self) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        texts, chances = [""] * self.answers.number, [list[Chance]() for _ in range(self.answers.number)]
        finishes: list[str | None] = [None] * self.answers.number
        async for _, event in self.answers.events():
            if isinstance(event, Piece):
                texts[event.answer] += self.trims[event.answer].push(event.text)
                chances[event.answer] += event.chances
                finishes[event.answer] = event.finish
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": self._logprobs(chances[index]),
                "finish_reason": finishes[index],
            }
            for index, text in enumerate(texts)
        ]
        usage = self.answers.usage.content()
        return {**self.head, "object": "chat.completion", "choices": choices, "usage": usage}

    async def chunks(self) -> AsyncGenerator[dict[str, Any]]:
        """Yield the events of an answer that is streamed."""
        for index in range(self.answers.number):
            yield self._chunk(index, {"role": "assistant", "content": ""}, [], None)
        async for _, event in self.answers.events():
            if isinstance(event, Piece):
                text = self.trims[event.answer].push(event.text)
                if text or event.chances:
                    yield self._chunk(event.answer, {"content": text}, event.chances, None)
                if event.finish:
                    yield self._chunk(event.answer, {}, [], event.finish)
        if self.wanted.with_usage:
            usage = self.answers.usage.content()
            yield {**self.head, "object": "chat.completion.chunk", "choices": [], "usage": usage}

    def _chunk(self, index: int, delta: dict[str, str], chances: Sequence[Chance], finish: str | None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": self._logprobs(chances) if chances else None}
        usage = {"usage": None} if self.wanted.with_usage else {}
        return {
            **self.head, "object": "chat.completion.chunk", "choices": [{**choice, "finish_reason": finish}], **usage
        }  # fmt: skip

    def _logprobs(self, chances: Sequence[Chance]) -> dict[str, Any] | None:
        if self.wanted.likeliest is None:
            return None
        content = [
            {**self._token(one.id, one.logprob), "top_logprobs": [self._token(i, value) for i, value in one.likeliest]}
            for one in chances
        ]
        return {"content": content, "refusal": None}

    def _token(self, token: int, logprob: float | None) -> dict[str, Any]:
        raw = self.model.token_bytes[token]
        return {"token": raw.decode(errors="replace"), "logprob": logprob, "bytes": list(raw)}
