"""Private data: precision, recall and F1 by type, false alarms on clean documents, and speed, beside datatrove's PIIFormatter.

    make bench-private
    make bench-private OPTIONS="--clean 100 --each 1"

Three labelled sets: sentences that private_texts.py makes (seen while the rules were written, so an upper bound), and the two
halves of Presidio's synthetic sentences, of which only types with a counterpart are scored. An occurrence is right if it has
the type of the label and four fifths of both spans are common. Clean documents are parts of novels, Wikipedia articles, modules
of Python's standard library and tables of numbers: whatever is found there is printed, since only reading tells a false alarm
from a real one (addresses of authors in the library are real and not counted, nor are web addresses). Languages are identified
by the model of builds. datatrove knows e-mail and IPv4 addresses; it runs in its own environment, in one process, on the same
texts.
"""

import argparse
import json
import random
import subprocess
import sys
import sysconfig
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import private_texts
import pyarrow as pa

from pipelines.config import SourceSection
from pipelines.fetching.language_model import lid_model
from pipelines.sources.kinds import KINDS
from pipelines.text.judgement.languages.groups import GROUPS
from pipelines.text.judgement.languages.identify import Identifier
from pipelines.text.judgement.languages.opened import opened
from pipelines.text.judgement.private.find import find
from pipelines.text.judgement.private.findings import TYPES, PrivateType
from pipelines.text.judgement.private.masking import mask

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
GOALS = {"email": 0.9, "phone": 0.9, "ip": 0.9, "url": 0.9}
RECALL_GOALS = {"iban": 0.95, "card": 0.95, "national_id": 0.95}
PRESIDIO = {
    "CREDIT_CARD": "card",
    "PHONE_NUMBER": "phone",
    "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban",
    "US_SSN": "national_id",
    "IP_ADDRESS": "ip",
    "DOMAIN_NAME": "url",
}
CLEAN_CHARACTERS = 8000  # of a document
Span = tuple[str, int, int]  # type, first character, the one after the last

