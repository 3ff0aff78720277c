"""A config that is given to the wrong command is recognised: one line says which command it is for."""

from pathlib import Path

import pytest
from places import ROOT

from flows.commands import main as cli

CONFIGS = ROOT / "configs"
OWN = {
    "build": (CONFIGS / "corpus" / "demo.toml", "corpus"),
    "pretrain": (CONFIGS / "pretrain" / "bert_demo.toml", "objective"),  # which another file, which it extends, says
    "finetune": (CONFIGS / "finetune" / "sst2_bert.toml", "task"),
    "prompt": (CONFIGS / "prompts" / "sst2_zero.toml", "prompt"),
}


@pytest.mark.parametrize("given", OWN)
@pytest.mark.parametrize("command", OWN)
def test_one_line_names_the_command_of_a_config(command: str, given: str, capfd, monkeypatch, tmp_path: Path) -> None:
    if given == command:
        return
    path, section = OWN[given]
    monkeypatch.chdir(tmp_path)
    out = ["--out", "out"] if command == "build" else []
    assert cli.main([command, str(path), *out]) == 1
    assert capfd.readouterr().err == (
        f"corpusmill: {path}: this is a config of `corpusmill {given}` (it has [{section}]), not of `corpusmill {command}`; run"
        f" corpusmill {given} {path}{' --out FOLDER' if given == 'build' else ''}\n"
    )
    assert not list(tmp_path.iterdir())


def test_several_tasks_are_a_finetuning_and_an_override_is_no_section(capfd, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    path = CONFIGS / "finetune" / "mixed_t5.toml"
    assert cli.main(["pretrain", str(path), "--set", "objective.name=causal_lm"]) == 1
    assert "this is a config of `corpusmill finetune` (it has [tasks])" in capfd.readouterr().err


def test_a_config_with_a_section_too_many_is_its_commands(capfd, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[corpus]\nname = "x"\n[objective]\nname = "causal_lm"\n')
    assert cli.main(["build", str(path), "--out", str(tmp_path / "out")]) == 1
    assert f"{path}: objective: unknown key; known keys: corpus, sources" in capfd.readouterr().err
