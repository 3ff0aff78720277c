"""Mutation testing: change one place of a module and see whether a test fails. `make mutants` runs all areas.

    python tests/mutants/run.py                       # a sample of every area of areas.toml
    python tests/mutants/run.py --area ledger --all   # every mutant of one area
    python tests/mutants/run.py --area ledger --again # the survivors of the last run, after a test was written

Mutants come from cosmic-ray. Each runs in a forked process that has the heavy packages loaded, in a copy of the repository,
with the tests of its area, until the first failure. A mutant in judged.toml (with the reason why no test can or need notice
it) is counted separately. The report shows every other survivor as a diff.

Not mutated are annotations (pyright checks them), decorators, and the `strict` of a zip, which only turns a programmer's
mistake into an error.
A sample draws places in the code and one mutant of each, since a `+` has eleven mutants and a `not` has one. It is drawn from
a seed, so that a run can be compared with the last one; --seed draws another.
"""

import argparse
import ast
import contextlib
import difflib
import json
import multiprocessing
import os
import random
import resource
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
    "fsspec",
    "hypothesis.strategies",
    "numba",
    "pyarrow.compute",
    "pyarrow.parquet",
    "pydantic",
    "pytest",
    "sentencepiece",
    "tokenizers",
    "torch",
)
PACKAGES = ("expectations", "flows", "pipelines", "training")
SKIPPED_OPERATORS = ("core/RemoveDecorator", "core/VariableInserter", "core/VariableReplacer")
STUCK_SECONDS = 900  # of the wall clock: then a process waits for something that does not come
SEED = 17


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    area: str
    module: str
    operator: str
    occurrence: int
    line: int
    column: int

    @property
    def place(self) -> tuple[str, int, int, str]:
        """What changes: `a + b` has one place, whatever takes the place of +."""
        return self.module, self.line, self.column, self.operator.split("_")[0]

    @property
    def name(self) -> str:
        return f"{self.module}:{self.line} {self.operator.removeprefix('core/')} {self.occurrence}"


@dataclass(frozen=True)
class Area:
    """Modules, and the tests that have to notice their mutants; `without` are slow tests in their files that add nothing."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    without: tuple[str, ...]

    def arguments(self, module: str = "") -> list[str]:
        """Return the arguments of pytest: the test file that mirrors the module comes first."""
        files = [f for test in self.tests for f in ([test] if test.endswith(".py") else _files(test, "test_*.py"))]
        nearest = sorted(files, key=lambda f: not f.endswith(f"/test_{Path(module).name}"))
        return [*nearest, *(f"--deselect={name}" for name in self.without)]


def areas() -> list[Area]:
    tables = tomllib.loads((HERE / "areas.toml").read_text())
    return [
        Area(name, tuple(_modules(table["modules"])), tuple(table["tests"]), tuple(table.get("without", ())))
        for name, table in tables.items()
    ]


def _modules(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        if path.endswith(".py"):
            yield path
        else:
            yield from (name for name in _files(path, "*.py") if not name.endswith("__init__.py"))


def _files(folder: str, pattern: str) -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob(pattern))


def mutants(area: Area) -> list[Mutant]:
    """Return every mutant of an area, in the order of its modules and their lines."""
    from cosmic_ray.ast import ast_nodes, get_ast_from_path
    from cosmic_ray.plugins import get_operator, operator_names

    every: list[Mutant] = []
    for module in area.modules:
        tree = get_ast_from_path(ROOT / module)
        code, silent = (ROOT / module).read_text(), _silent_lines(ROOT / module)
        lines = code.splitlines(keepends=True)
        for name in sorted(operator_names()):
            if name in SKIPPED_OPERATORS or get_operator(name).arguments():
                continue
            operator = get_operator(name)()
            places = (place for node in ast_nodes(tree) for place in operator.mutation_positions(node))
            for occurrence, (start, _end) in enumerate(places):
                is_silent = any(first <= start < last for first, last in silent) or _is_a_star(lines, name, start)
                if not is_silent and _can_be_made(code, name, occurrence):
                    every.append(Mutant(area.name, module, name, occurrence, *start))
    return sorted(every, key=lambda m: (m.module, m.line, m.operator, m.occurrence))


def _is_a_star(lines: Sequence[str], operator: str, start: tuple[int, int]) -> bool:
    """Return True for the stars of signatures and calls, which cosmic-ray takes for operators (`f(*rows)`)."""
    line, column = start
    before = "".join(lines[max(0, line - 9) : line - 1]) + lines[line - 1][:column]
    return operator.startswith("core/ReplaceBinaryOperator") and before.rstrip()[-1:] in {*"([{,=:"}


def _can_be_made(code: str, operator: str, occurrence: int) -> bool:
    """Return False for an exception named with its module in a tuple, which cosmic-ray finds but cannot replace."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    if operator != "core/ExceptionReplacer":
        return True
    try:
        return mutate_code(code, get_operator(operator)(), occurrence) is not None
    except AttributeError:
        return False


