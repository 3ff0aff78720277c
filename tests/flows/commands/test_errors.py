"""What the command line makes of an error: one line for what a user can mend, a traceback and where to report it for a bug."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from flows.commands import main as cli
from flows.commands.corpora import corpus
from flows.program import corpusmill
from pipelines.contract.errors import UserError

HEAVY = ("apache_beam", "great_expectations", "numba", "pandas", "prefect", "pyarrow", "pydantic", "rich", "torch")


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of `corpusmill verify`, whose work ends with this error."""

    def verify(_arguments: object) -> int:
        raise error

    monkeypatch.setattr(corpus, "_verify", verify)
    return cli.main(["verify", "somewhere"])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("a.toml: deduplicate.bands: lower it"), "a.toml: deduplicate.bands: lower it"),
        (FileNotFoundError(2, "No such file or directory", "a.xml"), "a.xml: no such file or directory; check the path"),
        (OSError(28, "No space left on device"), "No space left on device; free some space, or name another disk"),
    ],
    ids=["ours", "a path", "the disk"],
)
def test_a_mistake_is_one_line_and_exit_code_1(error, line, monkeypatch, capfd) -> None:
    assert failing(error, monkeypatch) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"corpusmill: {line}") and err.count("\n") == 1


@pytest.mark.parametrize(
    "error", [ValueError("bad"), KeyError("name"), RuntimeError("no\nway"), AssertionError(), OSError(22, "?")]
)
def test_a_bug_shows_its_traceback_and_where_to_report_it(error, monkeypatch, capfd) -> None:
    assert failing(error, monkeypatch) == 70
    first, *_, last = capfd.readouterr().err.splitlines()
    assert first == "Traceback (most recent call last):"
    name = f"{type(error).__name__}: {error}".splitlines()[0]
    assert last == (
        f"corpusmill: this is a bug in corpusmill ({name}); please report it to the maintainers, with the traceback above, the"
        " command and its config"
    )


def test_a_real_path_that_leads_through_a_file(tmp_path: Path, capfd) -> None:
    (tmp_path / "file").touch()
    assert cli.main(["export", str(tmp_path / "no"), "--to", "mds", "--out", str(tmp_path / "file" / "out")]) == 1
    err = capfd.readouterr().err
    assert err.startswith("corpusmill: ") and str(tmp_path) in err and err.count("\n") == 1


def test_a_reader_that_closes_the_output_ends_the_command_in_silence() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "from flows.commands.main import main, corpus; import sys\n"
         "corpus._verify = lambda _: print('x' * 10**6) or 0\nsys.exit(main(['verify', 'somewhere']))"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with child:
        assert child.stdout is not None and child.stderr is not None
        child.stdout.read(1)
        child.stdout.close()
        assert (child.stderr.read(), child.wait(timeout=300)) == ("", 141)


def test_help_loads_no_heavy_package() -> None:
    check = (
        f"import sys, flows.commands.main as cli; cli._parser().format_help(); print([m for m in {HEAVY} if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.fixture
def shadows(tmp_path: Path) -> Path:
    """A current folder with folders named like our packages, as a user's project may have."""
    for name in ("training", "pipelines", "flows", "expectations", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('shadowed')")
    return tmp_path


def test_a_folder_of_the_same_name_does_not_shadow_ours(shadows: Path, tiny, tiny_run: Path) -> None:
    changed = (f"data.tokens={tiny.out}", "run.out=run", "train.steps=2")
    train = corpusmill("pretrain", str(tiny_run), *(word for one in changed for word in ("--set", one)))
    judge = corpusmill("judge", "run", "run", "--rows", "8")
    for command in (train, judge):
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=shadows, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["mean", "+0.0000"]  # what is forgotten of each source
