"""The text of pages, case by case; no page stalls the reader."""

import html
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.text.extraction.wikitext.prose import Wiki, extract, plain_text

CASES = {
    # emphasis
    "'''Oslo''' is ''the'' '''''capital'''''": "Oslo is the capital",
    "l'''amour'' fou": "l'amour fou",  # an odd ''' is an apostrophe and italics
    "''''four''' quotes": "'four quotes",
    # links
    "a [[b]] [[c|d]] [[e]]s [[:Category:F]]": "a b d es Category:F",
    "[[Oslo (city)|]] lies [[#South|here]]": "Oslo lies here",
    "x [[File:A.jpg|thumb|a [[caption]] of [[B|b]]]] y": "x y",
    "x [[Плик:A.jpg|мини|текст]] y": "x y",  # unknown namespace, but a file by its ending
    "x [[Kategorie:Stadt]] y": "x y",
    "Bonn\n[[fr:Bonn]]\n[[zh-min-nan:Bonn]]": "Bonn",
    "see [http://a.example/b?c=d the site] and [http://e.example]": "see the site and",
    "x [[File:A.jpg|never closed\n\nNext paragraph.": "x\n\nNext paragraph.",
    # templates
    "a {{lang|fr|bon ''jour''}} b {{lang-ru|мир}} c": "a bon jour b мир c",
    "베를린({{llang|de|Berlin}})": "베를린(Berlin)",
    "Hamburg 2013, {{ISBN|1}}. Called Ca-na-đa; {{IPA|x}}, it, {{x}} too, {{x}}": "Hamburg 2013. Called Ca-na-đa, it, too,",
    "{{convert|5|to|10|km|mi|abbr=on}} wide, {{cvt|3|ft}}": "5 to 10 km wide, 3 ft",
    "{{nowrap|12 {{abbr|km|kilometre}}}}": "12 km",
    "{{Infobox\n| a = {{nowrap|b}}\n| c = [[d]]\n}}\nText.": "Text.",
    "{{Nihongo|'''Tea'''|茶|cha}} is hot": "Tea (茶, cha) is hot",
    "{{formatnum:4000}} and {{1}} {{{2|x}}}": "4000 and",
    "Oslo ({{IPA|x}}; born 1048) and ({{unknown}}) grew": "Oslo (born 1048) and grew",
    "Text {{never closed | a\n| b = c\n\nNext.": "Text\n\nNext.",
    "Text }} ends ]] here": "Text ends here",
    "{{quote|It is {{lang|la|verum}}.|Author}}": "It is verum.",
    # elements
    'a<ref name="x">b [[c]]</ref> d<ref name=y /> e<!-- f --> g': "a d e g",
    "a <nowiki>[[b]] '''c''' {{d}}</nowiki> e": "a [[b]] '''c''' {{d}} e",
    "for <math>x^2 < y</math> and\n: <math>\\frac{1}{2}</math>\nholds": "for x^2 < y and\n\nholds",
    "H<sub>2</sub>O, 10<sup>6</sup>, 19<sup>th</sup>": "H₂O, 10⁶, 19th",
    "a<br/>b <span style='x'>c</span> <stdio.h>": "a\nb c <stdio.h>",
    "a <ref>never closed\n\nb": "a never closed\n\nb",
    "<gallery>\nA.jpg|b\n</gallery>\nText": "Text",
    "AT&amp;T &mdash; 5&nbsp;km &lt;b&gt; &#x41;&#66;": "AT&T — 5 km <b> AB",
    "-{zh-hans:计算机;zh-hant:電腦}- 是 -{X}- -{H|zh:a;}-。": "计算机 是 X。",
    "__NOTOC__Text __init__": "Text __init__",
    # tables
    "a\n{| class=x\n|-\n| b || c\n{|\n| d\n|}\n|}\ne": "a\n\ne",
    "a\n{|\n| never closed\n\nText follows.": "a\n\nText follows.",
    # lines
    "one\ntwo\n\nthree": "one two\n\nthree",
    "日本の\n首都": "日本の首都",
    "* a\n** b\n# c\n; d\n: e\n----\nf": "- a\n- b\n- c\n\nd\n\ne\n\nf",
    "a\n<!-- alone -->\nb": "a b",
    "": "",
    "{{x}}\n[[Category:Y]]": "",
}


@pytest.mark.parametrize("wikitext", CASES)
def test_plain_text(wikitext: str) -> None:
    assert plain_text(wikitext) == CASES[wikitext]


def test_empty_and_reference_sections_are_dropped_in_any_language() -> None:
    page = """Oslo er en by.

== Geografi ==
=== Elver ===
Alna renner her.
=== Tom ===
== Litteratur ==
* Hansen, ''Bok'', ISBN 123
{{bok|x}}
== Se også ==
* [[Bergen]]
* [[Trondheim]]
;Noter
== Eksterne lenker ==
* [http://x.example Nettsted] (norsk)
{{Autoritetsdata}}
"""
    assert plain_text(page) == "Oslo er en by.\n\nGeografi\n\nElver\n\nAlna renner her."


