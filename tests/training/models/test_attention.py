"""Attention against its definition, written out below; masks, caches, rotations, and what a padding token may do to others."""

import math

import pytest
import torch
from examples import few
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention.flex_attention import create_mask

from training.models import attention
from training.models.attention import Cache, CrossAttention, KeysValues, SelfAttention, attend

BATCH, HEADS, LENGTH, HEAD_WIDTH = 2, 3, 7, 8
WIDTH = HEADS * HEAD_WIDTH


def draw(*size: int, seed: int = 1) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def defined(query: Tensor, key: Tensor, value: Tensor, seen: Tensor, scale: float) -> Tensor:
    """softmax(q k / sqrt(K)) v, query by query; seen (B, H, T, S). A query that sees nothing is left out: zeros."""
    mixed = torch.zeros(*query.shape[:3], value.shape[3], dtype=query.dtype)
    for row, head, at in torch.cartesian_prod(*(torch.arange(n) for n in query.shape[:3])).tolist():
        keys = seen[row, head, at].nonzero()[:, 0]
        if len(keys):
            shares = (key[row, head, keys] @ query[row, head, at] * scale).exp()
            mixed[row, head, at] = shares @ value[row, head, keys] / shares.sum()
    return mixed


def heads(seed: int, length: int = LENGTH) -> Tensor:
    return draw(BATCH, HEADS, length, HEAD_WIDTH, seed=seed)


@pytest.mark.parametrize("scale", [None, 1.0])
@pytest.mark.parametrize("queries", [1, 3, LENGTH])
def test_the_last_query_sees_the_last_key(queries: int, scale: float | None) -> None:
    query, key, value = heads(1, queries), heads(2), heads(3)
    seen = torch.ones(LENGTH, LENGTH).tril()[-queries:].expand(BATCH, HEADS, -1, -1)
    wanted = defined(query, key, value, seen, scale or 1 / math.sqrt(HEAD_WIDTH))
    got = attend(query, key, value, sees=None, causal=True, scale=scale, dropout=0.0)
    assert (got - wanted).abs().max() < 1e-12


def test_sees_stands_in_the_place_of_the_causal_rule() -> None:
    query, key, value = heads(1), heads(2), heads(3)
    real = attention.real_tokens(torch.tensor([4, 7]), LENGTH)
    assert real.tolist() == [[True] * 4 + [False] * 3, [True] * 7]
    seen = attention.sees_real(real).expand(BATCH, HEADS, LENGTH, LENGTH)
    wanted = defined(query, key, value, seen, HEAD_WIDTH**-0.5)
    got = attend(query, key, value, sees=attention.sees_real(real), causal=False, scale=None, dropout=0.0)
    assert (got - wanted).abs().max() < 1e-12
    past = attention.sees_past(real, 3)
    assert past.shape == (BATCH, 1, 3, LENGTH)
    assert past[0, 0].int().tolist() == [[1, 1, 1, 1, 0, 0, 0]] * 3
    assert past[1, 0].int().tolist() == [[1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 0], [1] * 7]


@pytest.mark.parametrize("cut", [1, 3, 6])
def test_a_cache_changes_nothing(cut: int) -> None:
    layer = SelfAttention(WIDTH, HEADS, causal=True, dropout=0.0).double()
    x = draw(BATCH, LENGTH, WIDTH)
    cache = KeysValues()
    with torch.no_grad():
        whole = layer(x)
        pieces = [layer(x[:, :cut], cache=cache), *(layer(x[:, at : at + 1], cache=cache) for at in range(cut, LENGTH - 1))]
        pieces.append(layer(x[:, LENGTH - 1 :], cache=cache))
    assert (torch.cat(pieces, dim=1) - whole).abs().max() < 1e-12
    assert cache.key is not None
    assert cache.key.shape == (BATCH, HEADS, LENGTH, HEAD_WIDTH)


def test_a_cache_goes_on_from_chosen_rows() -> None:
    cache = Cache(2)
    assert cache.length == 0
    cache.layers[0].own.append(heads(1), heads(2))
    cache.layers[1].memory.append(heads(3), heads(4))
    cache.select(torch.tensor([1, 1, 0]))
    assert cache.length == LENGTH
    own, memory = cache.layers[0].own, cache.layers[1].memory
    assert own.key is not None
    assert memory.value is not None
    assert torch.equal(own.key, heads(1)[[1, 1, 0]])
    assert torch.equal(memory.value, heads(4)[[1, 1, 0]])
    assert cache.layers[0].memory.key is None


