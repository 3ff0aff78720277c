"""`corpusmill explain` over the tiny corpus and over hand-written datasets: every kind of answer, word by word."""

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from flows.commands import main as cli
from flows.commands.corpora.explain import show
from flows.pages.shown import MEANINGS, visible
from pipelines.config import PrivateSection, QualitySection
from pipelines.contract import manifest, schema
from pipelines.contract.batch import Batch, born, documents_from, rewrite, sift, with_columns
from pipelines.contract.ledger import Ledger
from pipelines.contract.reasons import Change, DropReason
from pipelines.lookup import explanation
from pipelines.lookup import find as lookup
from pipelines.lookup.find import Build
from pipelines.release import OutputError
from pipelines.stages import private
from pipelines.units.descriptor import Unit
from pipelines.units.parts import write_unit

RYE = "7755f9128a89f39e829599b653b6a416"
RYE_SURVIVOR = "5acd49b80bcdf78ca4cbd083941673b1"
PIECE_SUFFIX = re.compile(r"(corpus)/[0-9a-f]{12}/(\w+)/([\w.-]+?)-[0-9a-f]{12}-[0-9a-f]{12}\.parquet")


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command; its exit code, and what it says, without fingerprints."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["explain", *arguments])
        said = capfd.readouterr()
        return code, PIECE_SUFFIX.sub(r"\1/…/\2/\3", said.out), said.err

    return run


# --- the tiny corpus --------------------------------------------------------------------------------------------------


def test_a_near_duplicate_stands_beside_its_survivor(tiny, told) -> None:
    code, out, err = told(str(tiny.out), RYE[:6])
    assert (code, err) == (0, "")
    assert (
        out
        == f"""\
id          {RYE}
dropped     at deduplicate: near_duplicate (a better document has nearly the same text)
detail      of {RYE_SURVIVOR}, similarity 0.90
part        corpus/…/drops/pages.warc, row 4
source      crawl (2026-40)
origin      pages.warc#2320
url         https://bread.example/rye
title       Rye bread for patient people
retrieved   2026-10-01T06:04:00Z
license     CC0-1.0
language    en, score 0.980
rule        no rule would drop it
text        1,061 characters

copy of     {RYE_SURVIVOR}, similarity 0.9018, near
cluster     {RYE_SURVIVOR}: no other document was removed from it
survivor    in the corpus: corpus/…/documents/pages.warc, row 2
  source    crawl (2026-40)
  origin    pages.warc#7602
  url       https://copy.example/rye
  title     Rye bread for patient people
  retrieved 2026-10-01T06:07:00Z
  license   CC0-1.0
differences 210 words equal, 2 only here [-like this-], 2 only in the survivor {{+like this+}}

… 50 words equal …
room, and wait until it has doubled and smells of [-apples.-] {{+cider.+}} ¶ For one loaf I take four hundred grams of \
rye flour, three hundred and fifty grams of water and [-ten-] {{+twelve+}} grams of salt. Mix the starter with half of the
… 121 words equal …
"""
    )


def test_two_columns_on_a_wide_terminal(tiny) -> None:
    (answer,) = explanation.explain(Build(str(tiny.out)), [RYE])
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=130, highlight=False)
    show(console, answer)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    (head,) = [line for line in lines if line.startswith("this document")]
    left, right = head.index("this"), head.index("its survivor")
    below = lines[lines.index(head) + 2 :]
    assert below[0][left:].startswith("… 50 words equal …") and below[0][right:].startswith("… 50 words equal …")
    columns = " ".join(line[:right] for line in below), " ".join(line[right:] for line in below)
    assert "[-apples.-]" in columns[0] and "{+" not in columns[0] and "twelve" not in columns[0]
    assert "{+cider.+}" in columns[1] and "[-" not in columns[1] and "apples" not in columns[1]


def test_an_exact_duplicate_has_no_differences(tiny, told) -> None:
    code, out, _ = told(str(tiny.out), "https://mirror.example/lantern-fair")
    assert code == 0
    assert "dropped     at deduplicate: exact_duplicate (a better document has the same text)" in out
    assert "survivor    in the corpus: corpus/…/documents/tinywiki-articles1.xml, row 4\n  source    tinywiki (20260201)" in out
    assert "differences none: all 157 words are equal\n\nThe Lantern Fair is held in Merrin on the last\n… 147 words" in out


