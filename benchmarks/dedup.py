"""Deduplication side by side: corpusmill, datatrove, rensa and datasketch over the same documents.

    make bench-dedup                                # 34,000 and 340,000 documents
    make bench-dedup OPTIONS="--documents 3400 --large 0"

benchmarks/dedup_corpus.py says how the documents are made and which of them are planted near-duplicates. Timed are whole
processes, from their start to their end, imports included: JSON Lines in, the surviving text out. corpusmill runs twice at
the small size: with an empty folder for what numba compiles (a first run), and again (every later run).

datatrove's time at the large size is ten times its time at the small one (in proportion), unless --full-datatrove is given:
all its steps but one look at each document once. Signatures alone are timed inside a process, on one core, without imports
and compilation, words and n-grams included.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dedup_corpus

from pipelines.contract import files, manifest
from pipelines.contract.schema import document_id
from pipelines.contract.tables import read_batches

ROOT = Path(__file__).resolve().parents[1]
BOOKS = ROOT.parent / "shared" / "data" / "books" / "en"
HERE = Path(__file__).resolve().parent
THRESHOLD = 0.7  # of the configuration; a removal less similar than this less .1 is a false one
SHOWN = 20  # lines of a list
_WORD = re.compile(r"\w+")


@dataclass
class Run:
    """A process that has ended."""

    seconds: float
    peak_mib: float  # of it and its children together
    answer: dict[str, Any] = field(default_factory=dict)


def main() -> None:
    arguments = parsed()
    if not arguments.books.exists():
        sys.exit(f"{arguments.books} is not there; --books names a folder of novels as text files")
    shutil.rmtree(arguments.folder, ignore_errors=True)
    arguments.folder.mkdir(parents=True)
    small = Size(arguments, arguments.documents)
    first = small.ours("first run")
    warm = small.ours("later run")
    found = small.accuracy(warm)
    peers = small.peers()
    signatures = small.signatures()
    large_run, large_found = None, None
    if arguments.large:
        large = Size(arguments, arguments.large)
        large_run = large.ours("later run")
        large_found = large.accuracy(large_run)
        if arguments.full_datatrove:
            peers["datatrove, large"] = large.peer("datatrove", str(arguments.workers))
    report(arguments, first, warm, found, peers, signatures, large_run, large_found)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=34_000)
    parser.add_argument("--large", type=int, default=340_000, help="documents of the large size; 0 leaves it out")
    parser.add_argument("--books", type=Path, default=BOOKS, help="a folder of novels as text files")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--full-datatrove", action="store_true", help="run datatrove at the large size, too (about half an hour)")
    parser.add_argument("--no-peers", action="store_true", help="corpusmill alone")
    parser.add_argument(
        "--peers", type=Path, default=ROOT / ".venv-bench" / "bin" / "python", help="the Python that has the peers"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench-dedup")
    return parser.parse_args()


# Runs


class Size:
    """The documents of one size, and what is run over them."""

    def __init__(self, arguments: argparse.Namespace, documents: int) -> None:
        self.arguments, self.documents = arguments, documents
        self.folder = arguments.folder / str(documents)
        self.input = self.folder / "in"
        start = time.perf_counter()
        self.planted = dedup_corpus.write(arguments.books, self.input, documents)
        say(f"{documents:,} documents written, {self.planted:,} of them planted ({time.perf_counter() - start:.0f} s)")

    def ours(self, name: str) -> Run:
        """Build the corpus into an empty folder; what numba compiles stays for the next run."""
        out = self.folder / "ours"
        shutil.rmtree(out, ignore_errors=True)
        cache = {"NUMBA_CACHE_DIR": str(self.arguments.folder / "compiled")}
        command = [sys.executable, HERE / "dedup_ours.py", "build", self.input, out, self.arguments.workers]
        run = measured(command, cache)
        say(f"corpusmill, {name}: {run.seconds:.1f} s, peak {run.peak_mib:,.0f} MiB, {run.answer['steps']}")
        return run

    def peers(self) -> dict[str, Run]:
        """The whole work of datatrove and of rensa."""
        if self.arguments.no_peers:
            return {}
        return {"datatrove": self.peer("datatrove", str(self.arguments.workers)), "rensa": self.peer("rensa")}

    def peer(self, name: str, *more: str) -> Run:
        """Run one peer, and count the planted copies that it found."""
        out = self.folder / name
        run = measured([self.arguments.peers, HERE / "dedup_peers.py", name, self.input, out, *more], {})
        kept = {json.loads(line)["id"] for path in out.glob("kept*") for line in _lines(path)}
        everything = set(self.ids())
        planted = [identity for identity in everything if identity.startswith("copy-")]
        missed = sum(copy in kept and partner(copy) in kept for copy in planted)
        others = sum(identity not in kept and partner(identity) not in everything for identity in everything)
        run.answer |= {"found": len(planted) - missed, "others": others}
        say(f"{name}: {run.seconds:.1f} s, {len(planted) - missed:,} of {len(planted):,} found, {others:,} others removed")
        return run

    def signatures(self) -> dict[str, float]:
        """Return documents per second of each program."""
        jobs: dict[str, list[Any]] = {"corpusmill": [sys.executable, HERE / "dedup_ours.py", "signatures", self.input, 20_000]}
        if not self.arguments.no_peers:
            for name, documents in (("rensa", 5_000), ("datasketch", 3_000)):
                jobs[name] = [self.arguments.peers, HERE / "dedup_peers.py", f"{name}-signatures", self.input, documents]
        one_thread = {"RAYON_NUM_THREADS": "1", "NUMBA_CACHE_DIR": str(self.arguments.folder / "compiled")}
        rates: dict[str, float] = {}
        for name, command in jobs.items():
            answer = measured(command, one_thread).answer
            rates[name] = answer["documents"] / answer["seconds"]
            say(f"signatures alone, {name}: {rates[name]:,.0f} documents/s")
        return rates

    def ids(self) -> list[str]:
        """Compare what was removed with what was planted."""
        return [json.loads(line)["id"] for path in sorted(self.input.glob("*.jsonl")) for line in _lines(path)]

    def accuracy(self, run: Run) -> dict[str, int]:
        """Compare what corpusmill removed with what was planted; print what is missed and what should not have gone."""
        texts = dedup_corpus.read(self.input)
        names = {document_id("records", name): name for name in texts}
        clusters, corpus = manifest.read(run.answer["clusters"]), manifest.read(run.answer["corpus"])
        removed: dict[str, str] = {}  # by name, the survivor
        for part in clusters.of("clusters"):
            for rows in read_batches(files.join(run.answer["clusters"], part.path)):
                removed |= {names[a]: names[b] for a, b in zip(*(rows[c].to_pylist() for c in ("id", "survivor")), strict=True)}
        kept = sum(part.rows for part in corpus.of("documents"))
        assert kept == len(texts) - len(removed), f"{kept:,} documents out, {len(texts):,} in, {len(removed):,} removed"
        copies = [name for name in texts if name.startswith("copy-")]
        missed = [copy for copy in copies if copy not in removed and partner(copy) not in removed]
        similar = {name: jaccard(texts[name], texts[survivor]) for name, survivor in removed.items()}
        wrong = [name for name, similarity in similar.items() if similarity < THRESHOLD - 0.1]
        others = [name for name, survivor in removed.items() if partner(name) != survivor]
        for copy in missed:
            say(f"  missed: {copy}, Jaccard {jaccard(texts[copy], texts[partner(copy)]):.3f}")
        for name in wrong[:SHOWN]:
            say(f"  FALSE: {name} for {removed[name]}, Jaccard {similar[name]:.3f}")
        for name in others[:SHOWN]:
            say(f"  not planted: {name} for {removed[name]}, Jaccard {similar[name]:.3f}")
        least = min(similar.values(), default=1.0)
        say(
            f"  {len(copies) - len(missed):,} of {len(copies):,} planted pairs found; {len(others):,} other removals;"
            f" least Jaccard of a removed document and its survivor {least:.3f}"
        )
        return {"planted": len(copies), "found": len(copies) - len(missed), "others": len(others), "false": len(wrong)}


def measured(command: list[Any], environment: dict[str, str]) -> Run:
    """Run a process to its end; its last line is what it says."""
    start = time.perf_counter()
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | environment
    )
    peak = Peak(process.pid)
    out, errors = process.communicate()
    seconds = time.perf_counter() - start
    peak.stop()
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit code {process.returncode}\n{errors[-3000:]}")
    return Run(seconds, peak.mib, json.loads(out.splitlines()[-1]))


class Peak:
    """The largest proportional set size of a process and all below it, looked at twice a second (Linux)."""

    def __init__(self, pid: int) -> None:
        self.mib = 0.0
        self._pid, self._stop = pid, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End watching; `mib` is the peak."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            self.mib = max(self.mib, sum(map(_pss_mib, _tree(self._pid))))


def _tree(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue  # it has ended
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _pss_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0  # it has ended
    found = re.search(r"^Pss:\s+(\d+) kB", lines, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


# Texts


def partner(name: str) -> str:
    """The other one of a planted pair."""
    kind, _, number = name.partition("-")
    return f"{'base' if kind == 'copy' else 'copy'}-{number}"


def jaccard(first: str, second: str) -> float:
    """The exact Jaccard similarity of the word 5-grams, computed apart from what is measured."""
    a, b = _shingles(first), _shingles(second)
    return len(a & b) / len(a | b)


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return {tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))}


def _lines(path: Path) -> list[str]:
    files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    return [line for file in files for line in file.read_text(encoding="utf-8").split("\n") if line]


# The table


def report(
    arguments: argparse.Namespace,
    first: Run,
    warm: Run,
    found: dict[str, int],
    peers: dict[str, Run],
    signatures: dict[str, float],
    large: Run | None,
    large_found: dict[str, int] | None,
) -> None:
    scale = arguments.large / arguments.documents
    print(f"\n{arguments.documents:,} documents of 500 words, {arguments.workers} workers; this machine: {os.cpu_count()} cores")
    print(f"{'whole process':<36}{'seconds':>9}{'found':>9}{'peak MiB':>10}")
    rows = [("corpusmill, first run (compiles)", first, found["found"]), ("corpusmill, later runs", warm, found["found"])]
    rows += [(name, run, run.answer["found"]) for name, run in peers.items()]
    if large is not None and large_found is not None:
        rows.append((f"corpusmill, {arguments.large:,} documents", large, large_found["found"]))
    for name, run, right in rows:
        print(f"{name:<36}{run.seconds:>9.1f}{right:>9,}{run.peak_mib:>10,.0f}")
    print(f"{'signatures alone, one core':<36}{'documents/s':>12}")
    for name, rate in signatures.items():
        print(f"{name:<36}{rate:>12,.0f}")

    datatrove = peers.get("datatrove")
    if datatrove is not None:
        result("dedup_vs_datatrove", datatrove.seconds / warm.seconds, "x", ">=15")
        result("dedup_vs_datatrove_first_run", datatrove.seconds / first.seconds, "x", "-")
        if large is not None:
            full = peers.get("datatrove, large")
            seconds = full.seconds if full is not None else datatrove.seconds * scale
            print("datatrove at the large size: " + ("measured" if full is not None else "in proportion, not measured"))
            result("dedup_vs_datatrove_340k", seconds / large.seconds, "x", ">=20")
        result("dedup_vs_rensa", peers["rensa"].seconds / warm.seconds, "x", "-")
        result("signatures_vs_datasketch", signatures["corpusmill"] / signatures["datasketch"], "x", ">=5")
        result("signatures_vs_rensa", signatures["corpusmill"] / signatures["rensa"], "x", ">=2")
    both = [found, *([large_found] if large_found is not None else [])]
    result("planted_found", min(counts["found"] / counts["planted"] for counts in both), "share", ">=0.999", digits=5)
    result("false_removals", sum(counts["false"] for counts in both), "documents", "0", digits=0)
    result("peak_mib_34k", warm.peak_mib, "MiB", "-", digits=0)
    if large is not None:
        result("peak_mib_340k", large.peak_mib, "MiB", "-", digits=0)
        result("time_ratio_340k_per_34k", large.answer["work"] / (scale * warm.answer["work"]), "x", "about 1")


def result(name: str, value: float, unit: str, goal: str, digits: int = 2) -> None:
    print(f"RESULT\t{name}\t{value:.{digits}f}\t{unit}\t{goal}")


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
