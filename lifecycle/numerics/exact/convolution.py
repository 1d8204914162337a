"""One-dimensional convolution in exact products; channels are the last dimension.

Specification (lifecycle/arithmetic/1), with k taps, c input and o output channels of one group:
- Output: values of a sample share one exponent, the weights of an output channel one; inner length
  k c. So a case's result does not depend on its neighbours in the minibatch.
- Gradient of the input: values of a sample's gradient share one exponent, the weights of an input
  channel one; inner length k o.
- Gradient of the weight: input and gradient have an exponent for each channel, over all samples and
  times; inner length n t_out, the minibatch's output positions.
- Gradient of the bias: `products.total` over samples and times.
- With stride and dilation 1 and less padding than taps, the input's gradient is one product over
  taps and outputs; otherwise every tap's product is formed by itself (levels added) and the taps
  are added where they met, in the order 0 … k - 1.
- Each operand is split into `slices` slices of `product_bits(inner length)` bits; products of
  slices i and j with i + j < slices are added, the smallest level first, within a level by i; the
  result's zeros are +0, and the bias is added last.
- Several groups are so many convolutions, except depthwise (one channel a group, as many out as
  in): there every tap is a rounded product, added in the order of the taps 0 … k - 1, and the
  gradient of a weight is the `products.total` of rounded products over samples and times.

No im2col: windows of the padded input are overlapping rows; every q-th of them (q the least with
q stride >= k) lie apart, so q products on strided views give the output.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lifecycle.errors import UnusableInputError
from lifecycle.numerics.exact import kernels
from lifecycle.numerics.exact.layers import placed, rows
from lifecycle.numerics.exact.products import Ends, require_ends, total
from lifecycle.numerics.exact.products import _ends as ends
from lifecycle.numerics.exact.rounding import (
    MAX_EXPONENT,
    MAX_LENGTH,
    exponent,
    product_bits,
    split,
)


@dataclass(frozen=True, slots=True)
class Window:
    """Where a convolution or a pooling looks.

    Attributes:
        kernel: taps k.
        stride: steps of time between outputs.
        padding: zeros at either end.
        dilation: steps of time between taps.
        behind: further zeros at the end.
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    behind: int = 0

    def __post_init__(self) -> None:
        """Refuse what no window can be."""
        if min(self.kernel, self.stride, self.dilation) < 1 or self.padding < 0:
            raise UnusableInputError(f"exact arithmetic: {self}: every number must be positive")

    @property
    def span(self) -> int:
        """Steps of time from the first tap to behind the last."""
        return self.dilation * (self.kernel - 1) + 1

    def outputs(self, time: int) -> int:
        """Outputs of so many steps of time.

        Raises:
            UnusableInputError: the window is longer than the input.
        """
        if time + 2 * self.padding < self.span:
            raise UnusableInputError(
                f"exact arithmetic: {time} steps of time, padded by {self.padding}, are fewer than "
                f"the window of {self.span}"
            )
        return (time + 2 * self.padding - self.span) // self.stride + 1

    def turned(self) -> Window | None:
        """The windows by which an output's gradient gives the input's, or None for other ways."""
        if self.stride > 1 or self.dilation > 1 or self.padding >= self.kernel:
            return None
        return Window(self.kernel, padding=self.kernel - 1 - self.padding)

    def at(self, tap: int, outputs: int) -> slice:
        """Times in the padded input that a tap meets, one an output."""
        first = tap * self.dilation
        return slice(first, first + self.stride * (outputs - 1) + 1, self.stride)


