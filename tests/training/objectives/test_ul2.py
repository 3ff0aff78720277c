"""UL2's mixture against span corruption written out here, draw by draw, and the shares and lengths of its parts."""

import doctest
import json
import math
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from pipelines.contract.tokenizers.families import MODES as NAMES
from pipelines.contract.tokenizers.families import Specials, mode_ids, sentinel, specials
from pipelines.contract.tokenizers.published import load_existing
from training.data.config import UL2Section
from training.data.draws import key, words
from training.data.rows.batch import IGNORE, RowBatch
from training.generation.texts import Speller
from training.objectives import ul2
from training.objectives.span_corruption import SpanCorruption
from training.objectives.ul2 import Denoiser, MixtureOfDenoisers, Mode
from training.run.pretrain import pretrain

SENTINELS = (90, 89, 70, *range(1000, 1097))  # ids in no order
T5 = Specials(pad=0, begin=None, end=1, mask=None, decoder_start=0, sentinels=SENTINELS)
MODES: dict[Mode, int] = {"R": 50, "S": 51, "X": 52}
PAPER = tuple(Denoiser(one.mode, one.share, one.mean_span, one.weight) for one in UL2Section(name="ul2").denoisers)


def batch(rows: list[list[int]]) -> RowBatch:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    ids = np.array([i for row in rows for i in row], dtype=np.int32)
    return RowBatch(ids, offsets, offsets, np.arange(len(rows) + 1), np.empty(0, np.int64))


def unit(drawn: int) -> float:
    return (drawn >> 11) * 2.0**-53


def below(drawn: int, limit: int) -> int:
    return ((drawn >> 32) * limit) >> 32


@cache
def normal(mean: float) -> list[float]:
    """The probabilities of the lengths 1, 2, … about the mean, with a deviation of half of it, up to twice the mean less 1."""
    longest = max(1, round(2 * mean) - 1)
    density = [
        math.erf((n + 0.5 - mean) / (mean / 2) / math.sqrt(2)) - math.erf((n - 0.5 - mean) / (mean / 2) / math.sqrt(2))
        for n in range(1, longest + 1)
    ]
    return [one / sum(density) for one in density]


def expected(row: list[int], objective: MixtureOfDenoisers, row_key: np.uint64) -> tuple[list[int], list[int]]:
    """Inputs and targets without padding, by the rules of the module's head."""
    drawn: list[int] = words(np.array([row_key]), 5000)[0].tolist()
    weights = np.cumsum([one.weight for one in objective.denoisers])
    denoiser = objective.denoisers[int((weights[:-1] / weights[-1] <= unit(drawn[0])).sum())]
    n = max(len(row), 2)
    noise = min(max(round(n * denoiser.share), 1), n - 1)
    spans = 1 if denoiser.mean_span is None else min(max(round(noise / denoiser.mean_span), 1), n - noise)
    if len(row) < 2:
        noise, spans = 0, len(row)
    sizes: list[int] = []
    for span in range(spans):
        size, total = 0, 0.0
        for one in normal(denoiser.mean_span or 1.0):
            size, total = size + 1, total + one
            if unit(drawn[1 + span]) < total:
                break
        sizes.append(size)
    span = below(drawn[1 + spans], spans) if spans else 0
    while noise and sum(sizes) != noise:
        step = 1 if sum(sizes) < noise else -1
        if sizes[span] + step:
            sizes[span] += step
        span = (span + 1) % spans
    text = [len(row) - noise]  # the lengths of the text before each span
    if denoiser.mean_span is not None:
        ends, text = spans, [0]
        for place, left in enumerate(range(len(row) - noise + 1, 0, -1)):
            if below(drawn[2 + spans + place], left) < ends:
                ends, text = ends - 1, [*text, 1]
            else:
                text[-1] += 1
    inputs, targets, at = [MODES[denoiser.mode]], list[int](), 0
    for number in range(spans):
        inputs += row[at : at + text[number]]
        at += text[number]
        targets.append(objective.sentinels[number])
        if noise:
            inputs.append(objective.sentinels[number])
            targets += row[at : at + sizes[number]]
            at += sizes[number]
    assert at == len(row) if denoiser.mean_span is None else len(row) - at == text[-1] - 1
    return [*inputs, *row[at:], 1], [*targets, 1]


EXAMPLES = [
    (Denoiser("R", 0.25, 2), 1, [50, 5, 6, 7, 8, 9, 90, 12, 1], [90, 10, 11, 1]),
    (Denoiser("S", 0.25, None), 1, [51, 5, 6, 7, 8, 9, 10, 90, 1], [90, 11, 12, 1]),
    (Denoiser("X", 0.5, 2), 6, [52, 5, 6, 90, 10, 89, 12, 1], [90, 7, 8, 9, 89, 11, 1]),
]


