"""The cache folder, and what becomes of a user who has no place for one (tests/flows/commands/test_bare_machine.py)."""

import os
from pathlib import Path

import pytest

from pipelines.contract.storage import cache


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without HOME and without an entry in the list of users."""
    for name in ("HOME", "XDG_CACHE_HOME", "CORPUSMILL_CACHE", "NUMBA_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 9)


def test_the_cache_folder_is_the_users_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_folder() == tmp_path / "xdg" / "corpusmill"
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "own"))
    assert cache.cache_folder() == tmp_path / "own"
    monkeypatch.setenv("CORPUSMILL_CACHE", "~/own")
    assert cache.cache_folder() == Path.home() / "own"
    monkeypatch.delenv("CORPUSMILL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored
    assert cache.cache_folder() == Path.home() / ".cache" / "corpusmill"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.cache_folder() == Path.home() / ".cache" / "corpusmill"


def test_a_user_without_a_home_is_told_the_variable(nobody: None, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "~/.cache/corpusmill: this user has no home folder; set CORPUSMILL_CACHE to a folder that can be written"
    with pytest.raises(cache.CacheError) as error:
        cache.cache_for("models")
    assert str(error.value) == line
    cache.lend_home()  # a path for those that only ask for one
    assert Path.home() == Path(os.devnull)
    with pytest.raises(cache.CacheError) as error:
        cache.cache_folder()
    assert str(error.value) == line
    monkeypatch.delenv("HOME")


def test_a_place_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "file"))
    fix = "; set CORPUSMILL_CACHE to a folder that can be written"
    with pytest.raises(cache.CacheError) as error:
        cache.cache_for("models")
    assert str(error.value) == f"{tmp_path}/file/models: not a directory{fix}"
    with pytest.raises(cache.CacheError) as error:
        cache.compiled_folder(tmp_path / "file")
    assert str(error.value) == f"{tmp_path}/file/compiled: not a directory{fix}"


def test_compiled_code_lies_beside_the_source_if_it_can(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sealed").touch()
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert cache.compiled_folder(tmp_path / "package") is None
    assert cache.compiled_folder(tmp_path / "sealed") == str(tmp_path / "cache" / "compiled")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "own"))
    assert cache.compiled_folder(tmp_path / "sealed") is None


def test_libraries_get_a_home_only_where_there_is_none(nobody: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    cache.lend_home()
    assert (os.environ["HOME"], os.environ["XDG_CACHE_HOME"]) == (str(tmp_path), str(tmp_path / "xdg"))
    (tmp_path / ".cache").touch()  # a home with credentials, but without a place for a cache
    monkeypatch.delenv("XDG_CACHE_HOME")
    cache.lend_home()
    assert (os.environ["HOME"], os.environ["XDG_CACHE_HOME"]) == (str(tmp_path), str(tmp_path / "cache"))
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME")
    cache.lend_home()
    assert (os.environ["HOME"], os.environ["XDG_CACHE_HOME"]) == (f"{tmp_path}/cache/home", str(tmp_path / "cache"))
    assert Path.home().is_dir()
