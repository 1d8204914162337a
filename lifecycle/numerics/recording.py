"""What every operation of a training step computed: names, digests and, for a while, the values.

`RecordingOps` stands in front of any implementation of `Ops` and of every operation that it has, so
an operation that is added later is recorded without a line here. Inputs pass through an identity
whose backward sees the gradient that this very operation sends to them; the values are untouched,
and so is the order in which gradients are added up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from lifecycle.domain.digests import canonical_array, canonical_json
from lifecycle.numerics.ops import Ops, Pair, shrunk_linear


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One tensor that an operation took or gave.

    Attributes:
        operation: the operation and its layer, as `linear linears.0` or
            `layer_norm norms.0, backward`.
        tensor: which of its tensors, as `result` or `gradient of weight`.
        digest: over dtype, shape and values with canonical zeros.
        value: the tensor, as it was then.
    """

    operation: str
    tensor: str
    digest: str
    value: Tensor


class Recorder:
    """Entries in order of execution, while it is on.

    Attributes:
        on: whether anything is kept.
        entries: what was kept since `begin`.
    """

    def __init__(self, model: nn.Module) -> None:
        """Watch a network's parameters; their gradients are named by the operation that used them.

        Args:
            model: the network; its `ops` are not touched.
        """
        self.on = False
        self.entries: list[Entry] = []
        self.names = {id(value): name for name, value in named_tensors(model)}
        self.users: dict[int, str] = {}
        self.layer = ""
        self.seen: dict[str, int] = {}
        for value in model.parameters():
            hook = value.register_post_accumulate_grad_hook
            hook(self._gradient)  # type: ignore[no-untyped-call]  # torch does not annotate it

    def begin(self) -> None:
        """Forget what was kept and keep from here on."""
        self.on, self.entries, self.users = True, [], {}
        self.layer, self.seen = "", {}

    def end(self) -> None:
        """Keep no more; the entries stay until `begin`."""
        self.on = False

    def note(self, operation: str, tensor: str, value: Tensor) -> None:
        """Keep a tensor."""
        if self.on:
            kept = value.detach().clone()
            self.entries.append(Entry(operation, tensor, tensor_digest(kept), kept))

    def operation(self, name: str, values: Iterator[Tensor]) -> str:
        """Name of a call: with the layer whose parameters it takes, or that came before it."""
        known = [self.names[id(value)] for value in values if id(value) in self.names]
        if known:
            self.layer = known[0].rpartition(".")[0]
            place = f"{name} {self.layer}"
        else:
            place = f"{name} after {self.layer}" if self.layer else name
        self.seen[place] = self.seen.get(place, 0) + 1
        return place if self.seen[place] == 1 else f"{place} ({self.seen[place]})"

    def parameter(self, value: Tensor) -> str | None:
        """Name of a parameter or buffer within its layer; None for other tensors."""
        name = self.names.get(id(value))
        return None if name is None else name.rpartition(".")[2]

    def _gradient(self, parameter: Tensor) -> None:
        if self.on and parameter.grad is not None:
            user = self.users.get(id(parameter), "backward")
            self.note(user, f"gradient of {self.parameter(parameter)}", parameter.grad)


def named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by name."""
    yield from model.named_parameters()
    yield from model.named_buffers()


def tensor_digest(value: Tensor) -> str:
    """Digest of dtype, shape and values; zeros canonical, so their sign is no difference."""
    array = value.detach().cpu().numpy()
    digest = hashlib.sha256(canonical_json([array.dtype.name, list(array.shape)]))
    digest.update(canonical_array(array))
    return digest.hexdigest()[:32]


class _Watched(torch.autograd.Function):
    """The same values; the gradient on its way back is noted."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, note: Callable[[Tensor], None]) -> Tensor:
        ctx.note = note
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        ctx.note(gradient)
        return gradient, None


class RecordingOps:
    """Operations that are noted while the recorder is on; use `recording` for a typed one."""

    def __init__(self, inner: Ops, recorder: Recorder) -> None:
        self.inner, self.recorder = inner, recorder

    def __getattr__(self, name: str) -> Any:
        """An operation of the inner implementation, noted; other attributes as they are."""
        found = getattr(self.inner, name)
        if name.startswith("_") or not callable(found) or not hasattr(Ops, name):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            if not self.recorder.on:
                return found(*arguments, **named)
            return _noted(self.recorder, name, found, arguments, named)

        return call

    def shrunk_linear(self, x: Tensor, norm: Pair, lambd: float, linear: Pair) -> Tensor:
        """Recorded in its parts, so that a difference is found in one of them."""
        return shrunk_linear(cast(Ops, self), x, norm, lambd, linear)


def recording(inner: Ops, recorder: Recorder) -> Ops:
    """The operations with the recorder in front of them."""
    return cast(Ops, RecordingOps(inner, recorder))


def _noted(
    recorder: Recorder,
    name: str,
    operation: Callable[..., Any],
    arguments: tuple[Any, ...],
    named: Mapping[str, Any],
) -> Any:
    everything = [*arguments, *named.values()]
    place = recorder.operation(name, tensors_in(everything))
    count = 0

    def watched(value: Any) -> Any:
        nonlocal count
        if not isinstance(value, Tensor) or recorder.parameter(value) is not None:
            return value
        count += 1
        return _passed(recorder, place, f"input {count}", value)

    for value in tensors_in(everything):
        if recorder.parameter(value) is not None:
            recorder.users[id(value)] = f"{place}, backward"
    result = operation(
        *(_each(watched, value) for value in arguments),
        **{key: _each(watched, value) for key, value in named.items()},
    )
    _note_results(recorder, place, result, everything)
    return result


def _passed(recorder: Recorder, place: str, which: str, value: Tensor) -> Tensor:
    recorder.note(place, which, value)
    if not (value.requires_grad and torch.is_grad_enabled()):
        return value

    def note(gradient: Tensor) -> None:
        recorder.note(f"{place}, backward", f"gradient of {which}", gradient)

    seen: Tensor = _Watched.apply(value, note)  # type: ignore[no-untyped-call]
    return seen


def _note_results(recorder: Recorder, place: str, result: Any, everything: list[Any]) -> None:
    results = list(tensors_in([result]))
    for number, value in enumerate(results, start=1):
        recorder.note(place, "result" if len(results) == 1 else f"result {number}", value)
    for value in tensors_in(everything):  # buffers are updated in place
        name = recorder.parameter(value)
        if name is not None and not value.requires_grad:
            recorder.note(place, name, value)


def _each(change: Callable[[Any], Any], value: Any) -> Any:
    """A value, or every member of a list or tuple, changed."""
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(change(item) for item in value)
    return change(value)


def tensors_in(values: Any) -> Iterator[Tensor]:
    """The tensors of nested lists and tuples, in order."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors_in(value)
