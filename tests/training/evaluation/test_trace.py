import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.contract import manifest, schema
from pipelines.contract.ledger import Ledger
from pipelines.contract.manifest import Manifest, Part, Sidecar
from training.data.config import FeedConfig
from training.data.order.mixture import MixtureError
from training.data.shards import open_dataset, open_runs
from training.evaluation.trace import TraceError, decode, show, trace
from training.run.feed import open_feed

CORPUS = {"made": "by hand"}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory, make_dataset: Callable[..., Path], documents: Any) -> Path:
    """A build's folder: a corpus of two sources, its tokens, a task."""
    out = tmp_path_factory.mktemp("build")
    tokens = make_dataset(
        out / "tokens" / "test" / "3f9a1c20b77e", documents, families=("bert", "gpt", "bart", "t5"), sentence_tokens=8
    )
    made = manifest.read(str(tokens))
    made.facts["corpus"] = manifest.fingerprint(CORPUS)
    manifest.write(str(tokens), made)
    corpus = Path(manifest.folder(str(out), "corpus", manifest.fingerprint(CORPUS)))
    parts: list[Part] = []
    for source in ("books", "wiki"):
        texts = [text for (_, of, _), groups in documents.items() if of == source for group in groups for text in group]
        for number, half in enumerate((texts[::2], texts[1::2])):
            parts.append(_part(corpus, f"{source}-{number}", source, half))
    manifest.write(
        str(corpus),
        Manifest(dataset="corpus", fingerprint=manifest.fingerprint(CORPUS), made_from=CORPUS, parts=tuple(parts)),
    )
    (out / "tasks.jsonl").write_text(json.dumps({"inputs": "the old house", "targets": "the river"}) + "\n")
    return out


def _part(corpus: Path, unit: str, source: str, texts: list[str]) -> Part:
    columns: dict[str, list[Any]] = {name: [None] * len(texts) for name in schema.DOCUMENTS.names}
    columns |= {
        "id": [hashlib.md5(text.encode()).digest() for text in texts],
        "work": [hashlib.md5(text.encode()).digest() for text in texts],
        "source": [source] * len(texts),
        "snapshot": ["2026"] * len(texts),
        "origin": [f"{unit}.txt#{n}" for n in range(len(texts))],
        "url": [f"https://{source}.example/{unit}/{n}" if source == "wiki" else None for n in range(len(texts))],
        "title": [text[:12] for text in texts],
        "text": texts,
    }
    path = corpus / "documents" / f"{unit}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns, schema=schema.DOCUMENTS), path, row_group_size=5)
    part = Part(table="documents", unit=unit, path=f"documents/{unit}.parquet", rows=len(texts), bytes=1, sha256="")
    (corpus / "units").mkdir(exist_ok=True)
    sidecar = Sidecar(unit=unit, source=source, parts=(part,), ledger=Ledger())
    (corpus / "units" / f"{unit}.json").write_text(sidecar.model_dump_json())
    return part


def config(build: Path, folder: Path, **sections: Any) -> Path:
    """A run's folder with the resolved config of a run; sections that a feed does not know are passed over."""
    tokens = str(build / "tokens" / "test" / "3f9a1c20b77e")
    data = {"data": {"tokens": tokens, "batch_rows": 8} | sections.pop("data", {}), "rows": {"length": 24}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(data | {"train": {"steps": 5}, "model": {"family": "gpt"}} | sections))
    return folder


def feed_of(run: Path) -> Any:
    content = json.loads((run / "config.json").read_text())
    sections = {name: content[name] for name in ("data", "rows", "objective") if name in content}
    return open_feed(FeedConfig.model_validate(sections), folder=run / "rows", steps=5)


def test_a_step_is_looked_for_in_its_phase(build: Path, tmp_path: Path) -> None:
    phases = [{"until_step": 2, "length": 12, "batch_rows": 4}]
    run = config(build, tmp_path / "run", train={"steps": 5, "phases": phases})
    short = config(build, tmp_path / "short", rows={"length": 12}, data={"batch_rows": 4}, train={"steps": 2})
    plain = config(build, tmp_path / "plain", train={"steps": 3})
    assert trace(run, 1).rows == trace(short, 1).rows
    assert trace(run, 2).rows == trace(plain, 0).rows
    assert trace(run, 4).rows == trace(plain, 2).rows
    with pytest.raises(TraceError, match="a batch has the rows 0 to 3"):
        trace(run, 1, row=4)


