import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from broken_rules import broken_rules
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import CorpusConfig
from pipelines.contract import manifest, schema
from pipelines.contract.batch import born, documents_from
from pipelines.datasets import classifier
from pipelines.datasets.classifier import Classifier, even_quotas
from pipelines.units.context import Context, Dataset
from pipelines.units.descriptor import Unit
from pipelines.units.parts import write_unit

WORDS = {
    "wiki": "the castle was built in the century by a king who ruled over the region and its population of farmers",
    "books": "he looked at her and said that the road was long but they would walk it before the night came down",
    "crawl": "buy now the cheap deal free shipping click here cart checkout login subscribe best price offer sale",
}


def rows_of(source: str, count: int, *, language: str = "en", words: int = 80, first: int = 0, **columns: Any) -> pa.RecordBatch:
    chance = random.Random(f"{source} {language}")
    ids = [schema.document_id(source, f"{language}/{number}") for number in range(first, first + count)]
    known = {
        "id": ids,
        "work": ids,
        "source": [source] * count,
        "snapshot": ["1"] * count,
        "origin": [f"{number}" for number in range(count)],
        "text": [" ".join(chance.choices(WORDS[source].split(), k=words)) for _ in range(count)],
        "language": [language] * count,
        "language_score": [0.9] * count,
    }
    return documents_from(known | columns)


class Build:
    """A build whose documents are there already."""

    def __init__(self, out: Path, **quality: Any) -> None:
        self.out = out
        sources = [
            {"name": name, "kind": "books", "root": "/nowhere", "snapshot": "1", "curated": name != "crawl"} for name in WORDS
        ]
        config = {
            "corpus": {"name": "test", "validation_share": 0.1},
            "sources": sources,
            "quality": {"examples_per_class": 100, **quality},
        }
        self.context = Context(CorpusConfig.model_validate(config), str(out))
        self.documents: list[Dataset] = []
        self.clusters = self._dataset("clusters", {}, [])

    def _dataset(self, name: str, made_from: dict[str, Any], sidecars: list[Any], enabled: bool = False) -> Dataset:
        uri = manifest.folder(str(self.out), name, manifest.fingerprint(made_from))
        made = manifest.assemble(name, made_from, sidecars, facts={"enabled": enabled})
        manifest.write(uri, made)
        return Dataset(uri, made)

    def add(self, source: str, *batches: pa.RecordBatch) -> None:
        uri = manifest.folder(str(self.out), f"documents/{source}", manifest.fingerprint({"source": source}))
        unit = Unit(name="one", source=source, uri="one", root="/nowhere", bytes=1, identity="x")
        sidecar = write_unit(uri, unit, [born("read", rows) for rows in batches])
        self.documents.append(self._dataset(f"documents/{source}", {"source": source}, [sidecar]))

    def remove(self, source: str, ids: pa.Array) -> None:
        """Say that these are duplicates."""
        zero = bytes(16)
        rows = pa.table(
            {"id": ids, "cluster": [zero] * len(ids), "survivor": [zero] * len(ids), "similarity": [1.0] * len(ids),
             "grain": ["exact"] * len(ids), "corpus": [None] * len(ids)}, schema=schema.CLUSTERS)  # fmt: skip
        made_from = {"removed": source}
        uri = manifest.folder(str(self.out), "clusters", manifest.fingerprint(made_from))
        path = f"clusters/documents/{source}/one.parquet"
        (Path(uri) / path).parent.mkdir(parents=True)
        pq.write_table(rows, Path(uri) / path)
        part = manifest.Part(table="clusters", unit="one", path=path, rows=len(rows), bytes=0, sha256="")
        made = manifest.assemble("clusters", made_from, [], facts={"enabled": True}, parts=[part])
        self.clusters = Dataset(uri, made)

    def run(self) -> Dataset:
        return classifier.build(self.context, self.documents, self.clusters)


def usual(out: Path, **quality: Any) -> Build:
    build = Build(out, **quality)
    build.add("wiki", rows_of("wiki", 300))
    build.add("books", rows_of("books", 40))
    build.add("crawl", rows_of("crawl", 400), rows_of("crawl", 60, language="fr"))
    return build


def train_split(rows: pa.RecordBatch) -> int:
    return int((~schema.is_validation(rows["work"], 0.1)).sum())


