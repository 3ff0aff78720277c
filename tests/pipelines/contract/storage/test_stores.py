"""Object stores, on a real S3 server: keys as they are, whole objects or none, failures that are tried again or explained."""

import hashlib
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from objects import gs_server

from pipelines.contract import files
from pipelines.contract.storage import stores
from pipelines.contract.storage.stores import StoreError

BYTES = bytes(range(250)) * 12
ODD = "a folder/gate s-documents.html", "100%/50%25", "#1?x=y&z", "Zürich/日本", "a+b=c", "'\"(x)[y]{z}*~", ".hidden/..x"


@pytest.fixture
def bucket(s3, request: pytest.FixtureRequest) -> str:
    """A new bucket's URI."""
    return s3.make(f"b{hashlib.sha256(request.node.name.encode()).hexdigest()[:16]}")


def test_a_key_is_written_listed_read_and_removed_as_it_is(s3, bucket: str) -> None:
    for name in ODD:
        files.write_text(files.join(bucket, "out", name), name)
    assert files.listing(files.join(bucket, "out")) == sorted(f"{bucket}/out/{name}" for name in ODD)
    assert [files.read_text(f"{bucket}/out/{name}") for name in ODD] == list(ODD)
    assert [files.size(f"{bucket}/out/{name}") for name in ODD] == [len(name.encode()) for name in ODD]
    theirs = s3.client().get_file_info(pafs.FileSelector(f"{bucket.removeprefix('s3://')}/out", recursive=True))
    assert {info.path.partition("/out/")[2] for info in theirs if info.is_file} == set(ODD)
    for name in ODD:
        files.remove(f"{bucket}/out/{name}")
        assert not files.exists(f"{bucket}/out/{name}")
    assert files.listing(files.join(bucket, "out")) == []


def test_an_object_is_whole_or_absent(bucket: str) -> None:
    def half(uri: str) -> None:
        with files.writing(uri) as stream:
            stream.write(BYTES)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half(f"{bucket}/x")
    assert not files.exists(f"{bucket}/x")
    files.write_text(f"{bucket}/x", "before")
    with pytest.raises(KeyboardInterrupt):
        half(f"{bucket}/x")
    assert files.read_text(f"{bucket}/x") == "before"


