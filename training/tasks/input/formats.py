"""Files that are not tables: those in which the data sets of some tasks are published.

    classification      TREC's questions: COARSE:fine question, in a file without an ending or .label -> text, label, fine
    named_entities      CoNLL: a word and its label on each line, a blank line between sentences -> words, labels
    relations           SemEval-2010 task 8: label TAB sentence, without names of columns -> label, text
    question_answering  SQuAD's JSON, versions 1.1 and 2.0 -> question, context, answers, id
    similarity          the folder of a build, or of its corpus: each title and the text under it -> first, second

Tables (JSON Lines, CSV, TSV, Parquet) are read by records.py for every task.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract import manifest
from pipelines.contract.tables import read_batches
from training.tasks.errors import TaskError

_TREC = re.compile(r"(([A-Z]+):\w+) (.*)")
_BEGINNING = 4000  # characters of a text that are paired with its title: more than a row has tokens
_CONLL = (".conll", ".annotated", ".bio", ".iob", ".iob2", ".tsv", ".txt")


class Table(NamedTuple):
    """The records of a file, and where each begins."""

    columns: pa.Table
    first_line: int | None  # as in Records
    numbers: NDArray[np.int64]


def read(kind: str, path: str | Path) -> Table | None:
    """Return the records of a file that is published for a kind of task; None for a table or for another kind.

    Raises TaskError, with the place, for a file that is broken.
    """
    return _READERS[kind](Path(path)) if kind in _READERS else None


def conll(path: Path) -> Table | None:
    r"""Return sentences as `words` and `labels`, which are a line's first and last column (tab, or spaces if it has none).

    >>> import tempfile; path = Path(tempfile.mkdtemp()) / "a.conll"
    >>> _ = path.write_text("Paris\tB-location\nshines\tO\n\nyes\tO\n")
    >>> conll(path).columns.to_pylist()
    [{'words': ['Paris', 'shines'], 'labels': ['B-location', 'O']}, {'words': ['yes'], 'labels': ['O']}]
    """
    text = _text(path, _CONLL)
    if text is None or (_ending(path) in (".tsv", ".txt") and not _looks_like_conll(text)):
        return None
    sentences: list[tuple[int, list[str], list[str]]] = []
    began = False
    for number, line in enumerate(text.split("\n")):
        if not line.strip() or line.startswith("-DOCSTART-"):
            began = False
            continue
        columns = line.rstrip("\r").split("\t") if "\t" in line else line.split()
        if len(columns) < 2 or not columns[0].strip() or not columns[-1].strip():
            raise TaskError(f"{path}, line {number + 1:,}: {line!r} is not a word and its label; correct or remove the line")
        if not began:
            sentences.append((number, [], []))
            began = True
        sentences[-1][1].append(columns[0])
        sentences[-1][2].append(columns[-1].strip())
    if not sentences:
        raise TaskError(f"{path}: has no sentences; name a file with at least one")
    numbers, words, labels = zip(*sentences, strict=True)
    return Table(pa.table({"words": pa.array(words), "labels": pa.array(labels)}), 1, np.array(numbers, np.int64))


def trec(path: Path) -> Table | None:
    r"""Return questions as `text`, with their `label`, one of six, and the `fine` one, of fifty (Li and Roth 2002).

    >>> import tempfile; path = Path(tempfile.mkdtemp()) / "TREC_10.label"
    >>> _ = path.write_bytes(b"NUM:dist How far is it ?\nLOC:city Which\xf0city ?\n")
    >>> trec(path).columns.to_pylist()[1]
    {'text': 'Which city ?', 'label': 'LOC', 'fine': 'LOC:city'}
    """
    # One byte of the published training file, 0xF0, is no UTF-8; a space belongs there.
    text = _text(path, ("", ".label"), lambda read: read.replace(b"\xf0", b" "))
    lines = [] if text is None else [(number, line) for number, line in enumerate(text.split("\n")) if line.strip()]
    found = [(number, _TREC.fullmatch(line.rstrip("\r"))) for number, line in lines]
    if not found or found[0][1] is None:
        return None
    if wrong := [number for number, match in found if match is None]:
        raise TaskError(f"{path}, line {wrong[0] + 1:,}: does not begin with COARSE:fine and a space; correct or remove the line")
    rows = [match for _, match in found if match]
    columns = {"text": [m[3] for m in rows], "label": [m[2] for m in rows], "fine": [m[1] for m in rows]}
    return Table(pa.table(columns), 1, np.array([number for number, _ in lines], np.int64))


def semeval(path: Path) -> Table | None:
    """Return sentences with marked entities as `text`, and their `label`."""
    text = _text(path, (".tsv", ".txt"))
    lines = [] if text is None else [(number, line) for number, line in enumerate(text.split("\n")) if line.strip()]
    if not lines or "<e1>" not in lines[0][1]:  # its first line has names of columns
        return None
    pairs: list[tuple[str, str]] = []
    for number, line in lines:
        label, tab, sentence = line.rstrip("\r").partition("\t")
        if not tab:
            raise TaskError(f"{path}, line {number + 1:,}: is not a label, a tab and a sentence; correct or remove the line")
        pairs.append((label.strip(), sentence))
    labels, texts = zip(*pairs, strict=True)
    numbers = np.array([number for number, _ in lines], np.int64)
    return Table(pa.table({"label": pa.array(labels), "text": pa.array(texts)}), 1, numbers)


def squad(path: Path) -> Table | None:
    """Return SQuAD's questions as `question`, `context`, `answers` (with "text" and "answer_start") and `id`."""
    text = _text(path, (".json",))
    if text is None:
        return None
    try:
        read = json.loads(text)
    except json.JSONDecodeError:
        return None  # JSON Lines, perhaps
    if not isinstance(read, dict) or "data" not in read:
        return None
    try:
        rows = [row for article in read["data"] for paragraph in article["paragraphs"] for row in _questions(paragraph)]
    except (KeyError, TypeError) as error:
        raise TaskError(
            f"{path}: is not SQuAD's JSON: {error} is missing or of another kind; compare it with SQuAD 2.0"
        ) from None
    answer = pa.struct({"text": pa.string(), "answer_start": pa.int64()})
    schema = {"id": pa.string(), "question": pa.string(), "context": pa.string(), "answers": pa.list_(answer)}
    return Table(pa.Table.from_pylist(rows, pa.schema(schema)), None, np.arange(len(rows)))


