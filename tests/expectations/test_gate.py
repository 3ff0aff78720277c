"""The gate, with Great Expectations as it is: what holds passes and is remembered, what does not is named."""

import json
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from expectations import gate
from expectations.gate import GateError
from pipelines.contract import manifest
from pipelines.contract.batch import Batch
from pipelines.contract.gate_settings import GateLimits, OwnExpectation
from pipelines.contract.ledger import Ledger, Line
from pipelines.contract.manifest import DatasetError, Manifest

TEXTS = ["dropped", "Zażółć gęślą jaźń.", "Druga strona\ntekstu.", "Ą"]


def failed(error: GateError) -> list[str]:
    """The failures, each as "table.column: expectation"."""
    return sorted(failure.split("(", 1)[0] for failure in error.failures)


def by_hand(batch: Batch, **columns: str) -> Batch:
    """The batch with columns of its drops written past the checks of the contract."""
    (rows,) = batch.drops
    for name, value in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), pa.array([value] * rows.num_rows))
    return replace(batch, drops=(rows,))


def test_what_holds_passes_and_is_remembered(corpus, filtered, tmp_path):
    uri = corpus(filtered(TEXTS), filtered(TEXTS, "b"))
    first = gate.check(uri, str(tmp_path))
    assert (first.dataset, first.cached) == ("corpus", False)
    folder = tmp_path / "gates" / "corpus" / first.fingerprint[: manifest.FINGERPRINT_CHARACTERS]
    assert first.docs == str(folder / "index.html")
    assert "all " in Path(first.docs).read_text() and "FAILED" not in Path(first.docs).read_text()
    assert len(list((folder / "docs" / "validations" / "documents").rglob("*.html"))) == 1

    for part in Path(uri).rglob("*.parquet"):
        part.unlink()  # a remembered pass reads nothing
    again = gate.check(uri, str(tmp_path), GateLimits(dropped_share_limit=0.5))  # a limit of the report only
    assert again == replace(first, cached=True)
    with pytest.raises(FileNotFoundError):
        gate.check(uri, str(tmp_path), GateLimits(sample_rows=5))  # another limit: checked again


def test_every_planted_defect_of_documents_is_named(corpus, filtered, tmp_path):
    bad = filtered(["dropped", unicodedata.normalize("NFD", "Zażółć"), "a\r\nb", "nul\0", "", "good"])

    def spoil(made: Manifest) -> None:
        made.ledgers["web"].lines["read"].documents_in += 1

    uri = corpus(filtered(TEXTS, "good"), by_hand(bad, reason="boring", stage=""), spoil=spoil)
    with pytest.raises(GateError) as caught:
        gate.check(uri, str(tmp_path))
    assert failed(caught.value) == [
        "documents.empty_texts: expect_column_values_to_be_between",
        "documents.texts_not_nfc: expect_column_values_to_be_between",
        "documents.texts_with_carriage_return: expect_column_values_to_be_between",
        "documents.texts_with_nul: expect_column_values_to_be_between",
        "documents_sample.characters: expect_column_values_to_be_between",
        "documents_sample.text: expect_column_values_to_match_regex",
        "documents_sample.text: expect_column_values_to_not_match_regex",
        "drops_sample.reason: expect_column_values_to_be_in_set",
        "ledger.documents_missing: expect_column_values_to_be_between",
        "reasons.reason: expect_column_values_to_be_in_set",
        "reasons.stage: expect_column_values_to_match_regex",
        "reasons: expect_column_pair_values_to_be_equal",
    ]
    message = str(caught.value)
    assert "observed 1 at documents/unit-1.parquet (every text is in Unicode normal form C)" in message
    assert "observed 'boring' at web: : boring (the list of reasons is closed)" in message
    assert "rows 1, ledger_documents 0 at web: : boring" in message
    assert message.endswith(f"see {caught.value.docs}")
    page = Path(caught.value.docs).read_text()
    assert "texts_not_nfc" in page and "FAILED" in page and "https://" not in page.replace("http-equiv", "")
    remembered = json.loads((Path(caught.value.docs).parent / "result.json").read_text())
    assert remembered["passed"] is False and remembered["failures"] == list(caught.value.failures)