def test_files_are_copied_between_a_store_and_this_machine(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(BYTES)
    files.copy(str(tmp_path / "here"), f"{bucket}/x y")
    files.copy(f"{bucket}/x y", f"{bucket}/z")
    files.copy(f"{bucket}/z", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == BYTES
    with files.reading(f"{bucket}/z") as stream:
        stream.seek(240)
        assert stream.read(12) == BYTES[240:252]
    assert files.sha256(f"{bucket}/z") == hashlib.sha256(BYTES).hexdigest()


def test_an_upload_that_breaks_off_leaves_no_object(s3, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_CHUNK_BYTES", 6_000_000)
    (tmp_path / "file").write_bytes(bytes(18_000_000))
    for after in range(4):  # of the request that begins it, those of two parts of 10 MB, and the one that ends it
        s3.fail(99, 403, after)
        with pytest.raises(StoreError, match=rf"^{bucket}/x: access is denied; "):
            stores.upload(tmp_path / "file", f"{bucket}/x")
        s3.fail(0)
        assert not files.exists(f"{bucket}/x")
    stores.upload(tmp_path / "file", f"{bucket}/x")
    assert files.size(f"{bucket}/x") == 18_000_000


@pytest.mark.parametrize("size", [0, 1, 2000, 2001, 12_000_001])
def test_a_file_of_any_size_is_the_same_object(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(stores, "_CHUNK_BYTES", 2000 if size < 10_000 else 2_000_000)
    content = (BYTES * (size // len(BYTES) + 1))[:size]
    (tmp_path / "file").write_bytes(content)
    stores.upload(tmp_path / "file", f"{bucket}/x")
    with files.reading(f"{bucket}/x") as stream:
        assert stream.read() == content


def test_more_objects_than_one_answer_holds_are_listed_and_removed(s3, bucket: str) -> None:
    s3.fill(bucket.removeprefix("s3://"), "many/x", 2345)
    assert files.listing(f"{bucket}/many") == [f"{bucket}/many/x{number:06}" for number in range(2345)]
    files.remove(f"{bucket}/many")
    assert (files.listing(f"{bucket}/many"), files.exists(f"{bucket}/many/x000000")) == ([], False)


def test_a_store_that_is_overloaded_for_a_while_is_asked_again(s3, bucket: str) -> None:
    for request in (lambda: files.write_text(f"{bucket}/x", "text"), lambda: files.read_text(f"{bucket}/x")):
        s3.fail(2, 503)
        request()
        assert s3.requests() >= 3
    assert files.read_text(f"{bucket}/x") == "text"


def test_a_failure_names_the_object_the_cause_and_the_fix(s3, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = "s3://there-is-no-such-bucket/x"
    with pytest.raises(StoreError, match=rf"^{nowhere}: there is no such bucket; create it, or correct the name \("):
        files.write_text(nowhere, "x")
    assert not files.exists(nowhere)
    with pytest.raises(FileNotFoundError) as missing:
        files.read_text(f"{bucket}/x y")
    assert (missing.value.filename, missing.value.strerror) == (f"{bucket}/x y", "no such object")
    s3.fail(1, 403)
    with pytest.raises(StoreError, match=rf"^{bucket}/x: access is denied; check the credentials \(AWS_PROFILE, or AWS_ACC"):
        files.exists(f"{bucket}/x")
    monkeypatch.setattr(stores, "ATTEMPTS", 2)
    monkeypatch.setenv("AWS_PROFILE", "another")  # so that the store is opened anew
    s3.fail(9, 503)
    with pytest.raises(StoreError, match=rf"^{bucket}/x: the store is overloaded or out of order .* again later"):
        files.write_text(f"{bucket}/x", "x")
    s3.fail(0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match=rf"^{bucket}/x: the store does not answer; check the network, and AWS_ENDPOINT_URL"):
        files.exists(f"{bucket}/x")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://", r"s3://: names no bucket; write s3://BUCKET/FOLDER"),
        ("s3://key:secret@data/x", r"s3://data: credentials in an address would be recorded; set them in the environment"),
        ("hf://datasets/x", r"hf://datasets/x: Invalid HF URI .*; name hf://datasets/OWNER/NAME/PATH"),
        ("what://x/y", r"what://x/y: .*; name a local path, or an object of gs://, s3:// or abfs://"),
    ],
)
def test_an_address_that_is_none_is_refused(uri: str, message: str) -> None:
    with pytest.raises(StoreError, match=f"^{message}$"):
        files.exists(uri)


def test_a_store_is_opened_once(bucket: str) -> None:
    assert stores.locate(f"{bucket}/x")[0] is stores.locate(f"{bucket}/y/z")[0]
    assert stores.locate(f"{bucket}/y//z/")[1] == f"{bucket.removeprefix('s3://')}/y//z"


def test_errors_of_the_block_are_left_alone() -> None:
    for error in (OSError(28, "No space left on device"), OSError("Not a Parquet file"), FileNotFoundError(2, "gone", "/here")):
        with pytest.raises(type(error)) as raised, stores.explained("s3://data/x"):
            raise error
        assert raised.value is error


def test_googles_store_behaves_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits: the emulator cannot serve a part of a large object."""
    with gs_server(tmp_path) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        out = "gs://anonymous@bucket/out"
        for name in ODD:
            files.write_text(files.join(out, name), name)
        assert files.listing(out) == sorted(f"{out}/{name}" for name in ODD)
        assert [files.read_text(f"{out}/{name}") for name in ODD] == list(ODD)
        assert (files.exists(f"{out}/a folder"), files.exists(f"{out}/no"), files.size(f"{out}/a+b=c")) == (True, False, 5)
        with pytest.raises(FileNotFoundError):
            files.read_text(f"{out}/no")
        files.remove(f"{out}/a+b=c")
        assert not files.exists(f"{out}/a+b=c")
        files.remove(f"{out}/a folder")
        assert not files.exists(f"{out}/a folder")
        with pytest.raises(
            StoreError, match=r"^gs://anonymous@nowhere/x: there is no such bucket; create it, or correct the name$"
        ):
            files.write_text("gs://anonymous@nowhere/x", "x")
