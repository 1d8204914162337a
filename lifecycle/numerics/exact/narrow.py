"""LayerNorm, softshrink and a linear map in one compiled call each way, for few cases.

Of a training step behind a wide first layer, calls from Python cost more than arithmetic. Bits are
those of `layers.LayerNorm`, `layers.Softshrink` and `layers.Linear` one after the other, which also
run, and say what is wrong, where a kernel meets what it cannot compute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lifecycle.numerics.exact import kernels
from lifecycle.numerics.exact.compiled import kernel
from lifecycle.numerics.exact.kernels import (
    Array,
    Ends,
    Scalar,
    layer_norm,
    layer_norm_back,
    round_columns,
    round_rows,
    sum_bits,
    sum_columns,
)
from lifecycle.numerics.exact.layers import LAYER_NORM_EPSILON
from lifecycle.numerics.exact.products import require_ends, require_sum
from lifecycle.numerics.exact.rounding import InexactError, product_bits

FEW = 64  # cases up to which loops of our own are as fast as a library's products

Parts = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


@kernel(nogil=True, reorder=True)
def _dots(a: Array, b: Array, out: Array) -> None:
    """out = a b^T of rounded numbers; the sign of a zero is open."""
    for i in range(len(a)):
        for j in range(len(b)):
            total = 0.0
            for t in range(a.shape[1]):
                total += a[i, t] * b[j, t]
            out[i, j] = total


@kernel(nogil=True, reorder=True)
def _combined(a: Array, b: Array, out: Array) -> None:
    """out = a b likewise."""
    out[:] = 0.0
    for i in range(len(a)):
        for t in range(len(b)):
            factor = a[i, t]
            for j in range(b.shape[1]):
                out[i, j] += factor * b[t, j]


@kernel(nogil=True)
def _shrink(x: Array, lambd: float) -> None:
    """`layers.Softshrink` of flat x, in place; what has passed is not zero."""
    for i in range(len(x)):
        closer = x[i] - lambd if x[i] > 0.0 else x[i] + lambd
        x[i] = 0.0 if abs(x[i]) <= lambd else closer


@kernel(nogil=True)
def forward(
    x: Array, norm: Any, lambd: float, linear: Any, bits: tuple[int, int], places: Any
) -> Scalar:
    """linear(softshrink(layer_norm(x))) of rows x (n, m).

    Args:
        x: the input.
        norm: weight (m,), bias (m,) and epsilon of LayerNorm.
        lambd: of softshrink.
        linear: weight (o, m) and bias (o,).
        bits: of LayerNorm's sums, and of the product.
        places: of the result (n, o), and of LayerNorm's normal (n, m) and scales (n,) and of the
            shrunk (n, m), for the way back.

    Returns:
        The greatest exponent that LayerNorm met, and the ends of both operands of the product.
    """
    out, normal, scales, shrunk = places
    weight, bias = linear
    high = layer_norm(x, norm[0], norm[1], norm[2], bits[0], shrunk, normal, scales)
    _shrink(shrunk.reshape(-1), lambd)
    left, right = np.empty(shrunk.shape), np.empty(weight.shape)
    ends = round_rows(shrunk, bits[1], left.reshape(-1), left.shape[1], 0)
    others = round_rows(weight, bits[1], right.reshape(-1), right.shape[1], 0)
    _dots(left, right, out)
    for b in range(len(out)):
        for i in range(len(bias)):
            out[b, i] = (out[b, i] + 0.0) + bias[i]
    return high, ends, others


@kernel(nogil=True)
def _rounded_columns(x: Array, bits: int) -> Any:
    """A matrix with each column rounded, and the ends."""
    out = np.empty((1, *x.shape))
    ends = round_columns(x.reshape((1, *x.shape)), bits, out)
    return out[0], ends


@kernel(nogil=True)
def backward(g: Array, saved: Any, weight: Array, bits: Any, norms: Any, linears: Any) -> Scalar:
    """Gradients of `forward`.

    Args:
        g: gradient of the result, (n, o).
        saved: normal, scales and shrunk of `forward`, and LayerNorm's weight.
        weight: of the linear map.
        bits: of products over the outputs and over the cases, of sums over a row and over cases.
        norms: places of the gradients of x, of LayerNorm's weight and of its bias.
        linears: places of the gradients of the linear map's weight and bias.

    Returns:
        Greatest exponents of LayerNorm's and of the bias' sums; ends of the operands of the
        product for the input, and of that for the weight.
    """
    normal, scales, shrunk, norm_weight = saved
    high = sum_columns(g.reshape(-1), bits[3], linears[1])
    above, ends_above = _rounded_columns(g, bits[1])
    inputs, ends_inputs = _rounded_columns(shrunk, bits[1])
    _combined(np.ascontiguousarray(above.T), inputs, linears[0])
    places = linears[0].reshape(-1)
    for i in range(len(places)):
        places[i] = places[i] + 0.0
    rounded, inner = np.empty(g.shape), np.empty(shrunk.shape)
    ends_g = round_rows(g, bits[0], rounded.reshape(-1), g.shape[1], 0)
    columns, ends_weight = _rounded_columns(weight, bits[0])
    _combined(rounded, columns, inner)
    for b in range(len(inner)):
        for i in range(inner.shape[1]):
            inner[b, i] = inner[b, i] + 0.0 if shrunk[b, i] != 0.0 else 0.0
    dx, dweight, dbias = norms
    sums = (bits[2], bits[3])
    top = layer_norm_back(inner, normal, scales, norm_weight, sums, dx, dweight, dbias)
    return top, high, (ends_g, ends_weight), (ends_above, ends_inputs)


def result_of(
    x: Tensor, norm: tuple[Tensor, Tensor], lambd: float, linear: tuple[Tensor, Tensor]
) -> tuple[Tensor, ...] | None:
    """Result, normal, scales and shrunk of `forward`; None where the parts shall run."""
    if not kernels.usable(x, *norm, *linear) or not _fitting(x, norm, linear):
        return None
    count, width = x.shape
    weight, bias = (kernels.array(part) for part in linear)
    bits = product_bits(width)
    shapes = (count, len(weight)), (count, width), (count,), (count, width)
    places = tuple(np.empty(shape) for shape in shapes)
    affine = (kernels.array(norm[0]), kernels.array(norm[1]), LAYER_NORM_EPSILON)
    found = forward(
        kernels.array(x), affine, lambd, (weight, bias), (sum_bits(width), bits), places
    )
    try:
        require_sum(found[0], width, "input")
        require_ends(found[1], found[2], width, bits, ("input", "weight"))
    except InexactError:
        return None
    return tuple(torch.from_numpy(place) for place in places)


def _fitting(x: Tensor, norm: tuple[Tensor, Tensor], linear: tuple[Tensor, Tensor]) -> bool:
    """Whether shapes are those of `forward`, which does not look at them."""
    if not (x.dim() == linear[0].dim() == 2 and 1 <= len(x) <= FEW):
        return False
    outputs, width = linear[0].shape
    return (
        x.shape[1] == width
        and norm[0].shape == norm[1].shape == (width,)
        and linear[1].shape == (outputs,)
    )


def gradients_of(
    gradient: Tensor, saved: tuple[Tensor, ...], weight: Tensor
) -> tuple[Tensor, ...] | None:
    """Gradients of x, of LayerNorm's weight and bias, and of the linear map's."""
    if not kernels.usable(gradient, *saved, weight):
        return None
    (count, outputs), width = gradient.shape, weight.shape[1]
    bits = product_bits(outputs), product_bits(count), sum_bits(width), sum_bits(count)
    norms = np.empty((count, width)), np.empty(width), np.empty(width)
    linears = np.empty((outputs, width)), np.empty(outputs)
    arrays = tuple(kernels.array(part) for part in saved)
    found = backward(kernels.array(gradient), arrays, kernels.array(weight), bits, norms, linears)
    try:
        _require_gradients(found, (count, outputs), bits)
    except InexactError:
        return None
    return tuple(torch.from_numpy(place) for place in (*norms, *linears))


def _require_gradients(
    found: tuple[int, int, tuple[Ends, Ends], tuple[Ends, Ends]],
    shape: tuple[int, int],
    bits: tuple[int, ...],
) -> None:
    top, high, inner, outer = found
    require_sum(max(top, high), shape[0], "gradient")
    require_ends(*inner, shape[1], bits[0], ("gradient", "weight"))
    require_ends(*outer, shape[0], bits[1], ("gradient", "input"))


class ShrunkLinear(torch.autograd.Function):
    """What `result_of` has computed, and its gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        scale: Tensor,
        shift: Tensor,
        weight: Tensor,
        bias: Tensor,
        made: tuple[Tensor, ...],
        parts: Parts,
    ) -> Tensor:
        ctx.save_for_backward(x, scale, shift, weight, bias)
        ctx.made, ctx.parts = made[1:], parts
        return made[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, *parameters = ctx.saved_tensors
        swept: tuple[Tensor | None, ...] | None = None
        if all(ctx.needs_input_grad[:5]):
            swept = gradients_of(gradient, (*ctx.made, parameters[0]), parameters[2])
        if swept is None:
            swept = _in_parts(ctx, x, parameters, gradient)
        return *swept, None, None


def _in_parts(
    ctx: Any, x: Tensor, parameters: list[Tensor], gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradients that are asked for, layer by layer; parameters keep their names in errors."""
    x = x.detach().requires_grad_(ctx.needs_input_grad[0])
    operands = (x, *parameters)
    with torch.enable_grad():
        result = ctx.parts(*operands)
    asked = [part for part in operands if part.requires_grad]
    found = iter(torch.autograd.grad(result, asked, gradient))
    return tuple(next(found) if part.requires_grad else None for part in operands)
