"""`corpusmill serve RUN [RUN …]`: models answer over HTTP as OpenAI's API does. docs/serving.md describes it."""

import argparse
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Generator
from types import FrameType

import torch
import uvicorn

from pipelines.contract.errors import UserError
from training.search.passages import Index
from training.serving import corpus
from training.serving.endpoints.app import application
from training.serving.endpoints.connection import connection
from training.serving.endpoints.guard import Keys
from training.serving.limits import ServerLimits
from training.serving.metrics import Metrics
from training.serving.served import Served, load

_CONNECTIONS = 2048  # beyond that uvicorn itself answers 503
_IDLE_SECONDS = 30  # that a connection may wait for its next request


class _Server(uvicorn.Server):
    """Stops in order at SIGTERM or SIGINT, and exits as a program that has done its work; a second SIGINT ends it at once."""

    def __init__(self, config: uvicorn.Config, served: Served) -> None:
        super().__init__(config)
        self.served = served

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Refuse new requests from now on."""
        self.served.stopping = True
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Handle the signals; unlike uvicorn, do not raise them again at the end."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run(arguments: argparse.Namespace, index: Callable[[], Index] | None = None) -> int:
    """Serve until a signal (training.arguments.add_serve); return the exit code. Raises UserError, as `load`.

    `index` makes or opens the index of the corpus that --corpus names.
    """
    _check(arguments)
    limits = ServerLimits(arguments.rows, arguments.queue, arguments.max_tokens, arguments.max_prompt, arguments.max_body)
    keys = None if arguments.api_key_file is None else Keys(arguments.api_key_file)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    listening = _listen(arguments.host, arguments.port)
    served = load(arguments.folders, limits, Metrics())
    if arguments.corpus is not None:
        assert index is not None
        served.corpus = corpus.load(arguments, index, limits.queue, served.metrics)
        print(f"{arguments.corpus}: answers questions at /ask from {len(served.corpus.index):,} passages", flush=True)
    for name, model in served.models.items():
        print(f"{name}: {model.where}; batches of {', '.join(map(str, model.decoder.sizes))} rows agree bit by bit", flush=True)
    for name, task in served.tasks.items():
        print(f"{name}: {task.where}; answers records at /predict/{name}", flush=True)
    host, port = listening.getsockname()[:2]
    names = ", ".join((*served.models, *served.tasks)) or arguments.corpus
    print(f"corpusmill serves {names} at http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
    config = uvicorn.Config(
        application(served, keys),
        http=connection(limits),
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=int(limits.stop_seconds),
    )
    server = _Server(config, served)
    server.run(sockets=[listening])
    if not server.force_exit:
        served.stop()
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Raise UserError for options that do not fit together."""
    if (arguments.corpus is None) != (arguments.reader is None):
        raise UserError("--corpus and --reader belong together: the build that is asked, and a run that reads its passages")
    if arguments.encoder is not None and arguments.corpus is None:
        raise UserError("--encoder finds passages of a corpus: name its build in --corpus, and a run for --reader")
    if not arguments.folders and arguments.corpus is None:
        raise UserError("nothing to serve: name the folder of a run, or --corpus and --reader")


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises UserError if the address is taken or is not of this machine."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
        listening.bind((host, port))
    except OSError as error:
        raise UserError(f"--host {host} --port {port}: {error.strerror or error}; name another") from error
    listening.listen(1024)
    return listening
