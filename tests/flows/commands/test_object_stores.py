"""The whole program on an object store: a build in it has the bytes of a local one, and every command finds it there."""

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from objects import S3
from places import FIXTURES

from flows import drive
from flows.commands import main as cli
from pipelines import config as corpus_config
from pipelines.contract import files
from pipelines.units.context import Context

OUT = "s3://corpora/tiny build/100% ü#1"  # keys are not encoded

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def stored(s3_process: S3, command: Run, tiny_arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    """The tiny corpus, built into a bucket by the command line with its gates."""
    s3_process.make("corpora")
    return command(*tiny_arguments, "--out", OUT, **s3_process.environment)


def test_a_build_in_a_store_has_the_bytes_of_a_local_one(s3, stored, tiny, digests) -> None:
    assert (stored.returncode, stored.stderr) == (0, tiny.stderr)
    names = [uri.removeprefix(f"{OUT}/") for uri in files.listing(OUT)]
    written = {
        name: files.sha256(f"{OUT}/{name}") for name in names if not name.startswith(("gates/", "report.html", "timings.jsonl"))
    }
    assert written == digests(tiny.out)
    gates = {path.relative_to(tiny.out).as_posix() for path in (tiny.out / "gates").rglob("*.json")}
    assert {name for name in names if name.startswith("gates/") and name.endswith(".json")} == gates
    assert re.findall(r"gate: .*", stored.stdout) == re.findall(r"gate: .*", tiny.stdout) != []


def test_the_same_build_is_found_and_verified(s3, stored, tiny, command: Run) -> None:
    again = command(*tiny.arguments, "--out", OUT)
    assert (again.returncode, again.stdout.count("found, not built again")) == (0, 10)
    checked, local = command("verify", OUT), command("verify", str(tiny.out))
    assert (checked.returncode, checked.stdout) == (0, local.stdout)


def test_a_damaged_object_is_named(s3, stored, command: Run) -> None:
    uri = next(uri for uri in files.listing(f"{OUT}/tokens") if uri.endswith(".arrow"))
    whole = files.sha256(uri)
    with files.reading(uri) as stream:
        content = stream.read()
    with files.writing(uri) as stream:
        stream.write(content[:-1] + b"?")
    done = command("verify", OUT)
    with files.writing(uri) as stream:
        stream.write(content)
    assert done.returncode == 1 and uri in done.stdout + done.stderr
    assert files.sha256(uri) == whole


def test_gc_removes_what_the_release_does_not_need(s3, stored, command: Run) -> None:
    before = files.listing(OUT)
    for name in ("tokens/tiny/0123456789ab/x.arrow", "corpus/0123456789ab/a b/#.parquet"):
        files.write_text(f"{OUT}/{name}", "x")
    done = command("gc", OUT)
    assert (done.returncode, files.listing(OUT)) == (0, before), done.stderr


def test_explain_finds_a_document(s3, stored, tiny, command: Run) -> None:
    part = next(iter(sorted(tiny.out.glob("corpus/*/documents/*.parquet"))))
    number = pq.read_table(part)["id"][0].as_py().hex()
    there, here = command("explain", OUT, number), command("explain", str(tiny.out), number)
    assert (there.returncode, there.stdout) == (0, here.stdout)


def test_sources_are_read_from_a_store(s3, tiny, language_model: str, tmp_path: Path) -> None:
    """Their identity is the store's, so fingerprints are others; the documents are the same."""
    root = f"{s3.make('sources')}/in put/50%"
    for path in (FIXTURES / "tiny").rglob("*"):
        if path.is_file():
            files.copy(str(path), files.join(root, path.relative_to(FIXTURES).as_posix()))
    roots = [f'sources.{number}.root="{root}/tiny/{name}"' for number, name in enumerate(("wiki", "books", "crawl"))]
    settings = corpus_config.load(FIXTURES / "tiny.toml", (*roots, f"language.model={json.dumps(language_model)}"))
    drive.build(Context(settings, str(tmp_path / "out")), gated=False)

    def texts(out: Path) -> list[str]:
        tables = [
            pq.read_table(path, columns=["origin", "text"]).to_pylist() for path in out.glob("corpus/*/documents/*.parquet")
        ]
        return sorted(hashlib.sha256(repr(row).encode()).hexdigest() for rows in tables for row in rows)

    assert texts(tmp_path / "out") == texts(tiny.out) != []


def test_a_bucket_that_does_not_exist_is_one_line_before_anything_is_read(s3, tiny, command: Run) -> None:
    done = command(*tiny.arguments, "--out", "s3://no-such-bucket/x")
    assert (done.returncode, done.stdout) == (1, "")
    start = "corpusmill: s3://no-such-bucket/x/corpusmill.json: there is no such bucket; create it, or correct the name ("
    assert done.stderr.startswith(start) and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["sample", "s3://x/y"], "a sample"),
        (["import", "s3://x/y", "--out", "here"], "the model"),
        (["compare", "configs/pretrain/gpt_demo.toml", "--out", "s3://x/y"], "a comparison"),
        (["runs", "x", "--out", "s3://x/y"], "the page"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_what_needs_a_disk_says_so_and_makes_no_folder(arguments: list[str], what: str, capfd) -> None:
    """A Path takes s3:// for a folder "s3:"."""
    assert cli.main(arguments) == 1
    line = f"corpusmill: s3://x/y: {what} cannot be in an object store; name a folder or file of this machine\n"
    assert capfd.readouterr().err.endswith(line)  # after the progress of the sample
    assert not Path("s3:").exists()
