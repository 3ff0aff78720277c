"""Main text of web pages beside Resiliparse, trafilatura and magic-html: scores by type and language, speed, memory.

    make bench-extract
    make bench-extract OPTIONS="--pages a.warc.gz --truth a.jsonl --ours predictions.jsonl"
    make bench-extract OPTIONS="--structure build/structure-set"     # after make structure-set
    make bench-extract OPTIONS="--soak 1000000"                      # memory over a million damaged pages

A set is a WARC file of pages and a truth file: {"url", "text"} a line, with "type" or "language". By default the two labelled
sets of ../shared/data/extraction. All extractors get the same decoded markup; the peers run with their defaults in their own
environment. Ours is cross-validated by site: models are trained for it (`corpusmill train-extractor`), or --ours names the
predictions of an earlier training. With --shipped, or another --extractor, ours is what a build with this checkout writes; the
shipped model has seen the default sets, so there are no RESULT lines then. Times are user CPU, one process, no threads.

The RESULT lines have the goals: sets with types are judged by words, others by 4-token runs (pipelines/page_model/scores.py).
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import extract_ours
import structure
from build import read_pages

from flows.program import corpusmill
from pipelines.config import SourceSection
from pipelines.page_model.scores import Match, Summary, match, summarise
from pipelines.text.extraction import html

ROOT = Path(__file__).resolve().parents[1]
SETS = ROOT.parent / "shared" / "data" / "extraction"
DEFAULTS = (("pages.warc.gz", "truth.jsonl"), ("wcxb-dev.warc.gz", "wcxb-dev.truth.jsonl"))
PEERS = ("resiliparse", "trafilatura", "magic-html")
ALL = "all"
WORD_GOALS = {ALL: 0.87, "article": 0.945, "documentation": 0.94, "forum": 0.78}
RUN_GOALS = {ALL: 0.925}
LANGUAGE_GOAL, LOST_GOAL, SPEED_GOAL = 0.88, 0.02, 300
RIGHT, WRONG = 0.8, 0.5  # word F1 of a page that an extractor gets right, and that it loses
Json = dict[str, Any]
Texts = dict[str, str]  # by URL


def main() -> None:
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    speeds: dict[str, list[tuple[int, float]]] = defaultdict(list)
    if not options.ours and not options.shipped and options.sets and options.extractor == "corpusmill":
        options.ours = cross_validated(options)
    predicted = {row["url"]: row["text"] for path in options.ours for row in read_jsonl(path)}
    for pages, truth in options.sets:
        name = pages.name.split(".")[0]
        texts = all_texts(name, pages, options, speeds)
        if predicted:
            texts["ours"] = predicted
        report_set(name, list(read_jsonl(truth)), texts, is_fair=bool(predicted) or options.extractor != "corpusmill")
    if options.sets:
        report_speed(speeds, options)
    if options.structure:
        report_structure(options)
    if options.soak:
        report_soak(options)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=Path, action="append", default=[], help="a WARC file; again for another set")
    parser.add_argument("--truth", type=Path, action="append", default=[], help="its truth file, in the same order")
    parser.add_argument("--ours", type=Path, action="append", default=[], help="cross-validated predictions of ours")
    parser.add_argument("--shipped", action="store_true", help="ours is the shipped model, which has seen the default sets")
    parser.add_argument("--extractor", default=SourceSection.model_fields["extractor"].default, help="ours as shipped")
    parser.add_argument("--peers", nargs="*", default=PEERS, choices=PEERS)
    parser.add_argument("--peers-python", type=Path, default=ROOT / ".venv-bench" / "bin" / "python")
    parser.add_argument("--reuse", action="store_true", help="take the peers' texts and times of an earlier run in the folder")
    parser.add_argument("--structure", type=Path, help="a folder made by benchmarks/structure_set.py: code, tables, formulas")
    parser.add_argument("--soak", type=int, default=0, metavar="RECORDS", help="read so many damaged pages and watch the memory")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench-extract")
    options = parser.parse_args()
    if len(options.pages) != len(options.truth):
        parser.error(f"{len(options.pages)} --pages and {len(options.truth)} --truth: name one of each for every set")
    options.sets = list(zip(options.pages, options.truth, strict=True))
    if not options.sets and not options.structure and not options.soak:
        options.sets = [(SETS / pages, SETS / truth) for pages, truth in DEFAULTS]
    if options.peers and not options.peers_python.exists():
        sys.exit(f"{options.peers_python} is not there; run `make bench-extract`, or name an environment with --peers-python")
    for path in (path for pair in options.sets for path in pair):
        if not path.exists():
            sys.exit(f"{path} is not there; name a labelled set with --pages and --truth")
    return options


def cross_validated(options: argparse.Namespace) -> list[Path]:
    """Return the file of texts by models that have not seen a page's site; nothing, with a line, if LightGBM is missing."""
    if importlib.util.find_spec("lightgbm") is None:
        print("ours is as shipped, by a model that has seen these pages: lightgbm is not installed, so none can be trained")
        return []
    pages, truth = zip(*options.sets, strict=True)
    out = options.folder / "ours.jsonl"
    command = corpusmill("train-extractor", *map(str, truth), "--pages", *map(str, pages), "--predictions", str(out))
    subprocess.run(command, check=True)
    return [out]