def test_every_planted_defect_of_tokens_is_named(shards, tmp_path):
    good = {"tokens": [5, 6, 7], "sentence_starts": [0, 2], "utf8_bytes": 9}
    assert not gate.check(shards([good]), str(tmp_path)).cached

    special = {"tokens": [5, 1], "sentence_starts": [0], "utf8_bytes": 5}
    beyond = {"tokens": [300], "sentence_starts": [0], "utf8_bytes": 5}
    unsorted = {"tokens": [5, 6, 7], "sentence_starts": [0, 2, 1], "utf8_bytes": 9}
    past_the_end = {"tokens": [5], "sentence_starts": [0, 1], "utf8_bytes": 3}
    empty = {"tokens": [], "sentence_starts": [], "utf8_bytes": 300}
    with pytest.raises(GateError) as caught:
        gate.check(shards([good, special, beyond, unsorted, past_the_end, empty]), str(tmp_path / "second"))
    assert failed(caught.value) == [
        "tokens.bytes_per_token: expect_column_values_to_be_between",
        "tokens.empty_rows: expect_column_values_to_be_between",
        "tokens.ids_beyond_vocabulary: expect_column_values_to_be_between",
        "tokens.special_ids: expect_column_values_to_be_between",
        "tokens.starts_beyond_tokens: expect_column_values_to_be_between",
        "tokens.starts_unsorted: expect_column_values_to_be_between",
        "tokens_sample.tokens: expect_column_values_to_be_between",
    ]
    assert "observed 1 at tokens/train/web/pl/unit.arrow (a text yields no special ids" in str(caught.value)


def test_a_part_that_is_not_of_the_contract_is_named(corpus, filtered, tmp_path):
    batch = filtered(TEXTS)
    strange = replace(batch, documents=batch.documents.drop_columns(["url"]))
    with pytest.raises(GateError) as caught:
        gate.check(corpus(strange), str(tmp_path))
    assert "observed 'url is missing' at documents/unit-0.parquet (the part has the contract's columns)" in str(caught.value)


def test_own_expectations_fail_the_dataset_that_they_name(corpus, filtered, tmp_path):
    uri = corpus(filtered(TEXTS))
    own = OwnExpectation(
        dataset="corpus",
        table="documents",
        column="rows",
        expectation="expect_column_sum_to_be_between",
        kwargs={"min_value": 1000},
    )
    with pytest.raises(GateError) as caught:
        gate.check(uri, str(tmp_path), extra=[own])
    assert caught.value.failures == (
        "documents.rows: expect_column_sum_to_be_between(min_value=1000) observed 3 (expectations.extra.0 of the config)",
    )
    assert not gate.check(uri, str(tmp_path), extra=[own.model_copy(update={"dataset": "tokens"})]).cached  # not of this dataset

    for wrong, message in (
        ({"column": "nothing"}, "documents.nothing: no such column; there are where, rows,"),
        ({"table": "nothing"}, "expectation on nothing: no such table; there are documents, drops,"),
        ({"expectation": "expect_wonders"}, "documents.rows: expect_wonders cannot be built"),
        ({"kwargs": {"least": 1}}, "documents.rows: expect_column_sum_to_be_between cannot be built"),
    ):
        with pytest.raises(ValueError, match=message):
            gate.check(uri, str(tmp_path / "wrong"), extra=[own.model_copy(update=wrong)])


def test_an_unfinished_dataset_is_an_error(corpus, filtered, tmp_path):
    uri = corpus(filtered(TEXTS))
    (Path(uri) / "manifest.json").unlink()
    with pytest.raises(DatasetError, match=r"no manifest\.json"):
        gate.check(uri, str(tmp_path))


def report() -> dict:
    """A closing report of two sources."""

    def line(stage: str, taken: int, dropped: dict[str, int]) -> dict:
        left = taken - sum(dropped.values())
        return {"stage": stage, "documents_in": taken, "documents_split": 0, "documents_out": left, "documents_dropped": dropped}

    def counts(tokens: int) -> dict:
        return {"pl": {"rows": 5, "tokens": tokens, "utf8_bytes": 4 * tokens}}

    return {
        "corpus": "demo",
        "validation_share": 0.2,
        "funnel": {
            "web": [line("read", 100, {"empty": 5}), line("quality", 95, {"low_quality": 60})],
            "books": [line("read", 10, {}), line("quality", 10, {})],
        },
        "tokens": {"demo": {"tokens": {"train": {"web": counts(900), "books": counts(100)}, "validation": {"web": counts(40)}}}},
    }


def test_a_good_report_passes(tmp_path):
    assert not gate.check_report(report(), {}, str(tmp_path)).cached
    assert gate.check_report(report(), {}, str(tmp_path)).cached