View = tuple[Tensor, slice, slice]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A padded minibatch as rows of windows.

    Attributes:
        values: the padded samples one after the other, flat, and zeros behind the last.
        views: disjoint rows of windows (m, width), with their rows of the output and the weights.
        samples: n.
        each: windows that begin within a sample; the first `outputs` of them are used, the others
            run into the next sample.
        channels: c.
        window: the windows.
    """

    values: Tensor
    views: tuple[View, ...]
    samples: int
    each: int
    channels: int
    window: Window

    @classmethod
    def empty(cls, like: Tensor, shape: tuple[int, ...], window: Window) -> Sheet:
        """A sheet of zeros for (n, t, c)."""
        n, time, channels = shape
        each = -(-(time + 2 * window.padding + window.behind) // window.stride)
        behind = max(0, window.span - window.stride)
        values = like.new_zeros((n * each * window.stride + behind) * channels)
        views = tuple(_views(values, n * each, channels, window))
        return cls(values, views, n, each, channels, window)

    @property
    def step(self) -> int:
        """Values of a padded sample."""
        return self.each * self.window.stride * self.channels

    @property
    def offset(self) -> int:
        """Zeros before the values of a sample."""
        return self.window.padding * self.channels

    @property
    def inner(self) -> Tensor:
        """The padded samples, (n, each * stride, c)."""
        shape = (self.samples, self.each * self.window.stride, self.channels)
        return self.values[: self.samples * self.step].view(shape)

    @property
    def rows(self) -> int:
        """Windows of all samples."""
        return self.samples * self.each


def _views(values: Tensor, count: int, c: int, window: Window) -> Iterator[View]:
    if window.dilation > 1:
        for tap in range(window.kernel):
            start = tap * window.dilation * c
            view = values.as_strided((count, c), (window.stride * c, 1), start)
            yield view, slice(None), slice(tap * c, (tap + 1) * c)
        return
    phases = -(-window.kernel // window.stride)
    for phase in range(min(phases, count)):
        size = (-(-(count - phase) // phases), window.kernel * c)
        steps = (phases * window.stride * c, 1)
        view = values.as_strided(size, steps, phase * window.stride * c)
        yield view, slice(phase, None, phases), slice(None)


class Pool(threading.local):
    """Sheets and results of small convolutions, kept for the next one of their shape.

    A kernel overwrites the values of a sheet and leaves its zeros. A kept tensor is used within one
    operation only; `role` tells apart what one operation needs at once.

    Attributes:
        LARGEST: values of a tensor that is kept; for larger ones, making them costs little.
        COUNT: how many are kept.
    """

    LARGEST = 1 << 18
    COUNT = 48

    def __init__(self) -> None:
        self.kept: dict[Any, Any] = {}

    def sheet(self, role: str, like: Tensor, shape: tuple[int, ...], window: Window) -> Sheet:
        """A sheet for kernels to fill."""
        key = (role, shape, window)
        found: Sheet | None = self.kept.get(key)
        if found is None:
            found = Sheet.empty(like, shape, window)
            self.keep(key, found, found.values)
        return found

    def result(self, like: Tensor, sheet: Sheet, width: int) -> tuple[Tensor, list[Tensor]]:
        """A place for products, (rows, width), and its rows for each view of the sheet."""
        apart = sheet.window.dilation > 1  # such views take the whole result, tap by tap
        key = ("result", sheet.rows, width, len(sheet.views), apart)
        found: tuple[Tensor, list[Tensor]] | None = self.kept.get(key)
        if found is None:
            out = like.new_empty(sheet.rows, width)
            found = (out, [out[at] for _, at, _ in sheet.views])
            self.keep(key, found, out)
        return found

    def keep(self, key: Any, value: Any, tensor: Tensor) -> None:
        """Keep a value for a key, if its tensor is small; the oldest goes first."""
        if tensor.numel() > self.LARGEST or tensor.is_inference():
            return  # what inference mode makes cannot be written to outside of it
        if len(self.kept) >= self.COUNT:
            self.kept.pop(next(iter(self.kept)))
        self.kept[key] = value


POOL = Pool()


def sheets(
    x: Tensor, by_sample: bool, bits: int, slices: int, window: Window
) -> tuple[list[Sheet], Ends]:
    """The slices of x (n, t, c), each padded, with an exponent a sample or else a channel."""
    e = exponent(x, (1, 2) if by_sample else (0, 1))
    found = []
    for part in split(x, e, bits, slices):
        made = Sheet.empty(x, tuple(x.shape), window)
        made.inner[:, window.padding : window.padding + x.shape[1]] = part
        found.append(made)
    return found, ends(x, e)


Layout = Callable[[Tensor], Tensor]


def matrices(
    weight: Tensor, by_input: bool, bits: int, slices: int, layout: Layout
) -> tuple[list[Tensor], Ends]:
    """The slices of a weight (o, c, k) as matrices, an exponent an input or an output channel."""
    e = exponent(weight, (0, 2) if by_input else (1, 2))
    return [layout(part) for part in split(weight, e, bits, slices)], ends(weight, e)


def correlate(sheet: Sheet, matrix: Tensor) -> Tensor:
    """Windows times matrix (k c, o): (n, each, o); exact, so the order of products is free."""
    out = matrix.new_empty(sheet.rows, matrix.shape[1])
    _correlate(sheet, matrix, out, [out[at] for _, at, _ in sheet.views])
    return out.view(sheet.samples, sheet.each, matrix.shape[1])


def _correlate(sheet: Sheet, matrix: Tensor, out: Tensor, places: list[Tensor]) -> None:
    if sheet.window.dilation > 1:
        out.zero_()
        for view, _, weights in sheet.views:
            out.addmm_(view, matrix[weights])
        return
    for (view, _, _), place in zip(sheet.views, places, strict=True):
        torch.mm(view, matrix, out=place)


def gather(sheet: Sheet, gradient: Tensor) -> Tensor:
    """Windows, transposed, times gradient (n * each, o): (k c, o); exact."""
    out = gradient.new_zeros(sheet.window.kernel * sheet.channels, gradient.shape[1])
    for view, at, weights in sheet.views:
        out[weights].addmm_(view.t(), gradient[at])
    return out


def levels(left: list[Any], right: list[Any], multiply: Callable[[Any, Any], Tensor]) -> Tensor:
    """Products of slices i, j with i + j < slices, the smallest level first; signs of 0 vary."""
    pairs = [(i, level - i) for level in reversed(range(len(left))) for i in range(level + 1)]
    result = multiply(left[pairs[0][0]], right[pairs[0][1]])
    for i, j in pairs[1:]:
        result = result + multiply(left[i], right[j])
    return result


def output(x: Tensor, weight: Tensor, bias: Tensor | None, window: Window, slices: int) -> Tensor:
    """The convolution of one group: (n, t_out, o)."""
    length = weight[0].numel()
    bits = product_bits(length)
    outputs = window.outputs(x.shape[1])
    left, low = sheets(x, True, bits, slices, window)
    right, high = matrices(weight, False, bits, slices, as_columns)
    require_ends(low, high, length, slices * bits, ("input", "weight"))
    result = levels(left, right, correlate)[:, :outputs] + 0.0
    return result if bias is None else result + bias


def as_columns(weight: Tensor) -> Tensor:
    """(o, c, k) -> (k c, o): what windows are multiplied with."""
    return weight.permute(2, 1, 0).reshape(-1, weight.shape[0])


def as_turned(weight: Tensor) -> Tensor:
    """(o, c, k) -> (k o, c), the taps from the last to the first."""
    return weight.flip(2).permute(2, 0, 1).reshape(-1, weight.shape[1])


def as_rows(weight: Tensor) -> Tensor:
    """(o, c, k) -> (o, k c)."""
    return weight.permute(0, 2, 1).reshape(len(weight), -1)


def input_gradient(
    gradient: Tensor, weight: Tensor, window: Window, slices: int, time: int
) -> Tensor:
    """The gradient with respect to an input of `time` steps."""
    o, c, k = weight.shape
    bits = product_bits(k * o)
    turned = window.turned()
    left, low = sheets(gradient, True, bits, slices, turned or Window(1))
    layout = as_rows if turned is None else as_turned
    right, high = matrices(weight, True, bits, slices, layout)
    require_ends(low, high, k * o, slices * bits, ("gradient", "weight"))
    result = levels(left, right, correlate)
    if turned is None:
        return scatter(result.reshape(*result.shape[:2], k, c), window, time)
    return result[:, :time] + 0.0


def scatter(taps: Tensor, window: Window, time: int) -> Tensor:
    """Sums of (n, t_out, k, c) at the times that each tap met: (n, time, c).

    Taps are added in the order 0 … k - 1 (which matters only where additions round).
    """
    n, outputs, k, c = taps.shape
    padded = taps.new_zeros(n, time + 2 * window.padding, c)
    for tap in range(k):
        padded[:, window.at(tap, outputs)] += taps[:, :, tap]
    return padded[:, window.padding : window.padding + time].contiguous()


def weight_gradient(x: Tensor, gradient: Tensor, window: Window, slices: int) -> Tensor:
    """The gradient with respect to the weight, (o, c, k)."""
    length = gradient.shape[0] * gradient.shape[1]
    bits = product_bits(length)
    left, low = sheets(x, False, bits, slices, window)
    behind = left[0].each - gradient.shape[1]  # windows that run into the next sample weigh nothing
    right, high = sheets(gradient, False, bits, slices, Window(1, behind=behind))
    require_ends(low, high, length, slices * bits, ("input", "gradient"))
    result = levels(left, [made.inner.flatten(0, 1) for made in right], gather) + 0.0
    return result.view(window.kernel, x.shape[2], -1).permute(2, 1, 0).contiguous()


def swept_output(x: Tensor, weight: Tensor, bias: Tensor | None, window: Window) -> Tensor:
    """`output` of one slice by kernels."""
    length = weight[0].numel()
    bits = product_bits(length)
    n, time, c = x.shape
    sheet = POOL.sheet("input", x, (n, time, c), window)
    source, place = kernels.array(x).reshape(n, time * c), sheet.values.numpy()
    low = kernels.round_rows(source, bits, place, sheet.step, sheet.offset)
    matrix, high = swept_matrix(weight, bits, COLUMNS)
    require_ends(low, high, length, bits, ("input", "weight"))
    return swept_product(sheet, matrix, bias, window.outputs(time))


COLUMNS, TURNED, ROWS = range(3)  # how the weights lie in a matrix: as_columns and so on


def swept_matrix(weight: Tensor, bits: int, layout: int) -> tuple[Tensor, Ends]:
    """`matrices` of one slice by kernels."""
    o, c, k = weight.shape
    shape, places = {
        COLUMNS: ((k * c, o), (0, 1, o, c * o)),
        TURNED: ((k * o, c), ((k - 1) * o * c, c, 1, -o * c)),
        ROWS: ((o, k * c), (0, k * c, 1, c)),
    }[layout]
    out = np.empty(shape)
    by_input = layout != COLUMNS
    found = kernels.round_weight(kernels.array(weight), bits, by_input, out.reshape(-1), places)
    return torch.from_numpy(out), found


def swept_product(sheet: Sheet, matrix: Tensor, bias: Tensor | None, outputs: int) -> Tensor:
    """Windows times matrix, + 0, + bias, for the windows that lie within their sample."""
    width = matrix.shape[1]
    out, places = POOL.result(matrix, sheet, width)
    _correlate(sheet, matrix, out, places)
    kept = np.empty((sheet.samples, outputs, width))
    product = out.numpy().reshape(sheet.samples, sheet.each, width)
    if bias is None:
        kernels.trim(product, kept)
    else:
        kernels.finish(product, kernels.array(bias), kept)
    return torch.from_numpy(kept)


def swept_gradients(
    x: Tensor, weight: Tensor, gradient: Tensor, window: Window, with_input: bool
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Gradients of input (if asked for), weight and bias, of one slice, by kernels."""
    (n, time, c), (o, _, k) = x.shape, weight.shape
    length = n * gradient.shape[1]
    bits = (product_bits(k * o), product_bits(length), kernels.sum_bits(length))
    turned = window.turned()
    shape = tuple(gradient.shape)
    sheet = POOL.sheet("input", x, (n, time, c), window)
    one = POOL.sheet("gradient", x, shape, turned or Window(1))
    two = POOL.sheet("channels", x, shape, Window(1, behind=sheet.each - shape[1]))
    sums = np.empty(o)
    places = (one.values.numpy(), two.values.numpy(), sums)
    layout = (one.step, one.offset, two.step)
    samples, channels = kernels.round_gradient(kernels.array(gradient), bits, *places, layout)
    dx = None
    if with_input:
        matrix, high = swept_matrix(weight, bits[0], ROWS if turned is None else TURNED)
        require_ends(samples, high, k * o, bits[0], ("gradient", "weight"))
        if turned is None:
            product = swept_product(one, matrix, None, shape[1])
            dx = scatter(product.reshape(*shape[:2], k, c), window, time)
        else:
            dx = swept_product(one, matrix, None, time)
    place = (sheet.values.numpy(), sheet.step, sheet.offset)
    low = kernels.round_channels(kernels.array(x), bits[1], *place)
    require_ends(low, channels, length, bits[1], ("input", "gradient"))
    dw = gather(sheet, two.inner.flatten(0, 1)).add_(0.0)
    return dx, dw.view(k, c, o).permute(2, 1, 0).contiguous(), torch.from_numpy(sums)