def test_a_kept_document_names_its_split_and_what_was_dropped_for_it(tiny, told) -> None:
    code, out, _ = told(str(tiny.out), "https://tiny.example.org/wiki/Lantern_Fair")
    assert code == 0
    assert out.startswith(
        "id          599e786f5ab037f71de5d842b05df37c\nkept        in the corpus, train split\npart        corpus/…"
    )
    assert "copies      1 document was dropped for this one\n" in out
    assert "0719463dc5abfe4734c1109060aa66bd  exact  1.0000  texts.warc.wet#1181  https://mirror.example/lantern-fair\n" in out
    # the split is the one of the shards
    shards = [path for path in tiny.out.glob("tokens/*/*/tokens/validation/**/*.arrow")]
    held_out = {value.hex() for path in shards for value in pa.ipc.open_file(path).read_all()["id"].to_pylist()}
    assert len(held_out) == 2
    for name in held_out:
        assert "kept        in the corpus, validation split\n" in told(str(tiny.out), name)[1]


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (
            "https://he.example/",
            # .987 or .990, without or with the headline
            "at language: language_unwanted (its language is not one of language.keep)\ndetail      zh 0.9",
        ),
        ("http://www.he.example", "at language: language_unwanted"),  # the address in another form
        ("pages.warc#14647", "at read: unreadable (the record is broken: its framing, its XML or its payload)"),
        ("https://private.example/garden", "at exclude: excluded (named in the config's [exclude]: a takedown)"),
        ("https://code.example/circle", "at quality: c4_curly_bracket (it contains a curly bracket: source code, a template)"),
    ],
)
def test_other_drops_show_the_reason(tiny, told, key: str, line: str) -> None:
    code, out, err = told(str(tiny.out), key)
    assert (code, err) == (0, "")
    assert f"\ndropped     {line}" in out


def test_a_file_lists_its_records(tiny, told) -> None:
    code, out, _ = told(str(tiny.out), "texts.warc.wet")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "texts.warc.wet: 3 records of this file; name one to see more"
    assert [re.split(r"  +", line)[1] for line in lines[1:]] == [
        "kept",
        "deduplicate: exact_duplicate",
        "quality: c4_few_sentences",
    ]


def test_what_nobody_knows_is_a_line_and_exit_code_1(tiny, told) -> None:
    code, out, err = told(str(tiny.out), "123456", "pages.warc#2320", "https://nowhere.example/\x1b[2J")
    assert code == 1
    first, second = err.splitlines()
    assert first == (
        f"corpusmill: 123456: no document of {tiny.out} has this id, URL or origin, in the corpus or among the drops;"
        " the nearest ids are 0719463dc5abfe4734c1109060aa66bd and 159ce3cdc20229a6f79e7fd6b5481928"
    )
    assert second.startswith("corpusmill: https://nowhere.example/<U+001B>[2J: no document of")
    assert out.startswith(f"id          {RYE}\n")


def test_too_few_digits_and_a_folder_without_a_build(tiny, told, tmp_path) -> None:
    assert told(str(tiny.out), "12345") == (
        1,
        "",
        "corpusmill: 12345: give at least 6 digits of the id, or a URL, or an origin\n",
    )
    code, _, err = told(str(tmp_path), "123456")
    assert code == 1
    assert "nothing is published there" in err


def test_json_is_a_line_for_each_id(tiny, told) -> None:
    code, out, _ = told("--json", str(tiny.out), RYE, "123456", "texts.warc.wet")
    rye, unknown, listed = map(json.loads, out.splitlines())
    assert code == 1
    (document,) = rye["documents"]
    assert (document["fate"], document["stage"], document["reason"]) == ("dropped", "deduplicate", "near_duplicate")
    assert document["characters"] == len(document["text"]) == 1061
    copy = document["copy_of"]
    assert (copy["survivor"], copy["grain"], copy["corpus"], copy["others_removed_from_cluster"]) == (
        RYE_SURVIVOR,
        "near",
        None,
        0,
    )
    assert copy["document"]["id"] == RYE_SURVIVOR and copy["document"]["fate"] == "kept"
    assert [(s["kind"], s["words"]) for s in copy["differences"]] == [
        *[("equal", 60), ("removed", 1), ("added", 1), ("equal", 19)],
        *[("removed", 1), ("added", 1), ("equal", 131)],
    ]
    assert unknown == {"asked": "123456", "found_as": None, "rows": 0, "near": unknown["near"], "documents": []}
    assert listed["found_as"] == "file" and [d["fate"] for d in listed["documents"]] == ["kept", "dropped", "dropped"]


