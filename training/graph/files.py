"""Write a graph: JSON Lines for programs, GraphML (graphml.graphdrawing.org) for Gephi, Cytoscape, yEd and networkx."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from training.graph.triples import Graph

_NODE: Mapping[str, str] = {"name": "string", "type": "string", "count": "long", "documents": "long", "confidence": "double"}
_EDGE: Mapping[str, str] = {
    "relation": "string",
    "confidence": "double",
    "count": "long",
    "sentence": "string",
    "title": "string",
    "url": "string",
    "document": "string",
}
_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2; and \r, which parsers make \n


def write(folder: Path, graph: Graph, summary: Mapping[str, Any]) -> None:
    """Write entities.jsonl, triples.jsonl, graph.graphml and summary.json."""
    _write_lines(folder / "entities.jsonl", graph.entity_rows())
    _write_lines(folder / "triples.jsonl", graph.triple_rows())
    with (folder / "graph.graphml").open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(graphml(graph))
    (folder / "summary.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def graphml(graph: Graph) -> Iterator[str]:
    r"""Yield the lines of a directed graph: a node for each entity, an edge for each triple, with its most probable sentence.

    A character that XML 1.0 does not allow is written as its number: \x0b.
    """
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n'
    for kind, fields in (("node", _NODE), ("edge", _EDGE)):
        for name, type in fields.items():
            yield f'<key id="{kind}-{name}" for="{kind}" attr.name="{name}" attr.type="{type}"/>\n'
    yield '<graph edgedefault="directed">\n'
    numbers = {key: number for number, key in enumerate(graph.ordered_entities())}
    for number, row in enumerate(graph.entity_rows()):
        yield f'<node id="n{number}">{_data("node", _NODE, row)}</node>\n'
    for number, (((subject, _, object_), _), row) in enumerate(zip(graph.ordered(), graph.triple_rows(), strict=True)):
        ends = f'source="n{numbers[subject]}" target="n{numbers[object_]}"'
        best = {**row["sentences"][0], **row}
        yield f'<edge id="e{number}" {ends}>{_data("edge", _EDGE, best)}</edge>\n'
    yield "</graph>\n</graphml>\n"


def _data(kind: str, fields: Mapping[str, str], row: Mapping[str, Any]) -> str:
    texts = {name: _NOT_XML.sub(_number, str(row[name])) for name in fields if row[name] is not None}
    return "".join(f"<data key={quoteattr(f'{kind}-{name}')}>{escape(text)}</data>" for name, text in texts.items())


def _number(character: "re.Match[str]") -> str:
    code = ord(character.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