class Convolution(torch.autograd.Function):
    """One group: x (n, t, c), weight (o, c, k), bias (o,) or None."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        window: Window,
        slices: int,
        place: str,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.window, ctx.slices, ctx.place = window, slices, place
        with placed(place):
            if slices == 1 and kernels.usable(x, weight):
                return swept_output(x, weight, bias, window)
            return output(x, weight, bias, window, slices)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        dx = dw = db = None
        with placed(f"{ctx.place}, backward"):
            if ctx.slices == 1 and kernels.usable(x, weight, gradient):
                dx, dw, db = swept_gradients(x, weight, gradient, ctx.window, wanted[0])
                return dx, dw, db if wanted[2] else None, None, None, None
            if wanted[0]:
                dx = input_gradient(gradient, weight, ctx.window, ctx.slices, x.shape[1])
            if wanted[1]:
                dw = weight_gradient(x, gradient, ctx.window, ctx.slices)
            if wanted[2]:
                db = rows_total(gradient)
        return dx, dw, db, None, None, None


class Depthwise(torch.autograd.Function):
    """One channel a group: x (n, t, c), weight (c, 1, k), bias (c,) or None."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, window: Window, place: str
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.window, ctx.place = window, place
        padded = torch.nn.functional.pad(x, (0, 0, window.padding, window.padding))
        outputs = window.outputs(x.shape[1])
        if kernels.usable(x, weight):
            made = x.new_empty(x.shape[0], outputs, x.shape[2])
            added = np.empty(0) if bias is None else kernels.array(bias)
            settings = (taps_of(weight), added, (window.stride, window.dilation))
            kernels.depthwise(kernels.array(padded), *settings, made.numpy())
            return made
        result = padded[:, window.at(0, outputs)] * weight[:, 0, 0]
        for tap in range(1, window.kernel):
            result = result + padded[:, window.at(tap, outputs)] * weight[:, 0, tap]
        return result if bias is None else result + bias

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        db = None
        with placed(f"{ctx.place}, backward"):
            if ctx.needs_input_grad[2]:
                db = rows_total(gradient)
            found = depthwise_swept(x, weight, gradient, ctx.window)
            dx, dw = found or depthwise_gradients(x, weight, gradient, ctx.window)
        return dx, dw, db, None, None


