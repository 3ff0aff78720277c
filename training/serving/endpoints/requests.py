"""The bodies of requests, as OpenAI's clients send them, and what of them this server answers.

A field that would change the answer and is not known here is refused, never ignored. `top_k` is an addition.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.generation.choose import Choice
from training.serving.errors import invalid
from training.serving.limits import MOST_LIKELIEST, MOST_PROMPTS, MOST_STOP_CHARACTERS, MOST_STOPS

_MOST_SEED = 2**63
_FORMS = {  # of fields that may have several; pydantic's message would be about the first of them
    "prompt": f"a text, the ids of one, or a list of 1 to {MOST_PROMPTS} of either",
    "stop": f"a text of 1 to {MOST_STOP_CHARACTERS} characters, or a list of at most {MOST_STOPS}",
}
_Body = TypeVar("_Body", bound=BaseModel)
_Stop = Annotated[str, Field(min_length=1, max_length=MOST_STOP_CHARACTERS)]
_Ids = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


class StreamOptions(BaseModel):
    """The options of a streamed answer."""

    model_config = ConfigDict(strict=True, extra="ignore")
    include_usage: bool = False


class Wanted(BaseModel):
    """What requests for completions and for chats have in common."""

    model_config = ConfigDict(strict=True, extra="forbid")
    model: str
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=-_MOST_SEED, lt=_MOST_SEED)] | None = None
    stop: _Stop | Annotated[list[_Stop], Field(max_length=MOST_STOPS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    # only where they change nothing
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    # about the client, not about the answer
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    @property
    def stops(self) -> Sequence[str]:
        """The stop strings."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def choice(self) -> Choice:
        """How tokens are chosen: by default they are drawn at temperature 1, as with OpenAI."""
        return Choice(1.0 if self.temperature is None else self.temperature, self.top_k, self.top_p)

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with the numbers of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage


class CompletionWanted(Wanted):
    """A request for /v1/completions."""

    prompt: str | _Ids | Annotated[list[str] | list[_Ids], Field(min_length=1, max_length=MOST_PROMPTS)]
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=MOST_LIKELIEST)] | None = None
    best_of: int | None = None
    suffix: None = None

    @property
    def prompts(self) -> Sequence[str | list[int]]:
        """The prompts, each a text or ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [[token for token in self.prompt if isinstance(token, int)]]
        return [prompt for prompt in self.prompt if not isinstance(prompt, int)]


class Part(BaseModel):
    """A part of a message; only text is read."""

    model_config = ConfigDict(strict=True, extra="forbid")
    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A message of a dialogue."""

    model_config = ConfigDict(strict=True, extra="ignore")
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]

    @property
    def text(self) -> str:
        """The text of its parts."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatWanted(Wanted):
    """A request for /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_LIKELIEST)] | None = None
    # only where they change nothing
    response_format: dict[Literal["type"], Literal["text"]] | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    modalities: list[Literal["text"]] | None = None
    parallel_tool_calls: bool | None = None

    @property
    def likeliest(self) -> int | None:
        """Alternatives of each token; None: no log-probabilities."""
        return (self.top_logprobs or 0) if self.logprobs else None


def parse(kind: type[_Body], body: bytes) -> _Body:
    """Return the request. Raises ApiError (400), naming the field, for one that is not understood."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = [str(part) for part in first["loc"]]
        param = place[0] if place else None
        where = ".".join(place) or "the body"
        if param in _FORMS and first["type"] != "missing":
            raise invalid(f"{param}: must be {_FORMS[param]}", param) from None
        if first["type"] == "extra_forbidden":
            raise invalid(f"{where}: is not supported by this server; leave it out", param) from None
        raise invalid(f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}", param) from None
