"""Python packages used as data: some contain real text or models, and nearly every machine reaches a package index.

pip knows the index (its configuration, mirrors and certificates). Nothing is installed and no package code runs.
"""

import logging
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipelines.contract import files
from pipelines.fetching.download import FetchError, OnProgress, Patience, fetch

_CHUNK_BYTES = 2**20
_PIP_SECONDS = 600  # for one run of pip, including a download of tens of megabytes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Archive:
    """A pinned file of a package index and the members to extract."""

    package: str
    version: str
    file: str  # "gensim-4.4.0.tar.gz": a source distribution or a wheel
    size: int  # bytes
    sha256: str
    members: Mapping[str, str]  # path in the archive -> sha256 of the member


def extract(archive: Archive, folder: Path, on_progress: OnProgress = lambda _here, _total: None) -> dict[str, Path]:
    """Extract the members to `folder/<package>-<version>/<path in the archive>`, unless they are there already.

    Raises:
        FetchError: The archive could not be fetched, or a member differs from its sha256.
    """
    home = folder / f"{archive.package}-{archive.version}"
    wanted = {member: home / member for member in archive.members}
    missing = [member for member, path in wanted.items() if not _is_right(path, archive.members[member])]
    if missing:
        with tempfile.TemporaryDirectory(prefix="corpusmill-") as temporary:
            fetched = _fetch(archive, folder, Path(temporary), on_progress)
            _copy_out(fetched, archive, {member: wanted[member] for member in missing})
            fetched.unlink(missing_ok=True)
    return wanted


def _fetch(archive: Archive, folder: Path, temporary: Path, on_progress: OnProgress) -> Path:
    """Return the archive: a file put there by hand, else a download from its URL (resumable), else one by pip."""
    by_hand = folder / archive.file
    if _is_right(by_hand, archive.sha256):
        return by_hand
    failures: list[str] = []
    for address in _addresses(archive, failures):
        try:
            return fetch(
                address,
                folder / archive.file,
                sha256=archive.sha256,
                size=archive.size,
                on_progress=on_progress,
                patience=Patience(attempts=3),
            )
        except FetchError as error:
            failures.append(str(error))
    log.info("%s: %s; downloading it with pip", archive.file, "; ".join(failures))
    return _downloaded_by_pip(archive, folder, temporary, failures)


def _addresses(archive: Archive, failures: list[str]) -> list[str]:
    """Return the file's URLs on the configured index: pip prints them when it lists versions (`Found link ADDRESS (from …`)."""
    output = _pip("index", "versions", "-vv", archive.package)
    links = re.findall(rf"Found link (https?://\S+/{re.escape(archive.file)})(?=[\s#])", output.stdout + output.stderr)
    if not links:
        failures.append(f"pip found no URL of {archive.file}: {_last_lines(output)}")
    return list(dict.fromkeys(links))[:2]


def _downloaded_by_pip(archive: Archive, folder: Path, temporary: Path, failures: list[str]) -> Path:
    """Run `pip download`, which also reads folders and private indexes, but may build a source distribution's metadata."""
    form = "--only-binary" if archive.file.endswith(".whl") else "--no-binary"
    requirement = f"{archive.package}=={archive.version}"
    output = _pip("download", "--no-deps", form, ":all:", "--dest", str(temporary), requirement)
    path = temporary / archive.file
    if path.is_file() and files.sha256(str(path)) == archive.sha256:
        return path
    failures.append(f"pip download {requirement}: {_last_lines(output) if output.returncode else 'it downloaded another file'}")
    tried = "\n".join(f"- {failure}" for failure in failures)
    raise FetchError(
        f"{archive.file} (package {requirement}) could not be fetched from the package index:\n{tried}\n"
        f"Check that pip reaches its index and run this again, or put the file into {folder} by hand."
    )


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this environment's pip; a missing pip is an error in the result."""
    command = [sys.executable, "-P", "-m", "pip", *arguments, "--disable-pip-version-check", "--no-input"]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=_PIP_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"pip did not end within {_PIP_SECONDS} s")


def _last_lines(output: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in output.stderr.splitlines() if "ERROR" in line] or output.stderr.strip().splitlines()
    return " ".join(lines[-2:])[:400] or "no message"


def _is_right(path: Path, sha256: str) -> bool:
    return path.is_file() and files.sha256(str(path)) == sha256


def _copy_out(path: Path, archive: Archive, targets: Mapping[str, Path]) -> None:
    """Copy members out of a .whl, .zip or .tar.*; each is verified before it gets its name."""
    with _opened(path) as member_stream:
        for member, target in targets.items():
            with member_stream(member) as stream, files.writing(str(target)) as out:
                while chunk := stream.read(_CHUNK_BYTES):
                    out.write(chunk)
                if out.sha256 != archive.members[member]:
                    raise FetchError(f"{archive.file}: {member} has the sha256 {out.sha256}, not {archive.members[member]}")


@contextmanager
def _opened(path: Path) -> Generator[Callable[[str], IO[bytes]]]:
    """Yield a function from a member's name to its stream."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as opened:
            yield opened.open
        return
    with tarfile.open(path) as opened:

        def stream(member: str) -> IO[bytes]:
            extracted = opened.extractfile(member)
            assert extracted is not None, f"{member} in {path.name} is not a file"
            return extracted

        yield stream
