"""`/ask`: questions are answered from the published corpus of a build, as `corpusmill ask` does."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from training.serving.endpoints.answering import unless_gone
from training.serving.endpoints.requests import parse
from training.serving.errors import ApiError, unavailable
from training.serving.limits import MOST_ANSWERS, MOST_QUESTION_CHARACTERS
from training.serving.served import Served


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    question: Annotated[str, Field(min_length=1, max_length=MOST_QUESTION_CHARACTERS)]
    top: Annotated[int, Field(ge=1, le=MOST_ANSWERS)] = 1


def router(served: Served) -> APIRouter:
    """Return the endpoint."""
    made = APIRouter()

    @made.post("/ask")
    async def answer(request: Request) -> Response:
        corpus = served.corpus
        if corpus is None:
            raise ApiError(404, "this server has no corpus: start it with --corpus BUILD --reader RUN", code="no_corpus")
        wanted = parse(_Wanted, await request.body())
        if served.stopping:
            raise unavailable()

        async def content() -> dict[str, Any]:
            answers = await corpus.worker.run(corpus.answer, wanted.question, wanted.top)
            best = answers[0]["answer"] if answers else None
            return {"question": wanted.question, "answer": best, "answers": answers}

        return await unless_gone(request, content())

    return made
