"""Files that are not tables: those in which the data sets of some tasks are published.

    named_entities      CoNLL: a word and its label on each line, a blank line between sentences -> words, labels
    relations           SemEval-2010 task 8: label TAB sentence, without names of columns -> label, text
    question_answering  SQuAD's JSON, versions 1.1 and 2.0 -> question, context, answers, id

Tables (JSON Lines, CSV, TSV, Parquet) are read by records.py for every task.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.tasks.errors import TaskError

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


def _text(path: Path, endings: tuple[str, ...]) -> str | None:
    """Return the text of a file, plain or compressed, with one of these endings; None if it has another or is not there."""
    if _ending(path) not in endings or not path.exists():
        return None
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            return stream.read().decode("utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise TaskError(f"{path}: cannot be read: {str(error).splitlines()[0]}; store it as UTF-8") from None


_READERS: Mapping[str, Callable[[Path], Table | None]] = {
    "named_entities": conll,
    "relations": semeval,
    "question_answering": squad,
}
