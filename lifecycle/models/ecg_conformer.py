"""The ECG Conformer: bottleneck residual stages, then Conformer blocks.

Source: reference implementation of arXiv 2603.28040 (seeds 000, 001), `ECGRepNetConformer` with 40
base channels; at the published sizes 1,827,634 parameters, as there.
"""

from __future__ import annotations

from itertools import chain

from torch import Tensor, nn

from lifecycle.domain.networks import ConformerPlan
from lifecycle.models.blocks import (
    Bottleneck,
    ConformerBlock,
    affine,
    convolve,
    halve,
    mean_and_max,
    same_conv,
)
from lifecycle.models.network import Network, Stages
from lifecycle.numerics.ops import Ops
from lifecycle.numerics.streams import DropoutKey


class EcgConformer(Network):
    """Stem of three convolutions, bottleneck stages, Conformer blocks, features, head.

    Attributes:
        stem: convolutions of the stem, each before a GELU; the first has the stride.
        bottlenecks: blocks, a list a stage; the first block of every later stage has stride 2.
        down: convolution of stride 2 before the Conformer blocks; None without such blocks.
        conformers: the Conformer blocks.
        features: linear map from means and maxima over time to the features.
        head: linear map to the logits.
    """

    def __init__(self, leads: int, classes: int, plan: ConformerPlan, ops: Ops) -> None:
        super().__init__(ops)
        base, width, kernel = plan.base, plan.width, plan.kernel
        self.weight = plan.penalty
        self.classes = classes
        self.stem = nn.ModuleList(
            (
                same_conv(leads, base, kernel, plan.stem_stride),
                same_conv(base, base, kernel),
                same_conv(base, width, kernel),
            )
        )
        self.bottlenecks = nn.ModuleList(
            nn.ModuleList(
                Bottleneck(ops, base, width, kernel, 2 if stage and not block else 1)
                for block in range(count)
            )
            for stage, count in enumerate(plan.stages)
        )
        self.down = same_conv(width, width, kernel, 2) if plan.conformers else None
        inner = plan.expansion * width
        self.conformers = nn.ModuleList(
            ConformerBlock(ops, width, plan.heads, kernel, inner, plan.dropout)
            for _ in range(plan.conformers)
        )
        self.features = nn.Linear(2 * width, plan.features)
        self.head = nn.Linear(plan.features, classes)
        self.spare: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of signals (n, time, leads)."""
        ops = self.ops
        for conv in self.stem_convs():
            x = ops.gelu(convolve(ops, x, conv))
        x = halve(ops, x)
        for block in chain(*self.stage_blocks()):
            x = block(x)
        x = self.attended(x)
        features = ops.gelu(affine(ops, mean_and_max(ops, x), self.features))
        self.spare = features[:, self.classes :] if self.training and self.weight else None
        return affine(ops, features, self.head)

    def attended(self, x: Tensor) -> Tensor:
        """Half as many steps, then the Conformer blocks; x itself where there are none."""
        if self.down is None:
            return x
        x = self.ops.gelu(convolve(self.ops, x, self.down))
        for number, block in enumerate(self.conformers):
            x = block(x, self.keys_of(number))
        return x

    def keys_of(self, block: int) -> list[DropoutKey | None]:
        """Keys of the dropout layers of a Conformer block."""
        first = block * ConformerBlock.DROPOUTS
        return [self.dropout_key(first + number) for number in range(ConformerBlock.DROPOUTS)]

    def penalty(self) -> Tensor | None:
        """Weight times the mean square of the spare features, those beyond the classes' number.

        None where the weight is 0, no feature is spare, or the network is not training. The mean
        is taken by `Ops`, so that it has the same bits everywhere in exact arithmetic.
        """
        if self.spare is None or not self.spare.numel():
            return None
        squares = (self.spare * self.spare).reshape(1, -1, 1)
        return self.weight * self.ops.global_avg_pool(squares).reshape(())

    def stem_convs(self) -> list[nn.Conv1d]:
        """Convolutions of the stem (a ModuleList does not tell the type of its members)."""
        return [conv for conv in self.stem if isinstance(conv, nn.Conv1d)]

    def stage_blocks(self) -> list[list[Bottleneck]]:
        """Bottleneck blocks of each stage."""
        stages = [stage for stage in self.bottlenecks if isinstance(stage, nn.ModuleList)]
        return [[block for block in stage if isinstance(block, Bottleneck)] for stage in stages]

    def residual_ends(self) -> tuple[nn.Module, ...]:
        """The last convolution of every bottleneck block, as in the reference."""
        return tuple(block.widen for block in chain(*self.stage_blocks()))

    def stages(self) -> Stages:
        """The stem with the first stage; each later stage; the Conformer part with the features."""
        first, *later = ((*blocks,) for blocks in self.stage_blocks())
        down = () if self.down is None else (self.down,)
        return ((*self.stem, *first), *later, (*down, *self.conformers, self.features))
