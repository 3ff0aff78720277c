"""Our own extraction, from the bytes of a WARC file to normalised text: texts, user CPU time, its parts, and a soak."""

import os
import random
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from build import warc_record
from fastwarc.warc import WarcRecordType

from pipelines.config import LinesSection, NormalizeSection, SourceSection
from pipelines.contract import files
from pipelines.contract.batch import Batch
from pipelines.sources.collector import Record
from pipelines.sources.web import archive, common_crawl, http_message, says
from pipelines.sources.web.warc import WholeRecord
from pipelines.stages import lines, normalize
from pipelines.stages.base import Stages
from pipelines.text.characters.code_spaces import without_stand_ins
from pipelines.text.extraction import html, visible
from pipelines.text.extraction.extractors import EXTRACTORS
from pipelines.text.extraction.pages import forest, masks, structure
from pipelines.text.extraction.pages.blocks import blocks
from pipelines.text.extraction.pages.extract import kept_nodes
from pipelines.text.extraction.pages.features import features
from pipelines.text.extraction.pages.tree import Tree, parse
from pipelines.text.extraction.pages.verdict import judge
from pipelines.units.descriptor import Unit

Value = TypeVar("Value")
KIND = "common_crawl"
RECORDS_PER_FILE = 1000  # of a soak
SOAK_BYTES = 24_000  # pages of a soak are no larger: what may leak, leaks by the record


@dataclass(frozen=True, slots=True)
class Whole:
    """What a read of one file gave, in user CPU seconds."""

    texts: dict[str, str]  # by URL
    seconds: float


def whole(pages: Path, extractor: str, *, markdown: bool = False) -> Whole:
    """Read a WARC file as a build does: records, decoding, extraction, normalisation, lines."""
    texts, seconds = timed(
        lambda: {url: text for batch in batches(pages, extractor, markdown=markdown) for url, text in rows(batch)}
    )
    return Whole(texts, seconds)


def parts(pages: Path, extractor: str) -> dict[str, float]:
    """Return CPU seconds of each part, page by page; `whole` has run before, so that everything is compiled."""
    watch = Stopwatch()
    with EXTRACTORS[extractor].opened() as extract:
        bodies = responses(pages)
        while (response := watch("records", lambda: next(bodies, None))) is not None:
            url, body, charset = response
            markup = without_stand_ins(watch("decode", html.decode_html, body, charset) or "")
            tree = watch("tree", parse, markup.encode("utf-8", "replace"))
            record = Record(key=url, origin=url, text="", url=url)
            watch("about", says.describe, record, tree)
            if extractor == "corpusmill":
                kernels(watch, tree)
            else:
                watch("visible", visible.visible_characters, markup)
                watch("extract", extract, markup, tree)
    read = list(common_crawl.read(*section_and_unit(pages, extractor)))
    normalized = watch("normalize", lambda: list(map(stages(extractor, "normalize"), read)))
    watch("lines", lambda: list(map(stages(extractor, "lines"), normalized)))
    return watch.seconds


def kernels(watch: "Stopwatch", tree: Tree) -> None:
    """Run the kernels of the page model on a page, one by one."""
    model = forest.default()
    found = watch("blocks", blocks, tree)
    matrix, places = watch("features", features, tree, found, model.lexicon)
    probabilities = watch("scores", masks.scores, model.masks, matrix)
    verdict = watch("verdict", judge, found.counts, probabilities, places)
    watch("text", lambda: structure.write(tree, kept_nodes(tree, found, verdict.kept)))


class Stopwatch:
    """Sums the CPU time of calls by the name of their part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def __call__(self, part: str, function: Callable[..., Value], *arguments: Any) -> Value:
        """Call the function and add its time."""
        start = time.process_time()
        value = function(*arguments)
        self.seconds[part] += time.process_time() - start
        return value


def responses(pages: Path) -> Iterator[tuple[str, bytes, str | None]]:
    """Yield URL, body and declared charset of every response of a WARC file."""
    with files.reading(str(pages)) as stored, archive.opened(stored, pages.stat().st_size) as opened:
        for item in opened.records():
            if isinstance(item, WholeRecord) and item.kind == WarcRecordType.response:
                head = http_message.parse_head(item.block)
                body = http_message.body(item.block, head, html.MAX_BYTES)
                yield item.headers["warc-target-uri"].strip("<> "), body, head.charset


def batches(pages: Path, extractor: str, *, markdown: bool = False) -> Iterator[Batch]:
    """Yield the documents of a WARC file, normalised and without the lines around their running text."""
    read = common_crawl.read(*section_and_unit(pages, extractor, markdown=markdown))
    yield from map(stages(extractor, "normalize", "lines"), read)


def section_and_unit(pages: Path, extractor: str, *, markdown: bool = False) -> tuple[SourceSection, Unit]:
    """Return a source of one file, and its unit."""
    source = {"name": "bench", "kind": KIND, "root": str(pages.parent), "paths": (pages.name,), "snapshot": "x"}
    section = SourceSection.model_validate({**source, "extractor": extractor, "format": "markdown" if markdown else "text"})
    (unit,) = common_crawl.units(section)
    return section, unit


def stages(extractor: str, *names: str) -> Callable[[Batch], Batch]:
    """Return stages of a build, one after the other."""
    chosen = {
        "normalize": normalize.stage(NormalizeSection(), KIND),
        "lines": lines.stage(LinesSection(), only_wet=extractor == "corpusmill"),
    }
    return Stages(tuple(chosen[name] for name in names)).open()("", "")


def rows(batch: Batch) -> Iterable[tuple[str, str]]:
    return zip(batch.documents["url"].to_pylist(), batch.documents["text"].to_pylist(), strict=True)


def timed(function: Callable[[], Value]) -> tuple[Value, float]:
    """Return what a function returns, and the user CPU seconds that it took with the processes that it started and awaited."""
    start = os.times()
    value = function()
    end = os.times()
    return value, end.user - start.user + end.children_user - start.children_user


def soak(pages: list[tuple[str, bytes]], records: int, folder: Path, extractor: str) -> list[tuple[int, float]]:
    """Read so many records of damaged small pages; return the resident memory in MB by records read.

    Each record is a page with a few of its parts cut out, doubled or overwritten with random bytes.
    """
    small = sorted(pages, key=lambda page: len(page[1]))
    small = [page for page in small if len(page[1]) <= SOAK_BYTES] or small[:20]
    generator = random.Random(0)
    path, measured, done = folder / "soak.warc", list[tuple[int, float]](), 0
    while done < records:
        count = min(RECORDS_PER_FILE, records - done)
        with path.open("wb") as target:
            for number in range(done, done + count):
                url, body = generator.choice(small)
                target.write(warc_record(f"{number:012}", url, damaged(body, generator)))
        for _ in batches(path, extractor):
            pass
        done += count
        measured.append((done, resident_mb()))
    path.unlink()
    return measured


def damaged(page: bytes, generator: random.Random) -> bytes:
    """Return a page with one to five of its parts cut out, doubled or overwritten."""
    for _ in range(generator.randint(1, 5)):
        start = generator.randrange(len(page) + 1)
        part = page[start : start + generator.randint(1, 400)]
        instead = generator.choice((b"", part + part, generator.randbytes(len(part))))
        page = page[:start] + instead + page[start + len(part) :]
    return page


def resident_mb() -> float:
    """Return the resident memory of this process in MB; where /proc is missing, the highest so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return pages * resource.getpagesize() / 1e6
