"""Texts that nobody would write, through split and signatures: an answer for each, in bounded time and memory."""

import inspect
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.config import DeduplicateSection
from pipelines.contract import schema
from pipelines.contract.batch import born, documents_from
from pipelines.contract.schema import document_id
from pipelines.sources.collector import storable
from pipelines.stages import signatures, split
from pipelines.text.characters import comparison
from pipelines.text.copies import shingles

BAD = {
    "empty": "",
    "spaces": " " * 10_000,
    "blank lines": "\n" * 10_000,
    "NUL": "\0" * 1_000,
    "NUL in a word": "a\0b",
    "lone surrogates": storable("c \ud800 d\udfff \ud83d"),
    "symbols": "★ ☆ " * 1_000,
    "spread symbols": ("|" + " " * 200) * 1_000,
    "marks without a letter": "\u0301" * 10_000,
    "invisible": "\u200b\u00ad\ufeff" * 1_000,
    "expanding": "\ufdfa" * 10_000,  # one character that is compared as eighteen
    "half of a pair of flags": "🇩" * 999,
    "private use": "\ue000\U0010ffff" * 500,
}


def documents(texts):
    ids = [document_id("s", str(i)) for i in range(len(texts))]
    return documents_from({"id": ids, "work": ids, "source": ["s"] * len(texts), "snapshot": ["1"] * len(texts),
                           "origin": ["o"] * len(texts), "text": list(texts)})  # fmt: skip


def rows(texts, **fields) -> pa.RecordBatch:
    found = signatures.signature_rows(documents(texts), DeduplicateSection(**fields))
    found.validate(full=True)
    return found


@pytest.mark.parametrize("ngram", [1, 5])
def test_each_bad_text_has_a_signature_of_its_own_and_leaves_its_neighbours_alone(ngram):
    good = "one two three four five six"
    mixed = rows([text for bad in BAD.values() for text in (bad, good)], ngram=ngram, verify="jaccard")
    assert mixed.slice(1, 1).drop_columns("id").equals(rows([good], ngram=ngram, verify="jaccard").drop_columns("id"))
    for i, text in enumerate(BAD.values()):
        alone = rows([text], ngram=ngram, verify="jaccard").drop_columns("id")
        assert mixed.slice(2 * i, 1).drop_columns("id").equals(alone)
        assert mixed.slice(2 * i + 1, 1).drop_columns("id").equals(mixed.slice(1, 1).drop_columns("id"))
    assert len(set(mixed["exact"].to_pylist())) == len(BAD) + 1


def test_what_bad_texts_are_compared_as():
    assert BAD["lone surrogates"] == "c \ufffd d\ufffd \ufffd"
    compared = dict(zip(BAD, comparison.normalised(pa.array(list(BAD.values()))).to_pylist(), strict=True))
    assert compared["lone surrogates"] == "c d"
    assert compared["NUL in a word"] == "a b"
    assert compared["NUL"] == BAD["NUL"]
    assert compared["symbols"] == BAD["symbols"]
    assert compared["empty"] == ""


def test_a_word_a_million_times_takes_a_second():
    """Half a second, compilation apart, of which signatures take most; the bound is generous."""
    rows(["a"], verify="edit")
    start = time.process_time()
    found = rows(["word " * 1_000_000, "word " * 6], verify="edit")
    assert time.process_time() - start < 20
    assert found["minhash"][0] == found["minhash"][1]  # one shingle
    assert found["words"].value_lengths().to_pylist() == [1_000_000, 6]


def test_a_batch_that_is_too_large_is_taken_in_parts(monkeypatch):
    texts = ["", "", "one two three", "", "短い文章です。" * 9, "x", "y" * 500, "", "z", ""]
    whole = rows(texts, verify="jaccard")
    scanned = []
    scan = shingles.scan
    monkeypatch.setattr(shingles, "scan", lambda texts, ngram: scanned.append(texts.nbytes) or scan(texts, ngram))
    for size in (1, 50, 300):
        monkeypatch.setattr(schema, "TARGET_BYTES_PER_BATCH", size)
        scanned.clear()
        assert rows(texts, verify="jaccard").equals(whole)
        assert len(scanned) > 1
    assert rows([]).num_rows == 0
    assert rows(["", ""]).num_rows == 2


LONG_LINE = """
from pathlib import Path
from pipelines.config import DeduplicateSection, LanguageSection
from pipelines.contract.batch import born, documents_from
from pipelines.contract.schema import document_id
from pipelines.stages import signatures, split

{documents}
def peak():
    return int(next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM")).split()[1]) * 1024

run = signatures.stage(DeduplicateSection(verify="edit"))
run(split.stage()(born("read", documents(["one two three " * 100_000]))))
batch = born("read", documents([" ".join(f"word{i % 1009}" for i in range(10_000)) * 625]))
Path("/proc/self/clear_refs").write_text("5")  # the peak counts anew
before = peak()
batch = run(split.stage()(batch))
print(batch.documents.num_rows, batch.tables["signatures"].num_rows, peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is read as Linux tells it")
def test_a_line_of_fifty_million_characters_takes_a_few_times_its_length():
    """Measured: 7 times (310 MiB). Once it was 48 times, as often as it has pieces, each of which was a copy of all of it."""
    script = LONG_LINE.replace("{documents}", inspect.getsource(documents))
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300)
    pieces, signed, grown = map(int, found.stdout.split())
    assert pieces == signed >= 47
    assert grown < 600 * 2**20


def test_pieces_of_a_long_line_are_signed_one_by_one():
    text = "".join(chr(0x4E00 + int(n)) for n in np.random.default_rng(1).integers(0, 20_000, 5_000))
    batch = split.stage(1_000)(born("read", documents([text, "short"])))
    table = signatures.stage(DeduplicateSection())(batch).tables["signatures"]
    assert batch.documents.num_rows == table.num_rows == 6
    assert table["characters"].to_pylist() == [1_000] * 5 + [5]
    assert table["id"].equals(batch.documents["id"])
