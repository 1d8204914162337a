"""The operations of a network in exact arithmetic (see `lifecycle.numerics.ops.Ops`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lifecycle.errors import UnusableInputError
from lifecycle.numerics.exact import (
    activations,
    attention,
    convolution,
    layers,
    losses,
    narrow,
    normalisation,
    pooling,
)
from lifecycle.numerics.exact.products import MAX_SLICES
from lifecycle.numerics.exact.rounding import product_bits
from lifecycle.numerics.exact.wide import WideLayer, WideLinear
from lifecycle.numerics.ops import Pair, shrunk_linear
from lifecycle.numerics.streams import DropoutKey

SUPPORTED: tuple[type[nn.Module], ...] = (nn.Linear, nn.LayerNorm, nn.BatchNorm1d, nn.Conv1d)


class ExactOps:
    """Every operation with the same bits on every machine.

    Attributes:
        slices: slices of each operand of a product (1: 16 to 26 bits; 3: full double precision).
        wide: the first layer whose gradient is left to an optimiser's sweep, if there is one.
    """

    def __init__(self, slices: int = 1) -> None:
        if not 1 <= slices <= MAX_SLICES:
            raise UnusableInputError(f"exact arithmetic: {slices} slices; from 1 to {MAX_SLICES}")
        self.slices = slices
        self.names: Mapping[int, str] = {}
        self.wide: WideLayer | None = None

    def bind(self, model: nn.Module) -> None:
        """Take a network's parameter names, for errors, after a look at what it is made of.

        Raises:
            UnusableInputError: an operation that exact arithmetic does not have, a parameter that
                is not float64, or an inner dimension that leaves too few bits.
        """
        for name, module in model.named_modules():
            _require_supported(name, module)
        for name, value in model.named_parameters():
            if value.dtype != torch.float64:
                raise UnusableInputError(
                    f"exact arithmetic: {name} is {value.dtype}; every parameter must be float64"
                )
        self.names = {id(value): name for name, value in model.named_parameters()}

    def place(self, operation: str, parameter: Tensor) -> str:
        """Name of an operation and its layer."""
        name = self.names.get(id(parameter), "").removesuffix(".weight")
        return f"{operation} {name}".rstrip()

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """See `Ops`."""
        _require_double(x, "linear")
        place = self.place("linear", weight)
        if self.wide is not None and weight is self.wide.weight and self.wide.takes(x):
            return applied(WideLinear, x, weight, bias, self.wide, place)
        return applied(layers.Linear, x, weight, bias, self.slices, place)

    def layer_norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """See `Ops`."""
        _require_double(x, "layer_norm")
        return applied(layers.LayerNorm, x, weight, bias, self.place("layer_norm", weight))

    def softshrink(self, x: Tensor, lambd: float) -> Tensor:
        """See `Ops`."""
        return applied(layers.Softshrink, x, lambd)

    def shrunk_linear(self, x: Tensor, norm: Pair, lambd: float, linear: Pair) -> Tensor:
        """See `Ops`."""
        made = narrow.result_of(x, norm, lambd, linear) if self.slices == 1 else None
        if made is None:
            return shrunk_linear(self, x, norm, lambd, linear)

        def parts(x: Tensor, *rest: Tensor) -> Tensor:
            return shrunk_linear(self, x, (rest[0], rest[1]), lambd, (rest[2], rest[3]))

        return applied(narrow.ShrunkLinear, x, *norm, *linear, made, parts)

    def cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        """See `Ops`."""
        _require_double(logits, "cross_entropy")
        return applied(layers.CrossEntropy, logits, target, "cross_entropy")

    def softmax(self, logits: Tensor) -> Tensor:
        """See `Ops`."""
        _require_double(logits, "softmax")
        return layers.softmax(logits)[0]

    def conv1d(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
    ) -> Tensor:
        """See `Ops`."""
        _require_double(x, "conv1d")
        convolution.require_groups(x, weight, groups)
        window = convolution.Window(weight.shape[2], stride, padding, dilation)
        place = self.place("conv1d", weight)
        if convolution.is_depthwise(weight, groups):
            return applied(convolution.Depthwise, x, weight, bias, window, place)
        parts = convolution.pieces
        results = [
            applied(convolution.Convolution, *part, window, self.slices, place)
            for part in zip(
                parts(x, groups, 2), parts(weight, groups, 0), parts(bias, groups, 0), strict=True
            )
        ]
        return results[0] if groups == 1 else torch.cat(results, dim=2)

    def avg_pool1d(self, x: Tensor, kernel: int, stride: int) -> Tensor:
        """See `Ops`."""
        _require_double(x, "avg_pool1d")
        return applied(pooling.AveragePool, x, pooling.pool_window(kernel, stride))

    def max_pool1d(self, x: Tensor, kernel: int, stride: int, padding: int = 0) -> Tensor:
        """See `Ops`."""
        _require_double(x, "max_pool1d")
        return applied(pooling.MaxPool, x, pooling.pool_window(kernel, stride, padding))

    def global_avg_pool(self, x: Tensor) -> Tensor:
        """See `Ops`."""
        _require_double(x, "global_avg_pool")
        return applied(pooling.GlobalAverage, x)

    def global_max_pool(self, x: Tensor) -> Tensor:
        """See `Ops`."""
        _require_double(x, "global_max_pool")
        return applied(pooling.GlobalMax, x)

    def batch_norm(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running: tuple[Tensor, Tensor],
        training: bool,
    ) -> Tensor:
        """See `Ops`."""
        _require_double(x, "batch_norm")
        place = self.place("batch_norm", weight)
        return applied(normalisation.BatchNorm, x, weight, bias, running, training, place)

    def attention(self, query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
        """See `Ops`."""
        for part in (query, key, value):
            _require_double(part, "attention")
        attention.require_heads(query, key, value, heads)
        return applied(attention.Attention, query, key, value, heads, self.slices, "attention")

    def relu(self, x: Tensor) -> Tensor:
        """See `Ops`."""
        _require_double(x, "relu")
        return applied(activations.ReLU, x)

    def gelu(self, x: Tensor) -> Tensor:
        """See `Ops`."""
        _require_double(x, "gelu")
        return applied(activations.GELU, x)

    def smelu(self, x: Tensor, beta: float) -> Tensor:
        """See `Ops`."""
        _require_double(x, "smelu")
        return applied(activations.SmeLU, x, beta)

    def tanh(self, x: Tensor) -> Tensor:
        """See `Ops`."""
        _require_double(x, "tanh")
        return applied(activations.Tanh, x)

    def sigmoid(self, x: Tensor) -> Tensor:
        """See `Ops`."""
        _require_double(x, "sigmoid")
        return applied(activations.Sigmoid, x)

    def dropout(self, x: Tensor, rate: float, key: DropoutKey | None) -> Tensor:
        """See `Ops`."""
        _require_double(x, "dropout")
        return x if key is None else applied(activations.Dropout, x, rate, key)

    def bce_with_logits(self, logits: Tensor, target: Tensor, positive_weight: Tensor) -> Tensor:
        """See `Ops`."""
        for part in (logits, target, positive_weight):
            _require_double(part, "bce_with_logits")
        place = "bce_with_logits"
        return applied(losses.BinaryCrossEntropy, logits, target, positive_weight, place)


def applied(function: type[torch.autograd.Function], *arguments: Any) -> Tensor:
    """The result of an autograd function (the framework does not annotate `apply`)."""
    result: Tensor = function.apply(*arguments)  # type: ignore[no-untyped-call]
    return result


def _require_double(x: Tensor, operation: str) -> None:
    if x.dtype != torch.float64:
        raise UnusableInputError(f"exact arithmetic: {operation}: input is {x.dtype}, not float64")


def _require_supported(name: str, module: nn.Module) -> None:
    if not type(module).__module__.startswith("torch.nn") or isinstance(module, nn.ModuleList):
        return
    if type(module) not in SUPPORTED:
        raise UnusableInputError(
            f"exact arithmetic has no {type(module).__name__} (layer {name}); use one of "
            f"{', '.join(kind.__name__ for kind in SUPPORTED)}, or another numerics mode"
        )
    if isinstance(module, nn.Linear):
        product_bits(module.in_features)
    if isinstance(module, nn.Conv1d):
        product_bits(convolution.longest(module.weight, module.groups))
    if isinstance(module, nn.BatchNorm1d) and module.running_mean is None:
        raise UnusableInputError(
            f"exact arithmetic: {name} keeps no running statistics; set track_running_stats"
        )