def test_a_last_section_with_prose_is_kept() -> None:
    page = "Text.\n\n== Trivia ==\n* She was the first woman to row across the lake.\n* [[Boat]]s are kept there.\n"
    assert plain_text(page).endswith("Trivia\n\n- She was the first woman to row across the lake.\n- Boats are kept there.")


@pytest.mark.parametrize(
    ("wikitext", "prose"),
    [
        ("'''Oslo''' is a city.", True),
        ("'''Ada''' may refer to:\n* [[Ada (food)]], a delicacy\n* [[Ada, Ohio]]\n", False),
        ("'''Ada''' is a name that many people bear in many countries of the world.\n{{Disambig|geo}}", False),
        ("* [[A]]\n* [[B]]\n* [[C]]", False),
        ("[[A]] [[village]] [[in]] the [[north]].", True),
        ("* In 1048 the king had the first wooden church of the town built on the hill by the river.", True),
    ],
)
def test_prose(wikitext: str, prose: bool) -> None:
    assert extract(wikitext).prose is prose


def test_namespaces_come_from_the_dump() -> None:
    wiki = Wiki.of({-2: "Medeja", 6: "Lielfails", 14: "Skupa"})
    assert plain_text("a [[Lielfails:B|c]] [[Skupa:D]] [[file:E|f]] g", wiki) == "a g"
    assert plain_text("a [[Lielfails:B|c]]") == "a c"


HOSTILE = {
    "{{": "{{" * 300_000,
    "}}": "}}" * 300_000,
    "[[": "[[" * 300_000,
    "[[a|": "[[a|" * 150_000,
    "[http://": "[http://x " * 60_000,
    "quotes": "'''a''" * 100_000,
    "<ref>": "<ref>" * 120_000,
    "<ref": "<ref " * 120_000,
    "<": "<" * 600_000,
    "<!--": "<!--" * 150_000,
    "{|": "{|\n" * 200_000,
    "math": "<math>" * 100_000,
    "nested templates": "{{nowrap|" * 20_000 + "}}" * 20_000,
    "nested links": "[[a|" * 20_000 + "]]" * 20_000,
    "quotes in a template": "{{nowrap|" + "''a'''b" * 2_500 + "}}",
    "links in a template": "{{nowrap|" + "[[" * 9_000 + "}}",
    "tags in a template": "{{nowrap|" + "<b>" * 6_000 + "}}",
    "spaces": "a" + " " * 600_000 + "b",
    "newlines": "\n" * 600_000,
    "brackets": "(" * 300_000 + "{{x}}",
    "commas": "(" + ", " * 200_000 + "{{x}}",
    "equals": "=" * 600_000,
    "-{": "-{" * 300_000,
    "underscores": "_" * 600_000,
    "entities": "&" * 600_000,
    "residue": "a" + "{[" * 150_000 + "<b>" + "[{" * 150_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_page_stalls(name: str) -> None:
    started = time.process_time()
    plain_text(HOSTILE[name])
    assert time.process_time() - started < 5


_TOKENS = """
{{ }} [[ ]] | '' ''' <ref> </ref> {| |} = == * -{ }- { } [ ] < ref> <b> </b> b> <!- --> {{x}} {{nowrap| &nbsp; &#0; ---- ( ) , b
"""


@given(st.lists(st.sampled_from([*_TOKENS.split(), "\n", "a b.", " "]), max_size=60))
@example(["a b.", "-{", "}}", "{|"])  # "}}" was removed, and left "{{"
@example(["a b.", "[", "{{x}}", "["])
@example(["a b.", "]", "</ref>", "]"])
@example(["a b.", "{", "''", "{"])
@example(["a b.", "{", "&#0;", "{"])  # an entity that is no character
@example(["a b.", "[", "(", "{{x}}", ")", "["])  # the brackets of what is gone go, too
@example(["a b.", "{{nowrap|", "{", "}}", "{"])
@example(["a b.", "<", "{{x}}", "ref>"])
@example(["a b.", "<!-", "{{x}}", "-->"])
@example(["a b.", "<", "<", "<", "b>", "b>", "b>"])
@example(["a b.", *["{", "["] * 10, "{{x}}", *["[", "{"] * 10])  # deeper than MAX_RESIDUE_DEPTH
def test_no_markup_is_left_whatever_the_nesting(tokens: list[str]) -> None:
    text = plain_text("".join(tokens))
    for residue in ("{{", "}}", "[[", "]]", "<ref", "<b>", "<!--"):
        assert residue not in text
    assert text == text.strip()


@pytest.mark.parametrize("entities", ["&#123;&#123;", "&#91;&#x5b;", "&lt;ref&gt;", "&lt;!--"])
def test_markup_in_entities_is_text(entities: str) -> None:
    assert plain_text(f"a {entities} b") == f"a {html.unescape(entities)} b"
    assert plain_text("a &#91;{{x}}&#93; b") == "a b"  # but brackets around what is gone go with it
