"""The peers of benchmarks/dedup.py, each as a process of its own, in a virtual environment of its own (extra `bench`).

    python benchmarks/dedup_peers.py datatrove INPUT OUTPUT WORKERS
    python benchmarks/dedup_peers.py rensa INPUT OUTPUT
    python benchmarks/dedup_peers.py rensa-signatures | datasketch-signatures INPUT DOCUMENTS

The last line on stdout is JSON. All with 14 bands of 8 rows (112 permutations) over word 5-grams. What a peer does not do
itself (words, n-grams) is done in the plainest Python: split and join.
"""

# pyright: reportMissingImports=false
# The peers are installed in another environment.

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PERMUTATIONS, BANDS, NGRAM, THRESHOLD = 112, 14, 5, 0.7


def datatrove(root: str, out: str, workers: int) -> dict[str, object]:
    """The four steps of datatrove's examples/minhash_deduplication.py, a task a file; JSON Lines out, not compressed."""
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    config = MinhashConfig(n_grams=NGRAM, num_buckets=BANDS, hashes_per_bucket=PERMUTATIONS // BANDS)
    files = len(list(Path(root).glob("*.jsonl")))
    reader = JsonlReader(root, glob_pattern="*.jsonl")
    signatures, buckets, removed = f"{out}/signatures", f"{out}/buckets", f"{out}/removed"
    steps = [
        (files, workers, [reader, MinhashDedupSignature(output_folder=signatures, config=config)]),
        (BANDS, workers, [MinhashDedupBuckets(input_folder=signatures, output_folder=buckets, config=config)]),
        (1, 1, [MinhashDedupCluster(input_folder=buckets, output_folder=removed, config=config)]),
        (files, workers, [reader, MinhashDedupFilter(input_folder=removed), JsonlWriter(f"{out}/kept", compression=None)]),
    ]
    seconds: list[float] = []
    for number, (tasks, processes, pipeline) in enumerate(steps):
        start = time.perf_counter()
        LocalPipelineExecutor(pipeline=pipeline, tasks=tasks, workers=processes, logging_dir=f"{out}/logs-{number}").run()
        seconds.append(round(time.perf_counter() - start, 2))
    return {"steps": dict(zip(("signatures", "buckets", "cluster", "filter"), seconds, strict=True))}


def rensa(root: str, out: str) -> dict[str, object]:
    """The streaming deduplicator of rensa: the first of some similar documents stays."""
    from rensa import RMinHash, RMinHashDeduplicator

    index = RMinHashDeduplicator(threshold=THRESHOLD, num_perm=PERMUTATIONS, use_lsh=True, num_bands=BANDS, seed=1)
    Path(out).mkdir(parents=True, exist_ok=True)
    with (Path(out) / "kept.jsonl").open("w", encoding="utf-8") as kept:
        for line in _lines(root):
            row = json.loads(line)
            sketch = RMinHash(PERMUTATIONS, 1)
            sketch.update(_ngrams(row["text"]))
            if index.add(row["id"], sketch):
                kept.write(line)
    return {}


def rensa_signatures(root: str, documents: int) -> dict[str, object]:
    """The faster of rensa's two ways to full MinHash signatures: a document at a time, and many at once."""
    from rensa import RMinHash

    def each(texts: list[str]) -> None:
        for text in texts:
            sketch = RMinHash(PERMUTATIONS, 1)
            sketch.update(_ngrams(text))
            sketch.digest()

    def many(texts: list[str]) -> None:
        for first in range(0, len(texts), 1_000):
            RMinHash.digest_matrix_from_token_sets([_ngrams(t) for t in texts[first : first + 1_000]], PERMUTATIONS, 1)

    texts = _texts(root, documents)
    return {"documents": len(texts), "seconds": min(_timed(each, texts), _timed(many, texts))}


def datasketch_signatures(root: str, documents: int) -> dict[str, object]:
    """As in datasketch's documentation: a MinHash a document, updated with all its shingles at once."""
    from datasketch import MinHash

    def each(texts: list[str]) -> None:
        for text in texts:
            sketch = MinHash(num_perm=PERMUTATIONS, seed=1, scheme="affine32")
            sketch.update_batch([shingle.encode() for shingle in _ngrams(text)])

    texts = _texts(root, documents)
    return {"documents": len(texts), "seconds": _timed(each, texts)}


def _ngrams(text: str) -> list[str]:
    words = text.split()
    return [" ".join(words[i : i + NGRAM]) for i in range(max(1, len(words) - NGRAM + 1))]


def _lines(root: str) -> Iterator[str]:
    for path in sorted(Path(root).glob("*.jsonl")):
        with path.open(encoding="utf-8") as stream:
            yield from stream


def _texts(root: str, documents: int) -> list[str]:
    return [json.loads(line)["text"] for line, _ in zip(_lines(root), range(documents), strict=False)]


def _timed(function: Callable[[list[str]], None], texts: list[str]) -> float:
    function(texts[:10])
    start = time.perf_counter()
    function(texts)
    return time.perf_counter() - start


if __name__ == "__main__":
    name, root, argument, *more = sys.argv[1:]
    if name == "datatrove":
        print(json.dumps(datatrove(root, argument, int(more[0]))))
    elif name == "rensa":
        print(json.dumps(rensa(root, argument)))
    else:
        chosen = {"rensa-signatures": rensa_signatures, "datasketch-signatures": datasketch_signatures}[name]
        print(json.dumps(chosen(root, int(argument))))
