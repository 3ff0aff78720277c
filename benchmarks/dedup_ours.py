"""One deduplication by corpusmill, as a process of its own: JSON Lines in, the corpus dataset out; or signatures alone.

    python benchmarks/dedup_ours.py build INPUT OUTPUT WORKERS
    python benchmarks/dedup_ours.py signatures INPUT DOCUMENTS

The last line on stdout is JSON. The steps are the build's own, from the documents to the corpus; language, rules and
classifier are off, and no gate looks at anything.
"""

import gc
import json
import sys
import time
from pathlib import Path

START = time.perf_counter()
CONFIG = """# made by benchmarks/dedup_ours.py
[corpus]
name = "bench"
[[sources]]
name = "records"
kind = "records"
root = "{root}"
snapshot = "bench"
id_field = "id"
[deduplicate]
ngram = 5
bands = 14
rows = 8
[language]
enabled = false
[quality]
rules = []
measure = false
classifier = false
"""


def build(root: str, out: str, workers: int) -> dict[str, object]:
    """Documents, clusters, corpus; seconds by step, from the end of the imports on."""
    from pipelines import config
    from pipelines.corpus import plan
    from pipelines.units.context import Context, Dataset, RunnerOptions

    gc.freeze()  # as flows/commands/main.py does
    imported = time.perf_counter()
    path = Path(out) / "bench.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CONFIG.format(root=root))
    context = Context(config.load(path), out, RunnerOptions(workers=workers))
    built: dict[str, Dataset] = {}
    seconds: dict[str, float] = {}
    for step in plan(context):
        start = time.perf_counter()
        built[step.name] = step.run(built)
        seconds[step.name] = time.perf_counter() - start
        if step.name == "corpus":
            break
    return {
        "imports": imported - START,
        "work": time.perf_counter() - imported,
        "steps": {name: round(taken, 2) for name, taken in seconds.items()},
        "clusters": built["clusters"].uri,
        "corpus": built["corpus"].uri,
    }


def signatures(root: str, documents: int) -> dict[str, object]:
    """Seconds for the signatures of some documents, on one core, once the kernels are compiled."""
    import pyarrow as pa

    from pipelines.text.copies import minhash, shingles

    lines = (line for path in sorted(Path(root).glob("*.jsonl")) for line in path.open(encoding="utf-8"))
    texts = [json.loads(line)["text"] for line, _ in zip(lines, range(documents), strict=False)]

    def sign() -> None:
        for first in range(0, len(texts), 5_000):
            scan = shingles.scan(pa.array(texts[first : first + 5_000]), 5)
            hashes = minhash.narrowed(scan.shingles, "affine32")
            minhash.signatures(hashes, scan.offsets, permutations=112, seed=1, scheme="affine32")

    sign()
    start = time.perf_counter()
    sign()
    return {"documents": len(texts), "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    if sys.argv[1] == "build":
        print(json.dumps(build(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
    else:
        print(json.dumps(signatures(sys.argv[2], int(sys.argv[3]))))
