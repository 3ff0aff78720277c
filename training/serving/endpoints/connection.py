"""A connection that ends if its client is too slow: uvicorn limits the time of neither a request's head nor an unread answer."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from training.serving.limits import ServerLimits


class Connection(H11Protocol):
    """HTTP/1.1 with limits in seconds."""

    limits: ServerLimits = ServerLimits()  # replaced by `connection`

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Expect a request's head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the limits."""
        self._head, self._stall = _unset(self._head), _unset(self._stall)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Go on expecting the head, from its first byte on, until it is complete."""
        super().data_received(data)
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._head = _unset(self._head)
        else:
            self._expect_head()

    def pause_writing(self) -> None:
        """Expect the client to read: the buffers are full."""
        super().pause_writing()
        self._stall = _unset(self._stall)
        self._stall = self.loop.call_later(self.limits.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read."""
        self._stall = _unset(self._stall)
        super().resume_writing()

    def _expect_head(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(self.limits.head_seconds, self.transport.abort)


def connection(limits: ServerLimits) -> type[Connection]:
    """Return the class of connections with these limits."""
    return type("LimitedConnection", (Connection,), {"limits": limits})


def _unset(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
