"""Names in texts: spans in bytes, of the chosen labels, one for each line."""

from collections.abc import Callable

import pyarrow as pa
import pytest

from pipelines.text.judgement.annotators.names import check_names, find_labels
from pipelines.text.judgement.annotators.process import Annotator, AnnotatorError
from pipelines.text.judgement.private.findings import TYPES, PrivateType

Opened = Callable[..., Annotator]


def test_spans_are_in_bytes_and_of_the_chosen_labels(annotator: Opened) -> None:
    model = annotator("persons")
    texts = pa.array(["é: old people told", "nothing", "stories told the\nriver evening people", "   "])
    found = find_labels(model, texts, ["place"], PrivateType.PERSON)
    spans = [
        (row, texts[row].as_py().encode()[a:b].decode()) for row, a, b in zip(found.rows, found.starts, found.ends, strict=True)
    ]
    assert spans == [(2, "the"), (2, "river")]
    assert {TYPES[code] for code in found.types} == {PrivateType.PERSON} and found.kinds.to_pylist() == ["place"] * 2
    both = find_labels(model, texts, ["group", "place"], PrivateType.PERSON)
    first = texts[0].as_py().encode()
    assert first[both.starts[0] : both.ends[0]] == b"people" and both.kinds.to_pylist() == ["group", "place", "place", "group"]
    assert len(find_labels(model, pa.array([], pa.string()), ["place"], PrivateType.PERSON)) == 0
    assert len(find_labels(model, pa.array(["x"]), ["none"], PrivateType.PERSON)) == 0


def test_a_label_that_the_model_does_not_have(annotator: Opened) -> None:
    model = annotator("persons")
    check_names(model, ["group", "place"])
    with pytest.raises(AnnotatorError, match=r"has no label 'person'; its labels are group, place; set private\.name_labels"):
        check_names(model, ["person"])
