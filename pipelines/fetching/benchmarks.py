"""Where common benchmarks lie, as JSON Lines at their authors' addresses, and the fields of their questions; fetched on request.

Limits: only benchmarks that are published as JSON Lines are listed; write those in archives, CSV or Parquet (MMLU, ARC,
TruthfulQA) as JSON Lines first. BoolQ is left out: what lies at its old address is not BoolQ any more. Only a file with a
hash here is verified; the others are taken as their hosts send them, over HTTPS.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.contract.errors import UserError
from pipelines.fetching.download import OnProgress, fetch


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark's file."""

    url: str
    fields: tuple[str, ...]  # whose text is an item (decontaminate.fields)
    what: str
    sha256: str | None = None

    @property
    def ending(self) -> str:
        """The ending of the file's name."""
        return ".jsonl.gz" if self.url.endswith(".gz") else ".jsonl"


_GITHUB = "https://raw.githubusercontent.com"
BENCHMARKS: Mapping[str, Benchmark] = {
    "commonsenseqa": Benchmark(
        "https://s3.amazonaws.com/commensenseqa/dev_rand_split.jsonl",
        ("question.stem",),
        "common sense, five options (1811.00937)",
    ),
    "gsm8k": Benchmark(
        f"{_GITHUB}/openai/grade-school-math/master/grade_school_math/data/test.jsonl",
        ("question",),
        "mathematics of the grade school (2110.14168)",
        "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
    ),
    "hellaswag": Benchmark(
        f"{_GITHUB}/rowanz/hellaswag/master/data/hellaswag_val.jsonl", ("ctx",), "endings of scenes (1905.07830)"
    ),
    "humaneval": Benchmark(
        f"{_GITHUB}/openai/human-eval/master/data/HumanEval.jsonl.gz",
        ("prompt", "canonical_solution"),
        "Python functions (2107.03374)",
    ),
    "lambada": Benchmark(
        "https://openaipublic.blob.core.windows.net/gpt-2/data/lambada_test.jsonl",
        ("text",),
        "the last word of passages (1606.06031)",
    ),
    "mbpp": Benchmark(
        f"{_GITHUB}/google-research/google-research/master/mbpp/mbpp.jsonl", ("text", "code"), "Python programs (2108.07732)"
    ),
    "piqa": Benchmark("https://yonatanbisk.com/piqa/data/valid.jsonl", ("goal",), "everyday physics (1911.11641)"),
}


def fetch_benchmarks(
    folder: str | Path, names: Sequence[str] = (), on_progress: Callable[[str], OnProgress] | None = None
) -> list[Path]:
    """Fetch benchmarks (all without names) into a folder, one file each; those that are there are kept.

    Raise UserError for an unknown name, FetchError if a host does not give its file; what was received is kept.
    """
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        raise UserError(f"there is no benchmark {unknown[0]!r} in the list; it has {', '.join(BENCHMARKS)}")
    fetched: list[Path] = []
    for name in names or BENCHMARKS:
        known = BENCHMARKS[name]
        report = on_progress(name) if on_progress else _silent
        fetched.append(fetch(known.url, Path(folder) / (name + known.ending), sha256=known.sha256, on_progress=report))
    return fetched


def section(paths: Sequence[Path]) -> dict[str, list[str]]:
    """Return the config's section `decontaminate` for these files."""
    fields = {field for path in paths for field in BENCHMARKS[path.name.split(".")[0]].fields}
    return {"paths": [str(path) for path in paths], "fields": sorted(fields)}


def _silent(_here: int, _total: int | None) -> None:
    pass
