"""White space that a source's texts keep: all of it in records, that of code in pages and articles."""

import pyarrow as pa
import pytest

from pipelines.config import NormalizeSection
from pipelines.contract.batch import born, documents_from
from pipelines.contract.reasons import DropReason
from pipelines.stages import normalize
from pipelines.text.characters.code_spaces import protected
from pipelines.text.extraction.resiliparse.text import main_text
from pipelines.text.extraction.wikitext.prose import plain_text

PYTHON = 'def area(width):\n    """Return it."""\n\tif width < 0:\n        raise  ValueError\n\n\n    return 1\n'
PAGE = "<body><main><p>Some   text\n here.</p>{}<p>More  text.</p></main></body>"


def normalised(text: str, kind: str, section: NormalizeSection = NormalizeSection()) -> str:  # noqa: B008 (frozen)
    rows = documents_from(
        {"id": [b"0" * 16], "work": [b"0" * 16], "source": ["s"], "snapshot": ["1"], "origin": ["f#0"], "text": [text]}
    )
    return normalize.stage(section, kind)(born("read", rows)).documents["text"][0].as_py()


@pytest.mark.parametrize(
    "text", [PYTHON, "Col A\tCol B\n1\t2\nline one  \nline two", "key:\n  sub: 1\n", "  * a\n      * b", "\u3000日本\xa0語"]
)
def test_records_keep_every_space(text: str) -> None:
    assert normalised(text, "records") == text
    assert normalised(text.replace("\n", "\r\n") + "\x00", "records") == text


def test_records_of_prose_are_unified_on_request() -> None:
    assert normalised("a  b\n    c\n", "records", NormalizeSection(whitespace="prose")) == "a b\nc"


def test_a_record_of_blanks_is_empty() -> None:
    rows = documents_from(
        {"id": [b"0" * 16], "work": [b"0" * 16], "source": ["s"], "snapshot": ["1"], "origin": ["f#0"], "text": [" \n\t"]}
    )
    result = normalize.stage(NormalizeSection(), "records")(born("read", rows))
    assert result.documents.num_rows == 0
    assert result.drops[0]["reason"].to_pylist() == [DropReason.EMPTY]


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        ("<pre><code>\nif a:\n    <b>b</b>\n\n\n\tc  d\n</code></pre>", "if a:\n    b\n\n\n\tc  d"),
        ("<pre>a&nbsp;&nbsp;b<br>&#9;c</pre>", "a  b\n\tc"),
        ("<div><code>if a:\n    b</code></div>", "if a:\n    b"),
        ("<div><code>if a:<br>\n&nbsp;&nbsp;b</code></div>", "if a:\n  b"),
        ("<p>Call <code>a\n   b</code> now.</p>", "Call a b now."),
        ("<script>x = '<pre>'</script><p>a   b</p>", "a b"),
    ],
)
def test_code_of_pages_keeps_its_space_and_prose_does_not(markup: str, wanted: str) -> None:
    text = main_text(PAGE.format(markup)).text
    assert normalised(text, "common_crawl") == f"Some text here.\n\n{wanted}\n\nMore text."


def test_code_of_a_page_is_unified_on_request() -> None:
    text = main_text(PAGE.format("<pre>if a:\n    b</pre>")).text
    assert normalised(text, "common_crawl", NormalizeSection(whitespace="prose")) == "Some text here.\n\nif a:\nb\n\nMore text."


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        ('<syntaxhighlight lang="c">\nint f() {\n    a[[0]] < {{b}};\n\treturn  0;\n}\n</syntaxhighlight>',
         "int f() {\n    a[[0]] < {{b}};\n\treturn  0;\n}"),
        ("<source>x\n  &lt;</source>", "x\n  &lt;"),
        ("<pre>\n x\n   &lt;y</pre>", " x\n   <y"),
        (" if [[a]]:\n     '''b'''\n # c", "if a:\n    b\n# c"),
        ("Use <syntaxhighlight inline>a  = b</syntaxhighlight>.", "Use a = b."),
    ],
)  # fmt: skip
def test_code_of_articles_keeps_its_space(markup: str, wanted: str) -> None:
    text = plain_text(f"An   article.\n\n{markup}\n\nMore of  it.")
    assert normalised(text, "wikipedia") == f"An article.\n\n{wanted}\n\nMore of it."


def test_mojibake_in_code_is_repaired() -> None:
    assert normalised(f"x  y\n\n{protected('def f():    # cafÃ©')}", "common_crawl") == "x y\n\ndef f():    # café"


def test_the_ledger_counts_only_what_went() -> None:
    rows = documents_from(
        {"id": [b"0" * 16], "work": [b"0" * 16], "source": ["s"], "snapshot": ["1"], "origin": ["f#0"]}
        | {"text": ["a  b\n\n" + protected("c:\n    d")]}
    )
    result = normalize.stage(NormalizeSection(), "wikipedia")(born("read", rows))
    line = result.ledger.lines["normalize"]
    assert result.documents["text"].to_pylist() == ["a b\n\nc:\n    d"]
    assert +line.characters_removed == {"whitespace": 1}
    assert line.characters_in - line.characters_out == 1
    assert pa.types.is_string(result.documents["text"].type)
