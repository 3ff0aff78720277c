"""`corpusmill completion`: a real bash completes commands, options, choices and files; zsh and fish where they are installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from flows.commands import main as cli


@pytest.fixture
def script(tmp_path: Path, capfd):
    def write(shell: str) -> Path:
        assert cli.main(["completion", shell]) == 0
        path = tmp_path / f"corpusmill.{shell}"
        path.write_text(capfd.readouterr().out)
        return path

    return write


def completions(script: Path, folder: Path, *words: str) -> list[str]:
    """Return what bash offers when Tab is pressed after these words, in a folder."""
    line = f"""
        source {script}
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}
        COMP_LINE="${{COMP_WORDS[*]}}"; COMP_POINT=${{#COMP_LINE}}
        function_of() {{ while [ $# -gt 1 ]; do [ "$1" = -F ] && {{ echo "$2"; return; }}; shift; done; }}
        $(function_of $(complete -p corpusmill)) corpusmill "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", line], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return sorted(filter(None, done.stdout.splitlines()))


def test_bash_completes_commands_options_choices_and_files(script, tmp_path: Path) -> None:
    bash, here = script("bash"), tmp_path / "here"
    here.mkdir()
    (here / "demo.toml").touch()
    (here / "deep").mkdir()
    assert completions(bash, here, "corpusmill", "pre") == ["predict", "pretrain"]
    assert completions(bash, here, "corpusmill", "build", "--dry") == ["--dry-run"]
    assert completions(bash, here, "corpusmill", "completion", "") == ["bash", "fish", "zsh"]
    assert completions(bash, here, "corpusmill", "build", "de") == ["deep", "demo.toml"]
    assert completions(bash, here, "corpusmill", "build", "demo.toml", "--out", "de") == ["deep", "demo.toml"]
    assert completions(bash, here, "corpusmill", "build", "demo.toml", "--limit", "de") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_script_of_another_shell_is_one_of_its_programs(script, shell: str) -> None:
    path = script(shell)
    text = path.read_text()
    assert "pretrain" in text and "dry-run" in text and "of the config" in text
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: its script is not run here")
    subprocess.run([shell, "-n", str(path)], check=True, timeout=60)


def test_another_shell_is_refused(capfd) -> None:
    with pytest.raises(SystemExit):
        cli.main(["completion", "cmd"])
    assert "invalid choice: 'cmd'" in capfd.readouterr().err