def test_it_learns_the_difference_and_says_how_well(tmp_path: Path) -> None:
    made = usual(tmp_path).run()
    facts = made.manifest.facts
    assert facts["on"] is True
    assert facts["languages"] == ["en"]
    assert facts["held_out"]["area_under_curve"] == 1.0
    assert facts["held_out"]["recall"] == 1.0
    assert facts["held_out"]["crawl_kept"] == pytest.approx(0.9, abs=0.05)
    assert set(facts["strongest_words"]["crawl"][:5]) <= set(WORDS["crawl"].split())
    assert [(part.table, part.path) for part in made.manifest.parts] == [("model", "model/quality.bin")]


def test_the_counts_are_the_train_split_by_class_and_language(tmp_path: Path) -> None:
    facts = usual(tmp_path).run().manifest.facts
    assert facts["counts"] == {
        "curated": {"en": train_split(rows_of("wiki", 300)) + train_split(rows_of("books", 40))},
        "crawl": {"en": train_split(rows_of("crawl", 400)), "fr": train_split(rows_of("crawl", 60, language="fr"))},
    }


def test_the_evaluation_counts_a_text_at_the_threshold_as_kept() -> None:
    held_out = pa.table(
        {
            "text": ["0.2", "0.4", "0.6", "0.8", "0.6", "0.1"],
            "curated": [False] * 4 + [True] * 2,
            "language": ["en"] * 6,
            "prose": pa.array([np.nan] * 6),
        }
    )
    facts = classifier._evaluate(lambda texts: texts.cast(pa.float32()), held_out, keep_share=0.5)
    words = np.log([0.25, 2 / 3, 1.5, 4])
    assert facts["threshold"] == pytest.approx(1 / (1 + np.exp(-classifier.WORDS_WEIGHT * np.log(1.5) / words.std())))
    assert (facts["held_out"]["crawl_kept"], facts["held_out"]["recall"]) == (0.5, 0.5)


def test_the_loaded_classifier_judges_by_the_threshold(tmp_path: Path) -> None:
    made = usual(tmp_path, keep_share=0.5).run()
    loaded = Classifier.load(made)
    assert loaded is not None
    assert loaded.languages == {"en"}
    assert loaded.threshold == made.manifest.facts["threshold"]
    fresh = loaded.score(rows_of("crawl", 200, first=1000)).to_numpy()
    assert (fresh >= loaded.threshold).mean() == pytest.approx(0.5, abs=0.15)
    assert (loaded.score(rows_of("books", 20, first=1000)).to_numpy() >= loaded.threshold).all()


def test_prose_counts_more_than_words_and_each_language_has_its_own_scale() -> None:
    scales = {"en": classifier.Scale(1.0, 2.0, 0.0, 1.0), "de": classifier.Scale(-1.0, 1.0, 0.0, 1.0)}
    prose, words = np.array([1.0, 3.0, 1.0, np.nan, -1.0, 9.0]), np.array([0.0, -1.0, 1.0, 1.0, 0.0, 9.0])
    languages = pa.array(["en", "en", "en", "en", "de", None])
    odds = np.array([0.0, 1 - 0.4, 0.4, 0.4, 0.0, 0.0])
    assert classifier._joined(prose, words, languages, scales) == pytest.approx(1 / (1 + np.exp(-odds)))


def test_a_language_with_few_documents_is_scaled_by_the_whole_crawl() -> None:
    prose = np.concatenate([np.zeros(10), np.full(10, 2.0), [5.0], [7.0]])
    languages = pa.array(["en"] * 20 + ["fr", "fr"])
    curated = np.array([False] * 21 + [True])
    scales = classifier._scales(prose, np.zeros(22), languages, curated)
    assert (scales["en"].prose, scales["en"].prose_deviation, scales["en"].words_deviation) == (1.0, 1.0, 1.0)
    assert scales["fr"].prose == pytest.approx(25 / 21)


def test_two_builds_of_the_same_documents_are_the_same_bytes(tmp_path: Path) -> None:
    first, second = usual(tmp_path / "a").run(), usual(tmp_path / "b").run()
    assert first.manifest == second.manifest
    assert (Path(first.uri) / "model/quality.bin").read_bytes() == (Path(second.uri) / "model/quality.bin").read_bytes()
    other = usual(tmp_path / "c", seed=2).run()
    assert other.manifest.fingerprint != first.manifest.fingerprint
    assert other.manifest.parts[0].sha256 != first.manifest.parts[0].sha256


