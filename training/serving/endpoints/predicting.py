"""`/predict/<name>`: a fine-tuned model answers records."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from training.serving.endpoints.answering import unless_gone
from training.serving.endpoints.requests import parse
from training.serving.errors import unavailable
from training.serving.limits import MOST_RECORDS
from training.serving.served import Served


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    records: list[dict[str, Any]] = Field(min_length=1, max_length=MOST_RECORDS)


def router(served: Served) -> APIRouter:
    """Return the endpoint."""
    made = APIRouter()

    @made.post("/predict/{name}")
    async def predict(name: str, request: Request) -> Response:
        task = served.task(name)
        wanted = parse(_Wanted, await request.body())
        if served.stopping:
            raise unavailable()
        section = task.tuned.section

        async def content() -> dict[str, Any]:
            return {"model": name, "task": section.name or section.kind, "answers": await task.answer(wanted.records)}

        return await unless_gone(request, content())

    return made
