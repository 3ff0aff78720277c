"""ELMo (Peters et al. 2018, arXiv 1802.05365): the states of a two-layer bidirectional LSTM language model.

Two stacks of LSTMs read a row, one from each end. They share the representation of tokens and the softmax (section 3.1):

    sum over k of  log p(t_k | t_1 … t_{k-1})  +  log p(t_k | t_{k+1} … t_N)

The second layer's output is added to what it read ("a residual connection from the first to second layer", 3.4). A task sees, of
each token, h_0 = [x; x] and h_j = [forward_j; backward_j] of both layers, mixed with weights that it learns (equation 1):

    ELMo_k = gamma * sum over j of softmax(s)_j h_{k,j}

`characters` spells tokens by a convolution over their bytes with highway layers, as the paper does (after Kim et al. 2016, arXiv
1508.06615); otherwise x is an embedding of the piece, and the softmax uses the same matrix.
Of other sizes than the paper's (4,096 cells, projected to 512): it is trained in minutes here.

Shapes: B batch, T length of the row, D width of a direction, V vocabulary, C bytes of a piece, J = 1 + layers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.data.rows.batch import IGNORE
from training.models.loss import cross_entropy

INIT_STD = 0.05  # of embeddings
FILTERS = ((1, 32), (2, 32), (3, 64), (4, 64))  # bytes and number; the paper's, up to 4 bytes (bilm-tf's options file)
HIGHWAYS = 2


@dataclass(frozen=True, slots=True)
class ELMoShape:
    """Numbers that make an ELMo."""

    vocabulary: int
    width: int = 128  # of a token and of each direction
    layers: int = 2
    dropout: float = 0.0
    characters: bool = False


class Spelling(nn.Module):
    """Tokens from their bytes: convolutions, the maximum over places, highways, a projection."""

    def __init__(self, pieces: Sequence[bytes], width: int, most: int = 16) -> None:
        super().__init__()
        spelled = torch.zeros(len(pieces), most, dtype=torch.int64)
        for number, piece in enumerate(pieces):
            spelled[number, : len(piece[:most])] = torch.tensor(list(piece[:most]), dtype=torch.int64) + 1
        self.spelled: Tensor
        self.register_buffer("spelled", spelled, persistent=False)
        self.bytes = nn.Embedding(257, 16, padding_idx=0)
        self.filters = nn.ModuleList([nn.Conv1d(16, number, size) for size, number in FILTERS])
        size = sum(number for _, number in FILTERS)
        self.highways = nn.ModuleList([nn.Linear(size, 2 * size) for _ in range(HIGHWAYS)])
        self.projection = nn.Linear(size, width)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, D); each different piece is spelled once."""
        different, places = ids.unique(return_inverse=True)
        letters = self.bytes(self.spelled[different]).transpose(1, 2)  # (pieces, 16, C)
        x = torch.cat([convolve(letters).amax(-1).relu() for convolve in self.filters], dim=-1)
        for highway in self.highways:
            new, gate = highway(x).chunk(2, dim=-1)
            x = torch.lerp(x, new.relu(), gate.sigmoid())
        return self.projection(x)[places]


class Direction(nn.Module):
    """A stack of LSTMs that read from left to right."""

    def __init__(self, shape: ELMoShape) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.LSTM(shape.width, shape.width, batch_first=True) for _ in range(shape.layers)])
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, T, D) -> the output of each layer, (B, T, D)."""
        states: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            output, _ = layer(self.dropout(x))
            x = output + x if number else output
            states.append(x)
        return states


class ELMo(nn.Module):
    """The whole model; `pieces` are the bytes of each token, for `characters`."""

    def __init__(self, shape: ELMoShape, pieces: Sequence[bytes] = ()) -> None:
        super().__init__()
        self.shape = shape
        self.tokens = Spelling(pieces, shape.width) if shape.characters else nn.Embedding(shape.vocabulary, shape.width)
        self.forwards, self.backwards = Direction(shape), Direction(shape)
        self.softmax = nn.Parameter(torch.empty(shape.vocabulary, shape.width)) if shape.characters else None
        self.bias = nn.Parameter(torch.zeros(shape.vocabulary))
        for matrix in (self.softmax, None if shape.characters else self.tokens.weight):
            if isinstance(matrix, Tensor):
                nn.init.normal_(matrix, std=INIT_STD)

    def layers(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Token ids (B, T), of which row b has lengths[b] -> h_0 … h_L: (J, B, T, 2 D)."""
        x = self.tokens(ids)
        backwards = [turned(state, lengths) for state in self.backwards(turned(x, lengths))]
        pairs = zip([x, *self.forwards(x)], [x, *backwards], strict=True)
        return torch.stack([torch.cat(pair, dim=-1) for pair in pairs])

    def losses(self, examples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rows (B, T + 1), of which row b has lengths[b] tokens -> the sums of both losses, in nats.

        The forward direction predicts every token but a row's first, the backward every token but its last.
        """
        ids, lengths = examples["ids"], examples["lengths"]
        x = self.tokens(ids)
        sums: dict[str, Tensor] = {}
        for name, direction, row, embedded in (
            ("forward", self.forwards, ids, x),
            ("backward", self.backwards, turned(ids, lengths), turned(x, lengths)),
        ):
            predicted = torch.arange(1, ids.shape[1], device=ids.device) < lengths[:, None]
            targets = row[:, 1:].where(predicted, IGNORE)
            sums[name] = cross_entropy(direction(embedded[:, :-1])[-1], self._softmax(), targets, self.bias)
        return sums

    def _softmax(self) -> Tensor:
        return self.tokens.weight if self.softmax is None else self.softmax  # pyright: ignore[reportReturnType]


class ScalarMix(nn.Module):
    """Equation 1: the layers of a model, mixed with learned weights. At first all weigh the same."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(layers))
        self.gamma = nn.Parameter(torch.ones(()))

    def forward(self, layers: Tensor) -> Tensor:
        """(J, …, D) -> (…, D)."""
        return self.gamma * torch.tensordot(functional.softmax(self.scores, dim=0), layers, dims=1)


def turned(rows: Tensor, lengths: Tensor) -> Tensor:
    """Reverse the first lengths[b] places of each row: (B, T, …) -> (B, T, …).

    >>> turned(torch.tensor([[5, 6, 7, 0]]), torch.tensor([3]))
    tensor([[7, 6, 5, 0]])
    """
    places = torch.arange(rows.shape[1], device=rows.device)
    source = torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)
    return rows[torch.arange(len(rows), device=rows.device)[:, None], source]
