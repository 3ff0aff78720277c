"""The errors that the server returns, in the form of OpenAI's."""

import json
from typing import Any


class ApiError(Exception):
    """An answer with a status from 400 on; `type` and `code` are words of OpenAI's documentation."""

    def __init__(
        self, status: int, message: str, *, type: str = "invalid_request_error", param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.type, self.param, self.code = status, message, type, param, code

    @property
    def headers(self) -> dict[str, str]:
        """Headers that say when to come back, or how to authenticate."""
        if self.status in (429, 503):
            return {"Retry-After": "1"}
        return {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}

    def content(self) -> dict[str, Any]:
        """Return the body, before it becomes JSON."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def body(self) -> bytes:
        """Return the body."""
        return json.dumps(self.content()).encode()


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Return the error of a request that would never be answered: 400."""
    return ApiError(400, message, param=param, code=code)


def too_long(prompt: int, tokens: int, most: int, param: str) -> ApiError:
    """Return the error of a prompt, or a prompt and its answer, beyond the model's positions or the server's limit."""
    message = f"the prompt has {prompt:,} tokens and {tokens:,} are wanted, but the model holds {most:,}; give fewer"
    return invalid(message, param, "context_length_exceeded")


def busy() -> ApiError:
    """Return the error of a full queue: 429, which OpenAI's clients repeat after a while."""
    return ApiError(429, "too many requests wait already; try again later", type="rate_limit_error", code="rate_limit_exceeded")


def unavailable(message: str = "the server is stopping; ask another one") -> ApiError:
    """Return the error of a server that answers nothing new: 503."""
    return ApiError(503, message, type="server_error", code="unavailable")


def broken() -> ApiError:
    """Return the error of a fault of the server's own: 500."""
    return ApiError(500, "the server failed to answer; its log says why", type="server_error", code="internal_error")
