"""Mutation testing: change one thing in a module and see whether a test fails. `make mutants` runs all areas.

    python tests/mutants/run.py                       # a sample of every area of areas.toml
    python tests/mutants/run.py --area ledger --all   # every mutant of one area

Mutants come from cosmic-ray. Each runs in a process forked from one that has the heavy packages loaded, in a copy of the
repository, with the tests of its area, until the first failure. A mutant that is in judged.toml (with the reason why no test can
or need notice it) is counted apart. The report lists every other survivor as a diff.

Mutants are not made of annotations, decorators and strings: what they change is checked by pyright or decides nothing.
The sample is drawn from a fixed seed, so that a run can be compared with the one before.
"""

import argparse
import ast
import contextlib
import difflib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import Queue
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PRELOADED = (
    "numba",
    "numpy",
    "pyarrow.parquet",
    "pytest",
    "sentencepiece",
    "tokenizers",
    "torch",
)
SKIPPED_OPERATORS = ("core/RemoveDecorator", "core/VariableInserter", "core/VariableReplacer")
SLOWEST = 10.0  # times as long as the unmutated tests: then the mutant is taken for an endless loop, and killed
SEED = 17


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    area: str
    module: str
    operator: str
    occurrence: int
    line: int

    @property
    def name(self) -> str:
        return f"{self.module}:{self.line} {self.operator.removeprefix('core/')} {self.occurrence}"


@dataclass(frozen=True)
class Area:
    """Modules, and the tests that have to notice their mutants."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]


def areas() -> list[Area]:
    tables = tomllib.loads((HERE / "areas.toml").read_text())
    return [Area(name, tuple(_modules(table["modules"])), tuple(table["tests"])) for name, table in tables.items()]


def _modules(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        if path.endswith(".py"):
            yield path
        else:
            found = sorted((ROOT / path).rglob("*.py"))
            yield from (p.relative_to(ROOT).as_posix() for p in found if p.name != "__init__.py")


def mutants(area: Area) -> list[Mutant]:
    """Every mutant of an area, in the order of its modules and their lines."""
    from cosmic_ray.ast import ast_nodes, get_ast_from_path
    from cosmic_ray.plugins import get_operator, operator_names

    every: list[Mutant] = []
    for module in area.modules:
        tree = get_ast_from_path(ROOT / module)
        silent = _silent_lines(ROOT / module)
        for name in sorted(operator_names()):
            if name in SKIPPED_OPERATORS or get_operator(name).arguments():
                continue
            operator = get_operator(name)()
            places = (place for node in ast_nodes(tree) for place in operator.mutation_positions(node))
            for occurrence, (start, _end) in enumerate(places):
                if not any(first <= start < last for first, last in silent):
                    every.append(Mutant(area.name, module, name, occurrence, start[0]))
    return sorted(every, key=lambda m: (m.module, m.line, m.operator, m.occurrence))


def _silent_lines(path: Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Spans (line, column) of annotations and decorators."""
    spans: list[ast.expr] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            spans += [*node.decorator_list, *([node.returns] if node.returns else [])]
        elif isinstance(node, ast.ClassDef):
            spans += node.decorator_list
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            spans.append(node.annotation)
    return [((s.lineno, s.col_offset), (s.end_lineno or s.lineno, s.end_col_offset or 0)) for s in spans]