# Run with the Python of the peers: {"sets": {name: [texts]}} on stdin, spans and seconds by set on stdout.
PEER = """
import json, logging, sys, time
logging.disable(logging.CRITICAL)
from datatrove.pipeline.formatters import PIIFormatter
formatter = PIIFormatter()
answer = {}
for name, texts in json.load(sys.stdin)["sets"].items():
    start = time.process_time()
    for text in texts:
        formatter.format(text)
    seconds = time.process_time() - start
    spans = []
    for text in texts:
        found = []
        for type_, replacer in (("email", formatter.emails_replacer), ("ip", formatter.ip_replacer)):
            for match in replacer.regex.finditer(text):
                if replacer.validator is None or replacer.validator(match.group(0)):
                    found.append((type_, *match.span()))
        spans.append(found)
    answer[name] = {"seconds": seconds, "spans": spans}
print(json.dumps(answer))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=5, help="sentences of each form that are made")
    parser.add_argument("--clean", type=int, default=1000, help="clean documents")
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--model", help="lid.176.ftz; by default it is fetched once")
    parser.add_argument("--peers-python", type=Path, default=ROOT / ".venv-bench" / "bin" / "python")
    options = parser.parse_args()
    model = opened((str(lid_model(options.model)),), GROUPS)
    made = private_texts.labelled(23, options.each)
    sets: dict[str, tuple[list[str], list[list[Span]]]] = {"made": ([m.text for m in made], [[_span(m)] for m in made])}
    sets |= _presidio(options.shared / "pii" / "presidio-research.jsonl")
    clean = _clean(options.shared, options.clean)
    pages = list(_pages(options.shared / "extraction" / "wcxb-dev.truth.jsonl"))
    find(pa.array(sets["made"][0], pa.string()))  # compiles the kernels, loads numbering plans
    for name, (texts, truth) in sets.items():
        _report(name, _found(texts, model), truth)
    _false_alarms(clean, model)
    numbers = private_texts.others(23, 20 * options.each)
    flagged = sum(any(span[0] != "url" for span in spans) for spans in _found(numbers, model))
    print(f"{flagged} of {len(numbers):,} sentences with numbers that are nobody's have a finding")
    print(f"RESULT\tprivate_numbers_of_things_flagged\t{100 * flagged / len(numbers):.2f}\t%\t<=1")
    quiet = [text for _, text, _ in clean["books"] if not len(find(pa.array([text])))]
    speeds = {"nothing": _speed(quiet * (20_000_000 // max(1, sum(map(len, quiet))) + 1)), "pages": _speed(pages)}
    if options.peers_python.exists():
        _beside(options.peers_python, sets, clean, quiet, pages, speeds)
    print(f"RESULT\tprivate_nothing_found\t{speeds['nothing']:.1f}\tMB/s\t>=50")
    print(f"RESULT\tprivate_web_pages\t{speeds['pages']:.1f}\tMB/s\t-")


def _span(made: private_texts.Labelled) -> Span:
    return made.type, made.start, made.end


def _presidio(path: Path) -> dict[str, tuple[list[str], list[list[Span]]]]:
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").strip().split("\n")]
    spans = [[(PRESIDIO[s["type"]], s["start"], s["end"]) for s in row["spans"] if s["type"] in PRESIDIO] for row in rows]
    texts = [row["text"] for row in rows]
    return {f"presidio_{name}": (texts[half::2], spans[half::2]) for half, name in enumerate(("first_half", "other_half"))}


def _found(texts: list[str], model: Identifier) -> list[list[Span]]:
    """Return the spans of each text, in characters."""
    languages = model.identify(pa.array(texts, pa.string())).language
    found = find(pa.array(texts, pa.string()), languages=languages)
    places = mask(pa.array(texts, pa.string()), found, ["#"] * len(TYPES))
    spans: list[list[Span]] = [[] for _ in texts]
    columns = (found.rows, found.types, places.starts_before, places.characters)
    for row, code, start, size in zip(*(column.tolist() for column in columns), strict=True):
        spans[row].append((TYPES[code].value, start, start + size))
    return spans


def _score(found: list[list[Span]], truth: list[list[Span]]) -> dict[str, tuple[int, float, float, float]]:
    """Return labels, precision, recall and F1 by type."""
    right: Counter[str] = Counter()
    for mine, labels in zip(found, truth, strict=True):
        left = list(labels)
        for span in mine:
            hit = next((label for label in left if _same(span, label)), None)
            if hit:
                left.remove(hit)
                right[span[0]] += 1
    given = Counter(span[0] for spans in found for span in spans)
    labelled = Counter(span[0] for spans in truth for span in spans)
    return {
        type_: (
            labelled[type_],
            right[type_] / given[type_] if given[type_] else 0.0,
            right[type_] / labelled[type_],
            2 * right[type_] / (given[type_] + labelled[type_]),
        )
        for type_ in sorted(labelled)
    }


def _same(span: Span, label: Span) -> bool:
    common = min(span[2], label[2]) - max(span[1], label[1])
    return span[0] == label[0] and common >= 0.8 * max(span[2] - span[1], label[2] - label[1])


def _report(name: str, found: list[list[Span]], truth: list[list[Span]], who: str = "") -> None:
    print(
        f"\n{name}{who and f' ({who})'}: {len(truth):,} texts\n{'type':<14}{'labels':>8}{'precision':>11}{'recall':>9}{'F1':>8}"
    )
    scores = _score(found, truth)
    for type_, (labels, precision, recall, f1) in scores.items():
        print(f"{type_:<14}{labels:>8,}{precision:>11.3f}{recall:>9.3f}{f1:>8.3f}")
    for type_, (_, _, recall, f1) in scores.items():
        if who:
            print(f"RESULT\tprivate_{name}_{type_}_{who}\t{f1:.3f}\tF1\t-")
        elif type_ in RECALL_GOALS:
            print(f"RESULT\tprivate_{name}_{type_}\t{recall:.3f}\trecall\t>={RECALL_GOALS[type_]}")
        else:
            print(f"RESULT\tprivate_{name}_{type_}\t{f1:.3f}\tF1\t{f'>={GOALS[type_]}' if type_ in GOALS else '-'}")


# Clean documents

Document = tuple[str, str, list[Span]]  # name, text, what was found


def _clean(shared: Path, count: int) -> dict[str, list[Document]]:
    """Return clean documents by kind: a third each of novels and Wikipedia, a fifth of code, the rest tables."""
    shares = {"books": 0.33, "wikipedia": 0.33, "code": 0.22, "tables": 0.12}
    rng = random.Random(1)
    chosen: dict[str, list[Document]] = {}
    for kind, read in (("books", _books), ("wikipedia", _articles), ("code", _code), ("tables", _tables)):
        documents = list(read(shared))
        rng.shuffle(documents)
        chosen[kind] = [(name, text[:CLEAN_CHARACTERS], []) for name, text in documents[: round(count * shares[kind])]]
    return chosen


def _books(shared: Path) -> Iterator[tuple[str, str]]:
    for path in sorted((shared / "books").glob("*/*.txt")):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            text = path.read_text(encoding="cp932", errors="ignore")
        for at in range(0, len(text), 5 * CLEAN_CHARACTERS):
            yield f"{path.parent.name}/{path.name}@{at}", text[at : at + CLEAN_CHARACTERS]


def _articles(shared: Path) -> Iterator[tuple[str, str]]:
    root = shared / "wikipedia"
    names = [path.name for path in sorted(root.glob("*")) if path.is_file() and not path.name.startswith(("bg", "vi", "ja"))]
    for name in names:
        section = SourceSection(name="w", kind="wikipedia", root=str(root), paths=(name,), snapshot="1")
        for unit in KINDS["wikipedia"].units(section):
            for batch in KINDS["wikipedia"].read(section, unit):
                for number, text in enumerate(batch.documents["text"].to_pylist()):
                    if len(text) > 500:
                        yield f"{name}#{number}", text


def _code(_shared: Path) -> Iterator[tuple[str, str]]:
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        if not {"site-packages", "test", "tests", "idlelib"} & set(path.parts):
            yield str(path.relative_to(root)), path.read_text(encoding="utf-8", errors="ignore")


def _tables(_shared: Path) -> Iterator[tuple[str, str]]:
    rng = random.Random(5)
    rows = (
        lambda: "\t".join(f"{rng.gauss(0, 100):.4f}" for _ in range(8)),
        lambda: ",".join(str(rng.randrange(10 ** rng.randrange(1, 9))) for _ in range(10)),
        lambda: " ".join(f"{rng.random():.6f}" for _ in range(6)),
        lambda: f"{rng.randrange(1900, 2025)} | {rng.randrange(10**7):,} | {rng.random():.1%} | {rng.random() * 1e4:,.2f}",
        lambda: f"2024-05-{rng.randrange(1, 29):02} 12:30:15.{rng.randrange(10**6):06}  {rng.randrange(10**9)}",
        lambda: "| " + " | ".join(str(rng.randrange(10**7)) for _ in range(7)) + " |",
        lambda: f"{rng.randrange(1, 300)}. {rng.randrange(10**9):09} {rng.randrange(10**4):04} {rng.randrange(10**12):012}",
        lambda: " ".join(f"{rng.randrange(10**3):03} {rng.randrange(10**3):03}" for _ in range(6)),
    )  # fmt: skip
    for number in range(400):
        yield f"table{number}", "\n".join(rows[number % len(rows)]() for _ in range(60))


def _false_alarms(clean: dict[str, list[Document]], model: Identifier) -> None:
    counts: Counter[str] = Counter()
    documents: set[str] = set()
    print("\nfound in clean documents (addresses of authors and web addresses left out):")
    for kind, entries in clean.items():
        for (name, text, mine), spans in zip(entries, _found([text for _, text, _ in entries], model), strict=True):
            mine += spans
            for type_, start, end in spans:
                if type_ not in ("email", "url"):
                    print(f"  {kind} {name[:40]:<40} {type_:<12} {text[max(0, start - 30) : end + 20]!r}")
                    counts[type_] += 1
                    documents.add(f"{kind} {name}")
    total = sum(map(len, clean.values()))
    print(f"{sum(counts.values())} in {len(documents)} of {total:,} documents: {dict(counts)}")
    print(f"RESULT\tprivate_clean_documents_with_findings\t{100 * len(documents) / max(1, total):.2f}\t%\t<=1")


def _pages(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").strip().split("\n") if path.exists() else ():
        text = json.loads(line).get("text")
        if text:
            yield text


def _speed(texts: Sequence[str]) -> float:
    """Return MB/s of finding and masking the types that are masked by default, on one core."""
    if not texts:
        return 0.0
    types = [type_ for type_ in TYPES if type_ not in (PrivateType.URL, PrivateType.COORDINATES)]
    column = pa.array(texts, pa.string())
    start = time.process_time()
    mask(column, find(column, types), ["#"] * len(TYPES))
    return sum(len(text.encode()) for text in texts) / 1e6 / (time.process_time() - start)


def _beside(
    python: Path,
    sets: dict[str, tuple[list[str], list[list[Span]]]],
    clean: dict[str, list[Document]],
    quiet: list[str],
    pages: list[str],
    speeds: dict[str, float],
) -> None:
    texts = {name: texts for name, (texts, _) in sets.items()} | {"nothing": quiet, "pages": pages}
    texts["clean"] = [text for documents in clean.values() for _, text, _ in documents]
    done = subprocess.run(
        [str(python), "-c", PEER], input=json.dumps({"sets": texts}), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"datatrove failed:\n{done.stderr[-3000:]}")
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    for name, (_, truth) in sets.items():
        known = [[label for label in labels if label[0] in ("email", "ip")] for labels in truth]
        _report(name, [[tuple(span) for span in spans] for spans in answer[name]["spans"]], known, "datatrove")
    by_type: dict[str, int] = defaultdict(int)
    for spans in answer["clean"]["spans"]:
        for span in spans:
            by_type[span[0]] += 1
    mine = Counter(span[0] for documents in clean.values() for _, _, spans in documents for span in spans)
    print(f"\nclean documents: datatrove finds {dict(by_type)}, we {mine['email']} email and {mine['ip']} ip")
    for name in ("nothing", "pages"):
        if answer[name]["spans"]:
            theirs = sum(len(text.encode()) for text in texts[name]) / 1e6 / answer[name]["seconds"]
            print(f"{name:<8} ours {speeds[name]:7.1f} MB/s, datatrove (two types) {theirs:7.1f} MB/s")
            print(f"RESULT\tprivate_{name}_vs_datatrove\t{speeds[name] / theirs:.1f}\tx\t-")


if __name__ == "__main__":
    main()
