"""A published build with a corpus of a few texts, without building one."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.contract import manifest
from pipelines.contract.manifest import MARK, RELEASE, Manifest, Part

SCHEMA = pa.schema([("id", pa.binary(16)), ("title", pa.string()), ("url", pa.string()), ("text", pa.string())])


def documents(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Documents T0, T1, … of these texts; every second one has a URL."""
    return [
        {"id": bytes([n] * 16), "title": f"T{n}", "url": None if n % 2 else f"https://a.org/{n}", "text": text}
        for n, text in enumerate(texts)
    ]


def publish_corpus(out: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write a corpus of these documents and the release that names it, in place of an earlier one; return its folder."""
    made_from = {"texts": [row["text"] for row in rows]}
    made = manifest.fingerprint(made_from)
    folder = Path(manifest.folder(str(out), "corpus", made))
    path = folder / "documents" / "unit.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(list(rows), SCHEMA), path)
    content = path.read_bytes()
    part = Part(
        table="documents",
        unit="unit",
        path="documents/unit.parquet",
        rows=len(rows),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    manifest.write(str(folder), Manifest(dataset="corpus", fingerprint=made, made_from=made_from, parts=(part,)))
    (out / MARK).write_text(json.dumps({"format": manifest.FORMAT}))
    release = {"format": manifest.FORMAT, "corpus_name": "t", "retain": {}, "corpus": folder.relative_to(out).as_posix()}
    (out / RELEASE).write_text(json.dumps(release))
    return folder