def test_without_the_clusters_the_detail_names_the_survivor(tiny, told, tmp_path) -> None:
    out = Path(shutil.copytree(tiny.out, tmp_path / "copy"))
    release = json.loads((out / "release.json").read_text())
    shutil.rmtree(out / release.pop("clusters"))
    (out / "release.json").write_text(json.dumps(release))
    code, said, _ = told(str(out), RYE)
    assert code == 0
    assert f"copy of     {RYE_SURVIVOR}, similarity 0.9000, near\nsurvivor    in the corpus: " in said


# --- what the tiny corpus does not have -------------------------------------------------------------------------------


def name(number: int) -> bytes:
    return number.to_bytes(16, "big")


class HandMade:
    """A published build of hand-written documents."""

    def __init__(self, out: Path, corpus: str = "mine") -> None:
        self.out, self.corpus = out, corpus
        self.release: dict[str, Any] = {"format": 1, "corpus_name": corpus, "retain": {}}

    def dataset(self, dataset: str, *batches: Batch) -> None:
        made_from = {"dataset": dataset, "corpus": self.corpus}
        uri = manifest.folder(str(self.out), dataset, manifest.fingerprint(made_from))
        units = [Unit(name=f"u{i}", source="web", uri="u", root="", bytes=1, identity="u") for i in range(len(batches))]
        sidecars = [write_unit(uri, unit, [batch]) for unit, batch in zip(units, batches, strict=True)]
        config = {"corpus": {"validation_share": 0.0}, "quality": QualitySection().model_dump(mode="json")}
        manifest.write(uri, manifest.assemble(dataset, made_from, sidecars, config=config))
        kind, _, rest = dataset.partition("/")
        folder = uri.removeprefix(f"{self.out}/")
        self.release |= {kind: {**self.release.get(kind, {}), rest: folder} if rest else folder}
        (self.out / "release.json").write_text(json.dumps(self.release))


def documents(*texts: str, first: int = 1, work: int | None = None) -> pa.RecordBatch:
    ids = [name(first + i) for i in range(len(texts))]
    columns = {"id": ids, "work": ids if work is None else [name(work)] * len(ids), "source": ["web"] * len(ids)}
    origins = [f"a.warc#{first + i}" for i in range(len(ids))]
    return documents_from({**columns, "snapshot": ["1"] * len(ids), "origin": origins, "text": list(texts)})


def kept(*texts: str, **where: Any) -> Batch:
    return Batch(documents(*texts, **where), Ledger())


def dropped(text: str, number: int, stage: str, reason: str, detail: str | None = None) -> Batch:
    return sift(born("read", documents(text, first=number)), stage, pa.array([reason]), pa.array([detail], pa.string()))


def removals(*rows: tuple[int, int, str, str | None]) -> Batch:
    table = pa.RecordBatch.from_pylist(
        [
            {"id": name(i), "cluster": name(1), "survivor": name(s), "similarity": 0.8, "grain": grain, "corpus": corpus}
            for i, s, grain, corpus in rows
        ],
        schema=schema.CLUSTERS,
    )
    return Batch(documents(), Ledger(), tables={"clusters": table})


def test_a_survivor_in_an_earlier_corpus_is_found_in_its_folder(tmp_path, told) -> None:
    mine, news = HandMade(tmp_path / "mine"), HandMade(tmp_path / "news", "news")
    detail = f"of {name(9).hex()} in corpus news, similarity 0.80"
    mine.dataset("corpus", dropped("the old mill stands", 2, "deduplicate", "already_published", detail))
    mine.dataset("clusters", removals((2, 9, "near", "news")))
    news.dataset("corpus", kept("the tide mill stands", first=9))

    code, out, _ = told(str(tmp_path / "mine"), name(2).hex())
    assert code == 0
    assert "dropped     at deduplicate: already_published (an earlier corpus has it)\n" in out
    assert (
        "survivor    in the earlier corpus news; name that build's folder with --against to see it\n\nthe old mill stands\n"
        in out
    )

    code, out, _ = told(str(tmp_path / "mine"), name(2).hex(), "--against", str(tmp_path / "news"))
    assert code == 0
    assert re.search(r"survivor    in the earlier corpus news: corpus/[0-9a-f]{12}/documents/u0.parquet, row 0\n", out)
    assert out.endswith("the [-old-] {+tide+} mill stands\n")
    with pytest.raises(OutputError, match="nothing is published there"):
        Build(str(tmp_path / "nowhere"))


