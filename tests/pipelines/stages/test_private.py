"""The stage `private`: what is published, what the ledger counts, and the table of masks."""

import json
import re
import time
from typing import Any, cast

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipelines.config import PrivateSection
from pipelines.contract.batch import Batch, born, documents_from
from pipelines.contract.schema import ANSWERS, MASKS
from pipelines.stages import private
from pipelines.stages.base import Model
from pipelines.text.judgement.private.findings import PrivateType

LIST = "a1@b.org c1@d.org e1@f.org g1@h.org i1@j.org k1@l.org"


def batch(*texts: str, language: str | None = "en") -> Batch:
    numbers = range(1, len(texts) + 1)
    ids = [number.to_bytes(16, "big") for number in numbers]
    columns = {"id": ids, "work": ids, "source": ["web"] * len(texts), "snapshot": ["1"] * len(texts)}
    origins = [f"a.warc#{number}" for number in numbers]
    return born("read", documents_from({**columns, "origin": origins, "text": list(texts), "language": [language] * len(texts)}))


def section(**values: object) -> PrivateSection:
    return PrivateSection.model_validate(values)


def test_each_type_has_its_token_and_its_row() -> None:
    done = private.masking(section())(batch("Ü: jane@mail.org or tel. 030 901820", "Nothing.", "from 81.198.191.251"))
    assert done.documents["text"].to_pylist() == ["Ü: <EMAIL> or tel. <PHONE>", "Nothing.", "from <IP>"]
    masks = done.tables["masks"]
    assert masks.schema == MASKS
    assert [tuple(row.values())[1:] for row in masks.to_pylist()] == [
        ("en", "email", "email", 3, 3, 13),
        ("en", "phone", "named", 19, 25, 10),
        ("en", "ip", "ipv4", 5, 5, 14),
    ]
    assert [int.from_bytes(value, "big") for value in masks["id"].to_pylist()] == [1, 1, 3]


def test_the_ledger_counts_what_was_covered_and_what_covers_it() -> None:
    done = private.masking(section())(batch("jane@mail.org, 8.45.77.120", "ann@b.org"))
    done.ledger.check()
    line = done.ledger.lines["private"]
    assert line.characters_removed == {"private_email": 22, "private_ip": 11}
    assert line.characters_added == {"private_email": 14, "private_ip": 4}
    assert line.documents_out == 2


def test_a_type_that_is_off_stays() -> None:
    text = "jane@mail.org, 8.45.77.120, https://x.org/y"
    assert private.masking(section(email="off"))(batch(text)).documents["text"].to_pylist() == [
        "jane@mail.org, <IP>, https://x.org/y"
    ]
    assert private.masking(section(url="mask"))(batch(text)).documents["text"].to_pylist() == ["<EMAIL>, <IP>, <URL>"]


def test_a_document_full_of_a_type_to_drop_is_dropped_with_its_text() -> None:
    done = private.masking(section(email="drop"))(batch("x y@z.org", LIST, "ann@b.org " + "word " * 2000 + LIST))
    (drops,) = done.drops
    assert drops["reason"].to_pylist() == ["private_data"]
    assert drops["detail"].to_pylist() == ["6 email"]
    assert drops["text"].to_pylist() == [LIST]
    assert [text[:10] for text in done.documents["text"].to_pylist()] == ["x <EMAIL>", "<EMAIL> wo"]
    assert [int.from_bytes(value, "big") for value in done.tables["masks"]["id"].to_pylist()] == [1] + [3] * 7
    done.ledger.check()
    assert done.ledger.lines["private"].documents_dropped == {"private_data": 1}


def test_both_limits_must_be_exceeded() -> None:
    five = LIST.rsplit(" ", 1)[0]
    assert private.masking(section(email="drop"))(batch(five)).drops == ()
    assert len(private.masking(section(email="drop", count_limit=4))(batch(five)).drops) == 1
    assert private.masking(section(email="drop", count_limit=4, density_limit=200))(batch(five)).drops == ()


def test_limits_of_zero_drop_every_document_with_such_data() -> None:
    limits = {"count_limit": 0, "density_limit": 0}
    done = private.masking(section(secret="drop", **limits))(batch("https://ann:hunter22@example.org/", "ann@b.org", "fine"))
    assert done.documents["text"].to_pylist() == ["<EMAIL>", "fine"]


def test_other_tokens() -> None:
    done = private.masking(section(tokens={"email": "|||EMAIL_ADDRESS|||", "ip": ""}))(batch("a@b.org 8.45.77.120"))
    assert done.documents["text"].to_pylist() == ["|||EMAIL_ADDRESS||| "]
    done.ledger.check()


