"""Pushing a model to a hub, by the command line, against a server on loopback that answers as the hub does."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hub_server import SMALL, TOKEN, hub

from flows.commands.main import main
from training.compression.hub import refuse_push
from training.convert.export import ExportError

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # httpx, of huggingface_hub's uploads


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token, and uploads by git-lfs, which the hub for tests has; the library reads its own setting once."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)


def push(run: Path, out: Path, *options: str) -> int:
    return main(["export", str(run), "--to", "hf", "--out", str(out), "--push", "mill/words", *options])


def test_a_model_is_on_the_hub_as_it_is_in_the_folder(
    bases: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An upload that fails for a moment is repeated; what is there already is not sent again."""
    with hub() as held:
        monkeypatch.setenv("HF_ENDPOINT", held.url)
        held.failures = 1
        assert push(bases["gpt"], tmp_path / "one", "--private") == 0
        assert capsys.readouterr().out.splitlines()[-1].startswith(f"{held.url}/mill/words/commit/")
        assert held.private == {"mill/words": True} and held.failures == 0 and not held.unknown
        files = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir() if path.is_file()}
        assert held.repositories["mill/words"] == files and {"README.md", "model.safetensors", "tokenizer.json"} < set(files)
        assert held.uploads == sum(len(content) > SMALL for content in files.values()) > 1
        uploads = held.uploads
        assert push(bases["gpt"], tmp_path / "two") == 0
        assert held.uploads == uploads, "only the card has another content, as it names the folder, and it is small"


def test_what_the_hub_refuses_is_one_line(
    bases: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with hub() as held:
        monkeypatch.setenv("HF_ENDPOINT", held.url)
        monkeypatch.setenv("HF_TOKEN", "hf_reads")
        assert push(bases["gpt"], tmp_path / "one") == 1
    assert (tmp_path / "one" / "config.json").exists()
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "one: is written, but was not pushed to mill/words at http://127.0.0.1" in said and "401" in said
    assert said.endswith(f"push it with `hf upload mill/words {tmp_path / 'one'}`")


def test_mistakes_are_found_before_the_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(ExportError, match="--push mill/words: HF_TOKEN is not set; set it to a token"):
        refuse_push("mill/words")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for name in ("words", "a/b/c", "mill/ words"):
        with pytest.raises(ExportError, match=f"--push {name}: is not a name on the hub"):
            refuse_push(name)
