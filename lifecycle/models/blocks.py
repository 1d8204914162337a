"""Building blocks of the ECG networks; signals are (n, time, channels).

Sizes and order of operations follow the reference implementation of arXiv 2603.28040 (seeds 000,
001; its parameter counts come out to the last digit). All arithmetic goes through `Ops`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lifecycle.numerics.ops import Ops
from lifecycle.numerics.streams import DropoutKey


def affine(ops: Ops, x: Tensor, linear: nn.Linear) -> Tensor:
    """A linear map over the last dimension."""
    return ops.linear(x, linear.weight, linear.bias)


def same_conv(inside: int, outside: int, kernel: int, stride: int = 1) -> nn.Conv1d:
    """Parameters of a convolution that returns ceil(t / stride) steps, for an odd kernel."""
    return nn.Conv1d(inside, outside, kernel, stride, padding=kernel // 2)


def convolve(ops: Ops, x: Tensor, conv: nn.Conv1d) -> Tensor:
    """A convolution with the stride and groups that it was made with, zeros at both ends."""
    padding = conv.kernel_size[0] // 2
    return ops.conv1d(
        x, conv.weight, conv.bias, stride=conv.stride[0], padding=padding, groups=conv.groups
    )


def normalise(ops: Ops, x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """LayerNorm over the channels."""
    return ops.layer_norm(x, norm.weight, norm.bias)


def mean_and_max(ops: Ops, x: Tensor) -> Tensor:
    """Means, then largest values over time: (n, t, c) -> (n, 2 c)."""
    return torch.cat([ops.global_avg_pool(x), ops.global_max_pool(x)], dim=1)


def halve(ops: Ops, x: Tensor) -> Tensor:
    """Adaptive average pooling of t steps into ceil(t / 2), by pooling with fixed windows.

    Bin i is the mean of steps floor(i t / o) to ceil((i + 1) t / o), o = ceil(t / 2), as in the
    framework's adaptive pooling, whose gradient on CUDA is not deterministic. For even t these are
    pairs. For odd t they are three steps around every second one, and the two outermost at each
    end; a window of three meets that mean if the mean of the two is put before them.
    """
    if x.shape[1] % 2 == 0:
        return ops.avg_pool1d(x, 2, 2)
    if x.shape[1] == 1:
        return x
    first, last = (ops.avg_pool1d(end, 2, 2) for end in (x[:, :2], x[:, -2:]))
    return ops.avg_pool1d(torch.cat([first, x, last], dim=1), 3, 2)


class ConvNormReLU(nn.Module):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, ops: Ops, inside: int, outside: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.ops = ops
        self.conv = same_conv(inside, outside, kernel, stride)
        self.norm = nn.BatchNorm1d(outside)

    def forward(self, x: Tensor) -> Tensor:
        """(n, t, inside) -> (n, ceil(t / stride), outside)."""
        norm, y = self.norm, convolve(self.ops, x, self.conv)
        mean, variance = norm.running_mean, norm.running_var
        if mean is None or variance is None:  # never: BatchNorm1d keeps them unless told not to
            raise TypeError("BatchNorm without running statistics")
        y = self.ops.batch_norm(y, norm.weight, norm.bias, (mean, variance), norm.training)
        return self.ops.relu(y)


class Bottleneck(nn.Module):
    """1x1 to `base` channels, a convolution there, 1x1 back; added, GELU, LayerNorm.

    With stride 2 the skipped part is `halve`d.
    """

    def __init__(self, ops: Ops, base: int, width: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.ops = ops
        self.stride = stride
        self.narrow = same_conv(width, base, 1)
        self.middle = same_conv(base, base, kernel, stride)
        self.widen = same_conv(base, width, 1)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, t, width) -> (n, ceil(t / stride), width)."""
        ops = self.ops
        y = ops.gelu(convolve(ops, x, self.narrow))
        y = ops.gelu(convolve(ops, y, self.middle))
        y = convolve(ops, y, self.widen)
        skipped = x if self.stride == 1 else halve(ops, x)
        return normalise(ops, ops.gelu(y + skipped), self.norm)


class FeedForward(nn.Module):
    """LayerNorm, a linear map to `inner` channels, GELU, and one back."""

    def __init__(self, ops: Ops, width: int, inner: int) -> None:
        super().__init__()
        self.ops = ops
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, inner)
        self.narrow = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, t, width) -> the same."""
        y = affine(self.ops, normalise(self.ops, x, self.norm), self.widen)
        return affine(self.ops, self.ops.gelu(y), self.narrow)


class SelfAttention(nn.Module):
    """LayerNorm, softmax attention of all times with each other, a linear map.

    No positions are told: the convolutions around it know them.
    """

    def __init__(self, ops: Ops, width: int, heads: int) -> None:
        super().__init__()
        self.ops = ops
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, t, width) -> the same."""
        joint = affine(self.ops, normalise(self.ops, x, self.norm), self.project)
        query, key, value = joint.chunk(3, dim=2)
        return affine(self.ops, self.ops.attention(query, key, value, self.heads), self.out)


class ConvModule(nn.Module):
    """LayerNorm, a depthwise convolution, GELU, a 1x1 convolution."""

    def __init__(self, ops: Ops, width: int, kernel: int) -> None:
        super().__init__()
        self.ops = ops
        self.norm = nn.LayerNorm(width)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.pointwise = same_conv(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, t, width) -> the same."""
        y = convolve(self.ops, normalise(self.ops, x, self.norm), self.depthwise)
        return convolve(self.ops, self.ops.gelu(y), self.pointwise)


class ConformerBlock(nn.Module):
    """Half a feed-forward step, attention, convolution, the other half, LayerNorm.

    Source: Gulati et al. 2020 (arXiv:2005.08100), equation 1; dropout on every branch as there
    (the reference of arXiv 2603.28040 has none).
    """

    DROPOUTS = 4  # dropout layers of a block

    def __init__(
        self, ops: Ops, width: int, heads: int, kernel: int, inner: int, rate: float
    ) -> None:
        super().__init__()
        self.ops = ops
        self.rate = rate
        self.before = FeedForward(ops, width, inner)
        self.attention = SelfAttention(ops, width, heads)
        self.convolution = ConvModule(ops, width, kernel)
        self.after = FeedForward(ops, width, inner)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, keys: list[DropoutKey | None]) -> Tensor:
        """(n, t, width) -> the same; `keys` are those of its `DROPOUTS` dropout layers."""
        x = x + 0.5 * self.kept(self.before(x), keys[0])
        x = x + self.kept(self.attention(x), keys[1])
        x = x + self.kept(self.convolution(x), keys[2])
        x = x + 0.5 * self.kept(self.after(x), keys[3])
        return normalise(self.ops, x, self.norm)

    def kept(self, x: Tensor, key: DropoutKey | None) -> Tensor:
        """Dropout, or nothing where the rate is 0."""
        return self.ops.dropout(x, self.rate, key) if self.rate else x
