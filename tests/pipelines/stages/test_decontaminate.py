"""Decontamination of a batch: what is dropped or cut, what the drop says, and that nothing is lost uncounted."""

import pyarrow as pa
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import DecontaminateSection
from pipelines.contract.batch import Batch, born, documents_from
from pipelines.contract.schema import document_id
from pipelines.stages import decontaminate
from pipelines.stages.decontaminate import Named
from pipelines.text.copies.contamination import Benchmarks, no_signs, weights
from pipelines.text.copies.item_grams import collected, grams, index

QUESTION = "Which of the two rivers that meet below the old town carries more water in the spring?"
FACT = "The lighthouse at the northern cape was built of grey stone by order of the duchess in the year 1764 and still stands."
SHORT = "Name all of the seas that surround it."
BENCHMARKS = {"dev.jsonl:1 question": QUESTION, "dev.jsonl:2 fact (id 7)": FACT, "dev.jsonl:3 question": SHORT}


def benchmarks(items: dict[str, str]) -> Named:
    known = collected([grams(pa.array(list(items.values())), ngram=5)])
    worth = weights(known, None, decontaminate.rules(DecontaminateSection()))
    return Named(Benchmarks(index(known, ngram=5), no_signs(len(items)), worth), pa.array(list(items)))


def run(action: str, *texts: str, items: dict[str, str] = BENCHMARKS) -> Batch:
    ids = [document_id("s", str(i)) for i in range(len(texts))]
    known = {"source": ["s"] * len(texts), "snapshot": ["1"] * len(texts), "origin": [f"f#{i}" for i in range(len(texts))]}
    batch = born("read", documents_from({"id": ids, "work": ids, **known, "text": list(texts)}))
    section = DecontaminateSection.model_validate({"paths": ["x.jsonl"], "action": action})
    result = decontaminate.removing(benchmarks(items), section)(batch)
    result.ledger.check()
    return result


def dropped(result: Batch) -> list[tuple[str, str | None]]:
    return [(row["reason"], row["detail"]) for drops in result.drops for row in drops.to_pylist()]


def test_drop_names_the_item_and_shows_the_words() -> None:
    clean = "A text of its own about rivers, towns and seas, which shares a word or two with a question."
    result = run("drop", clean, f"We ask: {QUESTION.upper()} Answer!", f"{SHORT} a", FACT + "\n" + SHORT + " " + QUESTION)
    assert result.documents["text"].to_pylist() == [clean]
    assert dropped(result) == [
        ("contaminated", f"dev.jsonl:1 question, 100%: “{QUESTION.upper().removesuffix('?')}”"),
        ("contaminated", "dev.jsonl:3 question, 100%: “Name all of the seas that surround it”"),
        ("contaminated", f"dev.jsonl:2 fact (id 7), 100%: “{FACT.removesuffix('.')}” (and 2 more)"),
    ]
    assert result.ledger.lines["decontaminate"].documents_dropped == {"contaminated": 3}


def test_no_more_is_shown_than_a_person_reads() -> None:
    items = {"a": " ".join(f"w{i}" for i in range(40)), "b": " ".join("x" * 30 + str(i) for i in range(20))}
    windows = benchmarks(items)
    batch = born(
        "read",
        documents_from(
            {
                "id": [b"0" * 16, b"1" * 16],
                "work": [b"0" * 16] * 2,
                "source": ["s"] * 2,
                "snapshot": ["1"] * 2,
                "origin": ["o"] * 2,
                "text": list(items.values()),
            }
        ),
    )
    first, second = dropped(decontaminate.removing(windows, DecontaminateSection())(batch))
    assert first[1] == "a, 100%: “" + " ".join(f"w{i}" for i in range(25)) + "…”"
    assert second[1] is not None and len(second[1]) == len("b, 100%: “…”") + decontaminate.CHARACTERS_SHOWN


def test_cut_takes_the_shared_words_and_leaves_no_debris() -> None:
    text = f"Above it.\n\n- “{QUESTION}”\n\nIn 1764, they say: {FACT} So it goes. {SHORT}"
    result = run("cut", "Clean.", text, f"* {QUESTION}\n* {SHORT}")
    assert result.documents["text"].to_pylist() == ["Clean.", "Above it.\n\nIn 1764, they say: So it goes."]
    assert dropped(result) == [("empty", f"dev.jsonl:1 question, 100%: “{QUESTION.removesuffix('?')}” (and 1 more)")]
    (cuts,) = result.removed
    for row in cuts.to_pylist():
        (name,) = [name for name, item in BENCHMARKS.items() if item[:20] in row["text"]][:1]
        assert row["detail"] == f"{name}, 100%"
    assert len({row["detail"] for row in cuts.to_pylist()}) >= 2
    line = result.ledger.lines["decontaminate"]
    assert line.characters_removed["contamination"] == line.characters_in - line.characters_out
    assert line.documents_dropped == {"empty": 1}


def test_runs_within_runs_are_cut_whole() -> None:
    """A short item inside a long one's run, and a third that begins behind it but within that run."""
    words = [f"w{i}" for i in range(60)]
    items = {"a": " ".join(words[:30]), "b": " ".join(["x", *words[20:45]]), "c": " ".join(words[5:14])}
    result = run("cut", "Begin " + " ".join(words[:45]) + " end.", items=items)
    assert result.documents["text"].to_pylist() == ["Begin end."]
    assert (
        dropped(run("drop", " ".join(words[:45]), items=items))[0][1] == "a, 100%: “" + " ".join(words[:25]) + "…” (and 2 more)"
    )


def test_nothing_found_changes_nothing() -> None:
    for action in ("drop", "cut"):
        result = run(action, "a", "b")
        assert result.documents["text"].to_pylist() == ["a", "b"]
        assert not result.drops
        assert run(action).documents.num_rows == 0


PIECES = st.lists(
    st.sampled_from([QUESTION, FACT, SHORT, "One word more.", "漢字。", "\n\n", " ", "“", "é\u0301"]), max_size=8
).map("".join)


@few
@given(st.lists(PIECES.filter(bool), max_size=4))
def test_cutting_conserves_and_leaves_nothing_to_cut(texts: list[str]) -> None:
    once = run("cut", *texts)
    twice = run("cut", *once.documents["text"].to_pylist())
    assert twice.documents["text"].equals(once.documents["text"])
    assert run("drop", *once.documents["text"].to_pylist()).documents.num_rows == once.documents.num_rows
