"""The trace of a training: a digest of every step, cheap enough to be taken always."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from lifecycle.domain.digests import canonical_json, sha256
from lifecycle.dossier.traces import WIDTH, Trace, input_digest
from lifecycle.models.network import Network
from lifecycle.numerics.recording import named_tensors, tensor_digest
from lifecycle.training.optimising import FrameworkOptimiser, Optimiser
from lifecycle.training.trainer import Epoch, Examples, Step, Watcher

# What optimisers keep of each parameter, in their order.
MOMENTS: dict[str, tuple[str, ...]] = {
    "adamax": ("first moment", "infinity norm"),
    "adam": ("first moment", "second moment"),
    "sgd": ("momentum",),
}
# Parameters of at most as many values are part of a step's digest. A wide layer's weights would
# take longer to read than the step: what differs in them is seen in the next step's logits.
SMALL = 1024


class Tracer(Watcher):
    """Takes a training's trace; give it to `train` as watcher, its `epoch` as an observer.

    A step's digest is the first 8 bytes of SHA-256 over, in the network's dtype and with canonical
    zeros: the loss, the logits, the gradients of all parameters of one dimension (biases and norms:
    what reaches each layer), and the updated values of all parameters up to `SMALL`, in their
    order.
    """

    def __init__(self, training: Examples) -> None:
        self.input = input_digest(training.x, training.y)
        self.digests = bytearray()
        self.weights: list[str] = []
        self.vectors: list[Tensor] = []
        self.small: list[Tensor] = []

    def start(self, model: Network, optimiser: Optimiser) -> None:
        """See `Watcher`."""
        parameters = list(model.parameters())
        self.vectors = [value for value in parameters if value.dim() == 1]
        # views: optimisers change parameters in place
        self.small = [v.detach().reshape(-1) for v in parameters if v.numel() <= SMALL]
        self.weights.append(weights_digest(model))

    def after(self, step: Step) -> None:
        """See `Watcher`."""
        gradients = [value.grad for value in self.vectors if value.grad is not None]
        values = [step.loss.reshape(1), step.logits.reshape(-1), *gradients, *self.small]
        self.digests += step_digest(values)

    def epoch(self, _epoch: Epoch, model: Network) -> None:
        """An epoch ended (an observer)."""
        self.weights.append(weights_digest(model))

    def trace_digest(self, step: int) -> str:
        """Digest of a step that was seen, counted from 1 over all epochs, in hex."""
        return bytes(self.digests[(step - 1) * WIDTH : step * WIDTH]).hex()

    def trace(self, epochs: int | None = None) -> Trace:
        """What was seen, of the first `epochs` (all where None)."""
        trained = len(self.weights) - 1
        steps = len(self.digests) // WIDTH // trained
        trace = Trace(self.input, steps, tuple(self.weights), bytes(self.digests))
        return trace if epochs is None else trace.upto(epochs)


def step_digest(values: list[Tensor]) -> bytes:
    """WIDTH bytes of SHA-256 over vectors of one dtype, one after the other, zeros canonical."""
    flat = torch.cat(values).add_(0.0)
    return hashlib.sha256(flat.cpu().numpy().data).digest()[:WIDTH]


def weights_digest(model: torch.nn.Module) -> str:
    """SHA-256 over parameters and buffers, as in `domain.digests.tensors_digests`.

    Without MD5 and with one copy instead of three: wide weights are digested every epoch.
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        array = value.detach().cpu().numpy()
        digest.update(canonical_json([name, array.dtype.name, list(array.shape)]))
        whole = np.add(array, array.dtype.type(0), order="C")  # canonical zeros
        digest.update(whole.astype(whole.dtype.newbyteorder("<"), copy=False).data)
    return digest.hexdigest()


def moments(optimiser: Optimiser, model: torch.nn.Module) -> Iterator[tuple[str, str, Tensor]]:
    """What an optimiser keeps, as (parameter, which moment, value); nothing before its first step.

    Args:
        optimiser: the framework's or an exact one; a fused one keeps it elsewhere.
        model: whose parameters it trains.
    """
    if isinstance(optimiser, FrameworkOptimiser):
        kind, own = type(optimiser.inner).__name__, optimiser.inner.state
        kept = [[v for k, v in own[p].items() if k != "step"] for p in model.parameters()]
    else:
        kind, kept = type(optimiser).__name__, [list(v) for v in getattr(optimiser, "state", [])]
    for (name, _), values in zip(model.named_parameters(), kept, strict=False):
        for which, value in zip(MOMENTS[kind.lower()], values, strict=False):
            yield name, which, value


def state_tensors(optimiser: Optimiser, model: torch.nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Everything that a step hands to the next: parameters, buffers, moments."""
    yield from named_tensors(model)
    for name, which, value in moments(optimiser, model):
        yield f"{name}: {which}", value


def state_digest(optimiser: Optimiser, model: torch.nn.Module) -> str:
    """A digest of all of it."""
    found = [(name, tensor_digest(value)) for name, value in state_tensors(optimiser, model)]
    return sha256(canonical_json(found))[: 2 * WIDTH]