def all_texts(
    name: str, pages: Path, options: argparse.Namespace, speeds: dict[str, list[tuple[int, float]]]
) -> dict[str, Texts]:
    """Return the texts of ours and of the peers, and note pages and seconds of each; `name` is that of the files in between."""
    markup = options.folder / f"{name}.markup.jsonl"
    count = 0
    with markup.open("w", encoding="utf-8") as stream:
        for url, body, charset in extract_ours.responses(pages):
            stream.write(json.dumps({"url": url, "markup": html.decode_html(body, charset) or ""}) + "\n")
            count += 1
    extract_ours.whole(pages, options.extractor)  # compiles what is compiled
    ours = extract_ours.whole(pages, options.extractor)
    speeds["ours"].append((count, ours.seconds))
    texts = {"ours": ours.texts}
    for peer in options.peers:
        if (found := peer_texts(peer, markup, options)) is not None:
            texts[peer], seconds = found
            speeds[peer].append((count, seconds))
    return texts


def peer_texts(peer: str, markup: Path, options: argparse.Namespace) -> tuple[Texts, float] | None:
    """Run a peer in its environment; None, with a line, if it is not installed there."""
    name = markup.name.split(".")[0]
    out = options.folder / f"{name}.{peer}.jsonl"
    said_path = out.with_suffix(".json")
    if options.reuse and out.exists() and said_path.exists():
        return {row["url"]: row["text"] for row in read_jsonl(out)}, json.loads(said_path.read_text())["seconds"]
    command = [str(options.peers_python), str(ROOT / "benchmarks" / "extract_peers.py"), peer, str(markup), str(out)]
    single = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    done = subprocess.run(command, env=os.environ | single, capture_output=True, text=True, check=False)
    if done.returncode == 3:
        print(f"left out: {peer}: {done.stdout.strip()}")
        return None
    if done.returncode:
        sys.exit(f"{peer} failed:\n{done.stderr[-3000:]}")
    said = json.loads(done.stdout.splitlines()[-1])
    said_path.write_text(json.dumps(said))
    print(f"{peer} {said['version']}: {name}: {said['seconds']:.1f} s, failed on {said['failed']} pages")
    return {row["url"]: row["text"] for row in read_jsonl(out)}, said["seconds"]


def report_set(name: str, truth: list[Json], texts: dict[str, Texts], *, is_fair: bool) -> None:
    matches = {who: {row["url"]: match(row["text"], found.get(row["url"], "")) for row in truth} for who, found in texts.items()}
    group = {row["url"]: row.get("type") or row.get("language") or "" for row in truth}
    figures = {who: summarise((group[url], page) for url, page in pages.items()) for who, pages in matches.items()}
    has_types = any("type" in row for row in truth)
    print(f"\n{name}: {len(truth):,} pages" + ("" if is_fair else "; ours has seen them, so its figures say nothing"))
    print_table("words: mean F1", figures, "word_f1")
    print_table("runs of 4 tokens: F1", figures, "run_f1")
    print_table("share of pages lost", figures, "lost")
    lost_to_all = only_ours_loses(matches)
    print(f"pages that all peers get right (words, F1 ≥ {RIGHT}) and ours loses (< {WRONG}): {len(lost_to_all)}")
    for url in lost_to_all:
        print(f"    {url}")
    if is_fair:
        has_peers = len(matches) > 1
        print_results(name, figures["ours"], has_types=has_types, lost_to_all=len(lost_to_all) if has_peers else None)


def only_ours_loses(matches: dict[str, dict[str, Match]]) -> list[str]:
    """Return the pages that every peer gets right and ours loses."""
    peers = [pages for who, pages in matches.items() if who != "ours"]
    ours = matches["ours"]
    return [url for url in ours if peers and ours[url].f1 < WRONG and all(pages[url].f1 >= RIGHT for pages in peers)]


def print_table(title: str, figures: dict[str, dict[str, Summary]], field: str) -> None:
    print(f"{title:<22}{'pages':>7}" + "".join(f"{who:>13}" for who in figures))
    for group, ours in figures["ours"].items():
        row = "".join(f"{getattr(of[group], field):>13.3f}" for of in figures.values())
        print(f"{group:<22}{ours.pages:>7,}{row}")


