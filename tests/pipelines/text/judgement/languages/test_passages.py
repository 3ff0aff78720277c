"""Which passages of a text are judged: running text, whole or evenly over it, without code and numbers."""

from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.judgement.languages import passages as module
from pipelines.text.judgement.languages import scripts
from pipelines.text.judgement.languages.passages import Passages, passages

PROSE = "The old man walked slowly home through the rain, and nobody in the street knew him any more."
GERMAN = "Der alte Mann ging langsam durch den Regen nach Hause, und niemand in der Straße kannte ihn mehr."
CODE = "for (int i = 0; i < n; i++) {\n    total += values[i] * weights[i];\n}\nreturn total / n;"


def cut(*texts: str, whole: bool = False) -> tuple[Passages, list[list[str]]]:
    found = passages(pa.array(texts, pa.string()), whole=whole)
    parts = [bytes(found.data[a:b]).decode() for a, b in zip(found.starts, found.ends, strict=True)]
    return found, [parts[a:b] for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]


def test_numbers_addresses_and_code_are_no_passages() -> None:
    table = "| 1,234 | 5.6 % | 78 |\nhttps://www.example.com/a_b/c?d=1&e=2"
    found, parts = cut(f"{CODE}\n{PROSE}\n{table}\n{GERMAN}")
    assert parts == [[PROSE, GERMAN]]
    assert found.is_prose.tolist() == [True, True]
    assert found.noise[0] + sum(len("".join(text.split())) for text in (PROSE, GERMAN)) == found.read[0]


def test_short_lines_are_passages_of_their_own() -> None:
    found, parts = cut(f"Home\nAbout us\n{PROSE}\nImprint")
    assert parts == [["Home\nAbout us", PROSE, "Imprint"]]
    assert found.is_prose.tolist() == [False, True, False]
    assert found.letters.tolist() == [11, sum(c.isalpha() for c in PROSE), 7]


def test_a_long_line_is_cut_between_words_and_nothing_is_lost() -> None:
    text = " ".join([PROSE] * 10)
    found, (parts,) = cut(text)
    assert "".join(parts) == text
    assert all(part.endswith(" ") for part in parts[:-1])
    assert all(module.LETTERS <= letters < module.LETTERS + 12 for letters in found.letters[:-1])


def test_scripts_without_spaces_are_cut_too_and_their_characters_count_twice() -> None:
    found, (parts,) = cut("川" * 500)
    assert "".join(parts) == "川" * 500
    assert found.letters.sum() == 1000
    assert found.scripts[:, scripts.letters()[ord("川")]].sum() == 1000


def test_letters_by_script() -> None:
    found, _ = cut("Армения (Հայաստան) is a country")
    by_script = {scripts.name_of(number): count for number, count in enumerate(found.scripts[0]) if count}
    assert by_script == {"Cyrl": 7, "Armn": 8, "Latn": 10}


def test_a_line_alone_is_no_code_but_may_be_numbers() -> None:
    assert cut("Home > Directory > Companies")[1] == [["Home > Directory > Companies"]]
    found, parts = cut("+49 30 1234-567")
    assert parts == [[]]
    assert found.noise.tolist() == found.read.tolist() == [13]


def test_a_long_text_is_read_in_stretches_over_all_of_it() -> None:
    paragraphs = [PROSE if i % 2 else f"{i} | 1,234 | {i * i}" for i in range(2000)]
    found, (parts,) = cut("\n".join(paragraphs))
    assert len(parts) == module.STRETCHES
    assert all(part in (PROSE, PROSE + "\n") or PROSE in part for part in parts)
    places = (found.starts / len(found.data)).tolist()
    assert places[0] < 0.01 and places[-1] > 0.98
    assert max(b - a for a, b in pairwise(places)) < 0.12
    assert found.scale[0] == pytest.approx(len("\n".join(paragraphs)) / sum(found.ends - found.starts))
    everything, (all_parts,) = cut("\n".join(paragraphs), whole=True)
    assert len(all_parts) > 900
    assert everything.scale.tolist() == [1.0]


def test_texts_are_apart_and_slices_are_read() -> None:
    texts = pa.array(["x" * 5000, PROSE, "", GERMAN]).slice(1)
    found = passages(texts)
    assert found.offsets.tolist() == [0, 1, 1, 2]
    assert found.texts().tolist() == [0, 2]
    assert [bytes(found.data[a:b]).decode() for a, b in zip(found.starts, found.ends, strict=True)] == [PROSE, GERMAN]
    assert found.filter(found.starts > found.starts[0]).offsets.tolist() == [0, 0, 0, 1]


_PIECES = st.sampled_from(
    [PROSE, GERMAN, CODE, "你好世界", "สวัสดีชาวโลก", "नमस्ते", "\n", " ", "42", "x", "é", "😀", "http://a.b/c", "\n\n", "\0"]
)


@given(st.lists(st.lists(_PIECES, max_size=60).map("".join), max_size=4), st.booleans())
def test_passages_are_whole_characters_in_order_inside_their_texts(texts: list[str], whole: bool) -> None:
    found, parts = cut(*texts, whole=whole)  # decodes
    assert all(part in text for text, row in zip(texts, parts, strict=True) for part in row)
    assert (found.starts[1:] >= found.ends[:-1]).all()
    assert (found.ends > found.starts).all() and (found.letters > 0).all()
    assert (found.noise <= found.read).all()
    assert found.scripts.sum(axis=1).tolist() <= found.letters.tolist()
    short = [len(text.encode()) <= module.WHOLE_BYTES for text in texts]
    read = [sum(not c.isspace() and c.isprintable() for c in text) for text in texts]
    assert all(n >= m for n, m, is_whole in zip(found.read, read, short, strict=True) if is_whole or whole)


@pytest.mark.parametrize("text", ["a" * 3_000_000, "word " * 600_000, "1" * 1_000_000, "\n" * 1_000_000, "😀" * 300_000])
def test_extreme_texts_are_bounded(text: str) -> None:
    found, _ = cut(text)
    assert len(found.starts) <= module.STRETCHES
    assert (found.ends - found.starts).sum() <= 4 * module.STRETCHES * module.STRETCH_BYTES
