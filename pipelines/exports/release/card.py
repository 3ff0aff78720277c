"""The dataset card of a published corpus: README.md as the hub of Hugging Face reads it, front matter and then Markdown.

Everything in it follows from the corpus' manifest and columns, so equal builds have equal cards. Names of the user's (the
corpus, sources, licences) are escaped: none of them can end a table's cell or the front matter.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from pipelines.contract.manifest import FINGERPRINT_CHARACTERS
from pipelines.contract.schema import NO_LINGUISTIC_CONTENT, UNKNOWN_LANGUAGE
from pipelines.exports.release.facts import Facts, characters_of, hub_license, program_version, read_of, size_category
from pipelines.exports.release.filters import filters

DOCUMENTS = "documents/*.parquet"
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&])")
_MOST_ROWS = 100  # of a table of languages or licences
_NO_LANGUAGES = (UNKNOWN_LANGUAGE, NO_LINGUISTIC_CONTENT)


def card(facts: Facts) -> str:
    """Return README.md."""
    sections = (
        _head,
        _reading,
        _sources,
        _languages,
        _licenses,
        _filters,
        _lost,
        _private,
        _benchmarks,
        _limits,
        _made,
        _citation,
    )
    return _front_matter(facts) + "\n" + "\n".join(part for part in (section(facts) for section in sections) if part)


def front_matter_licenses(facts: Facts) -> list[str]:
    """Return the licences of the documents as the hub names them, the commonest first."""
    return list(dict.fromkeys(hub_license(license) for license in facts.counts.by("license"))) or ["unknown"]


def languages(facts: Facts) -> list[str]:
    """Return the languages of the documents, the commonest first."""
    return [code for code in facts.counts.by("language") if code and code not in _NO_LANGUAGES]


def _front_matter(facts: Facts) -> str:
    """Return YAML; a JSON string is one of YAML's."""
    licenses = front_matter_licenses(facts)
    lines = ["---", f"pretty_name: {json.dumps(facts.name)}", "license:", *_items(licenses)]
    if "other" in licenses:
        named = [name for name in facts.counts.by("license") if name and hub_license(name) == "other"]
        lines.append(f"license_name: {json.dumps(', '.join(named))}")
    if languages(facts):
        lines += ["language:", *_items(languages(facts))]
    lines += ["size_categories:", *_items([size_category(facts.counts.total)])]
    lines += ["task_categories:", *_items(["text-generation", "fill-mask"]), "tags:", *_items(["corpusmill", "pretraining"])]
    lines += ["configs:", "- config_name: default", "  data_files:", "  - split: train", f"    path: {json.dumps(DOCUMENTS)}"]
    return "\n".join([*lines, "---", ""])


def _items(values: Iterable[str]) -> list[str]:
    return [f"- {json.dumps(value)}" for value in values]


def plain(text: object) -> str:
    r"""Return text as Markdown that shows it, on one line.

    >>> plain("a|b <i>\nc")
    'a\\|b \\<i\\> c'
    """
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]], rest: str = "") -> str:
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(_cell(value) for value in row)} |" for row in rows[:_MOST_ROWS]]
    more = f"\n… and {len(rows) - _MOST_ROWS:,} more {rest}\n" if len(rows) > _MOST_ROWS else ""
    return "\n".join(lines) + "\n" + more


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else plain(value)


def _head(facts: Facts) -> str:
    made = f"{facts.counts.total:,} documents, {facts.characters:,} characters, {facts.bytes / 1e6:,.1f} MB of Parquet"
    limited = f" It is a sample build: of each source at most {facts.limit:,} documents were read." if facts.limit else ""
    return f"# {plain(facts.name)}\n\n{made}: a text corpus for pretraining, made by corpusmill.{limited}\n"


def _reading(facts: Facts) -> str:
    share = facts.config["corpus"]["validation_share"]
    return f"""## Reading it

    from datasets import load_dataset
    load_dataset("parquet", data_files="{DOCUMENTS}", split="train", streaming=True)

    duckdb -c "SELECT source, language, count(*) FROM '{DOCUMENTS}' GROUP BY ALL"

A row is a document: `text`, where it is from (`source`, `snapshot`, `origin`, `url`, `license`), its language, and everything
that was measured of it (`measures`, `quality_score`, `scores`). `id` and `work` are 16 bytes; pieces of one long text share
their `work`. `corpusmill.json` has the sha256 of each file. Models that the same build trains hold out {share:.2%} of all works,
chosen by a hash of `work`; the files here have both splits.
"""


def _sources(facts: Facts) -> str:
    rows: list[Sequence[object]] = []
    for section in facts.config["sources"]:
        name = section["name"]
        kept = sum(facts.counts.by("source", name).values())
        rows.append((name, section["kind"], section["snapshot"], section["license"] or "not stated", read_of(facts.corpus, name)))
        rows[-1] = (*rows[-1], kept, characters_of(facts.corpus, name))
    heads = ("source", "kind", "snapshot", "licence", "documents read", "documents", "characters")
    return f"## Sources\n\n{_table(heads, rows)}"


