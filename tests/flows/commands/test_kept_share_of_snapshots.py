"""A crawl whose pages keep much less of their text than the snapshot before stops the build, with the real gate."""

from pathlib import Path

import pytest

from flows.commands import main as cli
from pipelines.release import earlier_web_pages

CONFIG = """
[corpus]
name = "t"
[[sources]]
name = "web"
kind = "common_crawl"
root = "{folder}"
snapshot = "{folder}"
[language]
enabled = false
[quality]
rules = []
[deduplicate]
enabled = false
"""
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"]


def crawl(folder: Path, menu: int) -> None:
    """120 pages whose menus have this many entries."""
    folder.mkdir()
    entries = "".join(f"<li><a href=/{n}>Entry number {n}</a></li>" for n in range(menu))
    records = []
    for n in range(120):
        words = f"mill {NUMBERS[n // 11]} {NUMBERS[n % 11]}"
        text = f"The {words} stood by the brook, and its wheel turned day and night while the miller of {words} slept."
        body = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<body><nav><ul>{entries}</ul></nav><main><p>{text}</p></main>"
        head = f"WARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{folder.name}-{n}>\r\nWARC-Target-URI: http://a.example/{n}\r\n"
        records.append(f"WARC/1.0\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}\r\n\r\n")
    (folder / "a.warc").write_text("".join(records))


def test_a_kept_share_that_moves_stops_the_build(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out, config = tmp_path / "out", tmp_path / "corpus.toml"

    def build(snapshot: str, *changes: str) -> tuple[int, str]:
        config.write_text(CONFIG.format(folder=snapshot))
        arguments = [part for change in changes for part in ("--set", change)]
        code = cli.main(["build", str(config), "--out", str(out), "--workers", "1", *arguments])
        return code, capfd.readouterr().err

    crawl(tmp_path / "first", menu=5)
    crawl(tmp_path / "second", menu=30)
    code, err = build("first", "expectations.kept_share=[0.9, 1]")
    assert code == 1 and "kept_share_least 0.9 at web (first)" in err and not (out / "release.json").exists()
    assert build("first") == (0, "")
    before = earlier_web_pages(str(out))["web"]
    assert (before["snapshot"], before["pages"], before["without_main_text"]) == ("first", 120, 0)

    code, err = build("second")
    assert code == 1
    assert "gate documents/web" in err and "kept_share_change_limit 0.1, kept_share_change 0." in err
    assert f"at web (second; {before['kept_characters'] / before['visible_characters']:.2f} in first)" in err
    assert earlier_web_pages(str(out))["web"] == before, "nothing is published"
    assert build("second", "expectations.kept_share_change_limit=1") == (0, "")
    assert earlier_web_pages(str(out))["web"]["snapshot"] == "second"
    assert build("second") == (0, ""), "what was let through is what the next one is compared with"
