"""Compiled sweeps of the layers: the same bits as the plain operations, in fewer passes.

Every kernel rounds as written (no fastmath) and is tested bit for bit against the plain operations,
which define the arithmetic. A sum of rounded numbers is free in its order. Arrays are C-contiguous;
`tops` are largest magnitudes as bit patterns, in which NaN and infinity stand above all numbers.

`usable` tells whether a layer may call them; where it may not, the layer's plain path runs. A
kernel that meets NaN, infinity or too large a number returns an exponent beyond MAX_EXPONENT (with
results that mean nothing): the caller then takes the plain path, which says what is wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lifecycle.numerics.exact import engine
from lifecycle.numerics.exact.compiled import (
    exp_,
    gelu_,
    kernel,
    log_,
    sigmoid_,
    softplus_,
    sqrt_,
)
from lifecycle.numerics.exact.constants import INV_SQRT_2PI
from lifecycle.numerics.exact.formulas import normal as normal_
from lifecycle.numerics.exact.rounding import (
    MANTISSA,
    MAX_BITS,
    MAX_EXPONENT,
    MAX_LENGTH,
    MIN_EXPONENT,
    ceil_log2,
)

Array = NDArray[np.float64]
Bits = NDArray[np.int64]
Scalar = Any  # a number (or two) inside compiled code
Ends = tuple[int, int]  # the least exponent of a vector that is not all zero, and the greatest

SIGN = np.int64(0x7FFFFFFFFFFFFFFF)
_FIELD, _BIAS = 52, 1023
_TOP = np.int64(MAX_EXPONENT)

_jit = kernel(nogil=True)
_inline = kernel(nogil=True, forceinline=True)


def usable(*tensors: Tensor) -> bool:
    """Whether kernels take these tensors: compiled kernels are on, and all are doubles on a CPU."""
    return engine.compiled() and all(
        tensor.is_cpu and tensor.dtype is torch.float64 for tensor in tensors
    )


def array(x: Tensor) -> Array:
    """The values of a tensor, C-contiguous."""
    plain = x.detach() if x.requires_grad else x
    found: Array = (plain if plain.is_contiguous() else plain.contiguous()).numpy()
    return found


def sum_bits(count: int) -> int:
    """Significant bits of the values of an exact sum of so many (see `products.total`)."""
    return MANTISSA - ceil_log2(count)


# Parts of kernels.


@_inline
def exponent_of(top: Scalar) -> Scalar:
    """The exponent of a magnitude (see `rounding.exponent`)."""
    return (top >> _FIELD) - (_BIAS - 1)


@_inline
def shift_at(e: Scalar, bits: Scalar) -> Scalar:
    """The constant that rounds to so many bits below an exponent (see `rounding.to_slice`)."""
    size = np.int64((min(e, _TOP) + (_FIELD - bits) + _BIAS) << _FIELD).view(np.float64) * 1.5
    return 0.0 if bits > MAX_BITS else size


@_inline
def shift_below(top: Scalar, bits: Scalar) -> Scalar:
    """The same below a magnitude."""
    return shift_at(exponent_of(top), bits)


@_inline
def magnitude_of(x: Scalar) -> Scalar:
    """|x| as a bit pattern."""
    return np.float64(x).view(np.int64) & SIGN


@_inline
def _top(x: Array) -> Scalar:
    """The greatest magnitude of a vector."""
    top = np.int64(0)
    for i in range(len(x)):
        top = max(top, magnitude_of(x[i]))
    return top


@_inline
def _total(x: Array, top: Scalar, bits: int) -> Scalar:
    """The sum of a vector, rounded to `bits` below its top; in four lanes, which cannot matter."""
    shift = shift_below(top, bits)
    a = b = c = d = 0.0
    whole = len(x) - len(x) % 4
    for i in range(0, whole, 4):
        a += (x[i] + shift) - shift
        b += (x[i + 1] + shift) - shift
        c += (x[i + 2] + shift) - shift
        d += (x[i + 3] + shift) - shift
    for i in range(whole, len(x)):
        a += (x[i] + shift) - shift
    return ((a + b) + (c + d)) + 0.0


@_jit
def ends_of(tops: Bits) -> Scalar:
    """Least exponent of a magnitude that is not zero (0 where all are), and the greatest."""
    least, greatest, seen = np.int64(2000), np.int64(MIN_EXPONENT), False
    for top in tops:
        e = exponent_of(top)
        greatest = max(greatest, e)
        if top != 0:
            least = min(least, e)
            seen = True
    return (least if seen else np.int64(0)), greatest


@_inline
def _tile(c: int) -> Scalar:
    """Values at a time: whole rows of c, long enough that vector instructions pay."""
    return c * max(1, 256 // c)


@_jit
def _tiled(row: Array, size: int) -> Array:
    """A row again and again; size is a multiple of its length."""
    c = len(row)
    found = np.empty(size)
    for at in range(0, size, c):
        for i in range(c):
            found[at + i] = row[i]
    return found


@_jit
def _highest(wide: Bits, tops: Bits) -> None:
    """tops become at least the magnitudes in tiled columns."""
    c = len(tops)
    for at in range(0, len(wide), c):
        for i in range(c):
            tops[i] = max(tops[i], wide[at + i])


@_jit
def _raise_tops(x: Array, tops: Bits) -> None:
    """tops of the columns of flat rows x become at least x's magnitudes."""
    c = len(tops)
    size = _tile(c)
    wide = np.zeros(size, np.int64)
    for at in range(0, len(x), size):
        part = x[at : at + size]
        for i in range(len(part)):
            wide[i] = max(wide[i], magnitude_of(part[i]))
    _highest(wide, tops)