def test_cross_attention_looks_at_the_memory_once() -> None:
    layer = CrossAttention(WIDTH, HEADS, dropout=0.0).double()
    x, memory = draw(BATCH, 3, WIDTH), draw(BATCH, LENGTH, WIDTH, seed=2)
    sees = attention.sees_real(attention.real_tokens(torch.tensor([4, 7]), LENGTH))
    with torch.no_grad():
        got = layer(x, memory, sees)
        query = layer.query(x).unflatten(2, (HEADS, -1)).transpose(1, 2)
        key, value = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in layer.key_value(memory).split(WIDTH, dim=2))
        seen = sees.expand(BATCH, HEADS, 3, LENGTH)
        wanted = layer.output(defined(query, key, value, seen, HEAD_WIDTH**-0.5).transpose(1, 2).flatten(2))
        assert (got - wanted).abs().max() < 1e-12
        cache = KeysValues()
        assert torch.equal(layer(x, memory, sees, cache), got)
        assert torch.equal(layer(x, memory * float("nan"), sees, cache), got)


def test_heads_may_be_wider_than_the_model() -> None:
    layer = SelfAttention(WIDTH, HEADS, causal=False, dropout=0.0, head_width=20, bias=False, scale=1.0).double()
    x = draw(BATCH, LENGTH, WIDTH)
    joined = torch.nn.functional.linear(x, layer.query_key_value.weight)
    query, key, value = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in joined.split(60, dim=2))
    wanted = defined(query, key, value, torch.ones(BATCH, HEADS, LENGTH, LENGTH), 1.0).transpose(1, 2).flatten(2)
    assert (layer(x) - torch.nn.functional.linear(wanted, layer.output.weight)).abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("left", [True, False])
def test_a_row_of_padding_is_finite_and_disturbs_nobody(left: bool, dtype: torch.dtype) -> None:
    real = torch.tensor([[False] * LENGTH, [False] * 3 + [True] * (LENGTH - 3)])
    real = real if left else real.flip(1)
    layer = SelfAttention(WIDTH, HEADS, causal=True, dropout=0.0).to(dtype)
    for sees in (attention.sees_past(real, LENGTH), attention.sees_real(real)):  # in the first, padding in front sees no key
        x = draw(BATCH, LENGTH, WIDTH).to(dtype).requires_grad_()
        mixed = layer(x, sees)
        assert torch.isfinite(mixed).all()
        (mixed * real[:, :, None]).square().sum().backward()
        assert x.grad is not None
        assert torch.isfinite(x.grad).all()
        assert not x.grad[~real].any()  # what stands in padding changes nothing that counts
        assert x.grad[real].abs().min() > 0


def test_dropout_is_of_training_alone() -> None:
    layer = SelfAttention(WIDTH, HEADS, causal=True, dropout=0.5).double()
    x = draw(BATCH, LENGTH, WIDTH)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_rotate_turns_pairs_of_channels() -> None:
    x = torch.tensor([[1.0, 0.0, 0.0, 1.0]])  # pairs (1, 0) and (0, 1)
    angle = torch.tensor([[math.pi / 2, math.pi / 6]])
    turned = attention.rotate(x, torch.stack([angle.cos(), angle.sin()]))
    assert torch.allclose(turned, torch.tensor([[0.0, -0.5, 1.0, math.sqrt(0.75)]]), atol=1e-7)