def test_the_order_of_the_documents_does_not_matter(tmp_path: Path) -> None:
    straight = usual(tmp_path / "a")
    turned = Build(tmp_path / "b")
    batches = {
        "crawl": [rows_of("crawl", 60, language="fr"), rows_of("crawl", 400)],
        "books": [rows_of("books", 40)],
        "wiki": [rows_of("wiki", 300)],
    }
    for source, straight_rows in batches.items():
        backwards = [rows.take(pa.array(np.arange(rows.num_rows)[::-1])) for rows in straight_rows]
        turned.add(source, *backwards)
    assert turned.run().manifest.parts == straight.run().manifest.parts


def test_what_would_be_dropped_is_no_example(tmp_path: Path) -> None:
    build = Build(tmp_path)
    build.add("wiki", rows_of("wiki", 300))
    bad_language = rows_of("crawl", 50, language="de", language_score=[0.3] * 50)
    bad_rule = rows_of("crawl", 50, language="es", measures=broken_rules([True] * 50))
    copies = rows_of("crawl", 50, language="it")
    no_language = [rows_of("crawl", 50, language=name) for name in ("und", "zxx", None)]
    build.add("crawl", rows_of("crawl", 300), bad_language, bad_rule, copies, *no_language)
    build.remove("crawl", copies["id"])
    facts = build.run().manifest.facts
    assert facts["counts"]["crawl"] == {"en": train_split(rows_of("crawl", 300))}


@pytest.mark.parametrize("crawled", [0, 90])
def test_with_too_few_documents_it_is_off_and_says_why(tmp_path: Path, crawled: int) -> None:
    build = Build(tmp_path)
    build.add("wiki", rows_of("wiki", 300))
    build.add("crawl", rows_of("crawl", crawled))
    made = build.run()
    there = train_split(rows_of("crawl", crawled)) if crawled else 0
    assert made.manifest.facts["on"] is False
    assert made.manifest.facts["why"].startswith(
        "100 documents of each class are needed (quality.examples_per_class); there are 2"
    )
    assert f"{there} crawled ones, {there} of each in languages with at least 10 of both" in made.manifest.facts["why"]
    assert made.manifest.parts == ()
    assert Classifier.load(made) is None


def test_a_language_of_one_class_alone_does_not_count(tmp_path: Path) -> None:
    build = Build(tmp_path)
    build.add("wiki", rows_of("wiki", 300))
    build.add("crawl", rows_of("crawl", 300, language="fr"))
    facts = build.run().manifest.facts
    assert (facts["on"], facts["languages"]) == (False, [])


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    made = usual(tmp_path, classifier=False).run()
    assert made.manifest.facts == {"on": False, "why": "quality.classifier is false in the config", "counts": {}}
    assert Classifier.load(made) is None


def test_of_a_book_more_than_the_first_page_is_seen() -> None:
    novel = " ".join(f"page{number}" for number in range(20_000))  # 188,890 characters
    rows = rows_of("books", 2, text=["short", novel])
    excerpts = classifier._excerpts(rows, curated=True)
    assert Counter(excerpts["first"].to_pylist()) == {True: 2, False: 9}  # at 20,000, 40,000, … 180,000
    assert excerpts["text"][2].as_py() == novel[20_000:22_000]
    assert len(set(excerpts["held_out"].to_pylist()[1:])) == 1  # a work is on one side


def test_lengths_tell_nothing_about_the_class() -> None:
    long, short = rows_of("wiki", 100, words=150), rows_of("crawl", 70, words=20)
    both = pa.concat_tables([classifier._excerpts(long, curated=True), classifier._excerpts(short, curated=False)])
    evened = classifier._matched_in_length(both)
    curated = evened["curated"].to_numpy()
    lengths = np.array([len(text) for text in evened["text"].to_pylist()])
    assert curated.sum() == (~curated).sum() == 70
    assert sorted(lengths[curated]) == sorted(lengths[~curated])
    keys = evened["key"].to_numpy()
    assert (np.diff(keys) >= 0).all()


@given(st.lists(st.integers(0, 1000), max_size=8), st.integers(0, 3000))
def test_even_quotas(available: list[int], wanted: int) -> None:
    quotas = even_quotas(available, wanted)
    assert sum(quotas) == min(wanted, sum(available))
    assert all(0 <= quota <= there for quota, there in zip(quotas, available, strict=True))
    unmet = [quota for quota, there in zip(quotas, available, strict=True) if quota < there]
    if unmet:  # whoever could give more gives as much as anybody, but for one
        assert min(unmet) >= max(quotas) - 1
