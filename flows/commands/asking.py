"""What fine-tuned models find in the published corpus of a build: `ask` answers a question, `graph` collects relations."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.commands.arguments import Command, Commands, add_all, need, need_torch, output
from pipelines.contract.errors import UserError
from training.arguments import add_ask, add_graph

if TYPE_CHECKING:
    from pipelines.contract.manifest import Manifest
    from training.graph.reading import Counts
    from training.search.asking import Found
    from training.search.passages import Index


def add_commands(commands: Commands) -> None:
    """Add `ask` and `graph`."""
    add_all(commands, _COMMANDS)


def _ask(arguments: argparse.Namespace) -> int:
    need_torch()
    need("bm25s", "train", "the search of passages needs bm25s")
    from training.run.device import prepare
    from training.search import asking
    from training.tasks import tuned

    device = prepare(arguments.device, "float32", arguments.threads)
    reader = tuned.load_for(arguments.reader, "question_answering", "--reader")
    encoder = tuned.load_for(arguments.encoder, "similarity", "--encoder") if arguments.encoder else None
    for model in filter(None, (reader, encoder)):
        model.model.to(device.name)
    index = index_of(output(arguments.out))
    found = asking.ask(
        index,
        arguments.question,
        reader,
        device,
        encoder=None if encoder is None else asking.encoder_of(index, encoder, device),
        passages=arguments.passages,
        threshold=arguments.threshold,
    )
    _print(found[: arguments.answers], as_json=arguments.json)
    return 0


def index_of(out: str) -> "Index":
    """Return the index of a build's published corpus; it is kept in the build's folder `search`, or in the cache."""
    from pipelines.contract import files
    from pipelines.contract.storage.cache import cache_for
    from training.search.passages import index

    uri, corpus = _published(out)
    folder = files.local_path(files.join(out, "search")) if files.is_local(out) else cache_for("search")
    return index(Path(folder), corpus.fingerprint, lambda: _documents(uri, corpus, ["title", "url", "text"]))


def _published(out: str) -> "tuple[str, Manifest]":
    """Return the published corpus of a build and its manifest. Raises UserError if there is none."""
    from pipelines.contract import manifest
    from pipelines.release import published_folders

    folders = published_folders(out)
    if "corpus" not in folders:
        raise UserError(f"{out}: its release has no corpus; build it again, or name another folder")
    return folders["corpus"], manifest.read(folders["corpus"])


def _documents(uri: str, corpus: "Manifest", columns: Sequence[str]) -> Iterator[Any]:
    """Yield the documents of a corpus as record batches."""
    from pipelines.contract import files
    from pipelines.contract.tables import read_batches

    for part in corpus.of("documents"):
        yield from read_batches(files.join(uri, part.path), columns)


def _print(found: "list[Found]", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(one) for one in found], ensure_ascii=False))
        return
    if not found:
        print("no answer")
    for number, one in enumerate(found):
        sentence = " ".join(f"{one.before}[{one.answer}]{one.after}".split())
        print("\n" * (number > 0) + f"{one.answer}  (probability {one.probability:.2f})\n{sentence}")
        print(f"{one.title or 'without a title'}  {one.url or 'without a URL'}")


def _graph(arguments: argparse.Namespace) -> int:
    need_torch()
    from pipelines.contract.new_folder import is_taken, new_folder
    from training.graph import files, reading
    from training.run.device import prepare
    from training.tasks import tuned

    out = output(arguments.out)
    if is_taken(out):
        raise UserError(f"{out}: is not empty; name a new folder with --out")
    uri, corpus = _published(output(arguments.build))
    device = prepare(arguments.device, "float32", arguments.threads)
    entities = tuned.load_for(arguments.entities, "named_entities", "--entities")
    relations = tuned.load_for(arguments.relations, "relations", "--relations")
    for model in (entities, relations):
        model.model.to(device.name)
    readers = reading.Readers(entities, relations, device, arguments.least_confidence)
    graph, counts = None, None
    for graph, counts in reading.read(_documents(uri, corpus, reading.COLUMNS), readers, arguments.sentences, arguments.limit):
        print(
            f"{counts.sentences:,} sentences, {len(graph.entities):,} entities, {len(graph.triples):,} triples", file=sys.stderr
        )
    if graph is None or counts is None or not graph.entities:
        sentences = 0 if counts is None else counts.sentences
        raise reading.GraphError(
            f"{uri}: no entities were found in {sentences:,} sentences; lower --least-confidence, read more documents, or name "
            "another run in --entities"
        )
    summary = {"entities": len(graph.entities), "triples": len(graph.triples), **asdict(counts)}
    with new_folder(out) as folder:
        files.write(folder, graph, summary)
    _print_counts(counts, len(graph.entities), len(graph.triples), arguments.out)
    return 0


def _print_counts(counts: "Counts", entities: int, triples: int, out: str) -> None:
    print(
        f"{out}: {entities:,} entities, {triples:,} triples from {counts.sentences:,} sentences of {counts.documents:,} documents"
    )
    left_out = {
        "sentences longer than the entities' model, read in windows that overlap": counts.sentences_in_windows,
        "sentences with a word longer than the entities' model, whose end was not read": counts.sentences_with_cropped_words,
        "pairs in sentences longer than the relations' model, read around both entities": counts.cropped_pairs,
        "pairs left out: too many entities between them": counts.distant_pairs,
        "pairs without a relation": counts.unrelated_pairs,
        "entities left out: below --least-confidence": counts.improbable_mentions,
        "relations left out: below --least-confidence": counts.improbable_relations,
    }
    for what, count in left_out.items():
        if count:
            print(f"  {count:,} {what}")


_COMMANDS = (
    Command("ask", "answer a question from the published corpus, with title, URL and sentence", add_ask, _ask),
    Command("graph", "collect entities and relations of the published corpus, with their sentences", add_graph, _graph),
)
