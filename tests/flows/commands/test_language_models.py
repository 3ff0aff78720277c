"""A build with language models of one's own: labels such as srp_Latn become codes, and what cannot be used is refused."""

import hashlib
import json
import random
from collections import Counter
from pathlib import Path

import fasttext
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations import gate
from flows.commands import main as cli

SENTENCES = {
    "eng_Latn": "the river had been rising since morning and nobody in our village slept because it could flood all the fields",
    "deu_Latn": "der fluss war seit dem morgen gestiegen und niemand im dorf schlief weil jeder wusste was über uns kommen würde",
    "srp_Cyrl": "река је расла од јутра и нико у селу није спавао јер су сви знали шта може да уради за једну ноћ",
    "srp_Latn": "reka je rasla od jutra i niko u selu nije spavao jer su svi znali šta može da uradi za jednu noć",
}


def trained(path: Path, labels: dict[str, str], seed: int) -> Path:
    chance = random.Random(seed)
    lines = [
        f"__label__{label} {' '.join(chance.choices(text.split(), k=8))}" for label, text in labels.items() for _ in range(80)
    ]
    chance.shuffle(lines)
    path.with_suffix(".txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {"dim": 8, "minn": 2, "maxn": 4, "bucket": 2000, "epoch": 40, "thread": 1, "verbose": 0, "loss": "softmax"}
    fasttext.train_supervised(input=str(path.with_suffix(".txt")), **settings).save_model(str(path))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Build:
    """A config with records in four languages."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capfd = folder, capfd
        rows = [{"id": f"{label}{n}", "text": f"{n}. {text} " * 3} for label, text in SENTENCES.items() for n in range(3)]
        rows += [{"id": "mixed", "text": f"{SENTENCES['deu_Latn']} " * 12 + "\n" + f"{SENTENCES['srp_Cyrl']} " * 6}]
        rows += [{"id": "numbers", "text": "1 234\n5 678\n" * 30}]
        (folder / "in").mkdir()
        (folder / "in" / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    def run(self, language: str) -> tuple[int, str]:
        (self.folder / "c.toml").write_text(
            '[corpus]\nname = "t"\nvalidation_share = 0\n[[sources]]\nname = "s"\nkind = "records"\nroot = "in"\nsnapshot = "1"\n'
            'id_field = "id"\n[deduplicate]\nenabled = false\n[quality]\nrules = []\nclassifier = false\n'
            f"[language]\n{language}\n"
        )
        code = cli.main(["build", str(self.folder / "c.toml"), "--out", str(self.folder / "out"), "--workers", "1"])
        return code, self.capfd.readouterr().err

    def rows(self, table: str = "documents") -> list[dict[str, object]]:
        corpus = json.loads((self.folder / "out" / "release.json").read_text())["corpus"]
        parts = sorted((self.folder / "out" / corpus / table).glob("*.parquet"))
        return pa.concat_tables([pq.read_table(part) for part in parts]).to_pylist()


@pytest.fixture
def build(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Build:
    monkeypatch.setattr(gate, "check", lambda uri, *_: gate.GateResult(uri, "", 0, "", cached=True))
    monkeypatch.setattr(gate, "check_report", lambda *_: gate.GateResult("report", "", 0, "", cached=True))
    return Build(tmp_path, capfd)


def test_a_model_with_scripts_in_its_labels(build: Build) -> None:
    path = trained(build.folder / "glot.bin", SENTENCES, 1)
    code, stderr = build.run(
        f'model = "glot.bin"\nmodel_sha256 = "{sha256(path)}"\nmixed = "cut"\nkeep = ["en", "de", "sr-Latn", "sr"]'
    )
    assert code == 0, stderr
    rows = build.rows()
    assert Counter(row["language"] for row in rows) == {"en": 3, "de": 4, "sr": 3, "sr-Latn": 3}
    (mixed,) = [row for row in rows if row["languages"]]
    assert [one["language"] for one in mixed["languages"]] == ["de", "sr"]
    assert mixed["text"] == (f"{SENTENCES['deu_Latn']} " * 12)
    (dropped,) = build.rows("drops")
    assert (dropped["language"], dropped["reason"]) == ("zxx", "language_unwanted")
    assert (build.folder / "out" / "models" / f"glot-{sha256(path)[:12]}.bin").exists()


def test_models_that_vote(build: Build) -> None:
    paths = [trained(build.folder / f"{seed}.bin", SENTENCES, seed) for seed in (1, 2)]
    models = "".join(f'[[language.models]]\npath = "{path.name}"\nsha256 = "{sha256(path)}"\n' for path in paths)
    code, stderr = build.run(f'mixed = "drop"\n{models}')
    assert code == 0, stderr
    assert Counter(row["language"] for row in build.rows()) == {"en": 3, "de": 3, "sr": 3, "sr-Latn": 3, "zxx": 1}
    (dropped,) = build.rows("drops")
    assert dropped["reason"] == "language_mixed"
    assert str(dropped["detail"]).startswith("de 0.")


def test_what_cannot_be_used_is_one_line_before_work_starts(build: Build) -> None:
    path = trained(build.folder / "m.bin", SENTENCES, 1)
    pinned = 'model = "m.bin"\nmodel_sha256 = "{}"'
    refused = {
        'model = "m.bin"': "m.bin: is not lid.176.ftz (sha256 ",
        pinned.format("0" * 64): "m.bin: is not the language model of the config (sha256 ",
        pinned.format(sha256(path))
        + '\nkeep = ["eng"]': "language.keep: 'eng' is no label of the language model; did you mean 'en'",
        'model = "n.bin"\nmodel_sha256 = "' + "0" * 64 + '"': "n.bin: no such file; correct language.model",
        'model_sha256 = "' + "0" * 64 + '"': "model_sha256 needs model, the path of the file",
    }
    for section, message in refused.items():
        code, stderr = build.run(section)
        assert code == 1 and stderr.count("\n") == 1 and message in stderr, stderr
    path.write_bytes(path.read_bytes()[:5000])
    code, stderr = build.run(pinned.format(sha256(path)))
    assert code == 1 and "m.bin: is truncated" in stderr
    other = trained(build.folder / "m.bin", {"hq": SENTENCES["eng_Latn"], "cc": SENTENCES["deu_Latn"]}, 1)
    code, stderr = build.run(pinned.format(sha256(other)))
    assert code == 1 and "' of the model is no code of a language, like 'en' or 'eng_Latn'" in stderr
    assert not (build.folder / "out" / "release.json").exists()
