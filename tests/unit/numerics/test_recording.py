from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lifecycle.numerics.exact.ops import ExactOps
from lifecycle.numerics.ops import FrameworkOps, Ops
from lifecycle.numerics.recording import Recorder, recording, tensor_digest

MODES: dict[str, Callable[[], Ops]] = {"framework": FrameworkOps, "exact": ExactOps}


class Net(nn.Module):
    """Convolution, batch norm, a residual block, attention, pooling: what a recorder must pass."""

    def __init__(self, ops: Ops) -> None:
        super().__init__()
        self.ops = ops
        self.conv = nn.Conv1d(3, 4, 3)
        self.bn = nn.BatchNorm1d(4)
        self.norm = nn.LayerNorm(4)
        self.q, self.k, self.v = (nn.Linear(4, 4) for _ in range(3))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        ops = self.ops
        x = ops.conv1d(x, self.conv.weight, self.conv.bias, padding=1)
        running = (self.bn.running_mean, self.bn.running_var)
        x = ops.batch_norm(x, self.bn.weight, self.bn.bias, running, True)
        x = x + ops.gelu(ops.gelu(x))
        x = ops.layer_norm(x, self.norm.weight, self.norm.bias)
        q, k, v = (ops.linear(x, m.weight, m.bias) for m in (self.q, self.k, self.v))
        x = ops.attention(q, k, v, heads=2)
        return ops.linear(ops.global_avg_pool(x), self.head.weight, self.head.bias)


def _net(mode: str) -> Net:
    torch.manual_seed(0)
    model = Net(MODES[mode]()).double()
    model.train()
    return model


def _step(model: Net) -> Tensor:
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.standard_normal((5, 8, 3)))
    loss = model.ops.cross_entropy(model(x), torch.from_numpy(rng.integers(0, 3, 5)))
    loss.backward()
    return loss.detach()


def _bits(model: Net) -> dict[str, str]:
    found = {f"{n} gradient": tensor_digest(p.grad) for n, p in model.named_parameters()}
    return found | {name: tensor_digest(value) for name, value in model.state_dict().items()}


def _recorded(model: Net) -> Recorder:
    recorder = Recorder(model)
    model.ops = recording(model.ops, recorder)
    recorder.begin()
    _step(model)
    recorder.end()
    return recorder


def _told(recorder: Recorder) -> list[tuple[str, str]]:
    return [(entry.operation, entry.tensor) for entry in recorder.entries]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("on", [False, True])
def test_recording_changes_no_bit(mode: str, on: bool) -> None:
    plain, watched = _net(mode), _net(mode)
    loss = _step(plain)
    recorder = Recorder(watched)
    watched.ops = recording(watched.ops, recorder)
    if on:
        recorder.begin()
    assert torch.equal(_step(watched), loss)
    assert _bits(watched) == _bits(plain)
    assert bool(recorder.entries) is on


@pytest.mark.parametrize("mode", MODES)
def test_operations_are_named_with_their_layers_in_order(mode: str) -> None:
    told = _told(_recorded(_net(mode)))
    results = [name for name, tensor in told if tensor == "result"]
    assert results == [
        "conv1d conv", "batch_norm bn", "gelu after bn", "gelu after bn (2)", "layer_norm norm",
        "linear q", "linear k", "linear v", "attention after v", "global_avg_pool after v",
        "linear head", "cross_entropy after head",
    ]  # fmt: skip
    backward = list(dict.fromkeys(name for name, _ in told if name.endswith(", backward")))
    assert backward[:2] == ["cross_entropy after head, backward", "linear head, backward"]
    assert backward.index("layer_norm norm, backward") > backward.index("linear q, backward")
    assert backward[-1] == "conv1d conv, backward"  # its input needs no gradient: weights only
    of_head = [tensor for name, tensor in told if name == "linear head, backward"]
    assert sorted(of_head) == ["gradient of bias", "gradient of input 1", "gradient of weight"]
    assert ("batch_norm bn", "running_mean") in told  # buffers are results too


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_named_twice(mode: str) -> None:
    told = _told(_recorded(_net(mode)))
    assert len(told) == len(set(told))


