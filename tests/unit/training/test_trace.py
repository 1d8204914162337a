from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from lifecycle.domain.classifier import Numerics, Recipe
from lifecycle.domain.digests import tensors_digests
from lifecycle.domain.networks import ModelPlan
from lifecycle.dossier.traces import (
    WIDTH,
    Difference,
    Trace,
    first_difference,
    from_bytes,
    input_digest,
    to_bytes,
)
from lifecycle.errors import IntegrityError
from lifecycle.models.build import build_model, tensors_of
from lifecycle.numerics.exact.wide import WIDE
from lifecycle.training import trace as traces
from lifecycle.training.trace import Tracer, moments, state_digest, state_tensors, weights_digest
from lifecycle.training.trainer import Epoch, Examples, Step, Watcher, train

PLAN = ModelPlan(hidden=(8, 4))
RECIPE = Recipe(lr=0.01, l2=0.001, epochs=3, minibatch=6)


def _examples(n: int = 40, p: int = 10, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return Examples(rng.standard_normal((n, p)) + y[:, None] * 0.7, y)


def _traced(recipe: Recipe = RECIPE, data: Examples | None = None, fused: bool = True) -> Trace:
    data = _examples() if data is None else data
    held = _examples(p=data.x.shape[1], seed=1)
    tracer = Tracer(data)
    train(PLAN, recipe, data, held, 3, (tracer.epoch,), tracer, fused)
    return tracer.trace()


def test_a_trace_has_a_digest_a_step_and_the_weights_of_every_epoch() -> None:
    trace = _traced()
    assert (trace.steps, trace.epochs, len(trace.digests)) == (7, 3, 21 * WIDTH)
    assert len({trace.digest(step) for step in range(1, 22)}) == 21
    tensors = train(PLAN, RECIPE, _examples(), _examples(seed=1), 3).tensors
    assert trace.weights[-1] == tensors_digests(tensors)["sha256"]
    assert trace.weights[0] == weights_digest(build_model(PLAN, RECIPE, 10, 3))
    assert trace.input == input_digest(_examples().x, _examples().y)


@pytest.mark.parametrize("mode", ["native", "deterministic", "exact"])
def test_the_trace_changes_nothing_and_repeats(mode: str) -> None:
    recipe = replace(RECIPE, numerics=Numerics(mode))  # type: ignore[arg-type]
    assert to_bytes(_traced(recipe)) == to_bytes(_traced(recipe))
    tensors = train(PLAN, recipe, _examples(), _examples(seed=1), 3).tensors
    assert _traced(recipe).weights[-1] == tensors_digests(tensors)["sha256"]


def test_a_fused_optimiser_leaves_the_same_trace() -> None:
    recipe = replace(RECIPE, numerics=Numerics("exact", threads=1), epochs=2)
    data = _examples(n=20, p=WIDE // PLAN.hidden[0])
    fused = _traced(recipe, data)
    assert to_bytes(fused) == to_bytes(_traced(recipe, data, fused=False))


def test_a_training_of_more_epochs_begins_with_the_same_trace() -> None:
    long = _traced(replace(RECIPE, epochs=5))
    assert to_bytes(long.upto(3)) == to_bytes(_traced())


def test_weights_have_the_digest_of_the_build_record() -> None:
    model = build_model(PLAN, RECIPE, 10, 3)
    with torch.no_grad():
        next(model.parameters())[0, :3] = -0.0
    assert weights_digest(model) == tensors_digests(tensors_of(model))["sha256"]
    assert weights_digest(model.float()) == tensors_digests(tensors_of(model))["sha256"]


class _Nudge(Watcher):
    """After one step, moves the values of one tensor by one unit in the last place."""

    def __init__(self, tracer: Tracer, name: str, at: int) -> None:
        self.tracer, self.name, self.at, self.done = tracer, name, at, 0

    def start(self, model, optimiser) -> None:
        self.tracer.start(model, optimiser)
        self.tensors = dict(model.named_parameters()) | {
            f"{name}: {which}": value for name, which, value in moments(optimiser, model)
        }

    def after(self, step: Step) -> None:
        self.done += 1
        if self.done == self.at:
            value = self.tensors[self.name].detach()
            value.copy_(torch.nextafter(value, value + 1))
        self.tracer.after(step)


def _nudged(name: str, recipe: Recipe = RECIPE) -> Difference | None:
    data = _examples()
    tracer = Tracer(data)
    watcher = _Nudge(tracer, name, at=9)
    train(PLAN, recipe, data, _examples(seed=1), 3, (tracer.epoch,), watcher)
    return first_difference(_traced(recipe), tracer.trace())


@pytest.mark.parametrize("name", ["linears.0.weight", "linears.1.bias", "norms.1.weight"])
def test_one_unit_in_the_last_place_of_a_parameter_is_seen_in_its_step(name: str) -> None:
    assert _nudged(name) == Difference("step", 9)


def test_of_a_wide_parameter_it_is_seen_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "SMALL", 60)  # linears.0.weight has 80 values
    found = _nudged("linears.0.weight")
    assert found is not None and 9 < found.step <= 14  # the weights' digest of the epoch at last


def test_a_moment_is_part_of_the_state_and_not_of_the_step() -> None:
    exact = replace(RECIPE, numerics=Numerics("exact"))
    found = _nudged("linears.0.weight: first moment", exact)
    assert found is None or found.step > 9


@pytest.mark.parametrize("mode", ["deterministic", "exact"])
@pytest.mark.parametrize(
    ("optimiser", "kept"),
    [("adamax", {"first moment", "infinity norm"}), ("sgd", {"momentum"}),
     ("adam", {"first moment", "second moment"})],
)  # fmt: skip
def test_the_state_holds_parameters_and_moments(mode: str, optimiser: str, kept: set[str]) -> None:
    recipe = replace(RECIPE, optimiser=optimiser, numerics=Numerics(mode))  # type: ignore[arg-type]
    seen: list[str] = []

    class Look(Watcher):
        def start(self, model, optimiser) -> None:
            self.model, self.optimiser = model, optimiser

        def after(self, step: Step) -> None:
            seen.append(state_digest(self.optimiser, self.model))
            names = [name for name, _ in state_tensors(self.optimiser, self.model)]
            assert {name.split(": ")[1] for name in names if ": " in name} == kept
            assert len(names) == len(set(names)) == 10 * (1 + len(kept))

    train(PLAN, recipe, _examples(), _examples(), 3, watcher=Look(), fused=False)
    assert len(set(seen)) == 21


def test_observers_get_the_network_of_the_epoch() -> None:
    seen: list[tuple[int, str]] = []

    def look(epoch: Epoch, model: torch.nn.Module) -> None:
        seen.append((epoch.epoch, weights_digest(model)))

    train(PLAN, RECIPE, _examples(), _examples(seed=1), 3, (look,))
    assert [digest for _, digest in seen] == list(_traced().weights[1:])


# ---- two traces


X1, X2, V = "1" * 64, "2" * 64, "f" * 64
W0, W1, W2, W3 = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)


