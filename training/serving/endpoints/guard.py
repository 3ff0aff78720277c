"""What every request passes before an endpoint sees it: the key, the size of the body and the time it takes, the metrics."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, TypeAlias

from pipelines.contract.errors import UserError
from training.serving.errors import ApiError, unavailable
from training.serving.served import Served

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

OPEN = ("/", "/health", "/health/live")  # paths without a key
# The paths that metrics name; the others are "other".
_PATHS = ("/v1/completions", "/v1/chat/completions", "/v1/models", "/ask", "/metrics", *OPEN)
_DISCARDED_BYTES, _DISCARDED_SECONDS = 1 << 18, 1.0  # of a body that is refused: a client that still sends may read the answer


class Keys:
    """The keys that a file lists, one a line; lines that begin with # are comments."""

    def __init__(self, path: str | Path) -> None:
        """Read the file. Raises UserError if it lists no key, or one with a space."""
        lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
        keys = [line for line in lines if line and not line.startswith("#")]
        if not keys or any(len(key.split()) != 1 for key in keys):
            raise UserError(f"{path}: must list at least one key, one a line, without spaces")
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    def know(self, authorization: bytes) -> bool:
        """Whether a header's value is `Bearer KEY` with one of the keys; the time taken says nothing about them."""
        scheme, _, key = authorization.partition(b" ")
        digest = hashlib.sha256(key.strip()).digest()
        known = [hmac.compare_digest(digest, one) for one in self._digests]
        return scheme.lower() == b"bearer" and any(known)


class Guard:
    """An ASGI application in front of another."""

    def __init__(self, app: Callable[..., Awaitable[None]], served: Served, keys: Keys | None) -> None:
        self.app, self.served, self.keys = app, served, keys

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Refuse the request, or let the application answer it with the body read."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, statuses = time.perf_counter(), list[int]()
        path = scope["path"] if scope["path"] in _PATHS else "other"

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            await send(message)

        try:
            await self.app(scope, await self._admitted(scope, receive), noted)
        except ApiError as error:
            await _refuse(error, receive, noted)
        finally:
            status = statuses[0] if statuses else 499  # nobody is there to read an answer
            self.served.metrics.requests.labels(path, str(status)).inc()
            if status == 200 and path.startswith(("/v1/", "/ask")):
                self.served.metrics.seconds.labels(path).observe(time.perf_counter() - begun)

    async def _admitted(self, scope: Message, receive: Receive) -> Receive:
        """Return a `receive` that gives the whole body at once. Raises ApiError for a request that is not let in."""
        headers = dict(scope["headers"])
        if self.keys is not None and scope["path"] not in OPEN and not self.keys.know(headers.get(b"authorization", b"")):
            raise ApiError(
                401,
                "give one of the server's keys: Authorization: Bearer KEY",
                type="authentication_error",
                code="invalid_api_key",
            )
        if self.served.stopping and scope["method"] == "POST":
            raise unavailable()
        body: bytes | None = await self._body(headers, receive)

        async def whole() -> Message:
            nonlocal body
            if body is None:
                return await receive()
            given, body = body, None
            return {"type": "http.request", "body": given, "more_body": False}

        return whole

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        limits = self.served.limits
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limits.body_bytes:
            raise _too_large(limits.body_bytes)
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(limits.body_seconds):
                while True:
                    message = await receive()
                    parts.append(message.get("body", b""))
                    if sum(map(len, parts)) > limits.body_bytes:
                        raise _too_large(limits.body_bytes)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise ApiError(408, f"the body did not arrive within {limits.body_seconds:g} seconds", code="timeout") from None


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"the body is larger than {most:,} bytes, the most that this server reads", code="body_too_large")


async def _refuse(error: ApiError, receive: Receive, send: Send) -> None:
    """Answer, and close the connection; what is left of the body is not read but for a little, so that the answer arrives."""
    body = error.body()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close", **error.headers}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    left = _DISCARDED_BYTES if error.status in (401, 413, 503) else 0
    try:
        async with asyncio.timeout(_DISCARDED_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})
