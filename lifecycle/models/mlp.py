"""The methylation network: linear, LayerNorm, softshrink, interleaved (seed 002, IV.C).

The source says "4 fully-connected layers" and gives the widths of three linear maps,
51,000-128-32-7; three are built, for any number of features.
"""

from __future__ import annotations

from torch import Tensor, nn

from lifecycle.domain.networks import ModelPlan
from lifecycle.models.network import Network
from lifecycle.numerics.ops import Ops


class MLP(Network):
    """Features -> hidden widths -> classes.

    Attributes:
        widths: features, hidden widths, classes.
        linears: the linear maps, one fewer than widths.
        norms: LayerNorm parameters, one per hidden width.
    """

    def __init__(self, features: int, classes: int, plan: ModelPlan, ops: Ops) -> None:
        super().__init__(ops)
        self.widths = (features, *plan.hidden, classes)
        self.lambd = plan.softshrink
        pairs = zip(self.widths[:-1], self.widths[1:], strict=True)
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in plan.hidden)

    def layers(self) -> list[nn.Linear]:
        """The linear maps in order (a ModuleList does not tell the type of its members)."""
        return [module for module in self.linears if isinstance(module, nn.Linear)]

    def wide(self) -> nn.Linear:
        """See `Network`: a methylation array has far more probes than the network has units."""
        return self.layers()[0]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of inputs (n, features)."""
        first, *others = self.layers()
        norms = [module for module in self.norms if isinstance(module, nn.LayerNorm)]
        x = self.ops.linear(x, first.weight, first.bias)
        for norm, linear in zip(norms, others, strict=True):
            pairs = (norm.weight, norm.bias), (linear.weight, linear.bias)
            x = self.ops.shrunk_linear(x, pairs[0], self.lambd, pairs[1])
        return x