def test_what_is_wrong_with_a_report_is_named(tmp_path):
    bad = report()
    bad["funnel"]["web"][1]["documents_in"] = 94
    bad["funnel"]["books"][1] |= {"documents_dropped": {"low_quality": 10}, "documents_out": 0}
    bad["funnel"]["wiki"] = [{**bad["funnel"]["books"][0], "documents_in": 500, "documents_out": 500}]
    del bad["tokens"]["demo"]["tokens"]["validation"]
    limits = GateLimits(dropped_share_limit_by_stage={"quality": 0.5}, min_tokens_per_source=101)
    with pytest.raises(GateError) as caught:
        gate.check_report(bad, {}, str(tmp_path), limits)
    assert [failure.split(" (")[0] for failure in caught.value.failures] == [
        "funnel: expect_column_pair_values_a_to_be_greater_than_b(column_A='dropped_share_limit', column_B='dropped_share',"
        " or_equal=True) observed dropped_share_limit 0.5, dropped_share 0.6382978723404256 at web: quality;"
        " dropped_share_limit 0.5, dropped_share 1.0 at books: quality",
        "funnel.documents_between_stages: expect_column_values_to_be_between(min_value=0, max_value=0)"
        " observed 1 at web: quality",
        "kept.documents: expect_column_values_to_be_between(min_value=1) observed 0 at books",
        "kept.tokens: expect_column_values_to_be_between(min_value=101) observed 100 at books; 0 at wiki",
        "totals.validation_missing: expect_column_values_to_be_between(min_value=0, max_value=0) observed 1 at demo",
    ]


def test_a_report_without_documents_fails_and_one_without_sources_too(tmp_path):
    empty = {"corpus": "demo", "validation_share": 0.2, "funnel": {"web": []}, "tokens": {}}
    allowed = GateLimits(min_documents_per_source=0)
    with pytest.raises(GateError) as caught:
        gate.check_report(empty, {}, str(tmp_path), allowed)
    (failure,) = caught.value.failures
    assert failure == (
        "totals.documents: expect_column_values_to_be_between(min_value=1) observed 0 at demo (a corpus holds documents)"
    )
    with pytest.raises(GateError) as caught:
        gate.check_report({**empty, "funnel": {}}, {}, str(tmp_path))
    assert caught.value.failures == (failure,)


def test_an_own_expectation_on_a_table_without_rows_holds(corpus, filtered, tmp_path):
    uri = corpus(filtered(["dropped"]))
    own = OwnExpectation(
        dataset="corpus",
        table="documents_sample",
        column="characters",
        expectation="expect_column_max_to_be_between",
        kwargs={"max_value": 1},
    )
    assert gate.check(uri, str(tmp_path), extra=[own]).expectations == gate.check(uri, str(tmp_path / "b")).expectations + 1
    assert "the dataset has no such row" in Path(gate.check(uri, str(tmp_path), extra=[own]).docs).read_text()


def test_a_report_that_lacks_what_a_dataset_counted_fails(filtered, tmp_path):
    """The sums of the documents' ledgers, and the documents that the shards were made from."""
    batch = filtered(TEXTS)
    ledger = batch.ledger.model_copy(update={"skipped": Counter({"http_status": 8}), "bytes_read": 4737})
    made = Manifest(dataset="documents/web", fingerprint="", made_from={}, parts=(), ledgers={"web": ledger})
    tokens = made.model_copy(update={"ledgers": {"web": Ledger().record("read", Line(documents_in=2, documents_out=2))}})
    lines = [{"stage": stage, **line.model_dump(mode="json")} for stage, line in ledger.lines.items()]
    good = {
        "corpus": "demo", "validation_share": 0.0, "funnel": {"web": lines}, "tokens": {},
        "skipped": {"web": {"http_status": 8}}, "bytes_read": {"web": 4737},
    }  # fmt: skip
    assert gate.check_report(good, {"documents/web": made}, str(tmp_path)).expectations == 5
    bad = {**good, "skipped": {"web": {"http_status": 1}}, "bytes_read": {"web": 1860}}
    with pytest.raises(GateError) as caught:
        gate.check_report(bad, {"documents/web": made, "tokens/t": tokens}, str(tmp_path))
    (failure,) = caught.value.failures
    assert "reported 3, counted 2 at tokens/t: web: documents" in failure
    assert "reported 1860, counted 4737 at web: bytes_read" in failure
    assert "reported 1, counted 8 at web: skipped http_status" in failure