def titles(path: Path) -> Table | None:
    """Return the titles of a published corpus as `first`, and the beginnings of their texts, without the title, as `second`.

    Documents without a title, or without text beside it, are left out. Raises TaskError if none is left.
    """
    if not path.is_dir():
        return None
    release, folder = path / manifest.RELEASE, path
    if release.exists():
        named = json.loads(release.read_text(encoding="utf-8")).get("corpus")
        if named is None:
            raise TaskError(f"{release}: names no corpus; build it, or name a file of pairs")
        folder = path / named
    corpus = manifest.read(str(folder))
    pairs: list[tuple[str, str]] = []
    for part in corpus.of("documents"):
        for batch in read_batches(str(folder / part.path), ["title", "text"]):
            texts = pc.utf8_slice_codeunits(batch["text"], 0, _BEGINNING)
            pairs += zip(batch["title"].to_pylist(), texts.to_pylist(), strict=True)
    made = [(title.strip(), text.removeprefix(title).strip()) for title, text in pairs if title]
    kept = np.array([number for number, (title, text) in enumerate(made) if title and text], np.int64)
    if not len(kept):
        raise TaskError(f"{folder}: no document has a title and a text under it; name a corpus that has, or a file of pairs")
    columns = {"first": [made[n][0] for n in kept], "second": [made[n][1] for n in kept]}
    return Table(pa.table(columns), None, kept)


def _questions(paragraph: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "id": str(question.get("id", "")),
            "question": question["question"],
            "context": paragraph["context"],
            "answers": [] if question.get("is_impossible") else question["answers"],
        }
        for question in paragraph["qas"]
    ]


def _looks_like_conll(text: str) -> bool:
    """Return whether the first line is a word and a label of named entities, and no names of columns."""
    columns = text.split("\n", 1)[0].split("\t")
    return len(columns) == 2 and (columns[1].strip() == "O" or columns[1][:2] in ("B-", "I-"))


def _ending(path: Path) -> str:
    return path.with_suffix("").suffix.lower() if path.suffix in (".gz", ".zst", ".bz2") else path.suffix.lower()


def _text(path: Path, endings: tuple[str, ...], mended: Callable[[bytes], bytes] = bytes) -> str | None:
    """Return the text of a file, plain or compressed, with one of these endings; None if it has another or is not there."""
    if _ending(path) not in endings or not path.is_file():
        return None
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            return mended(stream.read()).decode("utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise TaskError(f"{path}: cannot be read: {str(error).splitlines()[0]}; store it as UTF-8") from None


_READERS: Mapping[str, Callable[[Path], Table | None]] = {
    "classification": trec,
    "named_entities": conll,
    "relations": semeval,
    "question_answering": squad,
    "similarity": titles,
}
