"""Rules of the config's quality.own, from the config to the drops."""

from pathlib import Path

import pyarrow as pa
import pytest
from broken_rules import broken_rules

from pipelines.config import ConfigError, LanguageSection, OwnFunction, QualitySection, load
from pipelines.contract.batch import Batch, born, documents_from, rewrite
from pipelines.contract.errors import UserError
from pipelines.contract.reasons import Change
from pipelines.contract.schema import document_id
from pipelines.stages.judgement import own_rules, quality, rejudge, rules
from pipelines.stages.judgement.rules import Judgement

BASE = '[corpus]\nname = "t"\n[[sources]]\nname = "s"\nkind = "books"\nroot = "."\nsnapshot = "1"\n'
SHOPS = """
import pyarrow.compute as pc

def no_shops(documents):
    assert documents.schema.names == ["url"], documents.schema.names
    return pc.invert(pc.match_substring(documents["url"], "shop"))

def wrong(documents):
    return [1, 2]

def fails(documents):
    raise KeyError("x")
"""


def section(tmp_path: Path, text: str) -> QualitySection:
    (tmp_path / "rules.py").write_text(SHOPS)
    (tmp_path / "c.toml").write_text(BASE + "[quality]\nrules = []\n" + text)
    return load(tmp_path / "c.toml").quality


def batch(*urls: str | None, text: str = "a b c") -> Batch:
    ids = [document_id("s", str(i)) for i in range(len(urls))]
    same = {"source": ["s"] * len(urls), "snapshot": ["1"] * len(urls), "origin": ["o"] * len(urls), "text": [text] * len(urls)}
    measures = broken_rules(url is not None and "short" in url for url in urls)
    return born("read", documents_from({"id": ids, "work": ids, **same, "url": list(urls), "measures": measures}))


def judgement(quality_section: QualitySection) -> Judgement:
    return Judgement(LanguageSection(enabled=False), quality_section, frozenset())


OWN = '[quality.own]\nlong = "words > 5"\n[quality.own.no_shops]\nfunction = "rules.py:no_shops"\ncolumns = ["url"]\n'


def test_expressions_and_functions_drop_documents_under_their_names(tmp_path: Path) -> None:
    found = judgement(section(tmp_path, OWN))
    assert found.columns[-2:] == ["measures", "url"]
    given = batch("http://a.org", "http://short.org", "http://shop.org", "http://shop.short.org", None)
    judged = rules.stage(found)(given)
    assert judged.documents["rule"].to_pylist() == [None, "own_rule:long", "own_rule:no_shops", "own_rule:long", None]
    assert found.passes(given.documents, "s").to_pylist() == [True, False, False, False, True]
    after = quality.filtering(None)(judged)
    rows = [(row["reason"], row["detail"], row["rule"]) for drops in after.drops for row in drops.to_pylist()]
    assert rows == [("own_rule", name, f"own_rule:{name}") for name in ("long", "no_shops", "long")]


def test_a_cut_document_is_judged_by_them_once_more(tmp_path: Path) -> None:
    own = section(tmp_path, '[quality.own]\nlong = "words > 2"')
    cut = rewrite(batch(None), "repeats", Change.REPEATED_LINES, pa.array(["a b"]))
    after = rejudge.stage(judgement(own), own, ()).open()("s", "u")(cut)
    assert after.drops[0].to_pylist()[0]["detail"] == "own_rule:long"


def test_the_content_of_the_file_is_part_of_the_fingerprint_and_its_path_is_not(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, same = section(tmp_path / "a", OWN), section(tmp_path / "b", OWN)
    assert judgement(first).made_from() == judgement(same).made_from()
    (tmp_path / "b" / "rules.py").write_text(SHOPS + "# changed\n")
    assert judgement(first).made_from() != judgement(same).made_from()
    settings = quality.stage(lambda: None, "0", first).settings
    assert str(tmp_path) not in str(settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[quality.own]\nlong = "word > 5"', "quality.own: long: there is no measure or score 'word'; did you mean 'words'"),
        ('[quality.own.a]\nfunction = "rules.py"', 'quality.own: a: function: a function is written as "rules.py:name"'),
        ("[quality.own]\na = 5", r'c\.toml: quality\.own: a: write an expression such as "words > 50", or a table with function'),
        ('[quality.own.a]\nfunctoin = "rules.py:f"', "quality.own: a: .*functoin: unknown key; did you mean 'function'"),
        ('[quality.own.a]\nfunction = "rules.py:no_shops"\ncolumns = ["urls"]', "no column 'urls'; did you mean 'url'"),
    ],
)
def test_what_the_config_has_wrong_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        section(tmp_path, text)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("none.py:x", "there is no such file or module"),
        ("no_module_of_this_name:x", "there is no such file or module"),
        ("rules.py:nothing", "has no function 'nothing'"),
        ("broken.py:x", "cannot be imported: ZeroDivisionError"),
    ],
)
def test_a_function_that_cannot_be_loaded_is_an_error_before_work_starts(tmp_path: Path, function: str, message: str) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    own = section(tmp_path, f'[quality.own.a]\nfunction = "{function}"').own
    with pytest.raises(UserError, match=f"quality.own.a: .*{message}"):
        own_rules.check(own)


@pytest.mark.parametrize(("function", "message"), [("wrong", "2 values of type int64 for 1 documents"), ("fails", "KeyError")])
def test_a_function_that_fails_is_an_error_with_its_name(tmp_path: Path, function: str, message: str) -> None:
    own = section(tmp_path, f'[quality.own.a]\nfunction = "rules.py:{function}"').own
    with pytest.raises(UserError, match=f"quality.own.a: .*{message}"):
        own_rules.broken(own, batch("u").documents)


def test_an_installed_module_is_named_by_its_name() -> None:
    own = {"a": OwnFunction(function="operator:attrgetter")}
    own_rules.check(own)
    assert own_rules.made_from(own)["a"]["function"] == "attrgetter"
