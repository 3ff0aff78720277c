"""The server's application: its endpoints, and what guards them."""

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, Protocol

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from training.serving.endpoints import asking, chat, completions, predicting
from training.serving.endpoints.guard import Guard, Keys
from training.serving.errors import ApiError, broken
from training.serving.served import Served


class Endpoint(Protocol):
    """Adds paths to the server: returns a router whose functions know what is served."""

    def __call__(self, served: Served) -> APIRouter:
        """Return the router."""
        ...


def about(served: Served) -> APIRouter:
    """Return the endpoints that say what the server is and how it is."""
    made = APIRouter()

    def described(name: str) -> dict[str, Any]:
        model = served.tasks.get(name) or served.model(name)
        return {"id": name, "object": "model", "created": model.created, "owned_by": "corpusmill"}

    @made.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [described(name) for name in (*served.models, *served.tasks)]}

    @made.get("/v1/models/{name}")
    async def model(name: str) -> dict[str, Any]:
        return described(name)

    @made.get("/health")
    async def health() -> JSONResponse:
        """200 if new requests are answered, else 503; in either case the process lives."""
        sizes = {name: list(model.decoder.sizes) for name, model in served.models.items()}
        content = {"live": True, "ready": served.ready, "batch_sizes": sizes, "asks": served.corpus is not None}
        return JSONResponse(content, 200 if served.ready else 503)

    @made.get("/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @made.get("/metrics")
    async def metrics() -> Response:
        return Response(served.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    page = (files("training.serving.endpoints") / "page.html").read_text(encoding="utf-8")

    @made.get("/")
    async def index() -> HTMLResponse:
        return HTMLResponse(page)

    return made


# All endpoints of the server. Another one is a file with such a function, and a line here.
ENDPOINTS: Sequence[Endpoint] = (about, completions.router, chat.router, predicting.router, asking.router)


def application(served: Served, keys: Keys | None) -> Callable[..., Any]:
    """Return the ASGI application. With keys, all but the page and /health need one."""
    app = FastAPI(title="corpusmill serve", docs_url=None, redoc_url=None, openapi_url=None)
    for endpoint in ENDPOINTS:
        app.include_router(endpoint(served))

    @app.exception_handler(ApiError)
    async def refused(_: Request, error: ApiError) -> JSONResponse:
        return JSONResponse(error.content(), error.status, error.headers)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        message = f"{request.method} {request.url.path}: {str(error.detail)[:1].lower()}{str(error.detail)[1:]}"
        return JSONResponse(ApiError(error.status_code, message).content(), error.status_code)

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse(broken().content(), 500)

    return Guard(app, served, keys)
