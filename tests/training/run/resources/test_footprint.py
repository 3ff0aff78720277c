"""The counted peak is that of the same step on real tensors, to the byte."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.data.rows.batch import IGNORE, Examples
from training.models.bart import BARTShape
from training.models.bert import BERTShape
from training.models.composed import SIZES
from training.models.families import Shape, layers, make, shape
from training.models.gpt import GPTShape
from training.models.recompute import recompute
from training.models.t5 import T5Shape
from training.run.config import TrainSection
from training.run.device import Device
from training.run.distributed.processes import Learner
from training.run.resources.footprint import Storages, empty_model, footprint
from training.run.trainer import accumulate
from training.run.updates import optimizers as optim

CPU = Device("cpu", "float32")
ROWS, LENGTH, VOCABULARY = 6, 24, 700
SHAPES: dict[str, Shape] = {
    "gpt": GPTShape(layers=2, heads=2, width=32, vocabulary=VOCABULARY, length=LENGTH, dropout=0.1),
    "bert": BERTShape(layers=2, heads=2, width=32, vocabulary=VOCABULARY, length=LENGTH, dropout=0.0),
    "bart": BARTShape(encoder_layers=1, decoder_layers=2, heads=2, width=32, vocabulary=VOCABULARY, length=LENGTH),
    "t5": T5Shape(encoder_layers=2, decoder_layers=1, heads=2, width=32, inner=64, head_width=16, vocabulary=VOCABULARY),
    "modernbert": replace(SIZES["modernbert-demo"], layers=3, heads=2, width=32, inner=48, vocabulary=VOCABULARY, window=4),
}


def examples(family: str) -> Examples:
    generator = np.random.default_rng(3)

    def ids(*shape: int) -> NDArray[np.int64]:
        return generator.integers(0, VOCABULARY, shape)

    made = {"inputs": ids(ROWS, LENGTH), "targets": ids(ROWS, LENGTH)}
    if family == "gpt":
        return made
    made["lengths"] = np.array([LENGTH, LENGTH - 3, *[LENGTH] * (ROWS - 2)])  # one row has padding
    if family in ("bert", "modernbert"):
        places = np.sort(generator.integers(1, LENGTH - 3, (ROWS, 4)))
        made |= {"segments": ids(ROWS, LENGTH) % 2, "masked_positions": places, "next_sentence": ids(ROWS) % 2}
        made["targets"] = ids(ROWS, 4)
        made["targets"][1, 2:] = IGNORE
        if family == "modernbert":
            del made["next_sentence"]
        return made
    made["decoder_inputs"] = ids(ROWS, LENGTH)
    made["targets"][2, -5:] = IGNORE
    return made


def counts(family: str) -> dict[str, int]:
    return {"tokens": 9, "pairs": ROWS} if family == "bert" else {"tokens": 9}


def counted_for_real(family: str, settings: TrainSection) -> float:
    """The peak beside weights and optimiser of a second step, of tensors with content."""
    model, given = make(SHAPES[family], 1), examples(family)
    if settings.activation_checkpointing:
        recompute(layers(model))
    made = optim.optimizers(model, settings, 1)
    count = Storages()
    for weight in model.parameters():
        count.add(weight)
    peaks: list[float] = []
    with count:
        for _ in range(2):
            before = count.peak = count.live
            accumulate(Learner(model), CPU, [given], dict(counts(family)), list(counts(family)), (0, 0, 0))
            optim.clip(model.parameters(), settings.clip)
            for optimizer in made:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            peaks.append(count.peak - before)
    return peaks[-1]


@pytest.mark.parametrize("recomputed", [False, True])
@pytest.mark.parametrize("family", SHAPES)
def test_a_step_without_content_takes_what_a_real_one_takes(family: str, recomputed: bool) -> None:
    settings = TrainSection(steps=1, learning_rate=1e-3, activation_checkpointing=recomputed)
    found = footprint(SHAPES[family], settings, CPU, examples(family), counts(family), examples(family), keeps_gradients=False)
    assert found.step == pytest.approx(counted_for_real(family, settings), abs=64)  # scalars
    assert found.weights == 4 * sum(weight.numel() for weight in make(SHAPES[family], 1).parameters())


@pytest.mark.parametrize("optimizer", ["google_adam", "adafactor", "rms_adamw", "muon"])
def test_every_optimizer_can_be_counted(optimizer: str) -> None:
    settings = TrainSection.model_validate({"steps": 1, "learning_rate": 1e-3, "optimizer": optimizer})
    found = footprint(SHAPES["t5"], settings, CPU, examples("t5"), counts("t5"), examples("t5"), keeps_gradients=False)
    assert found.step == pytest.approx(counted_for_real("t5", settings), rel=0.01)


def test_gradients_of_earlier_micro_batches_and_bfloat16_count() -> None:
    settings = TrainSection(steps=1, learning_rate=1e-3)

    def counted(device: Device, kept: bool) -> Any:
        given = examples("gpt")
        return footprint(SHAPES["gpt"], settings, device, given, counts("gpt"), given, keeps_gradients=kept)

    first, later = counted(CPU, False), counted(CPU, True)
    assert first.step < later.step <= first.step + later.gradients
    assert counted(Device("cpu", "bfloat16"), True).step != later.step


def test_a_storage_counts_once_and_until_it_is_freed() -> None:
    with Storages() as count:
        whole = torch.zeros(1000)
        part = whole[:10]
        assert count.live == count.peak == 4000
        del whole
        assert count.live == 4000 and part.numel() == 10
        del part
        assert (count.live, count.peak) == (0, 4000)


def test_a_model_without_content_has_the_names_and_sizes_of_a_real_one() -> None:
    for one in SHAPES.values():
        real, empty = make(one, 1).state_dict(), empty_model(one, CPU).state_dict()
        assert {name: value.shape for name, value in real.items()} == {name: value.shape for name, value in empty.items()}


_COMPOSED = {"layers": 1, "heads": 2, "width": 16, "vocabulary": VOCABULARY, "length": LENGTH}
_T5 = {"encoder_layers": 1, "decoder_layers": 1, "heads": 2, "width": 16, "inner": 32, "head_width": 8, "vocabulary": VOCABULARY}


@pytest.mark.parametrize(
    ("family", "numbers"),
    [
        *(("composed", _COMPOSED | {"positions": name}) for name in ("learned", "sinusoidal", "rotary", "relative", "none")),
        ("composed", _COMPOSED | {"norm": "rms", "feed_forward": "swiglu", "norm_place": "post"}),
        *(("t5", _T5 | {"gated": gated, "dropout": 0.1}) for gated in (False, True)),
    ],
)
def test_every_kind_of_layer_can_be_counted(family: str, numbers: dict[str, Any]) -> None:
    """A run that cannot be planned would not start."""
    given = examples("t5" if family == "t5" else "gpt")
    if family == "composed":
        given |= {"documents": np.sort(given["inputs"] % 3, axis=1), "positions": np.tile(np.arange(LENGTH), (ROWS, 1))}
    settings = TrainSection(steps=1, learning_rate=1e-3, activation_checkpointing=True)
    for device in (CPU, Device("cpu", "bfloat16")):
        found = footprint(shape(family, "demo", numbers), settings, device, given, {"tokens": 9}, given, keeps_gradients=True)
        assert found.step > found.gradients > 0 and found.evaluation > 0