def depthwise_gradients(
    x: Tensor, weight: Tensor, gradient: Tensor, window: Window
) -> tuple[Tensor, Tensor]:
    """Gradients of input and weight."""
    dx = scatter(gradient.unsqueeze(2) * weight[:, 0].t(), window, x.shape[1])
    padded = torch.nn.functional.pad(x, (0, 0, window.padding, window.padding))
    met = [padded[:, window.at(tap, gradient.shape[1])] for tap in range(window.kernel)]
    sums = [rows_total(seen * gradient) for seen in met]
    return dx, torch.stack(sums, dim=-1).unsqueeze(1)


def depthwise_swept(
    x: Tensor, weight: Tensor, gradient: Tensor, window: Window
) -> tuple[Tensor, Tensor] | None:
    """The same by kernels; None: the plain path shall run."""
    count = gradient.shape[0] * gradient.shape[1]
    if not kernels.usable(x, weight, gradient) or count > MAX_LENGTH:
        return None
    padded = torch.nn.functional.pad(x, (0, 0, window.padding, window.padding)).detach()
    layout = (window.stride, window.dilation)
    above, taps = kernels.array(gradient), taps_of(weight)
    dpadded, sums = torch.zeros_like(padded), torch.empty(taps.shape, dtype=x.dtype)
    kernels.depthwise_input(above, taps, layout, dpadded.numpy())
    bits = kernels.sum_bits(count)
    top = kernels.depthwise_weight(kernels.array(padded), above, bits, layout, sums.numpy())
    dx = dpadded[:, window.padding : window.padding + x.shape[1]].contiguous()
    return (dx, sums.t().unsqueeze(1).contiguous()) if top <= MAX_EXPONENT else None