def test_every_row_of_a_step_is_made_of_the_documents_that_are_named(build: Path, tmp_path: Path) -> None:
    run = config(build, tmp_path / "run")
    traced = trace(run, 3)
    assert traced.notes == () and traced.corpus == manifest.folder(str(build), "corpus", manifest.fingerprint(CORPUS))
    feed = feed_of(run)
    assert [row.number for row in traced.rows] == feed.rows(3).tolist()
    dataset = open_dataset(str(build / "tokens" / "test" / "3f9a1c20b77e"))
    tokens = {
        run.document(n).hex(): run.tokens[run.offsets[n] : run.offsets[n + 1]].tolist()
        for source in ("books", "wiki")
        for run in open_runs(dataset, "train", source)
        for n in range(run.documents)
    }
    inputs = feed.batch(3)["inputs"]
    for row in traced.rows:
        # a row of concatenated documents, by the definition: their tokens, and an end of text where a document ends
        expected: list[int] = []
        for document in row.documents:
            whole = tokens[document.id]
            expected += whole[document.first_token : document.first_token + document.tokens]
            expected += [dataset.end_of_text()] * (document.first_token + document.tokens == len(whole))
            assert document.title == dataset.tokenizer.decode(whole)[:12]
            assert document.origin and document.origin.startswith(document.source) and document.snapshot == "2026"
            assert (document.url is not None) == (document.source == "wiki")
        assert expected[:24] == inputs[row.row][: len(expected)].tolist()[:24]
    assert {document.source for row in traced.rows for document in row.documents} == {"books", "wiki"}


def test_one_row_is_that_row_of_the_step(build: Path, tmp_path: Path) -> None:
    run = config(build, tmp_path / "run")
    assert trace(run, 3, 5).rows == trace(run, 3).rows[5:6]
    assert trace(run / "config.json", 3, 5).rows == trace(run, 3).rows[5:6]


@pytest.mark.parametrize(
    ("objective", "name"),
    [
        ({"name": "masked_lm"}, "[MASK]"),
        ({"name": "text_infilling"}, "<mask>"),
        ({"name": "span_corruption"}, "<extra_id_0>"),
        ({"name": "causal_lm"}, "<|endoftext|>"),
    ],
)
def test_texts_show_what_the_model_sees_with_its_special_pieces(
    build: Path, tmp_path: Path, objective: dict[str, Any], name: str
) -> None:
    run = config(build, tmp_path / "run", objective=objective)
    rows = [row for step in range(5) for row in trace(run, step).rows]
    assert sum(name in row.texts["inputs"] for row in rows) >= (
        1 if objective["name"] == "causal_lm" else 28
    )  # of 40; one that is short may keep its one piece
    assert not any(text.endswith(("[PAD]", "<pad>")) for row in rows for text in row.texts.values())
    assert all(row.documents and row.texts["targets"] for row in rows)
    if objective["name"] == "masked_lm":
        assert all(len(row.documents) == 2 and "next_sentence" in row.texts for row in rows)
        assert rows[0].texts["inputs"].startswith("[CLS]") and rows[0].texts["inputs"].endswith("[SEP]")
    if objective["name"] == "span_corruption":
        assert all(row.texts["targets"].startswith("<extra_id_0>") for row in rows)


def test_special_pieces_are_spelled_between_words(build: Path) -> None:
    tokenizer = open_dataset(str(build / "tokens" / "test" / "3f9a1c20b77e")).tokenizer
    mask, pad = tokenizer.special_ids["[MASK]"], tokenizer.special_ids["[PAD]"]
    ids = [
        *tokenizer.encode("the old"),
        mask,
        mask,
        *tokenizer.encode("house\nstood"),
        mask,
        *tokenizer.encode("é"),
        pad,
        pad,
        pad,
    ]
    assert decode(tokenizer, tokenizer.piece_names(), np.array(ids)) == "the old[MASK]×2 house\nstood[MASK] é[PAD]×3"


def test_a_row_of_a_task_names_its_line(build: Path, tmp_path: Path) -> None:
    tasks = [{"name": "river", "path": str(build / "tasks.jsonl")}]
    run = config(build, tmp_path / "run", objective={"name": "span_corruption", "tasks": tasks, "task_limit": 1})
    found = [row for row in trace(run, 0).rows if row.task]
    assert found and found[0].task and (found[0].task.file, found[0].task.line) == (tasks[0]["path"], 1)
    assert found[0].texts == {"inputs": "the old house</s>", "targets": "the river</s>"}
    assert "tasks.jsonl, line 1" in show(trace(run, 0))