def _trace(**changes: object) -> Trace:
    digests = b"".join(bytes([step]) * WIDTH for step in range(6))
    return replace(Trace(X1, 2, (W0, W1, W2, W3), digests), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "where", "step"),
    [
        ({"input": X2}, "input", 0),
        ({"weights": (V, W1, W2, W3)}, "initial values", 0),
        ({"weights": (W0, W1, V, W3)}, "weights", 4),
        ({"digests": _trace().digests[:-1] + b"!"}, "step", 6),
        ({"digests": b"!" + _trace().digests[1:], "weights": (W0, V, V, V)}, "step", 1),
        ({"digests": _trace().digests[:-1] + b"!", "weights": (W0, W1, V, V)},
         "weights", 4),
    ],
)  # fmt: skip
def test_the_first_difference(changes: dict, where: str, step: int) -> None:
    assert first_difference(_trace(), _trace(**changes)) == Difference(where, step)
    assert first_difference(_trace(**changes), _trace()) == Difference(where, step)


def test_equal_traces_do_not_differ_as_far_as_both_go() -> None:
    assert first_difference(_trace(), _trace()) is None
    assert first_difference(_trace(), _trace().upto(1)) is None


def test_a_trace_is_read_back() -> None:
    assert from_bytes(to_bytes(_trace()), "x") == _trace()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data.replace(b"trace/2", b"trade/2"),
        lambda data: data.replace(b'"steps":2', b'"steps":0'),
        lambda data: data.replace(b'"steps":2', b'"steps":true'),
        lambda data: data.replace(b'"input":"1', b'"input":1"1'),
        lambda data: data.replace(b'"input"', b'"output"'),
        lambda data: data.replace(b'{"input"', b'{ "input"'),
        lambda data: re.sub(rb'"weights":\[[^]]*\]', b'"weights":[]', data),
        lambda data: data.split(b"\n")[1],
        lambda _: b"",
    ],
)
def test_what_is_no_whole_trace_is_refused(change) -> None:
    with pytest.raises(IntegrityError, match=r"x: |x was changed"):
        from_bytes(change(to_bytes(_trace())), "x")
