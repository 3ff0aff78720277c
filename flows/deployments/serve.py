"""`corpusmill deployments`: serve the deployments of prefect.yaml from this machine; start a Prefect server if none is running.

The address of the server comes from prefect.toml in the root of the repository, which `prefect` commands in that folder read
as well, or from PREFECT_API_URL. A server that is started here runs offline and ends with this command.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.contract.errors import UserError
from pipelines.contract.storage.cache import cache_for

DEPLOYMENTS = Path("prefect.yaml")
START_SECONDS = 180  # on a slow machine; the first start, which creates a database, takes 10 to 15 s on a fast one
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1", "0.0.0.0")
_OFFLINE = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


class ServeError(UserError):
    """The deployments cannot be served; the message says what to change."""


def run() -> int:
    """Serve until Ctrl-C or SIGTERM; return the exit code. Raises ServeError."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # with which Prefect's event loop ends in order
    signal.signal(signal.SIGTERM, _interrupt)
    os.environ.update(_OFFLINE)  # before Prefect is imported, and for the runs that are started from here
    if "PREFECT_HOME" not in os.environ and not os.access(".prefect" if os.path.isdir(".prefect") else ".", os.W_OK):
        os.environ["PREFECT_HOME"] = str(cache_for("prefect"))  # prefect.toml names .prefect, in a checkout that is read-only
    try:
        _serve()
    except KeyboardInterrupt:
        print("corpusmill: stopped serving", file=sys.stderr)
    return 0


def _serve() -> None:
    from prefect import serve
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url is None:
        raise ServeError(
            "no Prefect server is configured: run this in the root of the repository (prefect.toml), or set PREFECT_API_URL"
        )
    deployments = read_deployments(DEPLOYMENTS)
    with server(settings.api.url, settings.home / "server.log"):
        names = " ".join(f"{deployment.flow_name}/{deployment.name}" for deployment in deployments)
        print(f"serving {names}; in another terminal: prefect deployment run {names.split()[0]} --watch", flush=True)
        serve(*deployments, print_starting_message=False, pause_on_shutdown=False)


def read_deployments(path: Path) -> list[Any]:
    """Return the deployments of a prefect.yaml as RunnerDeployments, ready to be served."""
    import yaml
    from prefect.deployments.runner import RunnerDeployment

    if not path.exists():
        raise ServeError(f"{path}: no such file in this folder; run this in the root of the repository")
    entries: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8")).get("deployments") or []
    if not entries:
        raise ServeError(f"{path}: has no deployments; add one")
    return [
        RunnerDeployment.from_entrypoint(
            entry["entrypoint"],
            name=entry["name"],
            parameters=entry.get("parameters"),
            description=entry.get("description"),
            tags=entry.get("tags"),
            schedules=[_schedule(schedule) for schedule in entry.get("schedules") or []],
        )
        for entry in entries
    ]


def _schedule(entry: dict[str, Any]) -> Any:
    """Return a cron schedule (prefect.schedules.Schedule) of prefect.yaml; it is active unless it says `active: false`."""
    from prefect.schedules import Cron

    return Cron(entry["cron"], timezone=entry.get("timezone"), active=entry.get("active", True))


@contextmanager
def server(url: str, log: Path) -> Generator[None]:
    """Have a Prefect server at this address during the block: the running one, or one that is started here and ended after it.

    Raises ServeError if none is running and none can be started here; its output is in `log`.
    """
    if is_healthy(url):
        print(f"using the Prefect server at {url}", flush=True)
        yield
        return
    address = urlsplit(url)
    if address.hostname not in _LOCAL_HOSTS:
        raise ServeError(
            f"no Prefect server answers at {url}; start it there, or unset PREFECT_API_URL to start one on this machine"
        )
    print(f"starting a Prefect server at {url} (log: {log})", flush=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-P",
        "-m",
        "prefect",
        "server",
        "start",
        "--host",
        address.hostname,
        "--port",
        str(address.port or 80),
    ]
    with log.open("wb") as output:
        # In another session: Ctrl-C reaches this process alone, which ends its runs while the server still answers.
        child = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True, env=os.environ | _OFFLINE
        )
        try:
            _wait_until_healthy(url, child, log)
            yield
        finally:
            _end(child)


def is_healthy(url: str) -> bool:
    """Return whether a Prefect server answers at this address."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=5) as answer:
            return answer.read().strip() == b"true"
    except (urllib.error.URLError, OSError):
        return False


def _wait_until_healthy(url: str, child: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_healthy(url):
        if child.poll() is not None:
            end = "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-5:])
            raise ServeError(f"the Prefect server did not start (status {child.returncode}); the end of {log}:\n{end}")
        if time.monotonic() > deadline:
            raise ServeError(f"the Prefect server did not answer at {url} within {START_SECONDS} s; see {log}")
        time.sleep(0.5)


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(timeout=20)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
