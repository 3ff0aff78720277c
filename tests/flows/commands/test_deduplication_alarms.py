"""Alarms of deduplication end a real build: exit code 1, one line, nothing published, and a raised limit mends it."""

from pathlib import Path

import pytest
from places import FIXTURES

from expectations import gate
from flows.commands import main as cli

TEXT = FIXTURES / "tiny" / "books" / "orchard.txt"


@pytest.fixture
def config(tmp_path: Path, language_model: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """120 books of one text; without gates, which take seconds and are not the matter here."""
    monkeypatch.setattr(gate, "check", lambda uri, *_: gate.GateResult(uri, "", 0, "", cached=True))
    monkeypatch.setattr(gate, "check_report", lambda *_: gate.GateResult("report", "", 0, "", cached=True))
    (tmp_path / "in").mkdir()
    for number in range(120):
        (tmp_path / "in" / f"{number:03}.txt").write_bytes(TEXT.read_bytes())
    path = tmp_path / "corpus.toml"
    source = '[[sources]]\nname = "s"\nkind = "books"\nroot = "in"\nsnapshot = "1"\n'
    path.write_text(f'[corpus]\nname = "t"\n{source}[language]\nmodel = "{language_model}"\n')
    return path


def test_a_giant_cluster_and_a_large_share_stop_the_build(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    def build(**limits: float) -> tuple[int, list[str]]:
        changes = [part for name, value in limits.items() for part in ("--set", f"deduplicate.{name}={value}")]
        code = cli.main(["build", str(config), "--out", str(out), "--workers", "1", *changes])
        return code, capfd.readouterr().err.splitlines()

    code, (line,) = build(cluster_limit=119)
    assert code == 1
    assert line.startswith(
        "corpusmill: 120 documents form one cluster of near-duplicates, more than deduplicate.cluster_limit = 119;"
    )
    assert not (out / "release.json").exists() and not list(out.glob("clusters/*/manifest.json"))

    code, (line,) = build()
    assert code == 1
    assert line == (
        "corpusmill: source s: 99.2% of 120 documents would be removed as duplicates, more than deduplicate.removed_share_limit ="
        " 90.0%; is the source read twice, or its text mostly boilerplate? Correct that, or raise the limit"
    )
    assert not (out / "release.json").exists() and not (out / "report.html").exists()

    assert build(removed_share_limit=1) == (0, [])
    assert (out / "release.json").exists()
