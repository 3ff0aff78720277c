"""`corpusmill sample` of a build."""

import json
import shutil
from pathlib import Path

import pytest

from flows.commands import main as cli
from flows.commands.corpora import sample


def test_dropped_documents_are_printed_with_rule_and_reason(tiny, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sample", str(tiny.out), "--where", "fate == 'dropped' and stage == 'quality'", "-n", "3"]) == 0
    shown = capsys.readouterr().out
    assert "dropped at quality, " in shown and "; rule " in shown and " of " in shown.splitlines()[-1]


def test_json_has_whole_texts_and_is_the_same_each_time(tiny, capsys: pytest.CaptureFixture[str]) -> None:
    texts: list[str] = []
    for _ in range(2):
        assert cli.main(["sample", str(tiny.out), "-n", "4", "--json"]) == 0
        texts.append(capsys.readouterr().out)
    rows = [json.loads(line) for line in texts[0].splitlines()]
    assert texts[0] == texts[1] and len(rows) == 4
    assert all(row["stage"] is None and len(row["text"]) == row["characters"] for row in rows)


def test_without_a_build_the_demo_is_fetched_and_options_need_a_build(tmp_path: Path, tiny, monkeypatch, capsys) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(sample, "_fetch", lambda into: fetched.append(into) or 0)
    assert cli.main(["sample", str(tmp_path / "new")]) == 0 and fetched == [str(tmp_path / "new")]
    assert cli.main(["sample", str(tmp_path / "new"), "-n", "3"]) == 1
    assert "nothing is published there" in capsys.readouterr().err
    shutil.copytree(tiny.out, tmp_path / "out")
    (tmp_path / "out" / "release.json").unlink()  # a build that has not published yet is no folder for the demo
    assert cli.main(["sample", str(tmp_path / "out")]) == 1 and len(fetched) == 1
    assert cli.main(["sample", str(tiny.out), "--where", "word > 5"]) == 1
    assert "did you mean 'words'" in capsys.readouterr().err
