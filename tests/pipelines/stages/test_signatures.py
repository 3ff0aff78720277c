"""The signatures table: row for row beside the documents."""

import hashlib

import datasketch
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.config import DeduplicateSection
from pipelines.contract import schema
from pipelines.contract.batch import born, documents_from, sift
from pipelines.contract.schema import document_id
from pipelines.stages import signatures
from pipelines.text.copies import minhash, shingles, urls

TEXTS = ["One two three four five six seven.", "短い文章です。", "!"]


def documents(texts=TEXTS, **columns):
    ids = [document_id("s", str(i)) for i in range(len(texts))]
    return documents_from({"id": ids, "work": ids, "source": ["s"] * len(texts), "snapshot": ["1"] * len(texts),
                           "origin": ["o"] * len(texts), "text": texts, **columns})  # fmt: skip


def test_the_table_is_the_schema_and_stands_row_for_row():
    section = DeduplicateSection(bands=2, rows=3)
    batch = signatures.stage(section)(born("read", documents()))
    table = batch.tables["signatures"]
    table.validate(full=True)
    assert table.schema == schema.signatures(6)
    assert table["id"].equals(batch.documents["id"])
    assert table["characters"].to_pylist() == [len(text) for text in TEXTS]
    assert table["exact"][0].as_py() == hashlib.blake2b(TEXTS[0].encode(), digest_size=16).digest()
    letters = signatures.signature_rows(documents(), DeduplicateSection(exact="letters"))["exact"]
    assert letters[0].as_py() == hashlib.blake2b(b"one two three four five six seven", digest_size=16).digest()
    assert list(batch.ledger.lines) == ["read"]


@pytest.mark.parametrize("scheme", minhash.SCHEMES)
def test_stored_values_are_datasketch_of_the_shingles(scheme):
    section = DeduplicateSection(bands=2, rows=3, scheme=scheme, seed=9)
    rows = signatures.signature_rows(documents(), section)
    width = 32 if scheme == "affine32" else 64
    stored = rows["minhash"].flatten().to_numpy().view(f"uint{width}").reshape(3, 6)
    scan = shingles.scan(pa.array(TEXTS), section.ngram)
    for i in range(3):
        sketch = datasketch.MinHash(num_perm=6, seed=9, scheme=scheme, hashfunc=lambda value: int(value) >> (64 - width))
        sketch.update_batch(scan.shingles[scan.offsets[i] : scan.offsets[i + 1]])
        assert stored[i].tolist() == sketch.hashvalues.tolist()


def test_dropped_documents_take_their_signatures_along():
    batch = signatures.stage(DeduplicateSection())(born("read", documents()))
    sifted = sift(batch, "language", pa.array([None, "language_unwanted", None]))
    assert sifted.tables["signatures"]["id"].equals(sifted.documents["id"])


def test_addresses_are_hashed_when_they_are_asked_for():
    found = documents(url=["http://a.org/x/", "https://www.A.org/x", None])
    off = signatures.signature_rows(found, DeduplicateSection())
    on = signatures.signature_rows(found, DeduplicateSection(url=True))
    assert off["url"].to_pylist() == [0, 0, 0]
    one, other, none = on["url"].to_pylist()
    assert one == other != 0 == none
    assert on["url"].equals(pa.array(urls.hashes(found["url"])))


@pytest.mark.parametrize("verify", ["jaccard", "edit"])
def test_words_are_kept_when_texts_will_be_compared(verify):
    section = DeduplicateSection(verify=verify)
    texts = ["B, a b.", "短い文", "!", "a"]
    rows = signatures.signature_rows(documents(texts), section)
    rows.validate(full=True)
    assert rows.schema == schema.signatures(112, words=True)
    assert rows["words"].type == rows.schema.field("words").type
    latin, japanese, symbol, word = rows["words"].to_pylist()
    assert [len(latin), len(japanese), len(symbol)] == [3, 3, 1]
    assert latin == [latin[0], word[0], latin[0]]
    assert "words" not in signatures.signature_rows(documents(), DeduplicateSection(verify=verify, near=False)).schema.names


def test_what_determines_signatures_is_in_made_from():
    """And what does not is not: another threshold must not read the corpus again."""
    made_from = signatures.made_from(DeduplicateSection())
    assert made_from == {
        "ngram": 5,
        "seed": 1,
        "scheme": "affine32",
        "url": False,
        "permutations": 112,
        "words": False,
        "exact": "bytes",
    }
    same = [
        {"threshold": 0.8},
        {"bucket_limit": 5},
        {"exact": False},
        {"near": False},
        {"bands": 8, "rows": 14},
        {"memory_mib": 64},
    ]
    other = [{"ngram": 4}, {"seed": 2}, {"scheme": "affine64"}, {"url": True}, {"bands": 15}, {"verify": "edit"}]
    other.append({"exact": "letters"})
    assert all(signatures.made_from(DeduplicateSection(**fields)) == made_from for fields in same)
    assert all(signatures.made_from(DeduplicateSection(**fields)) != made_from for fields in other)
    for part in (shingles.VERSION, minhash.VERSION, urls.VERSION):
        assert str(part) in signatures.VERSION


def test_an_empty_batch():
    empty = documents([])
    rows = signatures.stage(DeduplicateSection())(born("read", empty)).tables["signatures"]
    assert rows.num_rows == 0
    assert rows.schema == schema.signatures(112)


def test_a_slice_is_what_its_rows_are():
    whole = signatures.signature_rows(documents(), DeduplicateSection())
    part = signatures.signature_rows(documents().slice(1, 2), DeduplicateSection())
    assert part.equals(whole.slice(1, 2))
    assert np.array_equal(pc.list_value_length(part["minhash"]), [112, 112])