@pytest.mark.parametrize(
    "values",
    [{"emails": "mask"}, {"email": "remove"}, {"tokens": {"mail": "x"}}, {"tokens": {"email": "a\nb"}}, {"count_limit": -1}],
)
def test_wrong_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        section(**values)


def test_with_everything_off_the_stage_does_not_run() -> None:
    off = section(**dict.fromkeys(PrivateType, "off"))
    assert not private.stage(off).runs
    assert private.stage(off).settings == {"private": None}
    assert private.stage(section()).runs


def test_the_fingerprint_has_settings_and_libraries_as_json() -> None:
    settings = private.stage(section(tokens={"ip": "X"})).settings["private"]
    assert settings["tokens"] == {"ip": "X"} and set(settings["libraries"]) == {"phonenumbers", "python-stdnum"}
    assert json.loads(json.dumps(settings)) == settings


class Names:
    """A model that finds "Jane", also inside of other words."""

    def answers(self, texts: pa.Array) -> pa.Array:
        found = [
            [{"label": "person", "start": m.start(), "end": m.end()} for m in re.finditer(b"Jane", t.encode())]
            for t in texts.to_pylist()
        ]
        return pa.array(found, ANSWERS["named_entities"])


def test_names_are_one_more_type() -> None:
    named = section(names="build/ner", tokens={"person": "[NAME]"})
    done = private.masking(named, cast(Any, Names()))(batch("é Jane and Jane@mail.org", "none", "Jane"))
    assert done.documents["text"].to_pylist() == ["é [NAME] and <EMAIL>", "none", "[NAME]"]
    assert [tuple(row.values())[1:] for row in done.tables["masks"].to_pylist()] == [
        ("en", "person", "person", 2, 2, 4),
        ("en", "email", "email", 13, 11, 13),
        ("en", "person", "person", 0, 0, 4),
    ]
    done.ledger.check()
    assert done.ledger.lines["private"].characters_removed == {"private_email": 13, "private_person": 8}
    dropping = section(names="build/ner", person="drop", count_limit=0, density_limit=0)
    done = private.masking(dropping, cast(Any, Names()))(batch("Jane", "Jo"))
    assert done.documents["text"].to_pylist() == ["Jo"] and done.drops[0]["detail"].to_pylist() == ["1 person"]


def test_names_are_off_without_a_model_and_leave_the_fingerprint_alone() -> None:
    assert PrivateType.PERSON not in section(person="drop").searched and PrivateType.PERSON in section(names="x").searched
    assert private.model_of_names(section()) is None and private.model_of_names(section(names="x", person="off")) is None
    plain = private.made_from(section())
    assert not {"names", "person", "name_labels"} & set(plain)
    made = [private.made_from(section(names=run), Model(run, sha)) for run, sha in (("a", "1"), ("b", "1"), ("a", "2"))]
    assert made[0] == made[1] != made[2] and plain != made[0]


def test_a_batch_without_documents() -> None:
    done = private.masking(section())(batch("x"))
    assert done.tables["masks"].num_rows == 0
    empty = private.masking(section())(born("read", documents_from({"id": pa.array([], pa.binary(16))})))
    assert empty.documents.num_rows == 0


def test_the_same_batch_gives_the_same_masks() -> None:
    texts = ("jane@mail.org or tel. 030 901820", LIST)
    first, second = (private.masking(section())(batch(*texts)) for _ in range(2))
    assert first.tables["masks"].equals(second.tables["masks"]) and first.documents.equals(second.documents)


MEGABYTE = {
    "one letter": "a",
    "one digit": "7",
    "emoji": "🎉",
    "a@a": "a@a",
    "addresses": "a@b.org ",
    "at signs": "@",
    "dots and digits": "1.",
    "colons": "a1:",
    "slashes": "http://",
    "numbers": "tel. 030 901820, ",
    "bare numbers": "44051401359 ",
    "tokens": "token=a1B2c3D4e5F6g7H8i9J0 ",
    "headers": "-----BEGIN RSA PRIVATE KEY-----\n",
    "brackets": "(((at)",
    "plus": "+1 ",
    "degrees": "1° ",
    "accounts": "GB29 ",
}


@pytest.mark.parametrize("unit", MEGABYTE.values(), ids=MEGABYTE)
def test_texts_that_nobody_would_write_take_bounded_time(unit: str) -> None:
    """At worst, every few bytes are an anchor: seconds a megabyte; the bound is generous."""
    text = unit * (2**19 // len(unit))
    masking = private.masking(section(**dict.fromkeys(PrivateType, "mask")))
    masking(batch("x"))
    start = time.process_time()
    masking(batch(text)).ledger.check()
    assert time.process_time() - start < 40
