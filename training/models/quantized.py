"""Weights in 8 or 4 bits: how they are stored, and layers that compute with them.

A compressed checkpoint has two tensors in the place of a weight (out, in), and everything else as before:

    <layer>.codes   int8 (out, in), or uint8 (out, in / 2): two codes of 4 bits, the first in the low half
    <layer>.scale   float32 (out,) for int8; float16 (out, in / G) for 4 bits, a scale for each group of G inputs

    weight = codes * scale for int8, (codes - 8) * scale for 4 bits: symmetric, so that 0 is exact

The layers of attention and feed-forward and the token embedding (each row has a scale) are stored so; norms, biases,
positions and a task's head are not. What computes with them:

    dynamic   8 bits: each row of the inputs (a token) is quantized by its largest magnitude, and the product is one of whole
              numbers (torch's operators on FBGEMM); on a GPU as `weights`
    weights   8 or 4 bits: the weight becomes floats again before each product, so memory is saved and time is not

Inputs are quantized to 7 bits (torch's reduce_range): AVX2 adds pairs of products in 16 bits, which 127 * 127 * 2 does not fill.
By rows, a text's answer does not depend on the texts beside it, and one outlier costs its own token's precision only. torch's
dynamic operator takes the range of all inputs; it is a tenth to a fifth faster (docs/small_models.md).
A tied head multiplies with the floats of the embedding, which are made once, at its first use.
"""

import math
import warnings
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.contract.errors import UserError

CODES, SCALE = "codes", "scale"
GROUP = 32  # inputs that share a scale in 4 bits, as in llama.cpp's Q4_0
Arithmetic = Literal["dynamic", "weights"]
_MOST_INPUT, _MIDDLE = 63, 64  # codes of inputs are 64 - 63 to 64 + 63, of 7 bits
_LEAST = 1e-30  # divides a row of zeros
_LEAST_HALF = 2.0**-24  # of float16: a smaller scale would be 0
_EMBEDDING = "tokens"  # the name of the embedding that is stored so


