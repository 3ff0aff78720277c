"""What is compared of a pair, and that it is the same however documents lie in files and pairs in chunks."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.clustering import signatures as stored
from pipelines.clustering.signatures import SignatureStore
from pipelines.config import DeduplicateSection
from pipelines.contract.batch import documents_from
from pipelines.contract.schema import document_id
from pipelines.stages import signatures
from pipelines.text.copies import similarity
from pipelines.units import spill

ALPHABET = [f"w{i}" for i in range(40)]
ONE = " ".join(ALPHABET)
TURNED = " ".join(ALPHABET[20:] + ALPHABET[:20])  # 32 of 36 shingles are the same, but half of the words moved: edits 40 of 40
NEAR = " ".join([*ALPHABET[:-1], "other"])  # 35 of 36 shingles, one edit
FAR = " ".join(f"v{i}" for i in range(40))
TEXTS = [ONE, TURNED, NEAR, FAR, ONE.upper() + "!", "", "w0", "w0 w1"]


def store(tmp_path, section: DeduplicateSection, texts: list[str] = TEXTS, parts: int = 1, urls=None) -> SignatureStore:
    ids = [document_id("s", str(i)) for i in range(len(texts))]
    documents = documents_from({"id": ids, "work": ids, "source": ["s"] * len(texts), "snapshot": ["1"] * len(texts),
                                "origin": ["o"] * len(texts), "text": texts,
                                "url": pa.array(urls or [None] * len(texts), pa.string())})  # fmt: skip
    uris = []
    for part, rows in enumerate(np.array_split(np.arange(len(texts)), parts)):
        found = signatures.signature_rows(documents.slice(rows[0], len(rows)), section)
        uris.append(str(tmp_path / f"{section.verify}-{parts}-{part}.arrow"))
        spill.write_batches(uris[-1], found.schema, [found])
    return SignatureStore(uris, section)


def shingles(text: str) -> set[tuple[str, ...]]:
    words = text.lower().strip("!").split() or [""]
    return {tuple(words[i : i + 5]) for i in range(max(len(words) - 4, 1))}


@pytest.mark.parametrize("verify", ["jaccard", "edit"])
def test_similarity_is_the_exact_jaccard(tmp_path, verify):
    found = store(tmp_path, DeduplicateSection(verify=verify))
    first, second = np.divmod(np.arange(len(TEXTS) ** 2), len(TEXTS))
    sets = [shingles(text) for text in TEXTS]
    expected = [len(sets[a] & sets[b]) / len(sets[a] | sets[b]) for a, b in zip(first, second, strict=True)]
    assert found.likeness(first, second).similarity.tolist() == np.float32(expected).tolist()


def test_edit_asks_for_both(tmp_path):
    others = np.array([1, 2, 3, 4])
    first = np.zeros(4, np.int64)
    by_jaccard = store(tmp_path, DeduplicateSection(verify="jaccard")).likeness(first, others)
    by_edits = store(tmp_path, DeduplicateSection(verify="edit")).likeness(first, others)
    assert by_jaccard.alike.tolist() == [True, True, False, True]
    assert by_edits.alike.tolist() == [False, True, False, True]
    assert by_edits.similarity.tolist() == by_jaccard.similarity.tolist() == np.float32([32 / 40, 35 / 37, 0, 1]).tolist()
    strict = store(tmp_path, DeduplicateSection(verify="edit", edit_threshold=0.98)).likeness(first, others)
    assert strict.alike.tolist() == [False, False, False, True]


def test_a_signature_is_an_estimate_and_saves_no_comparison(tmp_path, monkeypatch):
    """Whatever the signatures say, the shingles decide."""
    found = store(tmp_path, DeduplicateSection(verify="jaccard"))
    monkeypatch.setattr(SignatureStore, "minhash", lambda self, numbers: np.arange(len(numbers) * 112).reshape(-1, 112))
    assert found.likeness(np.array([0]), np.array([2])).alike.tolist() == [True]


def test_equal_texts_are_not_read(tmp_path, monkeypatch):
    read = []
    compare = similarity.jaccard
    monkeypatch.setattr(similarity, "jaccard", lambda first, *rest: read.append(len(first.starts)) or compare(first, *rest))
    found = store(tmp_path, DeduplicateSection(verify="jaccard", exact="letters")).likeness(np.array([0, 0]), np.array([4, 2]))
    assert found.similarity.tolist() == np.float32([1, 35 / 37]).tolist()
    assert read == [1]


def test_switches_hold_for_exact_comparison_too(tmp_path):
    addresses = ["http://a.org/"] + [None] * 2 + ["https://www.A.org"] + [None] * 4
    section = DeduplicateSection(verify="edit", exact=False, url=True, edit_threshold=1.0, threshold=1.0)
    found = store(tmp_path, section, urls=addresses).likeness(np.zeros(4, np.int64), np.array([1, 2, 3, 4]))
    assert found.alike.tolist() == [False, False, True, True]


@pytest.mark.parametrize("verify", ["signature", "jaccard", "edit"])
def test_files_and_chunks_change_nothing(tmp_path, monkeypatch, verify):
    section = DeduplicateSection(verify=verify)
    first, second = np.divmod(np.random.default_rng(1).permutation(len(TEXTS) ** 2), len(TEXTS))
    one = store(tmp_path, section).likeness(first, second)
    for pairs, words in ((1, 2**24), (3, 2**24), (2**16, 90), (2**16, 1)):
        monkeypatch.setattr(stored, "PAIRS_AT_ONCE", pairs)
        monkeypatch.setattr(stored, "WORDS_AT_ONCE", words)
        other = store(tmp_path, section, parts=3).likeness(first, second)
        assert other.similarity.tolist() == one.similarity.tolist()
        assert other.alike.tolist() == one.alike.tolist()


def test_chunks_hold_no_more_than_they_may(tmp_path, monkeypatch):
    found = store(tmp_path, DeduplicateSection(verify="jaccard"))
    monkeypatch.setattr(stored, "WORDS_AT_ONCE", 100)
    first, second = np.zeros(8, np.int64), np.arange(8)
    seen = []
    monkeypatch.setattr(
        stored, "likeness", lambda a, b, section: seen.append((a, b)) or stored.Likeness(*np.zeros((2, len(a.url))))
    )
    found.likeness(first, second)
    held = [int(a.words.lengths.sum() + b.words.lengths.sum()) for a, b in seen]
    assert sum(len(a.url) for a, _ in seen) == 8
    assert max(held) <= 100
    assert max(len(a.words.words) for a, _ in seen) == 40  # one text for several pairs is held once
    assert found.likeness(first[:0], second[:0]).alike.tolist() == []


def test_no_documents():
    assert (
        SignatureStore([], DeduplicateSection(verify="jaccard"))
        .likeness(np.empty(0, np.int64), np.empty(0, np.int64))
        .alike.tolist()
        == []
    )
