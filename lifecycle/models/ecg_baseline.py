"""The ECG Baseline: a residual network of convolutions with BatchNorm.

Source: reference implementation of arXiv 2603.28040 (seeds 000, 001), `BaselineCNN`; at the
published sizes 1,653,772 parameters, as there.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from lifecycle.domain.networks import ResidualPlan
from lifecycle.models.blocks import ConvNormReLU, affine, mean_and_max
from lifecycle.models.network import Network, Stages
from lifecycle.numerics.ops import Ops

KERNEL = 5  # of every convolution
POOL = (3, 2, 1)  # largest value of 3 steps, every second one, one step of padding


class EcgBaseline(Network):
    """Stem, stages of residual blocks with a strided convolution between, two linear maps.

    Attributes:
        stem: the first convolution.
        downs: strided convolutions, one between each stage and the next.
        blocks: residual blocks, a list a stage; each is x + ReLU(BatchNorm(convolution(x))).
        hidden: linear map from means and maxima to half as many channels as the last stage has.
        head: linear map to the logits.
    """

    def __init__(self, leads: int, classes: int, plan: ResidualPlan, ops: Ops) -> None:
        super().__init__(ops)
        widths = plan.widths
        self.rates = plan.dropout
        self.stem = ConvNormReLU(ops, leads, widths[0], KERNEL, plan.stem_stride)
        self.downs = nn.ModuleList(ConvNormReLU(ops, a, b, KERNEL, 2) for a, b in pairwise(widths))
        self.blocks = nn.ModuleList(
            nn.ModuleList(ConvNormReLU(ops, width, width, KERNEL) for _ in range(count))
            for width, count in zip(widths, plan.blocks, strict=True)
        )
        inner = max(1, widths[-1] // 2)
        self.hidden = nn.Linear(2 * widths[-1], inner)
        self.head = nn.Linear(inner, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of signals (n, time, leads)."""
        x = self.ops.max_pool1d(self.stem(x), *POOL)
        for number, stage in enumerate(self.stage_blocks()):
            x = self.downs[number - 1](x) if number else x
            for block in stage:
                x = x + block(x)
        y = self.dropped(mean_and_max(self.ops, x), 0)
        y = self.dropped(self.ops.relu(affine(self.ops, y, self.hidden)), 1)
        return affine(self.ops, y, self.head)

    def dropped(self, x: Tensor, layer: int) -> Tensor:
        """The dropout before one of the two linear maps."""
        rate = self.rates[layer]
        return self.ops.dropout(x, rate, self.dropout_key(layer)) if rate else x

    def stage_blocks(self) -> list[nn.ModuleList]:
        """Blocks of each stage (a ModuleList does not tell the type of its members)."""
        return [stage for stage in self.blocks if isinstance(stage, nn.ModuleList)]

    def residual_ends(self) -> tuple[nn.Module, ...]:
        """None: BatchNorm follows every convolution of a block and would undo any scale.

        The reference scales none here either. A weight a hundred times smaller would only see
        gradients a hundred times larger.
        """
        return ()

    def stages(self) -> Stages:
        """The stem with the first stage; each later stage with what leads to it; `hidden`."""
        entries = (self.stem, *self.downs)
        pairs = zip(entries, self.stage_blocks(), strict=True)
        return (*((entry, *blocks) for entry, blocks in pairs), (self.hidden,))