def test_without_the_corpus_ids_are_known_and_it_is_said(dataset_folder: Path, build: Path, tmp_path: Path) -> None:
    run = config(build, tmp_path / "run", data={"tokens": str(dataset_folder), "rows": str(tmp_path / "rows")})
    traced = trace(run, 0, 0)
    assert traced.corpus is None and "names no corpus" in traced.notes[0]
    assert len(traced.rows[0].documents[0].id) == 32 and traced.rows[0].documents[0].origin is None
    assert "note    " in show(traced) and traced.rows[0].documents[0].id in show(traced)
    away = tmp_path / "away"
    away.mkdir()
    for path in (build / "tokens" / "test" / "3f9a1c20b77e").rglob("*"):
        target = away / path.relative_to(build / "tokens" / "test" / "3f9a1c20b77e")
        target.mkdir(parents=True, exist_ok=True) if path.is_dir() else target.write_bytes(path.read_bytes())
    traced = trace(config(build, tmp_path / "run2", data={"tokens": str(away)}), 0, 0)
    assert traced.corpus is None and "no build with corpus/" in traced.notes[0]


def test_a_toml_file_is_traced_as_its_run_would_be(build: Path, tmp_path: Path) -> None:
    run = config(build, tmp_path / "run")
    path = tmp_path / "run.toml"
    tokens = build / "tokens" / "test" / "3f9a1c20b77e"
    path.write_text(f'[data]\ntokens = "{tokens}"\nbatch_rows = 8\n[rows]\nlength = 24\n[run]\nout = "{run}"\n')
    assert trace(path, 2).rows == trace(run, 2).rows
    assert trace(path, 2, overrides=("data.seed=9",)).rows != trace(run, 2).rows
    shown = show(trace(path, 2, 0))
    assert shown.startswith(f"step 2 of {path}\n") and "origin   " in shown and "\n  targets\n" in shown
    path.write_text(path.read_text().replace("[run]", "[other]"))
    with pytest.raises(TraceError, match=r"neither data\.rows nor run\.out names the folder of the row indexes"):
        trace(path, 2)


def test_what_cannot_be_traced_is_said(build: Path, tmp_path: Path) -> None:
    run = config(build, tmp_path / "run")
    with pytest.raises(TraceError, match="there is no step 5; the steps are 0 to 4"):
        trace(run, 5)
    with pytest.raises(TraceError, match=r"a batch has the rows 0 to 7 \(data\.batch_rows\), and no row 8"):
        trace(run, 0, 8)
    with pytest.raises(TraceError, match=r"is not a run \(there is no config\.json\); name a run's folder or a TOML file"):
        trace(tmp_path, 0)
    with pytest.raises(TraceError, match="leave out --set"):
        trace(run, 0, overrides=("data.seed=1",))
    with pytest.raises(MixtureError, match=r"data\.mixture: there is no source 'web'"):
        trace(config(build, tmp_path / "other", data={"mixture": {"web": 1}}), 0)
    (run / "branch.json").write_text('{"parent": 3, "given": 4}')
    with pytest.raises(TraceError, match=r"branch\.json: does not name the parent of a branch"):
        trace(run, 0)
    (run / "branch.json").unlink()
    torn = run / "checkpoints" / "step-00000003" / "state.json"
    torn.parent.mkdir(parents=True)
    torn.write_text('{"identity"')
    (run / "checkpoints" / "LATEST").write_text("step-00000003\n")
    with pytest.raises(TraceError, match=r"state\.json: is not a JSON object"):
        trace(run, 0)
    (run / "checkpoints" / "LATEST").write_bytes(b"\xff\xfe\x00")  # a disk's damage; nothing is compared then
    assert trace(run, 0, 0).rows


def test_a_run_on_other_batches_than_the_config_gives_now_is_refused(build: Path, tmp_path: Path) -> None:
    run = config(build, tmp_path / "run")
    checkpoint = run / "checkpoints" / "step-00000003"
    checkpoint.mkdir(parents=True)
    (run / "checkpoints" / "LATEST").write_text("step-00000003\n")
    identity = feed_of(run).identity()
    (checkpoint / "state.json").write_text(json.dumps({"identity": identity}))
    assert trace(run, 3, 0).rows
    (checkpoint / "state.json").write_text(json.dumps({"identity": identity | {"tokens dataset": "abc"}}))
    with pytest.raises(TraceError, match=r"was trained on another tokens dataset \(abc, here"):
        trace(run, 3, 0)