def print_results(name: str, figures: dict[str, Summary], *, has_types: bool, lost_to_all: int | None) -> None:
    kind, goals, field = ("words", WORD_GOALS, "word_f1") if has_types else ("runs", RUN_GOALS, "run_f1")
    for group, score in figures.items():
        goal = goals.get(group) if has_types or group == ALL else LANGUAGE_GOAL
        result(f"extract_{name}_{kind}_{group.lower()}", getattr(score, field), "F1", f">={goal}" if goal else "-")
    result(f"extract_{name}_lost", figures[ALL].lost, "share", f"<={LOST_GOAL}" if has_types else "-")
    if lost_to_all is not None:
        result(f"extract_{name}_only_ours_loses", lost_to_all, "pages", "0")


def report_speed(speeds: dict[str, list[tuple[int, float]]], options: argparse.Namespace) -> None:
    print(f"\nuser CPU on one core; ours is the whole from WARC bytes to normalised text ({options.extractor})")
    for who, measured in speeds.items():
        pages, seconds = pages_and_seconds(measured)
        print(f"{who:<22}{pages / seconds:>9,.0f} pages/s{seconds / pages * 1000:>9.2f} ms a page")
    pages, seconds = pages_and_seconds(speeds["ours"])
    sums: dict[str, float] = defaultdict(float)
    for path, _ in options.sets:
        for part, taken in extract_ours.parts(path, options.extractor).items():
            sums[part] += taken
    for part, taken in sums.items():
        print(f"  {part:<20}{taken / pages * 1000:>17.2f} ms a page")
    total = sum(sums.values()) / pages * 1000
    print(f"  {'sum of the parts':<20}{total:>17.2f} ms a page, beside the whole {seconds / pages * 1000:.2f}")
    result("extract_pages_per_second", pages / seconds, "pages/s", f">={SPEED_GOAL}")


def pages_and_seconds(measured: list[tuple[int, float]]) -> tuple[int, float]:
    """Return the sums; a few pages may take less than a tick of the clock, and count as one."""
    return sum(pages for pages, _ in measured), max(sum(seconds for _, seconds in measured), 1 / os.sysconf("SC_CLK_TCK"))


def report_structure(options: argparse.Namespace) -> None:
    """Print edit similarities of code, tables and formulas; ours as shipped, trafilatura also as Markdown."""
    options.peers = [
        peer for given in options.peers for peer in ([given, "trafilatura-markdown"] if given == "trafilatura" else [given])
    ]
    truth = list(read_jsonl(options.structure / "truth.jsonl"))
    pages = options.structure / "pages.warc.gz"
    texts = all_texts("structure", pages, options, defaultdict(list))
    if options.extractor == "corpusmill":
        texts["ours, Markdown"] = extract_ours.whole(pages, options.extractor, markdown=True).texts
    print(
        f"\n{len(truth)} pages with code, tables, formulas; mean edit similarity (pages that have any, or whose text claims any)"
    )
    for who, found in texts.items():
        values: dict[str, list[float]] = defaultdict(list)
        for row in truth:
            got = structure.of_text(found.get(row["url"], ""))
            for kind, value in structure.similarities(structure.of_truth(row), got).items():
                values[kind].append(value)
        means = {kind: sum(values[kind]) / len(values[kind]) for kind in structure.KINDS}
        print(f"{who:<22}" + "".join(f"{kind:>12}{mean:>7.3f} ({len(values[kind])})" for kind, mean in means.items()))
        if who == "ours":
            for kind, goal in (("code", ">=0.6"), ("tables", ">=0.4"), ("formulas", "-")):
                result(f"extract_structure_{kind}", means[kind], "similarity", goal)


def report_soak(options: argparse.Namespace) -> None:
    """Print the resident memory by records read; flat if it does not grow after the first tenth."""
    pages = options.sets[0][0] if options.sets else SETS / DEFAULTS[0][0]
    measured = extract_ours.soak(list(read_pages(pages)), options.soak, options.folder, options.extractor)
    print(f"\nsoak: {options.soak:,} damaged pages")
    for records, megabytes in measured[:: max(1, len(measured) // 10)] + measured[-1:]:
        print(f"{records:>12,} records{megabytes:>9.1f} MB resident")
    result("extract_soak_growth", measured[-1][1] - measured[len(measured) // 10][1], "MB", "<50")


def read_jsonl(path: Path) -> list[Json]:
    with path.open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def result(name: str, value: float, unit: str, goal: str) -> None:
    print(f"RESULT\t{name}\t{value:.3f}\t{unit}\t{goal}")


if __name__ == "__main__":
    main()