@_jit
def _round_flat(x: Array, shifts: Array, out: Array) -> None:
    """Flat rows x, each column rounded by its shift, which are tiled."""
    size = len(shifts)
    for at in range(0, len(x), size):
        part, place = x[at : at + size], out[at : at + size]
        for i in range(len(part)):
            place[i] = (part[i] + shifts[i]) - shifts[i]


@_jit
def _fold(wide: Array, out: Array) -> None:
    """Sums of tiled columns, which have been rounded for it; zeros are +0."""
    c = len(out)
    out[:] = 0.0
    for at in range(0, len(wide), c):
        for i in range(c):
            out[i] += wide[at + i]
    for i in range(c):
        out[i] += 0.0


@_jit
def _shifts(tops: Bits, bits: int) -> Array:
    found = np.empty(len(tops))
    for i in range(len(tops)):
        found[i] = shift_below(tops[i], bits)
    return found


# Rounding to one slice.


@_jit
def round_rows(x: Array, bits: int, out: Array, step: int, offset: int) -> Scalar:
    """Row b of x (n, m), rounded below its largest magnitude, to out[b step + offset …]; its ends.

    With step = m and offset = 0, out is x's shape; otherwise rows stand padded in out.
    """
    n, m = x.shape
    tops = np.empty(n, np.int64)
    for b in range(n):
        tops[b] = _top(x[b])
        shift = shift_below(tops[b], bits)
        place = out[b * step + offset : b * step + offset + m]
        row = x[b]
        for i in range(m):
            place[i] = (row[i] + shift) - shift
    return ends_of(tops)


@_jit
def round_channels(x: Array, bits: int, out: Array, step: int, offset: int) -> Scalar:
    """The same for x (n, t, c) with an exponent a channel over all samples and times."""
    n, time, c = x.shape
    tops = np.zeros(c, np.int64)
    flat = x.reshape((n, time * c))
    for b in range(n):
        _raise_tops(flat[b], tops)
    shifts = _tiled(_shifts(tops, bits), _tile(c))
    for b in range(n):
        at = b * step + offset
        _round_flat(flat[b], shifts, out[at : at + time * c])
    return ends_of(tops)


@_jit
def round_columns(x: Array, bits: int, out: Array) -> Scalar:
    """Each matrix of x (n, t, c), each of its columns rounded below its largest magnitude."""
    n, time, c = x.shape
    tops = np.zeros((n, c), np.int64)
    source, place = x.reshape((n, time * c)), out.reshape((n, time * c))
    for b in range(n):
        _raise_tops(source[b], tops[b])
        _round_flat(source[b], _tiled(_shifts(tops[b], bits), _tile(c)), place[b])
    return ends_of(tops.reshape(-1))


@_jit
def round_weight(w: Array, bits: int, by_input: bool, out: Array, places: Any) -> Scalar:
    """Weights (o, c, k), rounded with an exponent for each input or each output channel.

    w[o, c, j] goes to out[places[0] + o places[1] + c places[2] + j places[3]].
    """
    outs, ins, taps = w.shape
    tops = np.zeros(ins if by_input else outs, np.int64)
    for o in range(outs):
        for i in range(ins):
            at = i if by_input else o
            tops[at] = max(tops[at], _top(w[o, i]))
    shifts = _shifts(tops, bits)
    for o in range(outs):
        for i in range(ins):
            shift = shifts[i if by_input else o]
            at = places[0] + o * places[1] + i * places[2]
            for j in range(taps):
                out[at + j * places[3]] = (w[o, i, j] + shift) - shift
    return ends_of(tops)


