"""The page that compares runs, of pretraining and of tasks: numbers and texts are HTML, and runs.js draws the curves."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from expectations import page
from flows.pages.elements import asset, policy, scripted, section, table, text
from flows.pages.runs.cells import NOTHING, colour, named, names
from flows.pages.runs.curves import TERMS
from flows.pages.runs.data import cards
from flows.pages.runs.loading import CONFIG, Run, RunsError, read_run
from flows.pages.runs.numbers import NUMBERS_NOTE, numbers
from flows.pages.runs.tasks import CONFUSION_NOTE, HARDEST_NOTE, RESULTS_NOTE, confusions, hardest, results, seeds
from flows.pages.shown import visible
from pipelines.contract import files

_ASSETS = Path(__file__).parent / "assets"
_SHOWN_SAMPLES = 40  # of a run, spread over its steps
_SAMPLE_CHARACTERS = 2000
_CURVES_NOTE = (
    "The bar selects the runs and the horizontal axis. Training losses are smoothed over the raw steps (in long runs, over each"
    " column's mean and range). A cross marks a skipped update, a triangle a spike whose update was made."
)


def write_runs(runs: Sequence[Path], out: Path) -> Path:
    """Write the page that compares these runs; return its path. Unfinished runs are shown up to their last step.

    The folder of a fine-tuning with several seeds stands for all of them. Pretraining runs come first.

    Raises RunsError for a folder that is not a run, or if no folder is named.
    """
    given = list(dict.fromkeys(Path(run).resolve() for run in runs))
    if not given:
        raise RunsError("no run is named; name the folders that run.out of the configs names")
    groups = dict(zip(given, _names(given), strict=True))
    read = [
        read_run(folder, name if folder == group else f"{name}/{folder.name}", name)
        for group, name in groups.items()
        for folder in _seeds(group)
    ]
    files.write_text(str(out), runs_page(sorted(read, key=lambda run: run.is_tuned)))
    return out


def _seeds(folder: Path) -> list[Path]:
    """Return the folders of a fine-tuning's seeds, or the folder itself."""
    if (folder / CONFIG).is_file():
        return [folder]
    found = [path.parent for path in folder.glob(f"seed-*/{CONFIG}") if path.parent.name[5:].isdigit()]
    return sorted(found, key=lambda path: int(path.name[5:])) or [folder]


