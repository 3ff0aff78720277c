import json
from pathlib import Path

import pytest

from pipelines.config import CorpusConfig
from pipelines.contract import manifest
from pipelines.contract.manifest import Manifest
from pipelines.release import OutputError, claim, closing_report, garbage, publish, published_folders, read_release, retire
from pipelines.units.context import Context, Dataset

CONFIG = CorpusConfig.model_validate(
    {"corpus": {"name": "t"}, "sources": [{"name": "s", "kind": "books", "root": ".", "snapshot": "1"}]}
)


def dataset(out: Path, name: str, version: int) -> Dataset:
    made_from = {"version": version, "corpus": f"corpus {version}"}
    uri = manifest.folder(str(out), name, manifest.fingerprint(made_from))
    made = Manifest(dataset=name, fingerprint=manifest.fingerprint(made_from), made_from=made_from, parts=())
    manifest.write(uri, made)
    return Dataset(uri, made)


def built(out: Path, version: int) -> dict[str, Dataset]:
    names = ["reference", "documents/s", "clusters", "repeats", "classifier", "corpus", "index", "vocabulary/gpt", "tokens/gpt"]
    return {name: dataset(out, name, version) for name in names}


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    claim(str(tmp_path / "new"))
    claim(str(tmp_path / "new"))  # ours: again is fine
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds files that are not of a build"):
        claim(str(tmp_path))
    with pytest.raises(OutputError, match="is a file"):
        claim(str(tmp_path / "thesis.txt"))


def test_what_is_published_is_found_again_relative_to_the_folder(tmp_path: Path) -> None:
    datasets = built(tmp_path, 1)
    publish(Context(CONFIG, str(tmp_path)), datasets)
    assert published_folders(str(tmp_path)) == {name: d.uri for name, d in datasets.items()}
    release = json.loads((tmp_path / "release.json").read_text())
    assert release["tokens"]["gpt"] == datasets["tokens/gpt"].uri.removeprefix(f"{tmp_path}/")
    with pytest.raises(OutputError, match="nothing is published there"):
        read_release(str(tmp_path / "elsewhere"))


def test_garbage_is_what_no_release_needs(tmp_path: Path) -> None:
    old, new = built(tmp_path, 1), built(tmp_path, 2)
    publish(Context(CONFIG, str(tmp_path)), new)
    unfinished = tmp_path / "corpus" / "0123456789ab" / "documents"
    unfinished.mkdir(parents=True)
    (unfinished / "x.parquet").write_bytes(b"half")
    left_over = Path(new["corpus"].uri) / "documents" / ".y.parquet.1.tmp"
    left_over.parent.mkdir()
    left_over.write_bytes(b"half")
    unfinished_release = tmp_path / ".release.7.0a.tmp"
    for folder in (unfinished_release, tmp_path / "release"):  # the second is of the release
        (folder / "documents").mkdir(parents=True)
        (folder / "documents" / "u.parquet").write_bytes(b"x")
    everything_old = {str(unfinished_release)} | {d.uri for d in old.values()} | {str(unfinished.parent), str(left_over)}
    assert set(garbage(str(tmp_path))) == everything_old
    without_documents = set(garbage(str(tmp_path), {"documents": False, "clusters": True}))
    assert without_documents == everything_old | {new["documents/s"].uri}


def test_an_index_of_passages_is_needed_as_long_as_its_corpus(tmp_path: Path) -> None:
    corpus = {version: Path(dataset(tmp_path, "corpus", version).uri).name for version in (1, 2)}
    names = {"old": f"{corpus[1]}-0123456789ab", "new": f"{corpus[2]}-0123456789ab", "half": f".{corpus[2]}-0123456789ab.1.2.tmp"}
    for name in names.values():
        (tmp_path / "search" / name / "bm25").mkdir(parents=True)
        (tmp_path / "search" / name / "bm25" / "vocab.index.json").write_text("{}")
    for version in (1, 2):
        publish(Context(CONFIG, str(tmp_path)), built(tmp_path, version))
    garbage_of_search = {path for path in garbage(str(tmp_path)) if "/search/" in path}
    assert garbage_of_search == {str(tmp_path / "search" / names[name]) for name in ("old", "half")}


def test_the_release_does_not_name_what_was_not_retained(tmp_path: Path) -> None:
    datasets = built(tmp_path, 1)
    publish(Context(CONFIG, str(tmp_path)), datasets)
    retire(str(tmp_path), {"documents": False, "clusters": True})
    assert set(published_folders(str(tmp_path))) == set(datasets) - {"documents/s"}
    assert garbage(str(tmp_path)) == [datasets["documents/s"].uri]


@pytest.mark.parametrize(("text", "found"), [('{"format": 9}', "9"), ("{}", "None"), ("[]", "None")])
def test_a_release_in_another_format_is_refused_and_nothing_is_garbage(tmp_path: Path, text: str, found: str) -> None:
    publish(Context(CONFIG, str(tmp_path)), built(tmp_path, 1))
    (tmp_path / "release.json").write_text(text)
    with pytest.raises(OutputError, match=rf"release\.json: has the format {found}, and this release of corpusmill reads 1; use"):
        garbage(str(tmp_path))


def test_excerpts_of_a_report_are_masked_as_published_texts_are(tmp_path: Path) -> None:
    datasets = built(tmp_path, 1)
    excerpt = {"title": "tel. 030 901820", "text": "Write to jane@mail.org", "url": "https://x.org/?a@b.org"}
    facts = {"enabled": True, "largest_clusters": [{"excerpt": excerpt}, {"excerpt": None}]}
    manifest_of_clusters = datasets["clusters"].manifest.model_copy(update={"facts": facts})
    datasets["clusters"] = Dataset(datasets["clusters"].uri, manifest_of_clusters)
    private = {"phone": "off", "tokens": {"email": "[mail]"}}
    config = CorpusConfig.model_validate(CONFIG.model_dump() | {"private": private})
    report = closing_report(Context(config, str(tmp_path)), datasets)
    masked = {"title": "tel. 030 901820", "text": "Write to [mail]", "url": "https://x.org/?a@b.org"}
    assert report["clusters"]["largest_clusters"] == [{"excerpt": masked}, {"excerpt": None}]