def _languages(facts: Facts) -> str:
    names = {UNKNOWN_LANGUAGE: "und (not known)", NO_LINGUISTIC_CONTENT: "zxx (code, tables, numbers)"}
    rows = [(names.get(code or "", code or ""), count) for code, count in facts.counts.by("language").items()]
    return f"## Languages\n\n{_table(('language', 'documents'), rows, 'languages')}"


def _licenses(facts: Facts) -> str:
    rows = [(license or "not stated", count) for license, count in facts.counts.by("license").items()]
    note = "As the documents say, else as the source was declared. Nobody has verified them document by document."
    return f"## Licences\n\n{note}\n\n{_table(('licence', 'documents'), rows, 'licences')}"


def _filters(facts: Facts) -> str:
    return f"## Filters\n\n{_table(('what', 'how'), filters(facts))}"


def _lost(facts: Facts) -> str:
    lost = Counter[tuple[str, str]]()
    for ledger in facts.corpus.ledgers.values():
        for stage, line in ledger.lines.items():
            lost.update({(stage, str(reason)): count for reason, count in line.documents_dropped.items()})
    order = list(dict.fromkeys(stage for ledger in facts.corpus.ledgers.values() for stage in ledger.lines))
    counted = sorted(lost.items(), key=lambda item: (order.index(item[0][0]), -item[1], item[0][1]))
    rows = [(stage, reason, count) for (stage, reason), count in counted if count]
    return f"## Documents dropped\n\n{_table(('stage', 'reason', 'documents'), rows)}" if rows else ""


def _private(facts: Facts) -> str:
    section = facts.config["private"]
    done = {action: [name for name, value in section.items() if value == action] for action in ("mask", "drop")}
    said = [f"{verb}: {', '.join(done[action])}." for verb, action in (("Masked", "mask"), ("Dropped", "drop")) if done[action]]
    masks = Counter[str]()
    for counts in facts.corpus.facts.get("private", {}).values():
        masks.update(counts)
    found = f" Places masked: {masks.total():,} ({', '.join(f'{n:,} {kind}' for kind, n in masks.items())})." if masks else ""
    what = " ".join(said) or "Nothing was searched for."
    return f"## Private data\n\n{what}{found} Patterns find it; what has no pattern stays.\n"


def _benchmarks(facts: Facts) -> str:
    met = facts.corpus.facts.get("benchmarks", {})
    if not met:
        return "## Decontamination\n\nNone: benchmarks may be in these texts.\n"
    settings, action = facts.config["decontaminate"], facts.config["decontaminate"]["action"]
    rows = [(name, one["items"], one["met"]) for name, one in sorted(met.items())]
    how = f"Documents that hold an item ({settings['ngram']}-grams of words) were {'dropped' if action == 'drop' else 'cut'}."
    return f"## Decontamination\n\n{how}\n\n{_table(('benchmark', 'items', 'met'), rows)}"


def _limits(facts: Facts) -> str:
    config = facts.config
    known = ["Languages are identified by a model, which errs most on short texts and between close languages."]
    if not config["language"]["enabled"]:
        known = ["Languages were not identified."]
    if not config["deduplicate"]["enabled"]:
        known.append("Copies were not removed.")
    elif config["deduplicate"]["near"]:
        known.append(
            f"Copies below a similarity of {config['deduplicate']['threshold']} remain, and MinHash misses some above it."
        )
    known.append(
        "Rules and classifiers prefer edited prose; dialects, dialogue, lists, code and short texts are lost more often."
    )
    deaf = [s["name"] for s in config["sources"] if s["kind"] == "common_crawl" and not s["respect"]]
    if deaf:
        known.append(f"Opt-outs of web pages were noted (column opt_outs) but not followed in: {', '.join(map(plain, deaf))}.")
    known.append("Texts were not checked for truth, bias or harm.")
    return "## Known limits\n\n" + "".join(f"- {line}\n" for line in known)


def _made(facts: Facts) -> str:
    config = {name: value for name, value in facts.config.items() if name not in ("exclude", "expectations", "retain")}
    text = json.dumps(config, indent=1, ensure_ascii=False, sort_keys=True).replace("```", "`\\u0060`")
    made = f"corpusmill {program_version()}, corpus `{facts.corpus.fingerprint}`. The same input and config give the same bytes."
    return f"## How it was built\n\n{made}\n\n<details><summary>The config</summary>\n\n```json\n{text}\n```\n\n</details>\n"


def _citation(facts: Facts) -> str:
    key = re.sub(r"[^A-Za-z0-9]+", "_", facts.name).strip("_") or "corpus"
    short = facts.corpus.fingerprint[:FINGERPRINT_CHARACTERS]
    return f"""## Citation

    @misc{{{key}_{short},
      title = {{{plain(facts.name)}}},
      note = {{Text corpus {short}, made by corpusmill {program_version()}; {facts.counts.total:,} documents}}
    }}

Cite the sources, too.
"""