@pytest.mark.parametrize(("denoiser", "row_key", "inputs", "targets"), EXAMPLES, ids=str)
def test_the_examples_of_the_docstring(denoiser: Denoiser, row_key: int, inputs: list[int], targets: list[int]) -> None:
    objective = MixtureOfDenoisers(12, T5, MODES, (denoiser,))
    found = objective(batch([list(range(5, 13))]), np.array([row_key], np.uint64))
    length, predicted = int(found["lengths"][0]), int((found["targets"] != IGNORE).sum())
    assert found["inputs"][0].tolist() == inputs + [0] * (12 - length) and length == len(inputs)
    assert found["targets"][0].tolist() == targets + [IGNORE] * (objective.target_length - predicted)
    assert found["decoder_inputs"][0, : len(targets)].tolist() == [0, *targets[:-1]]
    assert objective.counts(found) == {"tokens": len(targets)}
    assert {array.dtype for array in found.values()} == {np.dtype(np.int64)}
    assert doctest.testmod(ul2).failed == 0


_denoisers = st.builds(
    Denoiser,
    st.sampled_from(["R", "S", "X"]),
    st.sampled_from([0.01, 0.15, 0.25, 0.5, 0.9]),
    st.none() | st.floats(1, 70),
    st.floats(0.1, 3),
)


@few
@given(st.data())
def test_exact_arrays(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(_denoisers, min_size=1, max_size=4)) if data.draw(st.booleans()) else PAPER
    try:
        objective = MixtureOfDenoisers(data.draw(st.integers(5, 150)), T5, MODES, tuple(chosen))
    except ValueError as error:
        assert "sentinels for them" in str(error)
        return
    lengths = [*data.draw(st.lists(st.integers(0, objective.row_tokens), max_size=5)), objective.row_tokens]
    rows = [list(range(2000 + 5000 * n, 2000 + 5000 * n + length)) for n, length in enumerate(lengths)]
    keys = key(data.draw(st.integers(0, 2**63)), np.arange(len(rows)))
    found = objective(batch(rows), keys)
    for n, row in enumerate(rows):
        inputs, targets = expected(row, objective, keys[n])
        assert len(inputs) <= objective.length and len(targets) <= objective.target_length
        assert found["inputs"][n].tolist() == inputs + [0] * (objective.length - len(inputs))
        assert found["lengths"][n] == len(inputs)
        padding = objective.target_length - len(targets)
        assert found["targets"][n].tolist() == targets + [IGNORE] * padding
        assert found["decoder_inputs"][n].tolist() == [0, *targets[:-1]] + [0] * padding


def test_a_row_depends_on_its_key_alone() -> None:
    objective = MixtureOfDenoisers(64, T5, MODES, PAPER)
    rows, keys = [list(range(n, n + 40 + n % 21)) for n in range(40)], key(7, np.arange(40))
    together, alone = objective(batch(rows), keys), objective(batch(rows[17:18]), keys[17:18])
    assert all((together[name][17] == alone[name][0]).all() for name in together)


def of_full_rows(objective: MixtureOfDenoisers, count: int) -> tuple[Any, NDArray[np.int64]]:
    rows, keys = [list(range(2000, 2000 + objective.row_tokens))] * count, key(3, np.arange(count))
    return objective(batch(rows), keys), objective.drawn(keys)


def test_the_shares_of_the_mixture_and_its_lengths() -> None:
    """Table 1 of the paper, measured over 7,000 rows for 512 inputs."""
    objective = MixtureOfDenoisers(512, T5, MODES, PAPER)
    found, drawn = of_full_rows(objective, 7000)
    assert (objective.row_tokens, objective.target_length) == (567, 380)
    assert np.bincount(drawn) / 7000 == pytest.approx(np.full(7, 1 / 7), abs=0.015)
    modes = Counter(found["inputs"][:, 0].tolist())
    assert {name: modes[id_] / 7000 for name, id_ in MODES.items()} == pytest.approx(
        {"R": 2 / 7, "S": 1 / 7, "X": 4 / 7}, abs=0.02
    )
    spans = [28, 11, 1, 95, 36, 1, 4]
    for number, denoiser in enumerate(PAPER):
        targets = found["targets"][drawn == number]
        is_span = np.isin(targets, SENTINELS)
        predicted = (targets != IGNORE).sum(1) - is_span.sum(1) - 1
        assert (is_span.sum(1) == spans[number]).all()
        assert (predicted == round(567 * denoiser.share)).all()


