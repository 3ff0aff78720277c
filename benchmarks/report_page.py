"""The page of a build, written from a corpus of any size: seconds, memory and bytes.

    make bench-report
    make bench-report OPTIONS="--documents 1_000_000 --out FOLDER"

The corpus is synthetic: a few thousand measured texts, written again and again under other ids, of which a tenth is kept. It is
removed at the end. With `--build OUT`, the share of that build's seconds that its page takes is printed as well.
"""

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from reviewed import corpus, document, ledger_of, report  # noqa: E402  # pyright: ignore[reportMissingImports]

from flows.commands.corpora.review import published  # noqa: E402
from flows.pages.corpus.made import BuildFacts, Made, build_facts  # noqa: E402
from flows.pages.corpus.page import report_page  # noqa: E402
from pipelines.contract import manifest  # noqa: E402
from pipelines.contract.manifest import Part  # noqa: E402
from pipelines.release import read_report  # noqa: E402
from pipelines.review.gather import gather  # noqa: E402
from pipelines.units.context import Dataset  # noqa: E402

ROWS_PER_PART = 200_000
WORDS = "the be to of and that have with harbour quiet morning boats side until wind came from south river banks town sleep"
FATES = ("language_unwanted", "language_uncertain", "gopher_word_count", "poor_signs", "gopher_duplicate_lines", "near_duplicate")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=10_000_000)
    parser.add_argument("--build", type=Path, help="an output folder")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="corpusmill-report-"))
    try:
        made = written(folder, options.documents)
        start = time.perf_counter()
        review = gather(made, None)
        gathered = time.perf_counter() - start
        page = report_page(BuildFacts(report(made), Made({}, "", "", 0, ""), {"corpus": made}, review))
        seconds = time.perf_counter() - start
    finally:
        shutil.rmtree(folder)
    megabytes = len(page.encode()) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.documents:,} documents: {gathered:.1f} s to gather, {seconds:.1f} s in all; a page of {megabytes:.2f} MB")
    print(f"peak memory {peak:,.0f} MB, that of the corpus' making included")
    print(f"RESULT\treport_page_megabytes\t{megabytes:.2f}\tMB\t<=5")
    print(f"RESULT\treport_page_documents_per_second\t{options.documents / seconds:.0f}\tdocuments/s\t>=100000")
    if options.build is not None:
        print(f"RESULT\treport_page_share_of_build\t{100 * share_of(str(options.build)):.1f}\t%\t<=5")


def share_of(out: str) -> float:
    """Return the seconds of writing a build's page as a share of those of its datasets."""
    built = published(out)
    start = time.perf_counter()
    build = build_facts(out, read_report(out), built)
    report_page(build)
    seconds = time.perf_counter() - start
    print(f"{out}: {seconds:.2f} s beside {sum(build.made.seconds.values()):.1f} s of its datasets")
    return seconds / sum(build.made.seconds.values())


def written(folder: Path, documents: int) -> Dataset:
    """Write a corpus of this many documents: one in ten is kept."""
    words, rows = WORDS.split(), []
    for n in range(5000):
        dice = np.random.default_rng(n)
        text = "\n".join(" ".join(dice.choice(words, n % 19 + 4)) + "." * (n % 3 > 0) for _ in range(n % 40 + 1))
        facts = {"url": f"https://host{n % 900}.org/{n}", "date": f"{2000 + n % 25}", "language": ("en", "de", "fr", "pl")[n % 4]}
        if n % 10:
            reason = FATES[n % 6]
            stage = "language" if reason.startswith("l") else "deduplicate" if reason.startswith("near") else "quality"
            facts |= {"stage": stage, "reason": reason, "detail": "0.5"}
        rows.append(document(n, text, f"source{n % 3}", **facts))
    small = corpus(folder / "small", rows)
    times = -(-documents // len(rows))
    parts = [part for table in ("documents", "drops") for part in repeated(folder, small, table, times)]
    counted = {name: ledger_of(rows, name, times) for name in small.manifest.ledgers}
    made = small.manifest.model_copy(update={"parts": tuple(parts), "ledgers": counted})
    (folder / "large").mkdir(exist_ok=True)
    (folder / "large" / manifest.MANIFEST).write_text(json.dumps(made.model_dump(mode="json")))
    return Dataset(str(folder / "large"), made)


def repeated(folder: Path, small: Dataset, table: str, times: int) -> list[Part]:
    """Write the rows of a table many times, each time under other ids."""
    rows = pq.read_table(f"{small.uri}/{table}/u.parquet")
    each, parts = max(1, ROWS_PER_PART // rows.num_rows), list[Part]()
    dice = np.random.default_rng(len(table))
    index = rows.schema.get_field_index("id")
    for first in range(0, times, each):
        path = folder / "large" / table / f"u{first:06}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(path, rows.schema) as writer:
            for _ in range(min(each, times - first)):
                ids = pa.FixedSizeBinaryArray.from_buffers(
                    pa.binary(16), rows.num_rows, [None, pa.py_buffer(dice.bytes(16 * rows.num_rows))]
                )
                writer.write_table(rows.set_column(index, rows.schema.field("id"), ids))
        count = rows.num_rows * min(each, times - first)
        parts.append(Part(table=table, unit=path.stem, path=f"{table}/{path.name}", rows=count, bytes=1, sha256="0" * 64))
    return parts


if __name__ == "__main__":
    main()