def taps_of(weight: Tensor) -> kernels.Array:
    """(c, 1, k) -> (k, c)."""
    return kernels.array(weight[:, 0].t())


def rows_total(x: Tensor) -> Tensor:
    """`total` over all dimensions but the last, of a gradient."""
    return total(rows(x), (0,), name="gradient")


def require_groups(x: Tensor, weight: Tensor, groups: int) -> None:
    """Refuse shapes that do not fit each other.

    Raises:
        UnusableInputError: naming the shapes.
    """
    fits = groups >= 1 and x.shape[-1] == weight.shape[1] * groups
    if not (x.dim() == weight.dim() == 3 and fits and weight.shape[0] % groups == 0):
        raise UnusableInputError(
            f"exact arithmetic: conv1d: input {tuple(x.shape)} as (n, time, channels) and weight "
            f"{tuple(weight.shape)} as (out, channels / groups, taps) do not fit {groups} groups"
        )


def longest(weight: Tensor, groups: int) -> int:
    """The longest inner length that a convolution's weight brings with it."""
    o, c, k = weight.shape
    return k * max(c, o // groups)


def is_depthwise(weight: Tensor, groups: int) -> bool:
    """One channel a group, as many out as in."""
    return groups > 1 and weight.shape[1] == 1 and weight.shape[0] == groups


def pieces(x: Tensor | None, groups: int, dim: int) -> list[Any]:
    """A tensor in so many parts along a dimension; None so many times."""
    return [None] * groups if x is None else list(torch.chunk(x, groups, dim))