def test_a_survivor_that_was_dropped_later_says_so(tmp_path, told) -> None:
    mine = HandMade(tmp_path)
    both = born("read", documents("a b", "a b", first=2))
    copy = sift(both, "deduplicate", pa.array(["exact_duplicate", None]))
    mine.dataset("corpus", sift(copy, "quality", pa.array(["low_quality"]), pa.array(["0.1"])))
    mine.dataset("clusters", removals((2, 3, "exact", None), (4, 3, "exact", None), (5, 3, "exact", None)))
    _, out, _ = told(str(tmp_path), name(2).hex())
    assert "survivor    itself dropped later, at quality: low_quality: corpus/" in out
    assert f"cluster     {name(1).hex()}: 2 other documents were removed from it\n" in out


def test_a_work_lists_its_pieces_and_an_ambiguous_prefix_what_fits(tmp_path, told) -> None:
    HandMade(tmp_path).dataset("corpus", kept("one", "two", first=16, work=7))
    _, out, _ = told(str(tmp_path), name(7).hex())
    assert out.splitlines() == [
        f"{name(7).hex()}: 2 pieces of this work; name one to see more",
        f"{name(16).hex()}  kept                              web  a.warc#16",
        f"{name(17).hex()}  kept                              web  a.warc#17",
    ]
    HandMade(tmp_path / "other").dataset("corpus", kept("one", "two", first=0x123456 << 104))
    assert told(str(tmp_path / "other"), "123456")[1].startswith("123456: 2 ids begin with it; name one to see more\n")
    assert told(str(tmp_path), "0" * 30 + "11")[1].startswith(
        f"id          {name(17).hex()}, a piece of the work {name(7).hex()}\n"
    )


def test_what_was_cut_out_of_a_kept_document_is_marked(tmp_path, told) -> None:
    before = documents("keep this. share me now. and this")
    mine = HandMade(tmp_path)
    mine.dataset("documents/web", Batch(before, Ledger()))
    mine.dataset("corpus", rewrite(born("read", before), "repeats", Change.REPEATED_LINES, pa.array(["keep this. and this"])))
    _, out, _ = told(str(tmp_path), name(1).hex())
    assert out.endswith("cut         3 words, marked [-like this-]\nkeep this. [-share me now.-] and this\n")


def test_what_was_cut_out_of_a_document_that_was_dropped_for_it_is_marked(tmp_path, told) -> None:
    before = documents("keep this. share me now. and this")
    mine = HandMade(tmp_path)
    mine.dataset("documents/web", Batch(before, Ledger()))
    cut = rewrite(born("read", before), "repeats", Change.REPEATED_LINES, pa.array(["keep this. and this"]))
    mine.dataset("corpus", sift(cut, "rejudge", pa.array(["unfit_after_cut"]), pa.array(["gopher_word_count 4"])))
    _, out, _ = told(str(tmp_path), name(1).hex())
    assert "\ndetail      gopher_word_count 4\n" in out
    assert out.endswith("cut         3 words, marked [-like this-]\nkeep this. [-share me now.-] and this\n")


def test_the_signs_for_which_a_document_was_dropped_are_listed(tmp_path, told) -> None:
    measures = pa.array([{"words": 40, "lines": 10, "prose_sentences": 0, "letters": 1, "unmarked_letters": 0}], schema.MEASURES)
    poor = with_columns(documents("some text"), rule=pa.array(["poor_signs"]), rule_value=pa.array([3.0]), measures=measures)
    HandMade(tmp_path).dataset("corpus", sift(born("read", poor), "quality", pa.array(["poor_signs"]), pa.array(["3"])))
    _, out, _ = told(str(tmp_path), name(1).hex())
    assert (
        "\nrule        poor_signs drops it, measured 3\nsigns       min_words 40 (limit 90), min_words_per_line 4 (limit 16)"
        in out
    )
    assert "min_prose_sentences 0 (limit 3)" in out


