"""`make serve`: serves the deployments of prefect.yaml from this machine, and starts a Prefect server if there is none.

The server's address comes from prefect.toml in the repository's root (PREFECT_API_URL wins), which every `prefect`
command that runs there reads too. It runs offline, and ends with this command if it was started by it.
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

DEPLOYMENTS = Path("prefect.yaml")
START_SECONDS = 180  # of a server on a slow machine; its first start makes a database, 10 to 15 s
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1", "0.0.0.0")
_OFFLINE = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


class ServeError(UserError):
    """The deployments cannot be served; the message says what to change."""


def main() -> int:
    """Serve until interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    os.environ.update(_OFFLINE)  # before Prefect is imported, and for the runs that are started from here
    try:
        _serve()
    except KeyboardInterrupt:
        print("corpusmill: stopped serving", file=sys.stderr)
    except ServeError as error:
        print(f"corpusmill: {error}", file=sys.stderr)
        return 1
    return 0


def _serve() -> None:
    from prefect import serve
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url is None:
        raise ServeError("no Prefect server is named: run this in the repository's root (prefect.toml), or set PREFECT_API_URL")
    deployments = read_deployments(DEPLOYMENTS)
    with server(settings.api.url, settings.home / "server.log"):
        names = " ".join(f"{deployment.flow_name}/{deployment.name}" for deployment in deployments)
        print(f"serving {names}; in another terminal: prefect deployment run {names.split()[0]} --watch", flush=True)
        serve(*deployments, print_starting_message=False, pause_on_shutdown=False)


def read_deployments(path: Path) -> list[Any]:
    """The deployments of a prefect.yaml, ready to be served (prefect.deployments.runner.RunnerDeployment)."""
    import yaml
    from prefect.deployments.runner import RunnerDeployment

    if not path.exists():
        raise ServeError(f"{path} does not exist here; run this in the repository's root")
    entries: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8")).get("deployments") or []
    if not entries:
        raise ServeError(f"{path}: holds no deployments; add one")
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
    """A cron schedule as prefect.yaml writes it; without `active: false` it runs (prefect.schedules.Schedule)."""
    from prefect.schedules import Cron

    return Cron(entry["cron"], timezone=entry.get("timezone"), active=entry.get("active", True))


@contextmanager
def server(url: str, log: Path) -> Generator[None]:
    """A Prefect server at this address for the time of the block: the one that is there, or one that is started here.

    Raises ServeError when there is none and it cannot be started here; what it said is in `log`.
    """
    if is_healthy(url):
        print(f"using the Prefect server at {url}", flush=True)
        yield
        return
    address = urlsplit(url)
    if address.hostname not in _LOCAL_HOSTS:
        raise ServeError(f"no Prefect server answers at {url}; start it there, or unset PREFECT_API_URL for one on this machine")
    print(f"starting a Prefect server at {url} (log: {log})", flush=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", address.hostname, "--port", str(address.port or 80)]
    with log.open("wb") as output:
        # In a session of its own: Ctrl-C reaches this process first, which ends its runs while the server still answers.
        child = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True, env=os.environ | _OFFLINE
        )
        try:
            _wait_until_healthy(url, child, log)
            yield
        finally:
            _end(child)


def is_healthy(url: str) -> bool:
    """Whether a Prefect server answers at this address."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=5) as answer:
            return answer.read().strip() == b"true"
    except (urllib.error.URLError, OSError):
        return False


def _wait_until_healthy(url: str, child: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_healthy(url):
        if child.poll() is not None:
            last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            raise ServeError(f"the Prefect server did not start (status {child.returncode}); the end of {log}:\n{last}")
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


if __name__ == "__main__":
    sys.exit(main())
