"""What the server tells Prometheus."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Counters, gauges and histograms of one server; nothing is shared with another in the same process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        kept: dict[str, Any] = {"registry": self.registry, "namespace": "corpusmill"}
        self.requests = Counter("requests", "Requests by path and status", ["path", "status"], **kept)
        self.seconds = Histogram("request_seconds", "Time to the end of an answer", ["path"], buckets=_SECONDS, **kept)
        self.first = Histogram("first_token_seconds", "Time to the first text", ["model"], buckets=_SECONDS, **kept)
        self.prompt_tokens = Counter("prompt_tokens", "Tokens of prompts that were answered", ["model"], **kept)
        self.tokens = Counter("completion_tokens", "Tokens that were written", ["model"], **kept)
        self.given_up = Counter("given_up", "Requests whose client hung up", ["model"], **kept)
        self.steps = Histogram("step_seconds", "Time of a step", ["model"], buckets=_SECONDS, **kept)
        self.step_rows = Counter("step_rows", "Rows of all steps: divided by the steps, the mean batch", ["model"], **kept)
        self.rows = Gauge("rows", "Answers that are being written", ["model"], **kept)
        self.waiting = Gauge("waiting", "Prompts that wait for a row", ["model"], **kept)

    def watch(self, model: str, rows: Callable[[], int], waiting: Callable[[], int]) -> None:
        """Read a model's rows and queue whenever the metrics are asked for."""
        self.rows.labels(model).set_function(rows)
        self.waiting.labels(model).set_function(waiting)

    def stepped(self, model: str, rows: int, seconds: float) -> None:
        """Count a step."""
        self.steps.labels(model).observe(seconds)
        self.step_rows.labels(model).inc(rows)

    def text(self) -> bytes:
        """Return all in Prometheus' text format."""
        return generate_latest(self.registry)
