"""`corpusmill fit-rules`: from curated texts to tables that a config takes."""

import json
import tomllib
from pathlib import Path

import pytest

from flows.commands import main as cli
from pipelines.config import load
from pipelines.rule_thresholds import ENGLISH_STOP_WORDS

# Words longer than Gopher's rule allows on average, ten to a line: a language of compounds.
LINES = [
    "Der Donaudampfschifffahrtskapitän und die Bezirksschornsteinfegermeisterin feierten das Versicherungsgesellschaftsfest."
    f" Das Rindfleischetikettierungsgesetz galt dem Kreis {chr(97 + n % 26)}{chr(97 + n // 26)}, und der Kapitän schwieg."
    for n in range(70)
]


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "curated.jsonl"
    path.write_text("".join(json.dumps({"text": "\n".join([line] * 3)}) + "\n" for line in LINES))
    return path


def test_the_tables_are_what_a_config_takes(records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "german.toml"
    sets = ["gopher", "signs"]
    assert cli.main(["fit-rules", str(records), "--language", "de", "--out", str(out), "--sets", *sets]) == 0
    assert "de: 70 texts, " in capsys.readouterr().err
    found = tomllib.loads(out.read_text())["quality"]
    assert {"der", "das", "und"} <= set(found["stop_words"]["de"])
    assert found["rules_by_language"]["de"]["gopher"]["max_word_length"] > 10
    base = '[corpus]\nname = "t"\n[[sources]]\nname = "s"\nkind = "books"\nroot = "."\nsnapshot = "1"\n'
    (tmp_path / "c.toml").write_text('extends = "german.toml"\n' + base)
    quality = load(tmp_path / "c.toml").quality
    assert quality.stop_words["en"] == ENGLISH_STOP_WORDS
    assert quality.rules.thresholds(quality.rules_by_language["de"])["gopher"]["max_word_length"] > 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tail", "0.6"], "--tail 0.6: give a share"),
        (["--sets", "gofer"], "there is no set of rules 'gofer'; did you mean 'gopher'?"),
        (["--limit", "9"], "no language has 50 texts"),
    ],
)
def test_what_cannot_be_fitted_is_an_error(
    records: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["fit-rules", str(records), "--language", "de", *options]) == 1
    assert message in capsys.readouterr().err


def test_a_kind_can_be_named_and_an_output_folder_must_exist(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = records.rename(tmp_path / "curated")
    options = ["--language", "de", "--sets", "gopher"]
    assert cli.main(["fit-rules", str(renamed), "--kind", "records", *options]) == 0
    capsys.readouterr()
    assert cli.main(["fit-rules", str(renamed), *options, "--out", str(tmp_path / "none" / "de.toml")]) == 1
    assert "none/de.toml: its folder does not exist; make it first, or name another" in capsys.readouterr().err
