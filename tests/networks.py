"""A small ECG network of every layer, written once for all modes, and its training loop."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from lifecycle.domain.classifier import Numerics
from lifecycle.numerics.exact import optimisers
from lifecycle.numerics.modes import ops_for
from lifecycle.numerics.ops import Ops
from lifecycle.numerics.streams import DropoutKey, uniform_fan_in, unit

LEADS, CLASSES = 12, 5
Running = tuple[Tensor, Tensor]


class EcgNetwork(nn.Module):
    """Stem, residual blocks, one Conformer block, pooling, head: (n, time, 12) -> (n, classes).

    Attributes:
        step: optimiser steps done, for the dropout masks; the training loop counts it.
    """

    def __init__(self, ops: Ops, width: int, blocks: int = 1, seed: int = 0) -> None:
        super().__init__()
        self.ops, self.seed, self.step = ops, seed, 0
        deep = 2 * width
        self.stem = nn.Conv1d(LEADS, width, 7)
        self.stem_norm = nn.BatchNorm1d(width)
        self.shallow = nn.ModuleList(Residual(ops, width) for _ in range(blocks))
        self.down = nn.Conv1d(width, deep, 3)
        self.down_norm = nn.BatchNorm1d(deep)
        self.deep = nn.ModuleList(Residual(ops, deep) for _ in range(blocks))
        self.conformer = Conformer(ops, deep)
        self.head = nn.Linear(2 * deep, CLASSES)
        initialise(self, seed)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        ops = self.ops
        x = ops.conv1d(x, self.stem.weight, self.stem.bias, stride=2, padding=3)
        x = ops.max_pool1d(ops.relu(batch_norm(ops, x, self.stem_norm)), 3, 2, 1)
        for block in self.shallow:
            x = block(x)
        x = ops.conv1d(x, self.down.weight, self.down.bias, stride=2, padding=1)
        x = ops.avg_pool1d(ops.relu(batch_norm(ops, x, self.down_norm)), 2, 2)
        for block in self.deep:
            x = block(x)
        x = self.conformer(x, DropoutKey(self.seed, self.step, 0) if self.training else None)
        pooled = torch.cat([ops.global_avg_pool(x), ops.global_max_pool(x)], dim=1)
        key = DropoutKey(self.seed, self.step, 1) if self.training else None
        return ops.linear(ops.dropout(pooled, 0.25, key), self.head.weight, self.head.bias)


class Residual(nn.Module):
    """Two convolutions of 5 taps, each with LayerNorm, and what came in."""

    def __init__(self, ops: Ops, width: int) -> None:
        super().__init__()
        self.ops = ops
        self.convs = nn.ModuleList(nn.Conv1d(width, width, 5) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv, norm in zip(self.convs, self.norms, strict=True):
            y = self.ops.conv1d(y, conv.weight, conv.bias, padding=2)
            y = self.ops.gelu(self.ops.layer_norm(y, norm.weight, norm.bias))
        return x + y


class Conformer(nn.Module):
    """Attention, a depthwise convolution and a feed-forward part, each beside what came in."""

    def __init__(self, ops: Ops, width: int, heads: int = 4) -> None:
        super().__init__()
        self.ops, self.heads = ops, heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.depthwise = nn.Conv1d(width, width, 5, groups=width)
        self.pointwise = nn.Conv1d(width, width, 1)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor, key: DropoutKey | None) -> Tensor:
        x = x + self.ops.dropout(self.attend(self.normal(x, 0)), 0.1, key)
        y = self.ops.conv1d(
            self.normal(x, 1),
            self.depthwise.weight,
            self.depthwise.bias,
            padding=2,
            groups=x.shape[2],
        )
        y = self.ops.smelu(y, 1.0)
        x = x + self.ops.conv1d(y, self.pointwise.weight, self.pointwise.bias)
        y = self.ops.gelu(affine(self.ops, self.normal(x, 2), self.wide))
        return x + affine(self.ops, y, self.narrow)

    def normal(self, x: Tensor, number: int) -> Tensor:
        norm = self.norms[number]
        return self.ops.layer_norm(x, norm.weight, norm.bias)

    def attend(self, x: Tensor) -> Tensor:
        parts = (affine(self.ops, x, linear) for linear in (self.query, self.key, self.value))
        return affine(self.ops, self.ops.attention(*parts, heads=self.heads), self.out)


def affine(ops: Ops, x: Tensor, linear: nn.Linear) -> Tensor:
    return ops.linear(x, linear.weight, linear.bias)


def batch_norm(ops: Ops, x: Tensor, norm: nn.BatchNorm1d) -> Tensor:
    running = (norm.running_mean, norm.running_var)
    return ops.batch_norm(x, norm.weight, norm.bias, running, norm.training)


def initialise(model: nn.Module, seed: int) -> None:
    """Weights uniform in +-1/sqrt(fan_in) from integer streams, biases 0, norms 1 and 0."""
    with torch.no_grad():
        for layer, (name, value) in enumerate(model.named_parameters()):
            if value.dim() > 1:
                shape = tuple(value.shape)
                drawn = uniform_fan_in(seed, layer, shape, value[0].numel())
                value.copy_(torch.from_numpy(drawn))
            elif name.endswith("bias"):
                value.zero_()


def examples(n: int, time: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Made-up signals (n, time, 12), smooth over time, and labels (n, classes)."""
    noise = unit(seed, 90, size=n * (time + 8) * LEADS).reshape(n, time + 8, LEADS) - 0.5
    x = sum(noise[:, start : start + time] for start in range(8))
    y = x[:, :, :CLASSES].max(axis=1) > 1.9
    return torch.from_numpy(x * 1.0), torch.from_numpy(y).double()


def losses_of(
    model: EcgNetwork, optimiser: object, batches: Iterator[tuple[Tensor, Tensor]]
) -> list[float]:
    """Train: one step a batch; the loss of each."""
    weight = torch.linspace(1.0, 3.0, CLASSES, dtype=torch.float64)
    found = []
    for x, y in batches:
        optimiser.zero_grad()
        loss = model.ops.bce_with_logits(model(x), y, weight)
        loss.backward()
        optimiser.step()
        model.step += 1
        found.append(float(loss.detach()))
    return found


def digest(model: nn.Module, *further: Tensor) -> str:
    """SHA-256 of parameters, buffers and further tensors."""
    parts = [*model.state_dict().values(), *further]
    return hashlib.sha256(b"".join(part.detach().numpy().tobytes() for part in parts)).hexdigest()


def in_turn(x: Tensor, y: Tensor, size: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Minibatches in order, from the start again."""
    for step in range(steps):
        at = torch.arange(step * size, (step + 1) * size) % len(x)
        yield x[at], y[at]


def trained(mode: str, steps: int = 4) -> str:
    """Digest of a small network trained with Adam, its losses and its scores, in a mode."""
    ops = ops_for(Numerics(mode=mode))
    model = EcgNetwork(ops, width=8)
    if mode == "exact":
        ops.bind(model)
        optimiser = optimisers.Adam(list(model.parameters()), 1e-3, 1e-4)
    else:
        optimiser = torch.optim.Adam(model.parameters(), 1e-3, weight_decay=1e-4)
    x, y = examples(n=10, time=240)
    losses = losses_of(model, optimiser, in_turn(x, y, 4, steps))
    model.eval()
    with torch.no_grad():
        scores = ops.sigmoid(model(x))
    return digest(model, torch.tensor(losses, dtype=torch.float64), scores)