@_jit
def round_gradient(
    g: Array, bits: Any, by_sample: Array, by_channel: Array, sums: Array, layout: Any
) -> Scalar:
    """A gradient (n, t, o) for all that a convolution does with it, in two passes.

    Args:
        g: the gradient.
        bits: of the slice by sample, of the slice by channel, of the sum.
        by_sample: place of the slices by sample, flat.
        by_channel: place of the slices by channel, flat.
        sums: the sum of every channel, (o,).
        layout: step and offset of by_sample, and step of by_channel.

    Returns:
        The ends of samples and of channels.
    """
    n, time, c = g.shape
    flat = g.reshape((n, time * c))
    tops, own = np.zeros(c, np.int64), np.zeros((n, c), np.int64)
    sample_tops = np.zeros(n, np.int64)
    for b in range(n):
        _raise_tops(flat[b], own[b])
        for i in range(c):
            sample_tops[b] = max(sample_tops[b], own[b, i])
            tops[i] = max(tops[i], own[b, i])
    size = _tile(c)
    shifts, whole = _tiled(_shifts(tops, bits[1]), size), _tiled(_shifts(tops, bits[2]), size)
    wide = np.zeros(size)
    for b in range(n):
        shift = shift_below(sample_tops[b], bits[0])
        for at in range(0, time * c, size):
            row = flat[b, at : at + size]
            start = b * layout[0] + layout[1] + at
            one = by_sample[start : start + len(row)]
            start = b * layout[2] + at
            two = by_channel[start : start + len(row)]
            for i in range(len(row)):
                one[i] = (row[i] + shift) - shift
                two[i] = (row[i] + shifts[i]) - shifts[i]
                wide[i] += (row[i] + whole[i]) - whole[i]
    _fold(wide, sums)
    return ends_of(sample_tops), ends_of(tops)


@_jit
def finish(y: Array, bias: Array, out: Array) -> None:
    """out = (y + 0) + bias for the first rows of each sample of y (n, rows, o)."""
    n, time, c = out.shape
    wide = _tiled(bias, _tile(c))
    size = len(wide)
    source, target = y.reshape((n, y.shape[1] * c)), out.reshape((n, time * c))
    for b in range(n):
        for at in range(0, time * c, size):
            place = target[b, at : at + size]
            part = source[b, at : at + size]
            for i in range(len(place)):
                place[i] = (part[i] + 0.0) + wide[i]


@_jit
def trim(y: Array, out: Array) -> None:
    """out = y + 0 for the first rows of each sample of y (n, rows, o)."""
    n, time, c = out.shape
    source, target = y.reshape((n, y.shape[1] * c)), out.reshape((n, time * c))
    for b in range(n):
        for i in range(time * c):
            target[b, i] = source[b, i] + 0.0


# Depthwise convolution; see `convolution.Depthwise`.