class TestDocuments:
    NUMBERS = torch.tensor([[0, 0, 0, 1, 1, -1, -1], [4, 4, 4, 4, 4, 4, 4]])

    def test_a_token_sees_those_before_it_in_its_document(self) -> None:
        within = attention.within_documents(self.NUMBERS)
        assert within.shape == (2, 1, LENGTH, LENGTH)
        assert within[0, 0].int().tolist() == [
            [1, 0, 0, 0, 0, 0, 0],
            [1, 1, 0, 0, 0, 0, 0],
            [1, 1, 1, 0, 0, 0, 0],
            [0, 0, 0, 1, 0, 0, 0],
            [0, 0, 0, 1, 1, 0, 0],
            [0, 0, 0, 0, 0, 1, 0],
            [0, 0, 0, 0, 0, 1, 1],
        ]
        assert torch.equal(within[1, 0], torch.ones(LENGTH, LENGTH).tril().bool())

    def test_a_packed_row_is_each_document_alone_with_its_gradients(self) -> None:
        layer = SelfAttention(WIDTH, HEADS, causal=True, dropout=0.0).double()
        x = draw(BATCH, LENGTH, WIDTH).requires_grad_()
        packed = layer(x, attention.within_documents(self.NUMBERS))
        wanted = torch.autograd.grad(packed.square().sum(), x)[0]
        for first, last in ((0, 3), (3, 5)):
            alone = x[:1, first:last].detach().requires_grad_()
            mixed = layer(alone)
            assert (packed[:1, first:last] - mixed).abs().max() < 1e-12
            assert (wanted[:1, first:last] - torch.autograd.grad(mixed.square().sum(), alone)[0]).abs().max() < 1e-12
        assert (packed[:1] - layer(x[:1])).abs().max() > 1e-3  # without the mask it sees other documents

    @few
    @given(st.lists(st.lists(st.integers(-1, 3), min_size=5, max_size=5), min_size=1, max_size=3))
    def test_blocks_say_the_same_as_the_dense_mask(self, numbers: list[list[int]]) -> None:
        documents = torch.tensor(numbers)
        blocks = attention.document_blocks(documents)
        said = create_mask(blocks.mask_mod, len(documents), None, 5, 5, device="cpu")
        assert torch.equal(said, attention.within_documents(documents))

    def test_blocks_that_nobody_sees_are_skipped(self) -> None:
        documents = torch.arange(4).repeat_interleave(128)[None]  # four blocks of 128, a document each
        assert attention.document_blocks(documents).to_dense()[0, 0].int().tolist() == torch.eye(4).int().tolist()

    @pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
    def test_attention_in_blocks_is_that_of_the_dense_mask(self) -> None:
        documents = torch.tensor([[0] * 60 + [1] * 100 + [2] * 30 + [-1] * 10, [0] * 200])
        layer = SelfAttention(WIDTH, HEADS, causal=True, dropout=0.0)
        x = draw(2, 200, WIDTH).float()
        with torch.no_grad():
            dense = layer(x, attention.within_documents(documents))
            assert (layer(x, attention.document_blocks(documents)) - dense).abs().max() < 1e-6

    def test_the_mask_is_dense_where_blocks_cannot_be(self) -> None:
        dense = attention.within_documents(self.NUMBERS)
        found = attention.document_mask(self.NUMBERS, None, 0.0)
        assert isinstance(found, Tensor)
        assert torch.equal(found, dense)
        real = attention.sees_past(torch.tensor([[True] * 6 + [False]] * 2), LENGTH)
        found = attention.document_mask(self.NUMBERS, real, 0.1)
        assert isinstance(found, Tensor)
        assert torch.equal(found, dense & real)

    def test_blocks_refuse_dropout(self) -> None:
        layer = SelfAttention(WIDTH, HEADS, causal=True, dropout=0.1)
        with pytest.raises(AssertionError, match="document_mask"):
            layer(torch.zeros(1, LENGTH, WIDTH), attention.document_blocks(torch.zeros(1, LENGTH, dtype=torch.long)))


class TestLearntBias:
    """Attention with a bias that has a gradient is a function of its own on the CPU."""

    def test_output_is_as_defined(self) -> None:
        query, key, value = heads(1), heads(2), heads(3)
        bias = draw(1, HEADS, LENGTH, LENGTH, seed=4).requires_grad_()
        shares = (query @ key.transpose(2, 3) * 0.3 + bias).softmax(-1)
        got = attend(query, key, value, sees=bias, causal=False, scale=0.3, dropout=0.0)
        assert (got - shares @ value).abs().max() < 1e-12

    @pytest.mark.parametrize("rows", [1, BATCH])
    @pytest.mark.parametrize("scale", [None, 1.0])
    def test_gradients_pass_gradcheck(self, rows: int, scale: float | None) -> None:
        parts = [draw(BATCH, HEADS, length, 4, seed=seed).requires_grad_() for seed, length in ((1, 3), (2, 5), (3, 5))]
        bias = draw(rows, HEADS, 3, 5, seed=4).requires_grad_()

        def mixed(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
            return attend(query, key, value, sees=bias, causal=False, scale=scale, dropout=0.0)

        assert torch.autograd.gradcheck(mixed, (*parts, bias), fast_mode=True)