def sample(every: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """Draw places, and one mutant of each."""
    draw = random.Random(seed)
    places: dict[tuple[str, int, int, str], list[Mutant]] = {}
    for mutant in every:
        places.setdefault(mutant.place, []).append(mutant)
    return [draw.choice(places[place]) for place in draw.sample(sorted(places), min(count, len(places)))]


def _silent_lines(path: Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the spans (line, column) of annotations, decorators and the `strict` of calls."""
    spans: list[ast.expr] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            spans += [*node.decorator_list, *([node.returns] if node.returns else [])]
        elif isinstance(node, ast.ClassDef):
            spans += node.decorator_list
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            spans.append(node.annotation)
        elif isinstance(node, ast.keyword) and node.arg == "strict":
            spans.append(node.value)
    return [((s.lineno, s.col_offset), (s.end_lineno or s.lineno, s.end_col_offset or 0)) for s in spans]


def importers(module: str) -> set[str]:
    """Return a module and all that import it, directly or not: numba compiles its kernels and constants into theirs."""
    direct: dict[str, set[str]] = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            importer = path.relative_to(ROOT).as_posix()
            for name in _imports(path):
                direct.setdefault(name, set()).add(importer)
    known, fresh = set[str](), [module]
    while fresh:
        one = fresh.pop()
        if one not in known:
            known.add(one)
            fresh += direct.get(one.removesuffix(".py").replace("/", "."), set())
    return known


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


class Quick:
    """A plugin of pytest: hypothesis does not shrink what it finds, since a failure is enough here."""

    def pytest_sessionstart(self) -> None:
        from hypothesis import Phase, settings

        settings.register_profile("mutants", settings(), phases=(Phase.explicit, Phase.generate))
        settings.load_profile("mutants")


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

    def run(self, arguments: Sequence[str], cpu_seconds: float) -> tuple[int, float]:
        """Return the exit code of pytest (negative: the signal that ended it), and the CPU seconds that it took."""
        begin = time.monotonic()
        child = os.fork()
        if child == 0:
            self._child(arguments, cpu_seconds)
        done, status, usage = os.wait4(child, os.WNOHANG)
        while not done:
            if time.monotonic() - begin > STUCK_SECONDS:
                _end_group(child)
            time.sleep(0.02)
            done, status, usage = os.wait4(child, os.WNOHANG)
        _end_group(child)
        return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime

    def _child(self, arguments: Sequence[str], cpu_seconds: float) -> None:
        """Run the tests in a forked process, which ends here."""
        code = 70
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_seconds), int(cpu_seconds) + 5))  # of busy machines, too
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
            options = ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
            folders = [f"--rootdir={self.folder}", f"--basetemp={self.folder / '.tmp'}"]
            code = int(pytest.main([*options, *folders, *arguments], plugins=[Quick()]))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def try_mutant(self, mutant: Mutant, area: Area, cpu_seconds: float) -> dict[str, Any]:
        """Return a mutant with the exit code of its area's tests: 0 if they do not notice it."""
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        path = self.folder / mutant.module
        before = path.read_text()
        stamp = path.stat().st_mtime_ns
        after = mutate_code(before, get_operator(mutant.operator)(), mutant.occurrence)
        assert after is not None, mutant
        with self._kernels_compiled_again(mutant.module):
            path.write_text(after)
            try:
                code, seconds = self.run(area.arguments(mutant.module), cpu_seconds)
            finally:
                path.write_text(before)
                os.utime(path, ns=(stamp, stamp))
        diff = [
            line
            for line in difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
            if line[:3] not in ("---", "+++") and line[:2] != "@@"
        ]
        return {**asdict(mutant), "name": mutant.name, "code": code, "seconds": round(seconds, 1), "diff": diff}

    @contextlib.contextmanager
    def _kernels_compiled_again(self, module: str) -> Iterator[None]:
        """Hide compiled kernels of a module and of its importers: numba compares a kernel with its own file only."""
        affected = [path for name in importers(module) if b"jit" in (path := self.folder / name).read_bytes()]
        if not affected:
            yield
            return
        kept = self.folder / ".kernels-kept"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(self.kernels, kept, copy_function=os.link) if self.kernels.exists() else kept.mkdir()
        hidden = {(path.parent.name, path.stem) for path in affected}
        for compiled in self.kernels.rglob("*.nbi"):  # in FOLDER_hash/MODULE.function-line.py311.nbi
            if (compiled.parent.name.rpartition("_")[0], compiled.name.split(".")[0]) in hidden:
                compiled.unlink()
        try:
            yield
        finally:
            shutil.rmtree(self.kernels, ignore_errors=True)
            kept.rename(self.kernels)


def _end_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def judged() -> dict[tuple[str, str, str], str]:
    """Return the reason why a mutant need not be killed, by module, removed line and added line."""
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
    """Return the CPU seconds of an area's tests without a mutant, with and without compiling. Raise SystemExit if they fail."""
    seconds = 0.0
    for _ in range(2):  # the second run finds every kernel compiled
        code, taken = _COPY.run(area.arguments(), STUCK_SECONDS)
        seconds += taken
        if code:
            raise SystemExit(f"{area.name}: its tests fail without a mutant:\n{(_COPY.folder / '.output').read_text()[-3000:]}")
    return seconds


def _share(area: Area, mutants: Sequence[Mutant]) -> list[dict[str, Any]]:
    """Try the mutants of one worker process."""
    if not mutants:
        return []
    limit = 5 + _baseline(area)  # beyond it a mutant is in an endless loop
    return [_COPY.try_mutant(mutant, area, limit) for mutant in mutants]


def run_area(area: Area, chosen: Sequence[Mutant], pool: ProcessPoolExecutor, workers: int) -> list[dict[str, Any]]:
    """Try mutants of an area, each worker process a share of them."""
    shares = [pool.submit(_share, area, chosen[worker::workers]) for worker in range(workers)]
    results = [result for share in shares for result in share.result()]
    return sorted(results, key=lambda result: (result["module"], result["line"], result["name"]))


def choose(area: Area, every: Sequence[Mutant], arguments: argparse.Namespace) -> list[Mutant]:
    """Return the mutants to try."""
    if arguments.again:
        last = json.loads(_results(arguments.out, area).read_text())
        lived = {(r["module"], r["operator"], r["occurrence"]) for r in last if r["code"] == 0}
        return [m for m in every if (m.module, m.operator, m.occurrence) in lived]
    return list(every) if arguments.all else sample(every, arguments.sample, arguments.seed)


def _results(out: Path, area: Area) -> Path:
    return out / f"{area.name}.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--area", action="append", help="of areas.toml; all by default")
    parser.add_argument("--sample", type=int, default=40, help="mutants of each area, 40 by default")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the sample, {SEED} by default")
    parser.add_argument("--all", action="store_true", help="try every mutant")
    parser.add_argument("--again", action="store_true", help="try the survivors of the last run")
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
            chosen = sorted(choose(area, every, arguments), key=lambda m: (m.module, m.line))
            tried = run_area(area, chosen, pool, arguments.workers)
            results += tried
            _results(arguments.out, area).write_text(json.dumps(tried, indent=1))
            state = Counter("killed" if r["code"] else "judged" if _key(r) in reasons else "survived" for r in tried)
            counts = " ".join(f"{state[name]:>8}" for name in ("killed", "judged", "survived"))
            lines.append(f"{area.name:<12} {len(every):>6,} {len(tried):>6} {counts}")
            print(lines[-1], flush=True)
            for result in (r for r in tried if r["code"] == 0 and _key(r) not in reasons):
                print(f"\n{result['name']}", *result["diff"], sep="\n    ", flush=True)
    print(f"\n{'area':<12} {'all':>6} {'tried':>6} {'killed':>8} {'judged':>8} {'survived':>8}")
    print("\n".join(lines))
    killed = sum(r["code"] != 0 for r in results)
    open_ones = sum(r["code"] == 0 and _key(r) not in reasons for r in results)
    print(f"RESULT\tmutants_killed\t{killed / max(1, len(results)):.3f}\tshare of all that were tried\t>=0.9")
    print(f"RESULT\tmutants_not_judged\t{open_ones}\tsurvivors without a reason in judged.toml\t0")
    return 0


if __name__ == "__main__":
    sys.exit(main())
