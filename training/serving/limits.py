"""What a client may ask of the server."""

from dataclasses import dataclass

MOST_STOPS = 4  # as OpenAI's
MOST_STOP_CHARACTERS = 256
MOST_PROMPTS = 64  # of one request
MOST_RECORDS = 256  # of one request to /predict
MOST_ANSWERS = 20  # of one request to /ask
MOST_QUESTION_CHARACTERS = 1000
MOST_LIKELIEST = 20  # alternatives of a token with their log-probabilities, as OpenAI's


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """The limits that the command line sets."""

    rows: int = 64  # answers that are written at the same time, for each model
    queue: int = 256  # prompts that wait for a row, for each model; beyond that: 429
    tokens: int = 1024  # most of an answer
    prompt_tokens: int = 4096  # most of a prompt, for models without positions (T5)
    body_bytes: int = 1 << 20  # of a request
    head_seconds: float = 10  # from the connection, or the first byte of a request, to the end of its head
    body_seconds: float = 20  # from there to the end of its body
    stall_seconds: float = 30  # that a client may let its answer lie unread, once buffers are full
    stop_seconds: float = 60  # in which answers are finished after SIGTERM