@_jit
def depthwise(x: Array, w: Array, bias: Array, layout: tuple[int, int], out: Array) -> None:
    """x (n, t, c) already padded, w (k, c), bias (c,) or empty; layout: stride, dilation."""
    n, time, c = out.shape
    rows = 1 if layout[0] > 1 else max(1, 256 // c)  # so many at a time lie side by side
    taps = np.empty((len(w), rows * c))
    added = _tiled(bias if len(bias) > 0 else w[0], rows * c)
    for j in range(len(w)):
        taps[j] = _tiled(w[j], rows * c)
    flat, places = x.reshape((n, x.shape[1] * c)), out.reshape((n, time * c))
    for b in range(n):
        for t in range(0, time, rows):
            size = min(rows, time - t) * c
            place = places[b, t * c : t * c + size]
            for j in range(len(w)):
                at = (t * layout[0] + j * layout[1]) * c
                row, tap = flat[b, at : at + size], taps[j]
                if j == 0:
                    for i in range(size):
                        place[i] = row[i] * tap[i]
                else:
                    for i in range(size):
                        place[i] += row[i] * tap[i]
            if len(bias) > 0:
                for i in range(size):
                    place[i] += added[i]


@_jit
def depthwise_input(g: Array, w: Array, layout: tuple[int, int], out: Array) -> None:
    """The gradient of the padded input, out (n, t, c) of zeros, taps in their order."""
    n, time, c = g.shape
    for b in range(n):
        for j in range(len(w)):
            for t in range(time):
                row, place = g[b, t], out[b, t * layout[0] + j * layout[1]]
                for i in range(c):
                    place[i] += row[i] * w[j, i]


@_jit
def depthwise_weight(x: Array, g: Array, bits: int, layout: tuple[int, int], out: Array) -> Scalar:
    """The gradient of the weight, out (k, c), from the padded input; the greatest exponent met."""
    n, time, c = g.shape
    greatest = np.int64(MIN_EXPONENT)
    product = np.empty(n * time * c)
    for j in range(len(out)):
        for b in range(n):
            for t in range(time):
                row, above = x[b, t * layout[0] + j * layout[1]], g[b, t]
                place = product[(b * time + t) * c : (b * time + t + 1) * c]
                for i in range(c):
                    place[i] = row[i] * above[i]
        greatest = max(greatest, sum_columns(product, bits, out[j]))
    return greatest


# Normalisation.


@_jit
def sum_columns(x: Array, bits: int, out: Array) -> Scalar:
    """`products.total` of the columns of flat rows x; the greatest exponent met."""
    tops = np.zeros(len(out), np.int64)
    _raise_tops(x, tops)
    shifts = _tiled(_shifts(tops, bits), _tile(len(out)))
    size = len(shifts)
    sums = np.zeros(size)
    for at in range(0, len(x), size):
        part = x[at : at + size]
        for i in range(len(part)):
            sums[i] += (part[i] + shifts[i]) - shifts[i]
    _fold(sums, out)
    return ends_of(tops)[1]


@_jit
def sum_rows(x: Array, bits: int, out: Array) -> Scalar:
    """`products.total` of the rows of x (n, m); the greatest exponent met."""
    greatest = np.int64(MIN_EXPONENT)
    for b in range(len(x)):
        top = _top(x[b])
        out[b] = _total(x[b], top, bits)
        greatest = max(greatest, exponent_of(top))
    return greatest


@_jit
def layer_norm(
    x: Array,
    weight: Array,
    bias: Array,
    epsilon: float,
    bits: int,
    out: Array,
    normal: Array,
    scales: Array,
) -> Scalar:
    """`layers.LayerNorm` of rows x (n, m); the greatest exponent met."""
    n, m = x.shape
    width = np.float64(m)
    greatest = np.int64(0)
    squares = np.empty(m)
    for b in range(n):
        row, centred, place = x[b], normal[b], out[b]
        top = _top(row)
        mean = _total(row, top, bits) / width
        for i in range(m):
            centred[i] = row[i] - mean
            squares[i] = centred[i] * centred[i]
        high = _top(squares)
        variance = _total(squares, high, bits) / width
        scale = 1.0 / sqrt_(variance + epsilon)
        for i in range(m):
            centred[i] = centred[i] * scale
            place[i] = centred[i] * weight[i] + bias[i]
        scales[b] = scale
        greatest = max(greatest, top, high)
    return exponent_of(greatest)


@_jit
def layer_norm_back(
    g: Array,
    normal: Array,
    scales: Array,
    weight: Array,
    bits: tuple[int, int],
    dx: Array,
    dweight: Array,
    dbias: Array,
) -> Scalar:
    """Its gradients; bits of the sums over a row and over the rows."""
    n, m = g.shape
    width = np.float64(m)
    greatest = np.int64(0)
    inner, product = np.empty(m), np.empty(m)
    for b in range(n):
        row, unit, place = g[b], normal[b], dx[b]
        for i in range(m):
            inner[i] = row[i] * weight[i]
            product[i] = inner[i] * unit[i]
        top, high = _top(inner), _top(product)
        mean = _total(inner, top, bits[0]) / width
        slope = _total(product, high, bits[0]) / width
        scale = scales[b]
        for i in range(m):
            place[i] = ((inner[i] - mean) - unit[i] * slope) * scale
        greatest = max(greatest, top, high)
    return max(exponent_of(greatest), gradient_sums(g, normal, bits[1], dweight, dbias))


@_jit
def gradient_sums(g: Array, normal: Array, bits: int, dweight: Array, dbias: Array) -> Scalar:
    """dbias = total of g, dweight = total of g normal, over rows; the greatest exponent met."""
    c = len(dbias)
    flat, unit = g.reshape(-1), normal.reshape(-1)
    tops, tops2 = np.zeros(c, np.int64), np.zeros(c, np.int64)
    size = _tile(c)
    wide, wide2 = np.zeros(size, np.int64), np.zeros(size, np.int64)
    for at in range(0, len(flat), size):
        one, two = flat[at : at + size], unit[at : at + size]
        for i in range(len(one)):
            wide[i] = max(wide[i], magnitude_of(one[i]))
            wide2[i] = max(wide2[i], magnitude_of(one[i] * two[i]))
    _highest(wide, tops)
    _highest(wide2, tops2)
    shifts, shifts2 = _tiled(_shifts(tops, bits), size), _tiled(_shifts(tops2, bits), size)
    sums, sums2 = np.zeros(size), np.zeros(size)
    for at in range(0, len(flat), size):
        one, two = flat[at : at + size], unit[at : at + size]
        for i in range(len(one)):
            sums[i] += (one[i] + shifts[i]) - shifts[i]
            sums2[i] += (one[i] * two[i] + shifts2[i]) - shifts2[i]
    _fold(sums, dbias)
    _fold(sums2, dweight)
    return max(ends_of(tops)[1], ends_of(tops2)[1])


@_jit
def batch_sums(x: Array, bits: int, mean: Array, squares: Array, centred: Array) -> Scalar:
    """Means of the columns of x (n, m), deviations from them, and the sums of their squares."""
    n, m = x.shape
    flat, place = x.reshape(-1), centred.reshape(-1)
    greatest = sum_columns(flat, bits, mean)
    for i in range(m):
        mean[i] = mean[i] / np.float64(n)
    size = _tile(m)
    wide, tops, means = np.zeros(size, np.int64), np.zeros(m, np.int64), _tiled(mean, size)
    for at in range(0, len(flat), size):
        part, put = flat[at : at + size], place[at : at + size]
        for i in range(len(part)):
            put[i] = part[i] - means[i]
            wide[i] = max(wide[i], magnitude_of(put[i] * put[i]))
    _highest(wide, tops)
    shifts, sums = _tiled(_shifts(tops, bits), size), np.zeros(size)
    for at in range(0, len(flat), size):
        put = place[at : at + size]
        for i in range(len(put)):
            sums[i] += (put[i] * put[i] + shifts[i]) - shifts[i]
    _fold(sums, squares)
    return max(greatest, ends_of(tops)[1])


@_jit
def _scale_shift(centred: Array, scale: Array, weight: Array, bias: Array, out: Array) -> None:
    """centred becomes centred scale; out = that, times weight, plus bias."""
    size = _tile(len(scale))
    scales, weights, biases = _tiled(scale, size), _tiled(weight, size), _tiled(bias, size)
    flat, place = centred.reshape(-1), out.reshape(-1)
    for at in range(0, len(flat), size):
        row, put = flat[at : at + size], place[at : at + size]
        for i in range(len(row)):
            row[i] = row[i] * scales[i]
            put[i] = row[i] * weights[i] + biases[i]


@_jit
def batch_norm(
    x: Array, affine: Any, running: Any, rates: Any, bits: int, training: bool, places: Any
) -> Scalar:
    """`normalisation.BatchNorm` of rows x (n, m); the greatest exponent met.

    Args:
        x: the input.
        affine: weight and bias.
        running: mean and variance, which move in training, unless x cannot be summed.
        rates: epsilon, share of the old and of the new statistics.
        bits: of the sums.
        training: whether x's own statistics are used.
        places: of the result, the normalised input and the scales.
    """
    out, normal, scale = places
    epsilon, kept, share = rates
    n, m = x.shape
    count, greatest = np.float64(n), np.int64(MIN_EXPONENT)
    if training:
        mean, squares = np.empty(m), np.empty(m)
        greatest = max(greatest, batch_sums(x, bits, mean, squares, normal))
        if greatest > _TOP:
            return greatest
        for i in range(m):
            running[0][i] = running[0][i] * kept + mean[i] * share
            running[1][i] = running[1][i] * kept + (squares[i] / (count - 1.0)) * share
            scale[i] = 1.0 / sqrt_(squares[i] / count + epsilon)
    else:
        for i in range(m):
            scale[i] = 1.0 / sqrt_(running[1][i] + epsilon)
        for b in range(n):
            for i in range(m):
                normal[b, i] = x[b, i] - running[0][i]
    _scale_shift(normal, scale, affine[0], affine[1], out)
    return greatest


@_jit
def batch_norm_back(
    g: Array,
    normal: Array,
    factor: Array,
    bits: int,
    training: bool,
    dx: Array,
    dweight: Array,
    dbias: Array,
) -> Scalar:
    """Gradients of BatchNorm, factor = weight scale; the greatest exponent met."""
    n, m = g.shape
    greatest = gradient_sums(g, normal, bits, dweight, dbias)
    size = _tile(m)
    count = np.float64(n)
    mean, slope = _tiled(dbias / count, size), _tiled(dweight / count, size)
    factors = _tiled(factor, size)
    flat, units, places = g.reshape(-1), normal.reshape(-1), dx.reshape(-1)
    for at in range(0, len(flat), size):
        row, unit, place = flat[at : at + size], units[at : at + size], places[at : at + size]
        if training:
            for i in range(len(row)):
                place[i] = ((row[i] - mean[i]) - unit[i] * slope[i]) * factors[i]
        else:
            for i in range(len(row)):
                place[i] = row[i] * factors[i]
    return greatest


# Softmax, activations, pooling.


@_inline
def _softmax_row(row: Array, bits: int, out: Array) -> Scalar:
    """Scores of a row; its largest value, the sum of the exponentials, the greatest exponent."""
    most = row[0]
    for i in range(1, len(row)):
        most = row[i] if row[i] > most else most
    for i in range(len(row)):
        out[i] = exp_(row[i] - most)
    top = _top(out)
    size = _total(out, top, bits)
    for i in range(len(row)):
        out[i] = out[i] / size
    return most, size, max(exponent_of(top), exponent_of(_top(row)))


@_jit
def softmax(x: Array, bits: int, out: Array) -> Scalar:
    """`layers.softmax` of rows x (n, m): scores; the greatest exponent met (x's own too)."""
    greatest = np.int64(MIN_EXPONENT)
    for b in range(len(x)):
        _, _, high = _softmax_row(x[b], bits, out[b])
        greatest = max(greatest, high)
    return greatest


@_jit
def cross_entropy(
    x: Array, target: Bits, bits: tuple[int, int], slope: Array, losses: Array
) -> Scalar:
    """The total of `layers.CrossEntropy` of rows x (n, m), its slope; the greatest exponent met.

    Args:
        x: logits.
        target: numbers of the classes, which are not looked at here.
        bits: of the sum over a row, of the sum over the rows.
        slope: place of the scores less 1 at the target (n, m), and
        losses: of the losses (n,).
    """
    greatest = np.int64(MIN_EXPONENT)
    for b in range(len(x)):
        most, size, high = _softmax_row(x[b], bits[0], slope[b])
        losses[b] = log_(size) - (x[b, target[b]] - most)
        slope[b, target[b]] -= 1.0
        greatest = max(greatest, high)
    top = _top(losses)
    return _total(losses, top, bits[1]), max(greatest, exponent_of(top))


@_jit
def softmax_back(scores: Array, slope: Array, bits: int, out: Array) -> Scalar:
    """out = scores (slope - total(slope scores)) of rows; the greatest exponent met."""
    n, m = scores.shape
    greatest = np.int64(MIN_EXPONENT)
    product = np.empty(m)
    for b in range(n):
        row, above, place = scores[b], slope[b], out[b]
        for i in range(m):
            product[i] = above[i] * row[i]
        top = _top(product)
        mean = _total(product, top, bits)
        for i in range(m):
            place[i] = row[i] * (above[i] - mean)
        greatest = max(greatest, exponent_of(top))
    return greatest


@_jit
def gelu(x: Array, out: Array) -> None:
    """`elementary.gelu` of flat x."""
    for i in range(len(x)):
        out[i] = gelu_(x[i])


@_jit
def gelu_and_slope(x: Array, out: Array, slope: Array) -> None:
    """The same and `elementary.gelu_derivative`, which share most of their work."""
    for i in range(len(x)):
        below, density, kept = normal_(x[i])
        y = x[i] * below if below > 0.0 else 0.0
        steep = below + kept * (density * INV_SQRT_2PI)
        out[i] = y + 0.0 if x[i] == x[i] else np.nan
        slope[i] = steep if x[i] == x[i] else np.nan


@_jit
def relu(x: Array, out: Array) -> None:
    """x where it is positive or NaN, else +0; flat."""
    for i in range(len(x)):
        out[i] = 0.0 if x[i] <= 0.0 else x[i]


@_jit
def relu_back(g: Array, x: Array, out: Array) -> None:
    """g where x is positive, else +0; flat."""
    for i in range(len(x)):
        out[i] = g[i] if x[i] > 0.0 else 0.0


@_jit
def binary_cross_entropy(
    x: Array, y: Array, weight: Array, bits: int, losses: Array, slope: Array
) -> Scalar:
    """The total of `losses.BinaryCrossEntropy` of (n, c), the slopes; the greatest exponent met."""
    n, c = x.shape
    for b in range(n):
        for i in range(c):
            absent = 1.0 - y[b, i]
            share = (weight[i] - 1.0) * y[b, i] + 1.0
            losses[b * c + i] = absent * x[b, i] + share * softplus_(-x[b, i])
            slope[b, i] = absent - share * sigmoid_(-x[b, i])
    top = _top(losses)
    return _total(losses, top, bits), exponent_of(top)


@_jit
def max_pool(x: Array, taps: int, stride: int, padding: int, out: Array, winner: Bits) -> None:
    """`pooling.largest` of x (n, t, c)."""
    n, time, c = out.shape
    for b in range(n):
        for t in range(time):
            place, first = out[b, t], winner[b, t]
            place[:] = -np.inf
            first[:] = 0
            for j in range(taps):
                at = t * stride + j - padding
                if at < 0 or at >= x.shape[1]:
                    continue
                row = x[b, at]
                for i in range(c):
                    better = row[i] > place[i] or row[i] != row[i]
                    first[i] = j if better else first[i]
                    place[i] = row[i] if better else place[i]


@_jit
def max_pool_back(g: Array, winner: Bits, taps: int, stride: int, padding: int, out: Array) -> None:
    """Its gradient, into out (n, t, c) of zeros, taps in their order."""
    n, time, c = g.shape
    for b in range(n):
        for j in range(taps):
            for t in range(time):
                at = t * stride + j - padding
                if at < 0 or at >= out.shape[1]:
                    continue
                row, first, place = g[b, t], winner[b, t], out[b, at]
                for i in range(c):
                    place[i] += row[i] if first[i] == j else 0.0


@_jit
def adam(
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    rates: tuple[float, float, float, float],
    betas: tuple[float, float],
) -> None:
    """`optimisers.Adam.update` of a flat parameter, with the L2 term.

    Args:
        w: the parameter, changed in place.
        m: the first moment, changed in place.
        v: the second moment, changed in place.
        g: the gradient without the L2 term.
        rates: L2 weight, lr / (1 - beta1^t), 1 - beta2^t, epsilon.
        betas: beta1, beta2.
    """
    l2, rate, whole, epsilon = rates
    beta1, beta2 = betas
    for i in range(len(w)):
        slope = g[i] + w[i] * l2
        m[i] = m[i] * beta1 + slope * (1.0 - beta1)
        v[i] = v[i] * beta2 + (slope * slope) * (1.0 - beta2)
        w[i] = w[i] - (m[i] * rate) / (sqrt_(v[i] / whole) + epsilon)


# Kernels of tensors. None: the plain path shall run, and say what is wrong.


def layer_norm_of(
    x: Tensor, weight: Tensor, bias: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Result, normal and scale of `layers.LayerNorm`."""
    if not usable(x, weight, bias) or not 1 <= x.shape[-1] <= MAX_LENGTH:
        return None
    if not x.shape[-1:] == weight.shape == bias.shape:
        return None
    source = array(x)
    width = source.shape[-1]
    flat = source.reshape(-1, width)
    out, normal, scale = np.empty(flat.shape), np.empty(flat.shape), np.empty(len(flat))
    bits = sum_bits(width)
    top = layer_norm(flat, array(weight), array(bias), epsilon, bits, out, normal, scale)
    if top > MAX_EXPONENT:
        return None
    shape = source.shape
    made = (out.reshape(shape), normal.reshape(shape), scale.reshape((*shape[:-1], 1)))
    return torch.from_numpy(made[0]), torch.from_numpy(made[1]), torch.from_numpy(made[2])


def layer_norm_gradients(
    gradient: Tensor, normal: Tensor, scale: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Gradients of `layers.LayerNorm`: input, weight, bias."""
    width = normal.shape[-1]
    count = normal.numel() // width
    if not usable(gradient, normal, weight) or not 1 <= count <= MAX_LENGTH:
        return None
    dx, dweight, dbias = np.empty((count, width)), np.empty(width), np.empty(width)
    above, units = array(gradient).reshape(-1, width), array(normal).reshape(-1, width)
    bits = (sum_bits(width), sum_bits(count))
    places = (dx, dweight, dbias)
    top = layer_norm_back(above, units, array(scale).reshape(-1), array(weight), bits, *places)
    if top > MAX_EXPONENT:
        return None
    return (
        torch.from_numpy(dx.reshape(normal.shape)),
        torch.from_numpy(dweight),
        torch.from_numpy(dbias),
    )


def softmax_of(x: Tensor) -> Tensor | None:
    """Scores of `layers.softmax`."""
    if not usable(x) or not 1 <= x.shape[-1] <= MAX_LENGTH:
        return None
    out = torch.empty(x.shape, dtype=x.dtype)
    width = x.shape[-1]
    source = array(x).reshape(-1, width)
    top = softmax(source, sum_bits(width), out.view(-1, width).numpy())
    return out if top <= MAX_EXPONENT else None


def cross_entropy_of(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor] | None:
    """The sum of the losses of `layers.CrossEntropy`, and the scores less 1 at the target."""
    if not usable(logits) or not (logits.dim() == 2 and target.dim() == 1 and target.is_cpu):
        return None
    count, width = logits.shape
    at = target.numpy()
    fits = 1 <= count == len(at) and max(count, width) <= MAX_LENGTH
    if not fits or at.dtype != np.int64 or at.min() < 0 or at.max() >= width:
        return None
    slope, losses = np.empty((count, width)), np.empty(count)
    bits = sum_bits(width), sum_bits(count)
    whole, top = cross_entropy(array(logits), at, bits, slope, losses)
    return (logits.new_tensor(whole), torch.from_numpy(slope)) if top <= MAX_EXPONENT else None


def softmax_gradient(scores: Tensor, slope: Tensor) -> Tensor | None:
    """scores (slope - total(slope scores)), rows along the last dimension."""
    if not usable(scores, slope):
        return None
    out = torch.empty(scores.shape, dtype=scores.dtype)
    width = scores.shape[-1]
    rows = (part.reshape(-1, width) for part in (array(scores), array(slope)))
    top = softmax_back(*rows, sum_bits(width), out.view(-1, width).numpy())
    return out if top <= MAX_EXPONENT else None


def rounded(x: Tensor, bits: int) -> tuple[Tensor, Ends]:
    """x (…, m, k) rounded for a product along its last dimension, an exponent a row; its ends.

    A transposed view keeps its layout: then columns of what lies in memory are rounded.
    """
    if x.is_contiguous() or not x.mT.is_contiguous():
        source = array(x)
        out = np.empty(source.shape)
        width = source.shape[-1]
        found = round_rows(source.reshape(-1, width), bits, out.reshape(-1), width, 0)
        return torch.from_numpy(out), found
    source = array(x.mT)
    out = np.empty(source.shape)
    last = source.shape[-2:]
    found = round_columns(source.reshape(-1, *last), bits, out.reshape(-1, *last))
    return torch.from_numpy(out).mT, found


def batch_norm_of(
    flat: Tensor,
    affine: tuple[Tensor, Tensor],
    running: tuple[Tensor, Tensor],
    rates: tuple[float, float, float],
    training: bool,
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Result, normal and scale of `normalisation.BatchNorm`; running statistics move in place."""
    if not usable(flat, *affine, *running) or not 1 <= len(flat) <= MAX_LENGTH:
        return None
    if not (running[0].is_contiguous() and running[1].is_contiguous()):
        return None
    if any(part.shape != flat.shape[1:] for part in (*affine, *running)):
        return None
    x = array(flat)
    places = np.empty(x.shape), np.empty(x.shape), np.empty(x.shape[1])
    weight, bias = affine
    arrays = (array(weight), array(bias)), (array(running[0]), array(running[1]))
    top = batch_norm(x, *arrays, rates, sum_bits(len(x)), training, places)
    if top > MAX_EXPONENT:
        return None
    return torch.from_numpy(places[0]), torch.from_numpy(places[1]), torch.from_numpy(places[2])


def binary_cross_entropy_of(
    logits: Tensor, target: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor] | None:
    """The sum of the losses, and their slopes, of `losses.BinaryCrossEntropy`."""
    if not usable(logits, target, weight) or logits.dim() != 2 or logits.numel() > MAX_LENGTH:
        return None
    x, (count,) = array(logits), (logits.numel(),)
    losses, slope = np.empty(count), np.empty(x.shape)
    arrays = (array(target), array(weight.expand(x.shape[1])))
    whole, top = binary_cross_entropy(x, *arrays, sum_bits(count), losses, slope)
    return (logits.new_tensor(whole), torch.from_numpy(slope)) if top <= MAX_EXPONENT else None


def elementwise(sweep: Any, *sources: Tensor) -> Tensor:
    """What a flat kernel makes of tensors of one shape."""
    arrays = [array(source).reshape(-1) for source in sources]
    out = np.empty(len(arrays[0]))
    sweep(*arrays, out)
    return torch.from_numpy(out.reshape(sources[0].shape))


def adam_of(
    parameter: Tensor,
    gradient: Tensor,
    state: tuple[Tensor, ...],
    rates: tuple[float, float, float, float],
    betas: tuple[float, float],
) -> bool:
    """Whether `adam` has updated a parameter and its moments in place."""
    if not (usable(parameter, gradient) and parameter.is_contiguous()):
        return False
    # reshape(-1) of a contiguous array is a view, so that the kernel changes the parameter itself
    places = (array(part).reshape(-1) for part in (parameter, gradient, *state))
    adam(*places, rates, betas)
    return True