def quantize(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return codes and scales of a weight (out, in), the nearest to it for the largest magnitude of a row or group.

    >>> codes, scale = quantize(torch.tensor([[1.0, -0.5, 0.0]]), 8)
    >>> codes.tolist(), round(float(scale) * 127, 3)
    ([[127, -64, 0]], 1.0)
    """
    if bits == 8:
        scale = _scale(weight, 127)
        return (weight / scale[:, None]).round().to(torch.int8), scale
    groups = weight.unflatten(1, (-1, group_of(weight.shape[1])))
    scale = _scale(groups, 7).half().clamp_min(_LEAST_HALF)
    codes = (groups / scale.float()[..., None]).round().clamp(-7, 7).add(8).to(torch.uint8).flatten(1)
    return codes[:, ::2] | (codes[:, 1::2] << 4), scale


def _scale(values: Tensor, most: int) -> Tensor:
    scale = values.abs().amax(-1) / most
    return torch.where(scale > 0, scale, 1)


def dequantize(codes: Tensor, scale: Tensor) -> Tensor:
    """Return the weight (out, in) that codes and scales stand for, in float32."""
    if codes.dtype == torch.int8:
        return codes.float().mul_(scale[:, None])
    halves = torch.stack([codes & 15, codes >> 4], dim=-1).flatten(1)
    groups = halves.float().sub_(8).unflatten(1, (scale.shape[1], -1))
    return groups.mul_(scale.float()[..., None]).flatten(1)


def group_of(inputs: int) -> int:
    """Return how many inputs share a scale in 4 bits: 32, or the largest power of two below that divides the inputs."""
    return math.gcd(inputs, GROUP)


class _Stored(nn.Module):
    """Codes and scales of a weight."""

    def __init__(self, codes: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer(CODES, codes)
        self.register_buffer(SCALE, scale)
        self.codes: Tensor
        self.scale: Tensor

    @property
    def weight(self) -> Tensor:
        """The weight that the codes stand for: float32 (out, in)."""
        return dequantize(self.codes, self.scale)


class StoredLinear(_Stored):
    """A linear layer whose weight becomes floats before each product."""

    def __init__(self, codes: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        super().__init__(codes, scale)
        self.register_buffer("bias", bias)
        self.bias: Tensor | None

    def forward(self, input: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        return functional.linear(input, self.weight.to(input.dtype), None if self.bias is None else self.bias.to(input.dtype))


class Int8Linear(StoredLinear):
    """A linear layer that multiplies whole numbers on a CPU; each row of the inputs is quantized by its largest magnitude."""

    def __init__(self, codes: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        super().__init__(codes, scale, bias)
        self._packed: object = None  # the library's layout of the codes

    def forward(self, input: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        if self.codes.device.type != "cpu":
            return super().forward(input)
        if self._packed is None:
            self._packed = self._pack()
        rows = input.float()
        scaled = rows.abs()
        most = scaled.amax(-1, keepdim=True).clamp_min_(_LEAST)
        torch.div(rows, most, out=scaled)  # from -1 to 1
        multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
        out = multiply(scaled, 1 / _MOST_INPUT, _MIDDLE, self._packed)
        if self.bias is None:
            return out.mul_(most).to(input.dtype)
        return torch.addcmul(self.bias, out, most, out=out).to(input.dtype)

    def _pack(self) -> object:
        zeros = torch.zeros(len(self.scale), dtype=torch.int64)
        with warnings.catch_warnings():  # torch 2.13 announces the end of these tensors; docs/decisions.md
            warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)
            weight = torch._make_per_channel_quantized_tensor(self.codes, self.scale.double(), zeros, 0)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        return torch.ops.quantized.linear_prepack(weight, None)  # the bias is added after the rows have their size again


class StoredEmbedding(_Stored):
    """An embedding whose rows become floats when they are read."""

    def __init__(self, codes: Tensor, scale: Tensor) -> None:
        super().__init__(codes, scale)
        self._floats: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """The whole table, for a head that shares it; it is kept, as every step reads it."""
        if self._floats is None or self._floats.device != self.codes.device:
            self._floats = dequantize(self.codes, self.scale)
        return self._floats

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (…) -> (…, D)."""
        return self.codes[ids].float() * self.scale[ids][..., None]


def compressed(model: nn.Module, weights: Mapping[str, Tensor], bits: int) -> dict[str, Tensor]:
    """Return a model's weights with codes and scales for those of its linear layers and its token embedding.

    In 4 bits, layers whose inputs are not a multiple of 8, and the embedding, have 8.
    """
    out = dict(weights)
    for name, module in stored(model).items():
        weight = out.pop(f"{name}.weight").float()
        few = bits == 4 and isinstance(module, nn.Linear) and group_of(weight.shape[1]) >= 8
        out[f"{name}.{CODES}"], out[f"{name}.{SCALE}"] = quantize(weight, 4 if few else 8)
    return out


def stored(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers that are stored in fewer bits, by name; a tied weight occurs once."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Embedding) and name.rsplit(".", 1)[-1] == _EMBEDDING)
    }


def is_compressed(weights: Mapping[str, object]) -> bool:
    """Return whether weights, by name, are those of a compressed model."""
    return any(name.endswith(f".{CODES}") for name in weights)


def floats(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return compressed weights as the floats that they stand for, under the names of the plain model."""
    out = dict(weights)
    for name in [name for name in weights if name.endswith(f".{CODES}")]:
        layer = name.removesuffix(CODES)
        out[f"{layer}weight"] = dequantize(out.pop(name), out.pop(f"{layer}{SCALE}"))
    return out


def prepare(model: nn.Module, weights: Mapping[str, Tensor], arithmetic: str) -> None:
    """Replace the layers of a plain model by those that compute with these compressed weights; `load_state_dict` fills them.

    Raises UserError for arithmetic that this release does not know, or a layer that the model lacks.
    """
    if arithmetic not in get_args(Arithmetic):
        raise UserError(f"compressed weights for {arithmetic!r} arithmetic, and this release knows {get_args(Arithmetic)}")
    for name in [name.removesuffix(f".{CODES}") for name in weights if name.endswith(f".{CODES}")]:
        parent, _, child = name.rpartition(".")
        owner = model.get_submodule(parent)
        layer = getattr(owner, child, None)
        codes, scale = (torch.empty_like(weights[f"{name}.{part}"]) for part in (CODES, SCALE))
        if isinstance(layer, nn.Embedding):
            setattr(owner, child, StoredEmbedding(codes, scale))
        elif isinstance(layer, nn.Linear):
            kind = Int8Linear if arithmetic == "dynamic" and codes.dtype == torch.int8 else StoredLinear
            setattr(owner, child, kind(codes, scale, _empty_like(layer.bias)))
        else:
            raise UserError(f"compressed weights of a layer {name!r}, which the model lacks; they are another model's")


def _empty_like(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else torch.empty_like(tensor)
