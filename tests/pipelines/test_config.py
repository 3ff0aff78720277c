from pathlib import Path

import pytest

from pipelines import config
from pipelines.config import ConfigError
from pipelines.contract.settings import read

GOOD = """
[corpus]
name = "tiny"
[[sources]]
name = "novels"
kind = "books"
root = "books"
snapshot = "2026"
"""


def load(tmp_path: Path, text: str, *overrides: str) -> config.CorpusConfig:
    path = tmp_path / "corpus.toml"
    path.write_text(text)
    return config.load(path, overrides)


def test_roots_are_relative_to_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).sources[0].root == str(tmp_path / "books")
    assert load(tmp_path, GOOD.replace('"books"\nsnap', '"gs://b/x"\nsnap')).sources[0].root == "gs://b/x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + '[langage]\nkeep = ["en"]', r"langage: unknown key; did you mean 'language'\?"),
        (GOOD + "[deduplicate]\nbandz = 3", r"deduplicate.bandz: unknown key; did you mean 'bands'\?"),
        (GOOD.replace("snapshot", "snapshto"), r"sources.0.snapshot: is missing; add it"),
        (GOOD + "[deduplicate]\nthreshold = 7", r"deduplicate.threshold: .*less than or equal to 1 \(given: 7\)"),
        (GOOD + GOOD[GOOD.index("[[") :], "'novels' is used twice"),
        ('[corpus]\nname = "x"\nsources = []', "unknown key"),
        ('sources = []\n[corpus]\nname = "x"', r"sources: there is no source; add a \[\[sources\]\] section"),
        (GOOD + '[tokens]\nvocabularies = ["gpt"]', "tokens.vocabularies names 'gpt', but the vocabularies are"),
        ("[corpus", "not valid TOML"),
        (GOOD + '[language]\nkeep = "en"', "language.keep: must be a list, such as"),
        (GOOD + "[lines]\nc4 = true", "lines.c4: must be a section, such as"),
        (
            GOOD + "[decontaminate]\nngram = 13\nmin_words = 8",
            r"min_words \(8\) must be at least ngram \(13\).* defaults, 6 and 5",
        ),
    ],
)
def test_mistakes_are_named_with_file_field_and_fix(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "corpus.toml"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.toml: no such file"):
        config.load(tmp_path / "nowhere.toml")


def test_overrides_set_values_of_every_kind(tmp_path: Path) -> None:
    loaded = load(
        tmp_path, GOOD, "deduplicate.bands=20", 'language.keep=["en", "de"]', "corpus.name=other", "sources.0.priority=3"
    )
    assert (loaded.deduplicate.bands, loaded.language.keep, loaded.corpus.name) == (20, ("en", "de"), "other")
    assert loaded.sources[0].priority == 3
    with pytest.raises(ConfigError, match="--set bands: write it as"):
        load(tmp_path, GOOD, "bands")
    with pytest.raises(ConfigError, match="the config has no such place; there are novels"):
        load(tmp_path, GOOD, "sources.5.priority=3")
    with pytest.raises(ConfigError, match="did you mean 'bands'"):
        load(tmp_path, GOOD, "deduplicate.band=3")


def test_tables_of_a_list_are_named_by_their_names(tmp_path: Path) -> None:
    two = f'{GOOD}[[sources]]\nname = "cc-2026.1"\nkind = "books"\nroot = "x"\nsnapshot = "1"\n'
    two += '[[sources]]\nname = "cc-2026"\nkind = "books"\nroot = "x"\nsnapshot = "1"\n[[vocabularies]]\nname = "gpt"\n'
    changes = ("sources.cc-2026.1.priority=2", "sources.cc-2026.priority=4", "sources.0.priority=6", "vocabularies.gpt.size=400")
    loaded = load(tmp_path, two, *changes)
    assert {source.name: source.priority for source in loaded.sources} == {"novels": 6, "cc-2026.1": 2, "cc-2026": 4}
    assert loaded.vocabularies[0].size == 400
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, two, "sources.novel.priority=3")
    assert str(caught.value) == (
        "--set sources.novel.priority=3: the config has no such place; there are novels, cc-2026.1, cc-2026"
    )


def test_a_number_may_be_a_name(tmp_path: Path) -> None:
    named = GOOD.replace('"novels"', '"1"')
    two = named + GOOD[GOOD.index("[[") :]
    assert [source.priority for source in load(tmp_path, two, "sources.1.priority=9").sources] == [9, 0]


def test_a_file_extends_another_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text("[a]\nx = 1\ny = [1, 2]\n[a.deep]\nz = 3\nu = 5\n[b]\nw = 4\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mid.toml").write_text('extends = "../base.toml"\n[a]\ny = [7]\n[a.deep]\nz = 8\n')
    (tmp_path / "sub" / "top.toml").write_text('extends = "mid.toml"\n[c]\nv = 9\n')
    expected = {"a": {"x": 1, "y": [7], "deep": {"z": 6, "u": 5}}, "b": {"w": 4}, "c": {"v": 9}}
    assert read(tmp_path / "sub" / "top.toml", ("a.deep.z=6",)) == expected


def test_a_circle_and_a_missing_base_are_named(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text('extends = "two.toml"\n')
    (tmp_path / "two.toml").write_text('extends = "one.toml"\n')
    with pytest.raises(ConfigError, match=r"one\.toml: extends: the files extend each other in a circle"):
        read(tmp_path / "one.toml")
    (tmp_path / "two.toml").write_text('extends = "none.toml"\n')
    with pytest.raises(ConfigError, match=r"none\.toml: no such file"):
        read(tmp_path / "one.toml")
    (tmp_path / "two.toml").write_text("extends = 1\n")
    with pytest.raises(ConfigError, match=r"two\.toml: extends: must be the path"):
        read(tmp_path / "one.toml")