def _names(folders: Sequence[Path]) -> list[str]:
    """Return the names of the folders, with as many parents as distinguish them."""
    for parts in range(1, max(len(folder.parts) for folder in folders)):
        names = ["/".join(folder.parts[-parts:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def runs_page(runs: Sequence[Run]) -> str:
    """Return the page as HTML; it depends on the runs alone and loads nothing."""
    script = asset("drawing.js") + (_ASSETS / "runs.js").read_text(encoding="utf-8")
    listed = ", ".join(run.name for run in runs)
    pretrained = [run for run in runs if not run.is_tuned]  # the first ones
    tunings = seeds(runs[len(pretrained) :], len(pretrained))
    parts = [
        f"<h1>{_title(len(pretrained), len(tunings))}</h1><p>{_summary(runs)}</p>",
        section("Numbers", numbers(pretrained) if pretrained else "", NUMBERS_NOTE),
        section("Results", results(tunings) if tunings else "", RESULTS_NOTE),
        section("Confusion", confusions(tunings), CONFUSION_NOTE),
        section("Hardest examples", hardest(tunings), HARDEST_NOTE),
        section("Curves", _curves(runs), _CURVES_NOTE),
        section("Samples", _samples(runs)),
        section("Config", _config(runs)),
        section("Data", cards(pretrained)),
    ]
    body = f"<main>{''.join(parts)}</main>{scripted(script, _data(runs))}"
    style = asset("common.css") + (_ASSETS / "runs.css").read_text(encoding="utf-8")
    return page.document(f"Runs: {escape(visible(listed, 120))}", body, style, policy(script))


def _title(pretrained: int, tuned: int) -> str:
    if pretrained and tuned:
        return "Runs"
    kind = "pretraining run" if pretrained else "fine-tuning"
    return f"{kind.capitalize()}s" if pretrained + tuned > 1 else f"A {kind}"


def _summary(runs: Sequence[Run]) -> str:
    finished = sum(run.numbers["finished"] for run in runs)
    going = f"; {len(runs) - finished} of {len(runs)} not finished" if finished < len(runs) else ""
    return f"{', '.join(named(number, run) for number, run in enumerate(runs))}{going}"


def _curves(runs: Sequence[Run]) -> str:
    """Return the bar and an empty figure for every chart; runs.js draws them."""
    runs_shown = "".join(
        f'<label class="run {colour(number)}"><input type="checkbox" data-run="{number}" checked>'
        f'<svg viewBox="0 0 22 8"><line class="line" x2="22" y1="4" y2="4"/></svg>{text(run.name)}</label>'
        for number, run in enumerate(runs)
    )
    axes = "".join(
        f'<label><input type="radio" name="axis" value="{axis}"{" checked" if axis == "steps" else ""}>{axis}</label>'
        for axis in ("steps", "tokens", "bytes")
    )
    bar = (
        f'<form class="bar" autocomplete="off"><div class="legend">{runs_shown}</div><div class="controls">'
        f'<fieldset class="axis"><legend>over</legend>{axes}</fieldset>'
        '<label><input type="checkbox" id="log-x">log</label>'
        '<label>smoothing <input type="range" id="smoothing" min="0" max="20" step="0.5" value="2"></label>'
        '<label><input type="checkbox" id="raw" checked>raw</label></div></form>'
    )
    charts = _charts(runs)
    main = "".join(_chart(chart) for chart in charts if "/" not in chart["key"])
    by_source = "".join(_chart(chart) for chart in charts if "/" in chart["key"])
    folded = f'<details open><summary>By source</summary><div class="charts">{by_source}</div></details>' if by_source else ""
    return f'<noscript><p>Curves need JavaScript.</p></noscript>{bar}<div class="charts">{main}</div>{folded}'


def _chart(chart: Mapping[str, Any]) -> str:
    key, title = escape(chart["key"]), text(chart["title"])
    checked = " checked" if chart["log"] else ""
    log = f'<label><input type="checkbox" class="log"{checked}>log</label>'
    caption = f'<figcaption><b>{title}</b> <span class="unit">{text(chart["unit"])}</span>{log}</figcaption>'
    plot = '<svg class="plot" tabindex="0" role="img"></svg><div class="tip" hidden></div>'
    return f'<figure data-chart="{key}">{caption}{plot}</figure>'


_BY_SOURCE = {
    "validation_loss": ("Loss", "nats per target"),
    "validation_bits_per_byte": ("Bits per byte", ""),
    **{f"validation_{name}": (title.capitalize(), unit) for name, (title, unit) in TERMS.items() if name != "tokens_loss"},
}
_CHARTS = (
    # key, title, unit, logarithmic at first, smoothed
    ("loss", "Training loss", "nats per target", False, True),
    ("validation_loss", "Validation loss", "nats per target", False, False),
    ("validation_bits_per_byte", "Validation, bits per byte", "", False, False),
    *((name, f"Training {title}", unit, False, True) for name, (title, unit) in TERMS.items()),
    *((f"validation_{name}", f"Validation {title}", unit, False, False) for name, (title, unit) in TERMS.items()),
    ("learning_rate", "Learning rate", "", False, False),
    ("gradient_norm", "Gradient norm", "before clipping", True, True),
    ("tokens_per_second", "Speed", "tokens/s", False, True),
    ("mfu", "MFU", "share of the peak", False, True),
)


_FIRST_CHARTS = 2  # after which the figures of tasks are put: both losses


def _charts(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the charts for which a run has a curve, those of single sources last."""
    keys = sorted({key for run in runs for part in ("training", "evaluations") for key in run.curves[part]["series"]})
    known = [chart for chart in _CHARTS if chart[0] in keys]
    figures = [key for key in keys if key.startswith("validation_") and "/" not in key and key not in {c[0] for c in _CHARTS}]
    known[_FIRST_CHARTS:_FIRST_CHARTS] = [(key, f"Validation {_spelled(key)}", "", False, False) for key in figures]
    for key in (key for key in keys if "/" in key):
        metric, source = key.split("/", 1)
        if metric in _BY_SOURCE:
            title, unit = _BY_SOURCE[metric]
        elif any(run.is_tuned for run in runs):
            title, unit = _spelled(metric).capitalize(), ""
        else:
            continue
        known.append((key, f"{title}, {source}", unit, False, False))
    fields = ("key", "title", "unit", "log", "smooth")
    return [dict(zip(fields, chart, strict=True)) for chart in known]


def _spelled(key: str) -> str:
    return key.removeprefix("validation_").replace("_", " ")


def _data(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the curves for runs.js."""
    described = [
        {
            "name": visible(run.name),
            "colour": colour(number),
            "references": {} if (entropy := run.numbers["unigram_entropy"]) is None else {"validation_loss": entropy},
            **run.curves,
        }
        for number, run in enumerate(runs)
    ]
    return {"runs": described, "charts": [{**chart, "title": visible(chart["title"])} for chart in _charts(runs)]}


def _samples(runs: Sequence[Run]) -> str:
    """Return the last sample of each run and, folded, the earlier ones."""
    shown = "".join(_samples_of(number, run) for number, run in enumerate(runs) if run.samples)
    return f'<div class="samples">{shown}</div>' if shown else ""


def _samples_of(number: int, run: Run) -> str:
    *earlier, last = run.samples
    kept = _spread(earlier, _SHOWN_SAMPLES - 1)
    left = f", {len(kept)} of {len(earlier)}" if len(kept) < len(earlier) else ""
    before = "".join(map(_sample, reversed(kept)))
    folded = f"<details><summary>{len(earlier)} earlier{left}</summary>{before}</details>" if earlier else ""
    return f"<article><h3>{named(number, run)}</h3>{_sample(last)}{folded}</article>"


def _spread(samples: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """Return at most `most` samples, evenly spread, with the first among them."""
    return list(samples) if len(samples) <= most else [samples[number * len(samples) // most] for number in range(most)]


def _sample(sample: Mapping[str, Any]) -> str:
    prompt, answer = str(sample.get("prompt", "")), str(sample.get("text", ""))
    if prompt and answer.startswith(prompt):
        shown = f"<b>{_lines(prompt)}</b>{_lines(answer[len(prompt) :])}"
    else:
        shown = (f"<b>{_lines(prompt)}</b>\n→ " if prompt else "") + _lines(answer)
    return f'<p class="step">after step {sample["step"]:,}</p><blockquote dir="auto">{shown}</blockquote>'


def _lines(value: str) -> str:
    """Return untrusted text as HTML, with its line breaks."""
    cut = value[:_SAMPLE_CHARACTERS]
    more = f" … ({len(value) - len(cut):,} more characters)" if len(cut) < len(value) else ""
    return "\n".join(escape(visible(line)) for line in cut.split("\n")) + more


def _config(runs: Sequence[Run]) -> str:
    """Return the settings that differ, then all settings."""
    configs = [_flat(run.config) for run in runs]
    keys = list(dict.fromkeys(key for config in configs for key in config))
    differing = [key for key in keys if len({config.get(key) for config in configs}) > 1 and key != "run.out"]
    everything = _settings(runs, configs, keys)
    if len(runs) == 1:
        return everything
    if not differing:
        return f"<p>The configs are the same.</p><details><summary>The whole config</summary>{everything}</details>"
    note = f"<p class=note>Values that differ from {named(0, runs[0])} are marked.</p>"
    differences = note + _settings(runs, configs, differing)
    return f"<h3>Differences</h3>{differences}<details><summary>The whole configs</summary>{everything}</details>"


def _settings(runs: Sequence[Run], configs: Sequence[Mapping[str, str]], keys: Sequence[str]) -> str:
    """Return a table with a row per key; values that differ from the first run's are marked."""
    rows: list[list[str]] = []
    for key in keys:
        values = [config.get(key) for config in configs]
        cells = [NOTHING if value is None else text(value) for value in values]
        if key != "run.out":
            cells = [f"<mark>{cell}</mark>" if value != values[0] else cell for cell, value in zip(cells, values, strict=True)]
        rows.append([f"<code>{text(key)}</code>", *cells])
    return f'<div class="config">{table(["", *names(runs)], rows)}</div>'


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return the values by dotted name, written nearly as in TOML."""
    flat: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = _value(value)
    return flat


def _value(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
