import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[3])
SCRIPT = """
import json, sys
import pyarrow as pa
from pipelines.text import kernels
from pipelines.text.copies import shingles

called = sys.argv[1] == "call"
count = 0 if called else kernels.load()
loaded = len(shingles._hashes.overloads)
shingles.hashes(pa.array(["one", "two"]))
misses = sum(shingles._hashes.stats.cache_misses.values())
print(json.dumps({"count": count, "loaded": loaded, "misses": misses}))
"""


def _run(what: str) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, what], stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"PYTHONPATH": ROOT}
    )
    return json.loads(done.stdout)


def test_kernels_that_were_compiled_before_are_loaded_without_a_call() -> None:
    assert _run("call")["loaded"] == 0  # it compiles the kernel if nobody has yet
    found = _run("load")
    assert (found["loaded"], found["misses"]) == (1, 0)
    assert found["count"] >= 1
