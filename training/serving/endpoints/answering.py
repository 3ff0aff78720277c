"""From a request to the events of its answers: what completions and chats have in common."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from training.serving.batching.jobs import Event, Failed, Job, Piece
from training.serving.endpoints.requests import Wanted
from training.serving.errors import ApiError, broken, invalid, too_long
from training.serving.served import Served, ServedModel

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt and its limits, checked."""

    ids: Sequence[int]
    tokens: int
    likeliest: int | None = None
    score_prompt: bool = False


@dataclass(slots=True)
class Usage:
    """Numbers of tokens."""

    prompt: int
    written: int = 0

    def content(self) -> dict[str, int]:
        """Return them as OpenAI names them."""
        return {"prompt_tokens": self.prompt, "completion_tokens": self.written, "total_tokens": self.prompt + self.written}


def room(served: Served, model: ServedModel, prompt: int, wanted: int | None, param: str) -> int:
    """Return the most tokens of an answer to a prompt of so many tokens, `wanted` or all there is room for.

    Raises ApiError (400) for a prompt or an answer that is too long.
    """
    decoder, limits = model.decoder, served.limits
    holds = limits.prompt_tokens if decoder.positions is None else decoder.positions
    if prompt > holds:
        raise too_long(prompt, wanted or 0, holds, param)
    if wanted is not None and wanted > limits.tokens:
        raise invalid(f"max_tokens: {wanted:,} tokens are wanted, and this server writes {limits.tokens:,} at most", "max_tokens")
    most = decoder.room(prompt, limits.tokens)
    if wanted is not None and wanted > most:
        raise too_long(prompt, wanted, holds, "max_tokens")
    return most if wanted is None else wanted


class Answers:
    """The jobs of one request, and their events in the event loop: pairs of the prompt's number and what happened."""

    def __init__(self, served: Served, model: ServedModel, wanted: Wanted, asked: Sequence[Asked]) -> None:
        """Submit the jobs. Raises ApiError where n is more than the server's rows, and if too many wait (429)."""
        self.served, self.model, self.begun = served, model, time.perf_counter()
        self.number = wanted.n or 1
        if self.number > served.limits.rows:
            raise invalid(f"n: must be at most {served.limits.rows} on this server, not {self.number}", "n")
        if self.number > 1 and wanted.temperature == 0:
            raise invalid("n: the likeliest tokens give one answer; set a temperature", "n")
        seed = secrets.randbits(63) if wanted.seed is None else wanted.seed
        self.usage = Usage(sum(len(one.ids) for one in asked))
        self._events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self._left = len(asked) * self.number
        # The draws of an answer depend on its seed alone: that of the request, and its number to its prompt.
        self.jobs = [
            Job(
                one.ids,
                one.tokens,
                [seed + answer for answer in range(self.number)],
                self._emit(place, asyncio.get_running_loop()),
                wanted.choice,
                wanted.stops,
                one.likeliest,
                one.score_prompt,
            )
            for place, one in enumerate(asked)
        ]
        model.engine.submit(self.jobs)

    def _emit(self, place: int, loop: asyncio.AbstractEventLoop) -> Callable[[Event], None]:
        def emit(event: Event) -> None:
            with suppress(RuntimeError):  # the loop has ended before the engine did
                loop.call_soon_threadsafe(self._events.put_nowait, (place, event))

        return emit

    async def events(self) -> AsyncGenerator[tuple[int, Event]]:
        """Yield what happens until all answers have ended. If the caller goes away before, their rows are freed.

        Raises ApiError (500) if the model fails.
        """
        metrics, name, first = self.served.metrics, self.model.name, True
        try:
            while self._left:
                place, event = await self._events.get()
                if isinstance(event, Failed):
                    raise broken()
                if isinstance(event, Piece):
                    if first:
                        metrics.first.labels(name).observe(time.perf_counter() - self.begun)
                        first = False
                    self.usage.written += event.tokens
                    self._left -= event.finish is not None
                yield place, event
            metrics.prompt_tokens.labels(name).inc(self.usage.prompt)
        finally:
            metrics.tokens.labels(name).inc(self.usage.written)
            if self._left:
                metrics.given_up.labels(name).inc()
                self.model.engine.cancel(self.jobs)


async def respond(
    request: Request, wanted: Wanted, answers: Answers, chunks: AsyncGenerator[dict[str, Any]], whole: Awaitable[dict[str, Any]]
) -> Response:
    """Return the stream of the chunks, or the whole answer; a client that hangs up ends either."""
    if wanted.stream:
        close = getattr(whole, "close", None)
        if close is not None:
            close()  # a coroutine that is not needed
        return StreamingResponse(_events(chunks), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
    await chunks.aclose()
    return await unless_gone(request, whole, lambda: answers.model.engine.cancel(answers.jobs))


async def unless_gone(
    request: Request, content: Awaitable[dict[str, Any]], give_up: Callable[[], None] = lambda: None
) -> Response:
    """Return the whole answer. If the client hangs up before it is ready, the work is cancelled and `give_up` is called."""
    working = asyncio.ensure_future(content)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait([working, gone], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return JSONResponse(working.result())
        give_up()
        return Response(status_code=499)  # nobody reads it: nginx's number for a client that closed the connection
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    """Wait until the client has closed its connection; the body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _events(chunks: AsyncGenerator[Mapping[str, Any]]) -> AsyncGenerator[bytes]:
    """Write server-sent events; an error after the first of them can only be one more event."""
    async with aclosing(chunks):
        try:
            async for chunk in chunks:
                yield b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"
        except ApiError as error:
            yield b"data: " + error.body() + b"\n\n"
    yield DONE