def test_the_languages_of_a_dropped_document_have_their_shares(tmp_path, told) -> None:
    shares = [{"language": "de", "share": 0.62}, {"language": "en", "share": 0.38}]
    before = with_columns(
        documents("some text"),
        language=pa.array(["de"]),
        language_score=pa.array([0.9871]),
        languages=pa.array([shares], schema.LANGUAGES),
    )
    cut = sift(born("read", before), "language", pa.array(["language_mixed"]), pa.array(["de 0.62, en 0.38"]))
    HandMade(tmp_path).dataset("corpus", cut)
    _, out, _ = told(str(tmp_path), name(1).hex())
    assert "\nlanguage    de, score 0.987\nlanguages   de 62%, en 38%\n" in out


def test_hostile_texts_move_no_cursor_and_no_line(tmp_path, told) -> None:
    text = "red \x1b[31m bell \x07 over \u202e here \x9b2J [bold]not markup[/bold] [-x-]"
    mine = HandMade(tmp_path)
    mine.dataset("corpus", kept(text + " kept", first=1), dropped(text, 2, "deduplicate", "near_duplicate"))
    mine.dataset("clusters", removals((2, 1, "near", None)))
    _, out, _ = told(str(tmp_path), name(2).hex(), name(1).hex())
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", out)
    assert out.count("red <U+001B>[31m bell <U+0007> over <U+202E> here <U+009B>2J [bold]not markup[/bold] [-x-]") == 2
    for line in told(str(tmp_path), "--json", name(2).hex())[1].splitlines():
        assert line.isascii() and json.loads(line)["documents"][0]["text"] == text


def test_right_to_left_texts_stand_one_under_the_other(tmp_path) -> None:
    mine = HandMade(tmp_path)
    mine.dataset("corpus", kept("שלום לכל העולם", first=1), dropped("שלום לכם העולם", 2, "deduplicate", "near_duplicate"))
    mine.dataset("clusters", removals((2, 1, "near", None)))
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=150, highlight=False)
    show(console, explanation.explain(Build(str(tmp_path)), [name(2).hex()])[0])
    out = console.file.getvalue()  # type: ignore[attr-defined]
    assert "its survivor" not in out
    assert out.endswith("שלום [-לכם-] {+לכל+} העולם\n")


def test_no_text_is_read_before_the_place_is_known(tmp_path, monkeypatch) -> None:
    HandMade(tmp_path).dataset("corpus", kept("one", "two", first=16), kept("three", first=32))
    asked: list[Any] = []
    read = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda self, i, columns=None, **rest: (asked.append(columns), read(self, i, columns, **rest))[1],
    )
    (found,) = Build(str(tmp_path)).find([name(32).hex()])
    assert asked == [["id"]] * 2
    assert lookup.read(found.places[0]).text == "three"
    assert asked[2:] == [None]


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(DropReason)


def test_visible_leaves_what_makes_one_character_of_several() -> None:
    england = "🏴" + "".join(chr(0xE0000 + ord(letter)) for letter in "gbeng") + "\U000e007f"
    for text in ("نمی\u200cخواهم 👩\u200d🚀", "❤\ufe0f 葛\U000e0100", f"{england}!"):
        assert visible(text) == text
    assert visible(england[1:3]) == "<U+E0067><U+E0062>"
    assert visible(england[:3]) == "🏴<U+E0067><U+E0062>"


def test_visible_cuts_and_says_so() -> None:
    assert visible("a\t b\r\n\r\n c\x00") == "a  b ¶ c<U+0000>"
    assert visible("x" * 1_000_000, 5) == "xxxxx … (999,995 more characters)"


def test_the_masks_of_a_kept_document_are_listed(tmp_path, told) -> None:
    before = documents("call 030, or jane@mail.org, or 8.45.77.120")
    mine = HandMade(tmp_path)
    mine.dataset("documents/web", Batch(before, Ledger()))
    mine.dataset("corpus", private.masking(PrivateSection())(born("read", before)))
    _, out, _ = told(str(tmp_path), name(1).hex())
    assert "call 030, or <EMAIL>, or <IP>" in out
    assert out.splitlines()[-3:] == [
        "masked      2 places with private data",
        "            email at character 13, 13 characters",
        "            ip (ipv4) at character 25, 11 characters",
    ]
    _, out, _ = told(str(tmp_path), name(1).hex(), "--json")
    (document,) = json.loads(out)["documents"]
    assert document["masks"][1] == {"type": "ip", "kind": "ipv4", "start": 25, "start_before": 31, "characters": 11}
