"""Clients that hang up, flood, send or read too slowly, or come while the server stops: it lives, and says what is wrong."""

import json
import re
import signal
import socket
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import torch
from serving import Server, head, read_all, request, serving, waited_for

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.loading import Tokenizer
from training.arguments import add_serve, parse
from training.checkpoints import trained
from training.models.families import Model
from training.serving.server import run

_IMPATIENT = (
    "import functools, training.serving.server as server\n"
    "server.ServerLimits = functools.partial(server.ServerLimits, head_seconds=1.5, body_seconds=2, stall_seconds=1.5)"
)
LONG: dict[str, Any] = {"model": "endless", "prompt": "the old", "temperature": 0}


@pytest.fixture(scope="module")
def endless(make_model: Callable[..., Model], tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A T5, which has no positions, whose likeliest token is never the end."""
    model = make_model("t5")
    with torch.no_grad():
        next(p for name, p in model.named_parameters() if "tokens" in name)[tokenizer.special_ids["</s>"]] = 0
    folder = tmp_path_factory.mktemp("endless") / "endless"
    trained.save(folder, model, "t5", tokenizer, {})
    return str(folder)


@pytest.fixture(scope="module")
def server(endless: str) -> Generator[Server]:
    options = ("--rows", "4", "--queue", "6", "--max-tokens", "100000", "--max-body", "100000")
    with serving([endless], *options, setup=_IMPATIENT) as started:
        yield started


@pytest.fixture(autouse=True)
def lives(server: Server) -> Generator[None]:
    """After each test the server answers, and no row is left over."""
    yield
    assert waited_for(lambda: server.metric("rows") == server.metric("waiting") == 0)
    assert server.post("/v1/completions", **LONG, max_tokens=3).json()["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_hangs_up_frees_its_row(server: Server, stream: bool) -> None:
    before = server.metric("given_up_total")
    with server.connect() as connection:
        connection.sendall(request("/v1/completions", **LONG, max_tokens=90_000, n=1, stream=stream))
        assert waited_for(lambda: server.metric("rows") == 1)
    assert waited_for(lambda: server.metric("rows") == 0)
    assert server.metric("given_up_total") == before + 1


def test_a_flood_is_told_to_come_back_and_waiting_clients_that_hang_up_are_forgotten(server: Server) -> None:
    connections = [server.connect() for _ in range(30)]
    for number, connection in enumerate(connections):
        if number == 4:  # one that comes earlier would find the queue full of these
            assert waited_for(lambda: server.metric("rows") == 4)
        connection.sendall(request("/v1/completions", **LONG, max_tokens=90_000, stream=True))
    assert waited_for(lambda: server.metric("waiting") == 6)
    refused = server.post("/v1/completions", **LONG, max_tokens=3)
    assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert server.get("/health").status_code == 200
    for connection in connections:
        connection.close()
    assert waited_for(lambda: server.metric("rows") == server.metric("waiting") == 0)


def test_a_client_of_openai_waits_and_asks_again(server: Server) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=8, timeout=60) as client:

        def ask(number: int) -> int:
            done = client.completions.create(**LONG, max_tokens=60 + number % 3)
            return done.usage.completion_tokens if done.usage else 0

        with ThreadPoolExecutor(16) as clients:
            assert list(clients.map(ask, range(24))) == [60 + number % 3 for number in range(24)]


def test_a_body_of_10_mb_is_refused_before_it_has_come(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(head("/v1/completions", 10_000_000))  # and nothing of it
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 413 ") and b'"code": "body_too_large"' in answer
    with server.connect() as connection:
        lines = [b"POST /v1/completions HTTP/1.1", b"Host: localhost", b"Transfer-Encoding: chunked", b"", b""]
        connection.sendall(b"\r\n".join(lines))
        sent = 0
        try:
            for _ in range(10_000):  # chunks of 1,000 bytes: 10 MB in all
                connection.sendall(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
                sent += 1000
        except OSError:
            pass
        answer = read_all(connection)
    assert sent < 10_000_000
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        with pytest.raises(openai.APIStatusError, match="the body is larger than 100,000 bytes") as error:
            client.completions.create(model="endless", prompt="x" * 10_000_000)
        assert error.value.status_code == 413


def test_a_body_or_a_head_that_drips_is_cut_off(server: Server) -> None:
    with server.connect() as silent, server.connect() as half, server.connect() as body:
        begin = time.monotonic()
        half.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n")
        body.sendall(head("/v1/completions", 1000))
        for _ in range(40):
            try:
                half.sendall(b"X-Slow: 1\r\n")
                body.sendall(b" ")
            except OSError:
                break
            time.sleep(0.1)
        answer = read_all(body)
        assert read_all(half) == read_all(silent) == b"" and time.monotonic() - begin < 30
    assert answer.startswith(b"HTTP/1.1 408 ") and b"the body did not arrive within 2 seconds" in answer


def test_a_drip_of_a_second_request_is_cut_off(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET /health")
        assert b"200" not in read_all(connection)


def test_a_client_that_does_not_read_is_cut_off(server: Server) -> None:
    connection = socket.socket()
    with connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        body = {**LONG, "max_tokens": 90_000, "stream": True, "logprobs": 20}
        connection.sendall(request("/v1/completions", **body))
        assert waited_for(lambda: server.metric("rows") == 1)
        assert waited_for(lambda: server.metric("rows") == 0, 120)


def test_garbage_is_no_request(server: Server) -> None:
    for junk in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"\r\n" * 100, b"POST / HTTP/9.9\r\n\r\n"):
        with server.connect() as connection:
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            assert b"200 OK" not in read_all(connection)


def test_memory_stays_flat(server: Server) -> None:
    def ask(_: int) -> None:
        answer = server.post("/v1/completions", **LONG, max_tokens=30)
        assert answer.status_code in (200, 429)

    sizes: list[int] = []
    with ThreadPoolExecutor(8) as clients:
        for _ in range(3):
            list(clients.map(ask, range(80)))
            sizes.append(server.memory())
    assert sizes[2] - sizes[1] < 8 << 20, sizes


def test_a_stop_finishes_what_was_begun(endless: str) -> None:
    """Two are written and three wait when the signal comes; all are answered, a new one is not."""
    with serving([endless], "--rows", "2", "--max-tokens", "100000") as server:
        connections = [server.connect() for _ in range(6)]
        idle = connections.pop()
        for number, connection in enumerate(connections):
            connection.sendall(request("/v1/completions", **LONG, max_tokens=150, stream=number % 2 == 0))
        assert waited_for(lambda: server.metric("rows") == 2 and server.metric("waiting") == 3)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        try:
            late = httpx.post(f"{server.url}/v1/completions", json={**LONG, "max_tokens": 2})
            assert late.status_code == 503 and late.json()["error"]["code"] == "unavailable"
        except httpx.TransportError:
            pass  # the server no longer listens
        for number, connection in enumerate(connections):
            answer = read_all(connection)
            assert answer.startswith(b"HTTP/1.1 200 ")
            if number % 2 == 0:
                assert answer.rstrip(b"\r\n0").endswith(b"data: [DONE]") and b'"finish_reason": "length"' in answer
            else:
                assert json.loads(answer.partition(b"\r\n\r\n")[2])["usage"]["completion_tokens"] == 150
            connection.close()
        idle.close()
        assert server.process.wait(60) == 0


def test_keys(endless: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# of the team\nsecret-1\n\nsecret-2\n")
    with serving([endless], "--api-key-file", str(tmp_path / "keys")) as server:
        for key in ("secret-1", "secret-2"):
            with openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client:
                assert client.completions.create(**LONG, max_tokens=2).choices[0].finish_reason == "length"
        for key in ("secret", "# of the team", "secret-1x"):
            with (
                openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client,
                pytest.raises(openai.AuthenticationError, match="give one of the server's keys"),
            ):
                client.models.list()
        assert server.post("/ask", question="Where?").status_code == 401
        assert server.get("/metrics").status_code == 401 and server.get("/v1/models").headers["www-authenticate"] == "Bearer"
        assert server.get("/health").status_code == 200 and server.get("/").status_code == 200


def test_a_command_line_that_cannot_be_served_says_why(endless: str, tmp_path: Path, server: Server) -> None:
    (tmp_path / "keys").write_text("# none\n")
    for words, message in (
        ([endless, "--port", str(server.port)], f"--host 127.0.0.1 --port {server.port}: Address already in use; name another"),
        ([endless, endless, "--port", "0"], "another run is named endless, too; give it a name of its own: NAME="),
        ([endless, "--api-key-file", str(tmp_path / "keys"), "--port", "0"], "must list at least one key"),
        ([str(tmp_path / "nowhere"), "--port", "0"], "there is no complete checkpoint"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            run(parse(add_serve, words))
