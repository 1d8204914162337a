"""What a trainer and an initialisation ask of a network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lifecycle.numerics.ops import Ops
from lifecycle.numerics.streams import DropoutKey

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
Weighted = nn.Linear | nn.Conv1d | nn.Conv2d
Stages = tuple[tuple[nn.Module, ...], ...]


def weighted_layers(model: nn.Module) -> list[Weighted]:
    """Every linear map and convolution, in the order in which the network names them."""
    return [module for module in model.modules() if isinstance(module, WEIGHTED)]


class Network(nn.Module):
    """A network written against `Ops`: inputs (n, t, c) or (n, p), logits (n, classes).

    Attributes:
        ops: the operations of a numerics mode.
        seed: seed of the recipe, for dropout.
        step: optimiser steps done; who trains sets it before each step.
    """

    def __init__(self, ops: Ops, seed: int = 0) -> None:
        super().__init__()
        self.ops = ops
        self.seed = seed
        self.step = 0

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes)."""
        raise NotImplementedError

    def dropout_key(self, layer: int) -> DropoutKey | None:
        """What the mask of a dropout layer depends on at this step; None outside training.

        Args:
            layer: number of the dropout layer, counted through the network from 0.
        """
        return DropoutKey(self.seed, self.step, layer) if self.training else None

    def wide(self) -> nn.Linear | None:
        """The first layer where its weight holds most of the network, for the exact sweep."""
        return None

    def penalty(self) -> Tensor | None:
        """What the last forward pass adds to the loss, weighted; None where nothing."""
        return None

    def residual_ends(self) -> Sequence[nn.Module]:
        """Last maps of residual branches: structured initialisation scales them by 0.01."""
        return ()

    def stages(self) -> Stages:
        """Modules stage by stage: `mixed` initialisation gives each stage a basis.

        Holds: every linear map and convolution but the head lies in exactly one stage.
        """
        head = getattr(self, "head", None)
        return tuple((layer,) for layer in weighted_layers(self) if layer is not head)
