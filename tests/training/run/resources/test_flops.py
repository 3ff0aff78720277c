"""FLOPs of published shapes; the figures were computed apart, by the papers' conventions (training/run/resources/flops.py)."""

import pytest
import torch

from training.models import bart, bert, composed, gpt, t5
from training.run.resources import flops


def test_gpt_by_each_convention() -> None:
    small = gpt.SIZES["small"]
    by_token = {name: of(small, 1024) / 1024 / 1e6 for name, of in flops.GPT_CONVENTIONS.items()}
    assert by_token["nanoGPT"] == pytest.approx(855.2, abs=0.05)
    assert by_token["llm.c"] == pytest.approx(803.3, abs=0.05)
    assert by_token["matrices"] == pytest.approx(854.4, abs=0.05)


@pytest.mark.parametrize(("length", "share", "by_token"), [(512, 0.15, 587.9), (512, 1.0, 710.4), (128, 0.15, 545.4)])
def test_bert_base(length: int, share: float, by_token: float) -> None:
    found = flops.bert(bert.SIZES["base"], length, share * length)
    assert found / length / 1e6 == pytest.approx(by_token, abs=0.05)


def test_t5_base_of_both_kinds() -> None:
    for size in ("base", "v1.1-base"):  # two matrices of 3072 are as much as three of 2048
        assert flops.t5(t5.SIZES[size], 512, 114) / 1e9 == pytest.approx(425.9, abs=0.05)


@pytest.mark.parametrize(("inputs", "of_example"), [(512, 466.5), (410, 428.1)])
def test_bart_base(inputs: int, of_example: float) -> None:
    assert flops.bart(bart.SIZES["base"], inputs, 512) / 1e9 == pytest.approx(of_example, abs=0.05)


def test_an_encoder_counts_the_keys_of_windows() -> None:
    shape = composed.ComposedShape(
        layers=4, heads=1, width=2, vocabulary=3, feed_forward="geglu", inner=5, causal=False, window=2, global_every=3
    )
    # layers 0 and 3 see 10 keys, the others 3; 16 + 30 numbers in a layer's matrices; the head has 4 + 6 and reads 3 tokens
    assert flops.composed_encoder(shape, 10, 3) == 6 * 10 * 4 * 46 + 12 * 10 * (10 + 3 + 3 + 10) * 2 + 6 * 3 * 10
    assert flops.composed_encoder(shape, 2, 0) == 6 * 2 * 4 * 46 + 12 * 2 * 4 * 2 * 2


def test_of_a_model_that_can_be_counted_by_hand() -> None:
    shape = gpt.GPTShape(layers=1, heads=1, width=2, vocabulary=3, length=4)
    # 12 * 4 numbers in the layer's matrices, 3 * 2 in the head's; 4 x 4 pairs of 2 channels, twice two operations, thrice
    assert flops.gpt(shape, 4) == 6 * 4 * (48 + 6) + 12 * 4 * 4 * 2


def test_a_dtype_that_is_slow_on_this_cpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {torch.float32: 166e9, torch.bfloat16: 0.8e9}
    monkeypatch.setattr(flops, "_measured", rates.__getitem__)
    warning = flops.slower("cpu", "bfloat16")
    assert warning is not None
    assert "0.8 GFLOP/s in bfloat16 and at 166.0 in float32" in warning and 'train.dtype="float32"' in warning
    assert flops.slower("cpu", "float32") is None and flops.slower("cuda", "bfloat16") is None
    rates[torch.bfloat16] = 400e9
    assert flops.slower("cpu", "bfloat16") is None


def test_a_cpu_is_measured_in_the_dtype_of_the_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[torch.dtype] = []
    multiply = torch.mm

    def noted(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        used.append(left.dtype)
        return multiply(left, right)

    monkeypatch.setattr(torch, "mm", noted)
    assert (flops.peak("cpu", "bfloat16", None) or 0) > 0
    assert set(used) == {torch.float32, torch.bfloat16}