@pytest.mark.parametrize("mean", [3, 8, 64])
def test_the_lengths_of_spans_are_normal_about_their_mean(mean: int) -> None:
    """Not the geometric ones of span corruption, of which the shortest are the most frequent."""
    length, sentinels = {3: 200, 8: 500, 64: 4000}[mean], many_sentinels(2000)
    objective = MixtureOfDenoisers(length, sentinels, MODES, (Denoiser("X", 0.5, mean),))
    found, _ = of_full_rows(objective, 400)
    sizes = np.array([size for row in found["targets"] for size in sizes_of(row, sentinels.sentinels)])
    assert sizes.mean() == pytest.approx(mean, rel=0.02)
    wanted = normal(mean)
    deviation = math.sqrt(sum(p * (n - mean) ** 2 for n, p in enumerate(wanted, 1)))
    assert sizes.std() == pytest.approx(deviation, rel=0.08)
    if mean == 3:
        assert np.bincount(sizes, minlength=6)[1:6] / len(sizes) == pytest.approx(wanted, abs=0.03)
        other = SpanCorruption(length, sentinels, 0.5, 3.0)(batch([list(range(2000, 2100))] * 400), key(3, np.arange(400)))
        geometric = np.array([size for row in other["targets"] for size in sizes_of(row, sentinels.sentinels)])
        assert np.bincount(geometric).argmax() == 1 != np.bincount(sizes).argmax() == 3


def many_sentinels(count: int) -> Specials:
    return Specials(pad=0, begin=None, end=1, mask=None, decoder_start=0, sentinels=tuple(range(10_000, 10_000 + count)))


def sizes_of(targets: NDArray[np.int64], sentinels: tuple[int, ...]) -> list[int]:
    row = targets[targets != IGNORE][:-1]
    return (np.diff(np.append(np.flatnonzero(np.isin(row, sentinels)), len(row))) - 1).tolist()


def test_too_many_spans_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"ul2: the denoisers make up to 1\d\d spans of 1,\d+ tokens, but the vocabulary has 100 "
    ):
        MixtureOfDenoisers(1024, T5, MODES, PAPER)


def test_modes_are_pieces_or_the_last_sentinels() -> None:
    ids = {sentinel(n): 200 - n for n in range(100)}
    assert mode_ids(ids) == (101, 102, 103)  # <extra_id_99>, 98, 97
    assert mode_ids({**ids, "[NLU]": 7, "[NLG]": 8}) == (101, 102, 103)
    assert mode_ids({**ids, "[NLU]": 7, "[NLG]": 8, "[S2S]": 9}) == (7, 9, 8)
    given = Specials(0, None, 1, None, 0, tuple(ids.values()))
    objective = MixtureOfDenoisers(64, given, {"R": 101, "S": 102, "X": 103}, PAPER)
    assert objective.sentinels == tuple(ids.values())[:97]


@pytest.mark.parametrize(
    "denoiser",
    [{"mode": "Y", "share": 0.5}, {"mode": "R", "share": 1}, {"mode": "R", "share": 0.5, "mean_span": 0}, {"mode": "R"}],
)
def test_a_denoiser_that_makes_no_sense_is_refused(denoiser: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"denoisers\.0"):
        UL2Section.model_validate({"name": "ul2", "denoisers": [denoiser]})


def test_a_prompt_spells_its_mode(make_dataset: Callable[..., Path], documents: Any, tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "tokens", documents, families=("t5",))
    tokenizer = load_existing(str(folder / "tokenizer.model"), ("t5",), NAMES)
    ids = tokenizer.special_ids
    assert mode_ids(ids) == tuple(ids[name] for name in NAMES)
    words = Speller("t5", tokenizer, specials("t5", ids, "test"))
    before, after = tokenizer.encode("the old"), tokenizer.encode("house")
    assert words.row("[NLU] the old <extra_id_0> house") == [ids["[NLU]"], *before, ids["<extra_id_0>"], *after, ids["</s>"]]
    assert words.row("the old") == [*before, ids["</s>"]]
    assert words.has_mask("[S2S] the <extra_id_0>") and not words.has_mask("[S2S] the old")
    assert words.restored("[NLG] the <extra_id_0> house", [ids["<extra_id_0>"], *tokenizer.encode("old")]) == "the old house"


def test_a_t5_learns_by_it(make_dataset: Callable[..., Path], documents: Any, tiny_config: Path, tmp_path: Path) -> None:
    tokens = make_dataset(tmp_path / "tokens", documents, families=("t5",))
    sets = (
        'objective.name="ul2"',
        f"data.tokens={json.dumps(str(tokens))}",
        'model={family="t5", size="demo"}',
        "rows.length=32",
    )
    report = pretrain(tiny_config, (*sets, 'sample.prompt="<extra_id_99> the <extra_id_0> house"'))
    assert report is not None and report.last_validation_loss < report.first_validation_loss - 0.5
    assert report.sample
