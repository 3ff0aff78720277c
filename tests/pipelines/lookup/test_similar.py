"""Documents of a real build that are like a text: by all signatures, and by datasketch's index in memory and in Redis."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import datasketch
import numpy as np
import pyarrow as pa
import pytest

from pipelines.contract.errors import UserError
from pipelines.lookup import signatures as lookup
from pipelines.lookup.signatures import Signatures
from pipelines.lookup.similar import similar
from pipelines.text.copies import shingles

CLOCK = Path(__file__).parents[2] / "data" / "tiny" / "books" / "clock.txt"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis server of its own."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)], stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/1"
    finally:
        server.terminate()
        server.wait()


def edited(text: str) -> str:
    return " ".join("changed" if n % 60 == 59 else word for n, word in enumerate(text.split()))


def test_a_published_text_is_like_itself_and_an_edited_one_is_compared_exactly(tiny) -> None:
    text = CLOCK.read_text("latin-1")
    (itself, *others), changed, foreign = similar(
        str(tiny.out), [text, edited(text), "Nothing of this was ever published."], top=3
    )
    assert (itself.jaccard, itself.contained, itself.document.columns["title"]) == (1.0, 1.0, "THE CLOCK AT BELLMOUTH")
    assert all(other.jaccard < 0.5 for other in others)
    assert foreign == []
    assert changed[0].document.id == itself.document.id
    sets = [set(shingles.scan(pa.array([one]), 5).shingles.tolist()) for one in (edited(text), itself.text)]
    assert changed[0].jaccard == len(sets[0] & sets[1]) / len(sets[0] | sets[1]) < 1
    assert changed[0].contained == len(sets[0] & sets[1]) / len(sets[0])
    assert {stretch.text.strip() for stretch in changed[0].differences(edited(text)) if stretch.kind == "removed"} >= {"changed"}


def test_estimates_are_those_of_datasketch(tiny) -> None:
    signatures = Signatures(str(tiny.out))
    text = edited(CLOCK.read_text("latin-1"))
    ((likely, *_),) = signatures.most_similar([text], 5)
    by_id = {key: row for ids, values in signatures.documents() for key, row in zip(ids, values, strict=True)}
    known = datasketch.LeanMinHash(
        seed=signatures.scheme["seed"], hashvalues=by_id[likely.id], scheme=signatures.scheme["scheme"]
    )
    assert likely.similarity == known.jaccard(signatures.signature(text))
    assert len(by_id) == json.loads((tiny.out / "report.json").read_text())["index"]["documents"]


def test_datasketchs_index_finds_the_same(tiny, redis: str) -> None:
    text = edited(CLOCK.read_text("latin-1"))
    expected = similar(str(tiny.out), [text], top=1)[0][0].document.id
    memory = Signatures(str(tiny.out)).lsh()
    assert expected in memory.query(Signatures(str(tiny.out)).signature(text))
    for _ in range(2):  # filled, then opened
        assert similar(str(tiny.out), [text], redis=redis)[0][0].document.id == expected


def test_an_index_that_was_not_filled_to_its_end_is_filled_again(tiny, redis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = CLOCK.read_text("latin-1")
    signatures = Signatures(str(tiny.out))
    whole = Signatures._fill

    def broken(self: Signatures, index: object) -> None:
        raise UserError("stopped here")

    monkeypatch.setattr(Signatures, "_fill", broken)
    with pytest.raises(UserError, match="stopped here"):
        signatures.lsh(redis, threshold=0.8)
    monkeypatch.setattr(Signatures, "_fill", whole)
    assert len(signatures.lsh(redis, threshold=0.8).query(signatures.signature(text))) == 1
    monkeypatch.setattr(Signatures, "_fill", broken)
    assert len(signatures.lsh(redis, threshold=0.8).query(signatures.signature(text))) == 1  # it is there


@pytest.mark.parametrize("address", ["redis://127.0.0.1:1/0", "http://127.0.0.1", "nonsense"])
def test_a_server_that_does_not_answer(tiny, address: str) -> None:
    with pytest.raises(UserError, match="start it, or correct --redis"):
        similar(str(tiny.out), ["a text"], redis=address)


def test_a_build_without_an_index_or_of_another_version(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_VERSION", "shingles-9")
    with pytest.raises(UserError, match="this program makes shingles-9; build the corpus again"):
        Signatures(str(tiny.out))
    monkeypatch.setattr(lookup, "published_folders", lambda _out: {})
    with pytest.raises(UserError, match=r"has no index of signatures; build it with deduplicate\.enabled = true"):
        Signatures(str(tiny.out))


def test_the_command(tiny, command, tmp_path: Path) -> None:
    shown = command("similar", str(tiny.out), str(CLOCK), "--top", "1")
    assert shown.returncode == 0, shown.stderr
    assert "1.000       1.000" in shown.stdout and "THE CLOCK AT BELLMOUTH" in shown.stdout
    (tmp_path / "two.jsonl").write_text(
        json.dumps({"text": CLOCK.read_text("latin-1")}) + "\n" + json.dumps({"text": "x y z"}) + "\n"
    )
    lines = command("similar", str(tiny.out), str(tmp_path / "two.jsonl"), "--json").stdout.splitlines()
    first, second = map(json.loads, lines)
    assert first["documents"][0]["jaccard"] == 1.0
    assert second["documents"] == []
    (tmp_path / "unnamed").write_text(CLOCK.read_text("latin-1"))
    named = command("similar", str(tiny.out), str(tmp_path / "unnamed"), "--kind", "books", "--top", "1")
    assert "1.000       1.000" in named.stdout, named.stderr
    (tmp_path / "empty.txt").write_text(" \n")
    for threshold in ("0", "1", "7", "nan"):
        refused = command("similar", str(tiny.out), str(CLOCK), "--threshold", threshold)
        assert (refused.returncode, f"{threshold} is not a number between 0 and 1" in refused.stderr) == (2, True)
    failed = command("similar", str(tiny.out), str(tmp_path / "empty.txt"))
    assert failed.returncode == 1
    assert "no document of it has text" in failed.stderr


def test_more_candidates_with_an_equal_estimate_are_kept() -> None:
    assert lookup._largest(np.array([0.5, 0.1, 0.5, 0.5]), 2).tolist() == [0, 2, 3]
    assert lookup._largest(np.array([0.5, 0.1]), 2).tolist() == [0, 1]
