"""The page of `corpusmill look`: attention by head, attributions, neighbours, calibration, gradient norms; without scripts."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from expectations import page
from flows.pages.elements import section, table, text
from flows.pages.shown import visible

if TYPE_CHECKING:  # it imports torch
    from training.looking.attention import Weights
    from training.looking.attributions import Attributions
    from training.looking.calibration import Calibration
    from training.looking.look import Looked
    from training.looking.probing import Probed

_STYLE = """
:root{color-scheme:light} .heads{display:flex;flex-wrap:wrap;gap:.7rem} figure{margin:0} figcaption{font-size:12px;color:#555}
.heads svg{background:#f4f4f4} .axis{font-size:12px;color:#555;overflow-wrap:anywhere} .tokens{line-height:2.2;font-size:16px}
.tokens span{padding:.2rem .15rem;border-radius:3px;margin:0 1px} .note{color:#555;font-size:13px}
td.number,th.number{text-align:right}
"""
_CELL = 9  # pixels of a weight
_MOST_SIDE = 220  # of a head's map
_POINTS = 600  # of the curve of gradient norms
_ATTENTION_NOTE = (
    "One map a head: a row for each token that reads, a column for each that is read, darker for more weight (a row adds up"
    " to 1). Point at a square to read it. Where a model looks is not why it decides: see the attributions."
)

_PROBED_NOTE = (
    "How often a linear classifier tells the records' labels apart by the mean vector of a text's tokens, five-fold"
    " cross-validated: where in the model they can be read off."
)
_SHARP_NOTE = (
    "Sharpness is the greatest eigenvalue of the Hessian of the loss on held-out examples: with a plain gradient step, a rate"
    " above 2 / sharpness cannot settle."
)


def look_page(looked: "Looked") -> str:
    """Return the page as HTML; it loads nothing and runs nothing."""
    parts = [
        f"<h1>Inside a {text(looked.family.upper())}</h1><p><code>{text(looked.where)}</code></p>",
        section("The text", _tokens(looked.pieces)),
        section("Attributions", _attributions(looked.pieces, looked.target, looked.attributions), _attributions_note(looked)),
        section("Attention", "".join(_heads(looked.pieces, one) for one in looked.attention), _ATTENTION_NOTE),
        section("Nearest pieces", _neighbours(looked), "By the cosine of their embeddings in the model's first table."),
        section("Calibration", _calibration(looked.calibration, looked.records)),
        section("Labels by layer", _probed(looked.probed), _PROBED_NOTE),
        section("Stability of the run", _stability(looked.steps) + _sharpness(looked.sharp), _SHARP_NOTE if looked.sharp else ""),
    ]
    policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    title = f"Look: {escape(visible(' '.join(looked.pieces), 80))}"
    return page.document(title, f"<main>{''.join(parts)}</main>", _STYLE, policy)


def _tokens(pieces: Sequence[str]) -> str:
    return f'<p class="tokens">{"".join(f"<span>{text(piece)}</span>" for piece in pieces)}</p>'


def _attributions_note(looked: "Looked") -> str:
    made = looked.attributions
    if made is None:
        return ""
    return (
        f"Integrated gradients of the logit of <b>{text(looked.target)}</b>: blue adds to it, orange takes away. Score "
        f"{made.score:.4g}, without the text {made.empty_score:.4g}; the attributions add up to {sum(made.by_token):.3g}, "
        f"{abs(made.gap):.1e} off the difference."
    )


def _attributions(pieces: Sequence[str], target: str, made: "Attributions | None") -> str:
    if made is None:
        return ""
    most = max(map(abs, made.by_token)) or 1.0
    spans = "".join(
        f'<span style="background:rgba({"47,102,179" if value > 0 else "212,88,28"},{abs(value) / most * 0.75:.2f})" '
        f'title="{value:+.3g}">{text(piece)}</span>'
        for piece, value in zip(pieces, made.by_token, strict=True)
    )
    order = sorted(range(len(pieces)), key=lambda number: -abs(made.by_token[number]))[:12]
    rows = [[text(pieces[number]), f"{made.by_token[number]:+.3g}"] for number in order]
    return f'<p class="tokens">{spans}</p>{table(("token", "attribution"), rows, numbers=(1,))}'


def _heads(pieces: Sequence[str], weights: "Weights") -> str:
    """Return a map for each head of an attention."""
    heads: list[list[list[float]]] = weights.heads.tolist()
    queries, keys = len(heads[0]), len(heads[0][0])
    readers = pieces if queries == len(pieces) else [f"decoder token {n + 1}" for n in range(queries)]
    read = pieces if keys == len(pieces) else [f"decoder token {n + 1}" for n in range(keys)]
    maps = "".join(_head(number, head, readers, read) for number, head in enumerate(heads))
    kind = ", of the encoder's tokens" if weights.of_memory else ""
    return f"<h3><code>{text(weights.name)}</code>{kind}</h3><div class=heads>{maps}</div>"


def _head(number: int, head: Sequence[Sequence[float]], readers: Sequence[str], read: Sequence[str]) -> str:
    cell = max(2.0, min(_CELL, _MOST_SIDE / max(len(head), len(head[0]))))
    squares = "".join(
        f'<rect x="{column * cell:.1f}" y="{row * cell:.1f}" width="{cell:.1f}" height="{cell:.1f}" fill="#123a6e" '
        f'fill-opacity="{weight:.2f}"><title>{_title(readers[row])} reads {_title(read[column])}: {weight:.3f}</title></rect>'
        for row, weights in enumerate(head)
        for column, weight in enumerate(weights)
        if weight >= 0.01
    )
    size = f'width="{len(head[0]) * cell:.0f}" height="{len(head) * cell:.0f}"'
    return f"<figure><svg {size}>{squares}</svg><figcaption>head {number + 1}</figcaption></figure>"


def _title(piece: str) -> str:
    """Return a piece for an SVG's title, which has no elements."""
    return escape(visible(piece))


def _neighbours(looked: "Looked") -> str:
    rows = [
        [text(piece), ", ".join(f"{text(near)} {cosine:.2f}" for near, cosine in found)] for piece, found in looked.neighbours
    ]
    return table(("piece", "nearest"), rows)


def _calibration(found: "Calibration | None", records: int) -> str:
    """Return the reliability diagram and its table."""
    if found is None:
        return ""
    side = 240
    bars = "".join(
        f'<rect x="{one.start * side:.1f}" y="{side - one.accuracy * side:.1f}" width="{(one.end - one.start) * side - 1:.1f}" '
        f'height="{one.accuracy * side:.1f}" fill="#2f66b3" fill-opacity=".7"/>'
        f'<circle cx="{one.confidence * side:.1f}" cy="{side - one.accuracy * side:.1f}" r="3" fill="#d4581c"/>'
        for one in found.bins
    )
    frame = f'<rect width="{side}" height="{side}" fill="none" stroke="#aaa"/><line x2="{side}" y1="{side}" stroke="#aaa"/>'
    diagram = f'<svg width="{side}" height="{side}" viewBox="-2 -2 {side + 4} {side + 4}">{bars}{frame}</svg>'
    rows = [
        [f"{one.start:.1f} to {one.end:.1f}", f"{one.answers:,}", f"{one.confidence:.3f}", f"{one.accuracy:.3f}"]
        for one in found.bins
    ]
    caption = "accuracy over probability; on the line a model is as often right as it is sure"
    listed = table(("probability", "answers", "mean probability", "accuracy"), rows, numbers=(1, 2, 3))
    return (
        f"<p>Expected calibration error <b>{found.error:.4f}</b> on {records:,} records.</p>"
        f"<figure>{diagram}<figcaption>{caption}</figcaption></figure>{listed}"
    )


def _probed(found: "Probed | None") -> str:
    if found is None:
        return ""
    rows = [
        [f"after layer {one.layer}" if one.layer else "embeddings", f"{one.accuracy:.4f}", f"{one.deviation:.4f}"]
        for one in found.layers
    ]
    base = f"<p>{found.records:,} records; the commonest label alone is right in {found.commonest:.4f}.</p>"
    return base + table(("read off", "accuracy", "deviation over folds"), rows, numbers=(1, 2))


def _sharpness(found: "Sequence[tuple[int, float]]") -> str:
    rows = [[f"{step:,}", f"{value:.4g}", f"{2 / value:.3g}" if value > 0 else "-"] for step, value in found]
    return table(("step", "sharpness", "2 / sharpness"), rows, numbers=(0, 1, 2)) if found else ""


def _stability(steps: Sequence[Mapping[str, Any]]) -> str:
    """Return the curve of gradient norms, and the steps whose update was skipped."""
    if not steps:
        return ""
    norms = [float(line["gradient_norm"]) for line in steps if line["gradient_norm"] is not None]
    skipped = [line for line in steps if "skipped" in line]
    ordered = sorted(norms)
    middle = ordered[len(ordered) // 2] if ordered else float("nan")
    lines = f"{len(steps):,} steps: median gradient norm {middle:.3g}, greatest {max(norms, default=0.0):.3g}; "
    lines += f"{len(skipped):,} updates skipped"
    rows = [[f"{line['step']:,}", text(line["skipped"]), f"{line['gradient_norm'] or float('nan'):.3g}"] for line in skipped[:20]]
    return f"<p>{lines}.</p>{_curve(norms)}{table(('step', 'skipped because of', 'gradient norm'), rows, numbers=(0, 2))}"


def _curve(values: Sequence[float]) -> str:
    if len(values) < 2:
        return ""
    every = -(-len(values) // _POINTS)
    shown = [max(values[at : at + every]) for at in range(0, len(values), every)]  # a spike is never left out
    top, width, height = max(shown) or 1.0, 720, 160
    points = " ".join(
        f"{n * width / max(1, len(shown) - 1):.1f},{height - value / top * height:.1f}" for n, value in enumerate(shown)
    )
    line = f'<polyline points="{points}" fill="none" stroke="#2f66b3" stroke-width="1.2"/>'
    return (
        f'<figure><svg width="{width}" height="{height}" viewBox="-1 -1 {width + 2} {height + 2}">{line}</svg>'
        f"<figcaption>gradient norm by step, from 0 to {top:.3g}</figcaption></figure>"
    )