class Copy:
    """A copy of the repository in which one mutant at a time lives, with its own cache of compiled kernels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for path in listed.stdout.splitlines():
            if (ROOT / path).is_file():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, folder / path)
        if (ROOT.parent / "shared").is_dir():
            (folder.parent / "shared").unlink(missing_ok=True)
            (folder.parent / "shared").symlink_to(ROOT.parent / "shared")
        self.kernels = folder / ".kernels"

    def run(self, tests: Sequence[str], limit_seconds: float) -> tuple[int, float]:
        """The exit code of pytest (-9 beyond the limit), and the seconds that it took."""
        begin = time.monotonic()
        child = os.fork()
        if child == 0:
            self._child(tests)
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            seconds = time.monotonic() - begin
            if done:
                _end_group(child)
                return os.waitstatus_to_exitcode(status), seconds
            if seconds > limit_seconds:
                _end_group(child)
                os.waitpid(child, 0)
                return -9, seconds
            time.sleep(0.02)

    def _child(self, tests: Sequence[str]) -> None:
        """Run the tests in a forked process, which ends here."""
        code = 70
        try:
            os.setsid()
            os.chdir(self.folder)
            output = os.open(self.folder / ".output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.environ |= {"PYTHONPATH": str(self.folder), "NUMBA_CACHE_DIR": str(self.kernels), "PYTHONDONTWRITEBYTECODE": "1"}
            import numba
            import pytest

            numba.config.reload_config()  # pyright: ignore
            sys.dont_write_bytecode = True
            sys.path.insert(0, str(self.folder))
            code = int(
                pytest.main(
                    [
                        "-x",
                        "-q",
                        "-p",
                        "no:cacheprovider",
                        "-p",
                        "no:xdist",
                        "-W",
                        "ignore::pytest.PytestAssertRewriteWarning",
                        f"--rootdir={self.folder}",
                        *tests,
                    ]
                )
            )
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def try_mutant(self, mutant: Mutant, area: Area, limit_seconds: float) -> dict[str, Any]:
        """Whether the tests of its area notice a mutant."""
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        path = self.folder / mutant.module
        before = path.read_text()
        stamp = path.stat().st_mtime_ns
        after = mutate_code(before, get_operator(mutant.operator)(), mutant.occurrence)
        assert after is not None, mutant
        kernels = "njit" in before or "jit" in before
        kept = self.folder / ".kernels-kept"
        if kernels:  # numba looks at a kernel's own file only: kernels that call a mutated one are compiled again, too
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(self.kernels, kept) if self.kernels.exists() else kept.mkdir()
            stems = {Path(module).stem for module in area.modules}
            for compiled in self.kernels.rglob("*.nbi"):
                if compiled.name.split(".")[0] in stems:
                    compiled.unlink()
        path.write_text(after)
        try:
            code, seconds = self.run(area.tests, limit_seconds)
        finally:
            path.write_text(before)
            os.utime(path, ns=(stamp, stamp))
            if kernels:
                shutil.rmtree(self.kernels, ignore_errors=True)
                kept.rename(self.kernels)
        diff = [
            line
            for line in difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
            if line[:2] not in ("--", "++", "@@")
        ]
        return {**asdict(mutant), "name": mutant.name, "code": code, "seconds": round(seconds, 1), "diff": diff}


def _end_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def judged() -> dict[tuple[str, str, str], str]:
    """The reason why a mutant need not be killed, by module, removed line and added line."""
    path = HERE / "judged.toml"
    entries = tomllib.loads(path.read_text()).get("mutant", []) if path.exists() else []
    return {(entry["module"], entry["before"], entry["after"]): entry["reason"] for entry in entries}


def _key(result: dict[str, Any]) -> tuple[str, str, str]:
    before = " ".join(line[1:].strip() for line in result["diff"] if line.startswith("-"))
    after = " ".join(line[1:].strip() for line in result["diff"] if line.startswith("+"))
    return result["module"], before, after


_COPY: Copy  # of this worker process


def _start_worker(folders: "Queue[Path]") -> None:
    global _COPY
    _COPY = Copy(folders.get())


def _baseline(area: Area) -> float:
    """The seconds that an area's tests take without a mutant. Raises SystemExit if they fail."""
    for _ in range(2):  # the second run finds every kernel compiled
        code, seconds = _COPY.run(area.tests, 3600)
        if code:
            raise SystemExit(f"{area.name}: its tests fail without a mutant:\n{(_COPY.folder / '.output').read_text()[-3000:]}")
    return seconds


def _share(area: Area, mutants: Sequence[Mutant]) -> list[dict[str, Any]]:
    """What one worker process tries."""
    if not mutants:
        return []
    limit = 30 + SLOWEST * _baseline(area)
    return [_COPY.try_mutant(mutant, area, limit) for mutant in mutants]


def run_area(area: Area, chosen: Sequence[Mutant], pool: ProcessPoolExecutor, workers: int) -> list[dict[str, Any]]:
    """Try mutants of an area, each worker process a share of them."""
    shares = [pool.submit(_share, area, chosen[worker::workers]) for worker in range(workers)]
    results = [result for share in shares for result in share.result()]
    return sorted(results, key=lambda result: (result["module"], result["line"], result["name"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--area", action="append", help="of areas.toml; all by default")
    parser.add_argument("--sample", type=int, default=40, help="mutants of each area, 40 by default")
    parser.add_argument("--all", action="store_true", help="every mutant")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mutants")
    arguments = parser.parse_args()
    for package in PRELOADED:
        __import__(package)
    import torch

    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    reasons, results, lines = judged(), list[dict[str, Any]](), list[str]()
    context = multiprocessing.get_context("fork")  # each worker is one thread, so that it can fork
    folders: Queue[Path] = context.Queue()
    for worker in range(arguments.workers):
        folders.put(arguments.out / f"copy-{worker}" / "main")
    with ProcessPoolExecutor(arguments.workers, context, _start_worker, (folders,)) as pool:
        for area in (area for area in areas() if not arguments.area or area.name in arguments.area):
            every = mutants(area)
            drawn = every if arguments.all else random.Random(SEED).sample(every, min(arguments.sample, len(every)))
            tried = run_area(area, sorted(drawn, key=lambda m: (m.module, m.line)), pool, arguments.workers)
            results += tried
            (arguments.out / "results.json").write_text(json.dumps(results, indent=1))
            state = Counter("killed" if r["code"] else "judged" if _key(r) in reasons else "survived" for r in tried)
            counts = " ".join(f"{state[name]:>8}" for name in ("killed", "judged", "survived"))
            lines.append(f"{area.name:<12} {len(every):>6,} {len(tried):>6} {counts}")
            print(lines[-1], flush=True)
    survivors = [r for r in results if r["code"] == 0 and _key(r) not in reasons]
    for result in survivors:
        print(f"\n{result['name']}")
        print("\n".join(f"    {line}" for line in result["diff"]))
    print(f"\n{'area':<12} {'all':>6} {'tried':>6} {'killed':>8} {'judged':>8} {'survived':>8}")
    print("\n".join(lines))
    killed = sum(r["code"] != 0 for r in results)
    counted = killed + len(survivors)
    print(f"RESULT\tmutants_killed\t{killed / max(1, counted):.3f}\tshare\t>=0.9")
    return 0


if __name__ == "__main__":
    sys.exit(main())
