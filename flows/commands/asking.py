"""`corpusmill ask`: answer a question from the published corpus of a build."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.commands.arguments import Commands, need, need_torch, output
from training.arguments import add_ask

if TYPE_CHECKING:
    from training.search.asking import Found
    from training.search.passages import Index


def add_commands(commands: Commands) -> None:
    """Add `ask`."""
    ask = commands.add_parser("ask", help="answer a question from the published corpus, with title, URL and sentence")
    add_ask(ask)
    ask.set_defaults(run=_ask)


def _ask(arguments: argparse.Namespace) -> int:
    need_torch()
    need("bm25s", "train", "the search of passages needs bm25s")
    from training.run.device import prepare
    from training.search import asking
    from training.tasks import tuned

    device = prepare(arguments.device, "float32", arguments.threads)
    reader = tuned.load(arguments.reader)
    asking.need(reader, "question_answering", "--reader")
    encoder = tuned.load(arguments.encoder) if arguments.encoder else None
    if encoder is not None:
        asking.need(encoder, "similarity", "--encoder")
    for model in filter(None, (reader, encoder)):
        model.model.to(device.name)
    found = asking.ask(
        _index(output(arguments.out)),
        arguments.question,
        reader,
        device,
        encoder=encoder,
        passages=arguments.passages,
        threshold=arguments.threshold,
    )
    _print(found[: arguments.answers], as_json=arguments.json)
    return 0


def _index(out: str) -> "Index":
    """Return the index of a build's published corpus; it is kept in the build's folder `search`, or in the cache."""
    from pipelines.contract import files, manifest
    from pipelines.contract.storage.cache import cache_for
    from pipelines.contract.tables import read_batches
    from pipelines.release import published_folders
    from training.search.passages import index

    uri = published_folders(out)["corpus"]
    corpus = manifest.read(uri)

    def batches() -> Iterator[Any]:
        for part in corpus.of("documents"):
            yield from read_batches(files.join(uri, part.path), ["title", "url", "text"])

    folder = files.local_path(files.join(out, "search")) if files.is_local(out) else cache_for("search")
    return index(Path(folder), corpus.fingerprint, batches)


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
