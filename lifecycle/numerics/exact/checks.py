"""What the self-test computes: one check an operation, on inputs from integer streams.

Every check can be computed in several ways, as plain tensor operations, by compiled kernels or by
a library's matrix product. All of them must give the bits that `known_digests.json` names.

The order is from what exact arithmetic assumes (IEEE operations, products of whole numbers) to what
is built upon it, so that the first wrong check is the nearest to the cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lifecycle.numerics import streams
from lifecycle.numerics.exact import elementary, engine, formulas, optimisers
from lifecycle.numerics.exact.check_kernels import (
    first_functions,
    four_operations,
    last_functions,
    two_steps,
)
from lifecycle.numerics.exact.ops import ExactOps
from lifecycle.numerics.exact.products import MAX_SLICES, matmul, total
from lifecycle.numerics.exact.rounding import exponent, power_of_two, product_bits, split, to_slice
from lifecycle.numerics.exact.schedules import Schedule
from lifecycle.numerics.exact.wide import SweepingAdamax, WideLayer
from lifecycle.numerics.minibatch import Minibatch
from lifecycle.numerics.ops import Ops
from lifecycle.numerics.streams import DropoutKey

Array = NDArray[np.float64]
Value = Tensor | NDArray[np.generic]
Compute = Callable[[], list[Value]]

PLAIN, COMPILED, SWEEP = "plain tensor operations", "compiled kernels", "one compiled sweep"
TORCH_BLAS, NUMPY_BLAS = "matrix products of torch", "matrix products of numpy"
ANY = "this process"
NUMPY = "numpy"
_SEED, _TAG = 20, 77
# In the order of `check_kernels`, six and six.
FUNCTIONS = (
    *("exp", "expm1", "log", "log1p", "sqrt", "tanh", "sigmoid", "softplus"),
    *("erf", "normal_cdf", "gelu", "gelu_derivative"),
)
# Inner lengths and shapes (m, k, n) of products of whole numbers.
PRODUCTS = ((3, 8, 5), (64, 128, 48), (33, 1000, 17), (16, 4096, 24), (2, 51_000, 32))


@dataclass(frozen=True, slots=True)
class Check:
    """One operation on fixed inputs.

    Attributes:
        name: the operation, and after a comma which case of it.
        ways: how it can be computed -> the computation.
    """

    name: str
    ways: Mapping[str, Compute]

    @property
    def operation(self) -> str:
        """The operation without the case."""
        return self.name.partition(",")[0]

    def usable(self) -> dict[str, Compute]:
        """The ways that this process can go: without compiled ones where these are off."""
        off = () if engine.compiled() else (COMPILED, SWEEP)
        return {way: compute for way, compute in self.ways.items() if way not in off}


def draw(number: int, *shape: int) -> Tensor:
    """Uniform values within +-2, the same everywhere."""
    values = streams.unit(_SEED, _TAG, number, size=int(np.prod(shape))) * 4.0 - 2.0
    return torch.from_numpy(values.reshape(shape))


def spread(number: int, *shape: int, widest: int = 40) -> Tensor:
    """Values of magnitudes from 2^-widest to 2^widest."""
    size = int(np.prod(shape))
    powers = streams.raw(_SEED, _TAG, number, 1, size=size) % np.uint64(2 * widest)
    scale = np.ldexp(1.0, powers.astype(np.int64) - widest)
    return draw(number, *shape) * torch.from_numpy(scale.reshape(shape))


def plainly(compute: Compute) -> Compute:
    """The same without compiled kernels."""

    def run() -> list[Value]:
        with engine.plain():
            return compute()

    return run


def both(compute: Compute) -> dict[str, Compute]:
    """The two ways of what chooses between them by itself."""
    return {PLAIN: plainly(compute), COMPILED: compute}


@cache
def checks() -> tuple[Check, ...]:
    """Every check, the most basic first."""
    found = [
        *_ieee(), *_products_of_whole_numbers(), *_streams(), *_rounding(), *_elementary(),
        *_products(), *_operations(), *_optimisers(), *_trainings(),
    ]  # fmt: skip
    return tuple(found)


# What is assumed.


def _ieee() -> Iterator[Check]:
    ordinary = spread(1, 3000, widest=400).numpy(), spread(2, 3000, widest=400).numpy()
    halves = np.arange(-40, 41) * 0.5
    ties = np.repeat(2.0**52 + np.arange(81), 81), np.tile(halves * 2.0**-1, 81)
    steps = (streams.raw(_SEED, _TAG, 3, size=500) % np.uint64(1 << 54)).astype(np.float64)
    tiny = steps * np.ldexp(1.0, np.arange(500) % 8 - 1082), np.full(500, 2.0**-1024)
    for name, (a, b) in (
        ("IEEE operations", ordinary),
        ("rounding to nearest", ties),
        ("subnormal numbers", tiny),
    ):
        yield Check(
            name,
            {
                PLAIN: partial(_four_of_tensors, a, b),
                NUMPY: partial(_four_of_arrays, a, b),
                COMPILED: partial(_four_of_kernels, a, b),
            },
        )
    a, b = ordinary
    yield Check(
        "multiplication then addition",
        {
            PLAIN: lambda: [torch.from_numpy(a) * torch.from_numpy(b) + torch.from_numpy(a)],
            NUMPY: lambda: [a * b + a],
            COMPILED: partial(_two_steps, a, b),
        },
    )


def _four_of_tensors(a: Array, b: Array) -> list[Value]:
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    return [x + y, x - y, x * y, _finite(x / y), formulas.root(x.abs())]


def _four_of_arrays(a: Array, b: Array) -> list[Value]:
    with np.errstate(all="ignore"):
        return [a + b, a - b, a * b, _finite(torch.from_numpy(a / b)), np.sqrt(np.abs(a))]


def _four_of_kernels(a: Array, b: Array) -> list[Value]:
    out = np.empty((5, len(a)))
    four_operations(a, b, out)
    out[3] = _finite(torch.from_numpy(out[3])).numpy()
    return list(out)


def _finite(x: Tensor) -> Tensor:
    """Without quotients by zero, whose signs and NaNs mean nothing here."""
    return torch.where(x.isfinite(), x, torch.zeros_like(x))


def _two_steps(a: Array, b: Array) -> list[Value]:
    out = np.empty(len(a))
    two_steps(a, b, out)
    return [out]


def _products_of_whole_numbers() -> Iterator[Check]:
    for number, shape in enumerate(PRODUCTS):
        yield Check(
            f"product of whole numbers, {' x '.join(map(str, shape))}",
            {
                NUMPY_BLAS: partial(_whole_by_numpy, number, shape),
                TORCH_BLAS: partial(_whole_by_torch, number, shape),
            },
        )
    yield Check("products of whole numbers in a stack", {TORCH_BLAS: _whole_stack})


def whole(number: int, bits: int, *shape: int) -> Array:
    """Whole numbers within +-2^bits, the same everywhere."""
    words = streams.raw(_SEED, _TAG, number, size=int(np.prod(shape)))
    values = (words >> np.uint64(63 - bits)).astype(np.int64) - (1 << bits)
    return values.astype(np.float64).reshape(shape)


def _whole_operands(number: int, shape: tuple[int, int, int]) -> tuple[Array, Array]:
    m, k, n = shape
    bits = product_bits(k)
    return whole(100 + 2 * number, bits, m, k), whole(101 + 2 * number, bits, k, n)


def _whole_by_numpy(number: int, shape: tuple[int, int, int]) -> list[Value]:
    a, b = _whole_operands(number, shape)
    turned = np.ascontiguousarray(b.T)
    return [(a @ b) + 0.0, (a @ turned.T) + 0.0]


def _whole_by_torch(number: int, shape: tuple[int, int, int]) -> list[Value]:
    a, b = (torch.from_numpy(part) for part in _whole_operands(number, shape))
    turned = b.t().contiguous()
    return [torch.mm(a, b) + 0.0, torch.matmul(a, turned.t()) + 0.0]


def _whole_stack() -> list[Value]:
    a = torch.from_numpy(whole(120, 22, 6, 20, 64))
    b = torch.from_numpy(whole(121, 22, 6, 64, 12))
    flat = a.reshape(-1)
    windows = flat.as_strided((200, 64), (32, 1))  # as convolutions see their input
    places = torch.zeros(400, 12, dtype=torch.float64)
    torch.mm(windows, b[0], out=places[1::2])
    return [torch.matmul(a, b) + 0.0, torch.mm(windows.t(), windows) + 0.0, places + 0.0]


def _streams() -> Iterator[Check]:
    single: dict[str, Compute] = {
        "random integers": lambda: [streams.raw(7, 3, 1, 2, size=500)],
        "uniform numbers": lambda: [streams.unit(7, 3, 1, 2, size=500)],
        "initial values": lambda: [streams.uniform_fan_in(7, 2, (13, 37))],
        "orders": lambda: [streams.permutation(7, 3, 101)],
        "dropout masks": lambda: [streams.dropout_mask(DropoutKey(7, 3, 1), (5, 33), 0.3)],
        "learning rates": _rates,
    }
    for name, compute in single.items():
        yield Check(name, {ANY: compute})


def _rates() -> list[Value]:
    cosine = Schedule("cosine", 0.0094, 50, warm_up=7, cycles=3, floor=1e-5)
    constant = Schedule("constant", 0.0094, 50, warm_up=7)
    return [np.array([plan.rate(step) for step in range(50)]) for plan in (cosine, constant)]


# Rounding, functions, products and sums.


def _rounding() -> Iterator[Check]:
    x = spread(10, 40, 60)
    e = exponent(x, (-1,))
    yield Check("exponent", {PLAIN: lambda: [exponent(x, (-1,)), exponent(x), power_of_two(e)]})
    yield Check(
        "rounding to a slice", {PLAIN: lambda: [to_slice(x, e, bits) for bits in (16, 26, 40, 52)]}
    )
    yield Check("splitting into slices", {PLAIN: lambda: list(split(x, e, 18, MAX_SLICES))})


def _arguments() -> Array:
    """Values of every kind, also where a formula changes."""
    hard = np.array(
        [0.0, 2.0**-1074, 2.0**-1022, 1e-300, 0.65, 0.92, 6.0, 23.6, 277.25, 277.26, 700.0, 1e300]
    )
    edges = np.concatenate([hard, np.arange(-60, 12).astype(np.float64)])
    ranges = [draw(11 + i, 400).numpy() * width for i, width in enumerate((0.5, 4.0, 15.0, 350.0))]
    return np.concatenate([edges, -edges, *ranges])


def _elementary() -> Iterator[Check]:
    x = _arguments()
    for row, name in enumerate(FUNCTIONS):
        yield Check(
            name,
            {
                PLAIN: partial(_by_tensors, getattr(elementary, name), x),
                COMPILED: partial(_by_kernel, x, row),
            },
        )


def _by_tensors(function: Callable[[Tensor], Tensor], x: Array) -> list[Value]:
    return [function(torch.from_numpy(x))]


def _by_kernel(x: Array, row: int) -> list[Value]:
    sweep = first_functions if row < 6 else last_functions
    out = np.empty((6, len(x)))
    sweep(x, out)
    return [out[row % 6]]


def _products() -> Iterator[Check]:
    for slices in range(1, MAX_SLICES + 1):
        yield Check(f"matmul, {_counted(slices)}", both(partial(_matmuls, slices)))
    yield Check("total", both(_totals))


def _counted(slices: int) -> str:
    return "1 slice" if slices == 1 else f"{slices} slices"


def _matmuls(slices: int) -> list[Value]:
    shapes = ((7, 13, 5), (1, 1, 1), (33, 257, 18), (4, 2048, 3), (1, 5000, 6))
    found: list[Value] = []
    for number, (m, k, n) in enumerate(shapes):
        a, b = spread(20 + number, m, k), spread(30 + number, k, n)
        found += [matmul(a, b, slices), matmul(b.t(), a.t(), slices)]
    stack = matmul(spread(28, 2, 3, 5, 7), spread(38, 2, 3, 7, 4), slices)
    return [*found, stack]


def _totals() -> list[Value]:
    x, wide = spread(40, 6, 50), spread(41, 3, 5000)
    flat = [total(part, (dim,)) for part in (x, wide, x.t(), x[:2], x[:1]) for dim in (0, 1)]
    deep = spread(42, 4, 5, 30)
    return [*flat, total(deep, (0, 1)), total(deep, (1,), keepdim=True), total(x, (0, 1))]


# Operations of a network, with their gradients.

Call = Callable[..., Tensor]
_KEY = DropoutKey(seed=3, step=5, layer=1)


def _outcome(call: Call, slices: int, inputs: tuple[Tensor, ...]) -> list[Value]:
    """The result, and a gradient for each input under a fixed gradient from above."""
    leaves = [value.clone().requires_grad_() for value in inputs]
    result = call(ExactOps(slices), *leaves)
    return [result.detach(), *torch.autograd.grad(result, leaves, draw(90, *result.shape))]


def _operation(name: str, call: Call, *shapes: tuple[int, ...], slices: int = 1) -> Check:
    inputs = tuple(draw(50 + i, *shape) for i, shape in enumerate(shapes))
    return Check(name, both(partial(_outcome, call, slices, inputs)))


def _operations() -> Iterator[Check]:
    yield from _of_matrices()
    yield from _of_convolutions()
    yield from _of_vectors()
    yield from _of_windows()
    yield from _of_losses()


def _linear(ops: Ops, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return ops.linear(x, weight, bias)


def _attention(ops: Ops, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return ops.attention(query, key, value, heads=2)


def _of_matrices() -> Iterator[Check]:
    for slices in range(1, MAX_SLICES + 1):
        case = _counted(slices)
        matrix = ((11, 130), (6, 130), (6,))
        yield _operation(f"linear, {case}", _linear, *matrix, slices=slices)
        words = ((2, 9, 8), (2, 7, 8), (2, 7, 8))
        yield _operation(f"attention, {case}", _attention, *words, slices=slices)
    yield _operation("linear, over time", _linear, (3, 5, 7), (4, 7), (4,))


CONVOLUTIONS: Mapping[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, int]]] = {
    "5 taps": ((3, 20, 4), (6, 4, 5), {"padding": 2}),
    "1 tap": ((3, 20, 4), (6, 4, 1), {}),
    "stride": ((3, 21, 4), (6, 4, 7), {"stride": 2, "padding": 3}),
    "dilation": ((3, 22, 4), (6, 4, 3), {"padding": 3, "dilation": 3, "stride": 2}),
    "groups": ((3, 20, 6), (8, 3, 3), {"padding": 1, "groups": 2}),
    "depthwise": ((3, 20, 6), (6, 1, 5), {"padding": 2, "groups": 6}),
}


def _of_convolutions() -> Iterator[Check]:
    for case, (x, weight, settings) in CONVOLUTIONS.items():
        call = partial(_convolve, settings)
        yield _operation(f"conv1d, {case}", call, x, weight, weight[:1])
    x, weight, settings = CONVOLUTIONS["stride"]
    for slices in range(2, MAX_SLICES + 1):
        call = partial(_convolve, settings)
        yield _operation(f"conv1d, {_counted(slices)}", call, x, weight, slices=slices)


def _convolve(
    settings: dict[str, int], ops: Ops, x: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    return ops.conv1d(x, weight, bias, **settings)


def _shrunk_linear(ops: Ops, x: Tensor, *rest: Tensor) -> Tensor:
    return ops.shrunk_linear(x, (rest[0], rest[1]), 0.5, (rest[2], rest[3]))


def _of_vectors() -> Iterator[Check]:
    yield _operation("layer_norm", lambda ops, *t: ops.layer_norm(*t), (3, 5, 48), (48,), (48,))
    yield Check("batch_norm, training", both(partial(_batch_norm, True)))
    yield Check("batch_norm, evaluating", both(partial(_batch_norm, False)))
    one = (7, 190)
    yield _operation("softshrink", lambda ops, x: ops.softshrink(x, 0.5), one)
    yield _operation("shrunk_linear", _shrunk_linear, (7, 190), (190,), (190,), (9, 190), (9,))
    yield _operation("relu", lambda ops, x: ops.relu(x), one)
    yield _operation("gelu, layer", lambda ops, x: ops.gelu(x * 2.0), one)
    yield Check("gelu, layer in prediction", both(lambda: [ExactOps().gelu(draw(50, 7, 190))]))
    yield _operation("smelu", lambda ops, x: ops.smelu(x, 0.7), one)
    yield _operation("tanh, layer", lambda ops, x: ops.tanh(x), one)
    yield _operation("sigmoid, layer", lambda ops, x: ops.sigmoid(x), one)
    yield _operation("dropout", lambda ops, x: ops.dropout(x, 0.4, _KEY), one)


def _batch_norm(training: bool) -> list[Value]:
    running = draw(58, 9), draw(59, 9).abs() + 0.5

    def call(ops: Ops, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return ops.batch_norm(x, weight, bias, running, training)

    inputs = draw(50, 4, 17, 9), draw(51, 9), draw(52, 9)
    return [*_outcome(call, 1, inputs), *running]


def _of_windows() -> Iterator[Check]:
    x = (2, 19, 6)
    yield _operation("avg_pool1d", lambda ops, x: ops.avg_pool1d(x, 4, 2), x)
    yield _operation("max_pool1d", lambda ops, x: ops.max_pool1d(x, 3, 2, 1), x)
    yield _operation("global_avg_pool", lambda ops, x: ops.global_avg_pool(x), x)
    yield _operation("global_max_pool", lambda ops, x: ops.global_max_pool(x), x)


def _of_losses() -> Iterator[Check]:
    target = torch.arange(9) % 5
    labels = (draw(60, 9, 5) > 0).to(torch.float64)
    weight = draw(61, 5).abs() + 0.5
    yield Check("softmax", both(lambda: [ExactOps().softmax(draw(62, 9, 5) * 3.0)]))
    yield _operation("cross_entropy", lambda ops, x: ops.cross_entropy(x * 3.0, target), (9, 5))
    yield _operation(
        "bce_with_logits", lambda ops, x: ops.bce_with_logits(x * 3.0, labels, weight), (9, 5)
    )


# Optimisers, and a training of everything together.

OPTIMISERS: tuple[type[optimisers.ExactOptimiser], ...] = (
    optimisers.Adamax, optimisers.Adam, optimisers.SGD,
)  # fmt: skip


def _optimisers() -> Iterator[Check]:
    for kind in OPTIMISERS:
        yield Check(kind.__name__, both(partial(_steps, kind)))


def _steps(kind: type[optimisers.ExactOptimiser]) -> list[Value]:
    """Five steps on two parameters; the second has its first gradient at the third step."""
    parameters = [draw(70, 9, 31), draw(71, 17)]
    optimiser = kind(parameters, 0.01, 0.001)
    for step in range(5):
        optimiser.zero_grad()
        parameters[0].grad = draw(72 + step, 9, 31)
        if step >= 2:
            parameters[1].grad = draw(80 + step, 17)
        optimiser.step()
    return [*parameters, *(part for state in optimiser.state for part in state)]


def _trainings() -> Iterator[Check]:
    ways = both(partial(_train, 1, False))
    yield Check("training, 1 slice", {**ways, SWEEP: partial(_train, 1, True)})
    yield Check("training, 3 slices", both(partial(_train, 3, False)))


def _train(slices: int, fused: bool) -> list[Value]:
    """Adamax on linear, LayerNorm, softshrink, linear, cross-entropy: 6 steps of 5 cases."""
    shapes = ((8, 1300), (8,), (8,), (8,), (3, 8), (3,))
    parameters = [
        torch.from_numpy(streams.uniform_fan_in(5, i, shape)).requires_grad_()
        for i, shape in enumerate(shapes)
    ]
    ops, optimiser = _trainer(parameters, slices, fused)
    batches = [draw(200 + step, 5, 1300) for step in range(6)]
    target = torch.arange(5) % 3
    losses = []
    for x, upcoming in zip(batches, [*batches[1:], None], strict=True):
        optimiser.zero_grad()
        loss = ops.cross_entropy(_network(ops, parameters, x), target)
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        optimiser.step(None if upcoming is None else Minibatch.of(upcoming))
        losses.append(loss.detach())
    return [*(value.detach() for value in parameters), torch.stack(losses)]


def _trainer(
    parameters: list[Tensor], slices: int, fused: bool
) -> tuple[ExactOps, optimisers.Adamax]:
    ops = ExactOps(slices)
    if not fused:
        return ops, optimisers.Adamax(parameters, 0.01, 0.001)
    ops.wide = WideLayer(parameters[0])
    return ops, SweepingAdamax(parameters, 0.01, 0.001, ops.wide)


def _network(ops: ExactOps, parameters: list[Tensor], x: Tensor) -> Tensor:
    weight, bias, scale, shift, last, end = parameters
    inner = ops.linear(x, weight, bias)
    return ops.shrunk_linear(inner, (scale + 1.0, shift), 0.1, (last, end))
