"""Tables of weight names, in both directions."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from training.convert.rules import Rule, WeightsError, to_ours, to_theirs

RULES = [
    Rule("qkv.weight", ("q.w", "k.w", "v.w"), transposed=True),
    Rule("qkv.bias", ("q.b", "k.b", "v.b")),
    Rule("tokens", ("wte",), also=("head", "decoder.tokens")),
    Rule("norm", ("ln",)),
]
OURS = {
    "qkv.weight": torch.arange(12.0).view(6, 2),
    "qkv.bias": torch.arange(6.0),
    "tokens": torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
    "norm": torch.tensor([7.0, 8.0]),
}
SHAPES = {name: tensor.shape for name, tensor in OURS.items()}


def theirs(**changed: Tensor | None) -> dict[str, Tensor]:
    found: dict[str, Tensor | None] = {**to_theirs(RULES, OURS), **{name.replace("__", "."): to for name, to in changed.items()}}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def test_ours_under_their_names() -> None:
    found = to_theirs(RULES, OURS)
    assert list(found) == ["q.w", "k.w", "v.w", "q.b", "k.b", "v.b", "wte", "ln"]  # a tied weight once
    assert found["q.w"].tolist() == [[0.0, 2.0], [1.0, 3.0]]
    assert found["v.w"].tolist() == [[8.0, 10.0], [9.0, 11.0]]
    assert found["k.b"].tolist() == [2.0, 3.0]


def test_theirs_under_our_names() -> None:
    weights = theirs()
    found = to_ours(RULES, weights, SHAPES, "file")
    assert found.keys() == OURS.keys()
    for name, tensor in OURS.items():
        assert torch.equal(found[name], tensor)
        assert found[name].is_contiguous()
    found["norm"].zero_()  # is in memory of its own
    assert weights["ln"].tolist() == [7.0, 8.0]


def test_numbers_keep_their_type() -> None:
    found = to_ours(RULES, {name: tensor.double() for name, tensor in theirs().items()}, SHAPES, "file")
    assert {tensor.dtype for tensor in found.values()} == {torch.float64}


def test_a_tied_weight_may_stand_under_any_of_its_names() -> None:
    tokens = OURS["tokens"]
    for weights in (theirs(head=tokens), theirs(wte=None, head=tokens), theirs(wte=None, decoder__tokens=tokens.clone())):
        assert torch.equal(to_ours(RULES, weights, SHAPES, "file")["tokens"], tokens)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ln": None}, r"^model\.bin: has no weight ln; it is another model than its config says, or not whole$"),
        ({"wte": None}, r"has no weight wte;"),
        ({"q__w": None, "k__w": None, "v__w": None, "v__b": None}, r"has no weight q\.w, k\.w, v\.w \(and 1 more\);"),
        ({"gain": torch.ones(1)}, r"^model\.bin: has weights that the model lacks: gain; it is another model$"),
        ({"ln": torch.ones(3)}, r"ln has the shape \(3,\), by the numbers of the config it is \(2,\)"),
        ({"k__w": torch.ones(2, 3)}, r"k\.w has the shape \(2, 3\), by the numbers of the config it is \(2, 2\)"),
        ({"k__w": torch.ones(1, 2, 2)}, r"k\.w has the shape \(1, 2, 2\)"),
        ({"q__b": torch.tensor(1.0)}, r"q\.b has the shape \(\)"),
        ({"head": torch.ones(3, 2)}, r"head differs from wte, and this model has one weight for both"),
        ({"wte": None, "head": torch.ones(3, 2), "decoder__tokens": torch.zeros(3, 2)}, r"decoder\.tokens differs from head"),
        ({"ln": torch.ones(2, dtype=torch.int8)}, r"ln holds torch\.int8, not plain real numbers;"),
        ({"head": torch.ones(3, 2).to_sparse()}, r"head holds torch\.sparse_coo, not plain real numbers;"),
        ({"version": torch.ones(1)}, "version is not zero, and the model has no such weight"),
    ],
)
def test_an_error_names_the_weight(changed: dict[str, Tensor | None], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        to_ours(RULES, theirs(**changed), SHAPES, "model.bin", ignored=("mask",), zeros=("version",))


def test_buffers_are_ignored_by_the_end_of_their_names() -> None:
    mask, zero = torch.ones(1, 4, 4, dtype=torch.uint8), torch.zeros(1, 4)
    weights = theirs(h__3__attn__bias=mask, attn__bias=mask, model__final_logits_bias=zero)
    assert len(to_ours(RULES, weights, SHAPES, "file", ignored=("attn.bias",), zeros=("final_logits_bias",))) == 4
    with pytest.raises(WeightsError, match=r"lacks: h\.3\.c_attn\.bias;"):
        to_ours(RULES, theirs(h__3__c_attn__bias=mask), SHAPES, "file", ignored=("attn.bias",))


@given(
    shapes=st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.booleans(), st.sampled_from([1, 2])), max_size=5
    )
)
def test_there_and_back_is_the_same(shapes: Sequence[tuple[int, int, int, bool, int]]) -> None:
    rules = [
        Rule(f"w{n}", tuple(f"x{n}.{part}" for part in range(parts)), transposed=transposed and rank == 2)
        for n, (parts, _, _, transposed, rank) in enumerate(shapes)
    ]
    ours = {
        f"w{n}": torch.arange(float(parts * rows * (columns if rank == 2 else 1))).view(*(parts * rows, columns)[:rank])
        for n, (parts, rows, columns, _, rank) in enumerate(shapes)
    }
    back = to_ours(rules, to_theirs(rules, ours), {name: tensor.shape for name, tensor in ours.items()}, "file")
    assert back.keys() == ours.keys() and all(torch.equal(back[name], ours[name]) for name in ours)