def _flipped(value: Tensor) -> Tensor:
    changed = value.detach().clone(memory_format=torch.contiguous_format)
    changed.view(torch.int64).view(-1)[1] ^= 1 << 30
    return changed


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("name", "call", "said"),
    [
        ("conv1d", 1, "conv1d conv"),
        ("batch_norm", 1, "batch_norm bn"),
        ("gelu", 2, "gelu after bn (2)"),
        ("layer_norm", 1, "layer_norm norm"),
        ("linear", 2, "linear k"),
        ("attention", 1, "attention after v"),
        ("linear", 4, "linear head"),
    ],
)
def test_a_flipped_bit_of_a_result_is_the_first_difference(
    mode: str, name: str, call: int, said: str
) -> None:
    whole, damaged = _net(mode), _net(mode)
    operation, calls = getattr(damaged.ops, name), []

    def broken(*arguments: Any, **named: Any) -> Tensor:
        calls.append(None)
        result = operation(*arguments, **named)
        if len(calls) == call:
            result.data.copy_(_flipped(result))
        return result

    setattr(damaged.ops, name, broken)
    assert _first(_recorded(whole), _recorded(damaged)) == (said, "result")


class _Broken(torch.autograd.Function):
    """An operation whose backward gives one wrong bit."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _flipped(gradient)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("layer_norm", ("layer_norm norm, backward", "gradient of input 1")),
        ("attention", ("attention after v, backward", "gradient of input 1")),
        ("global_avg_pool", ("global_avg_pool after v, backward", "gradient of input 1")),
        ("cross_entropy", ("cross_entropy after head, backward", "gradient of input 1")),
    ],
)
def test_a_flipped_bit_in_a_backward_pass_is_the_first_difference(
    mode: str, name: str, said: tuple[str, str]
) -> None:
    whole, damaged = _net(mode), _net(mode)
    operation = getattr(damaged.ops, name)
    setattr(
        damaged.ops, name, lambda x, *rest, **named: operation(_Broken.apply(x), *rest, **named)
    )
    assert _first(_recorded(whole), _recorded(damaged)) == said


def test_a_flipped_bit_of_a_parameter_s_gradient_names_its_operation() -> None:
    whole, damaged = _net("exact"), _net("exact")
    damaged.k.weight.register_hook(_flipped)
    found = _first(_recorded(whole), _recorded(damaged))
    assert found == ("linear k, backward", "gradient of weight")


def _first(one: Recorder, two: Recorder) -> tuple[str, str]:
    pairs = zip(one.entries, two.entries, strict=True)
    differ = next(a for a, b in pairs if a.digest != b.digest)
    return differ.operation, differ.tensor


def test_what_happens_between_operations_is_seen_in_the_next_input() -> None:
    whole, damaged = _net("exact"), _net("exact")
    operation = damaged.ops.layer_norm
    recorder = Recorder(damaged)
    damaged.ops = recording(damaged.ops, recorder)
    inner = damaged.ops.layer_norm
    assert operation is not inner
    # the sum of the residual block stands outside `Ops`
    damaged.ops.__dict__["layer_norm"] = lambda x, *rest: inner(_flipped(x).requires_grad_(), *rest)
    recorder.begin()
    _step(damaged)
    assert _first(_recorded(whole), recorder) == ("layer_norm norm", "input 1")


def test_the_sign_of_zero_is_no_difference_and_shape_and_dtype_are() -> None:
    zeros = torch.zeros(2, 3)
    assert tensor_digest(zeros) == tensor_digest(-zeros)
    assert tensor_digest(zeros) != tensor_digest(zeros.double())
    assert tensor_digest(zeros) != tensor_digest(zeros.reshape(3, 2))


def test_scores_without_gradients_can_be_recorded() -> None:
    model = _net("framework")
    recorder = Recorder(model)
    model.ops = recording(model.ops, recorder)
    recorder.begin()
    with torch.no_grad():
        model.ops.softmax(model(torch.zeros(2, 8, 3, dtype=torch.float64)))
    assert _told(recorder)[-1] == ("softmax after head", "result")
    recorder.begin()
    assert recorder.entries == []


def test_other_attributes_are_the_inner_ones() -> None:
    ops = recording(ExactOps(3), Recorder(_net("exact")))
    assert ops.slices == 3  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        ops.no_such_operation()  # type: ignore[attr-defined]
