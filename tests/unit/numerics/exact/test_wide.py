"""The sweep over a wide layer against the plain operations, bit for bit, and error for error."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from lifecycle.errors import UnusableInputError
from lifecycle.numerics.exact import engine, sweep, wide
from lifecycle.numerics.exact.ops import ExactOps
from lifecycle.numerics.exact.optimisers import Adamax
from lifecycle.numerics.exact.products import matmul
from lifecycle.numerics.exact.rounding import InexactError
from lifecycle.numerics.exact.wide import SweepingAdamax, WideLayer, is_wide
from lifecycle.numerics.minibatch import Minibatch

pytestmark = pytest.mark.skipif(not engine.compiled(), reason="compiled kernels are off")

Batch = tuple[Tensor, Tensor]  # input (k, in), gradient of the output (k, out)
TILE = int(sweep.edges_of(1 << 20, 4, 1)[1])  # columns, for minibatches of three


def draw(seed: int, *shape: int, width: int = 8) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.ldexp(rng.uniform(-1, 1, shape), rng.integers(-width, 1, shape)))


def batches(sizes: Sequence[int], outputs: int, inputs: int, width: int = 8) -> list[Batch]:
    return [
        (draw(10 + i, k, inputs, width=width), draw(90 + i, k, outputs, width=width))
        for i, k in enumerate(sizes)
    ]


def train(
    weight: Tensor, given: Sequence[Batch], fused: bool, looking: bool = True
) -> list[Tensor]:
    """Outputs of every step, then weight, bias and moments.

    Args:
        weight: initial values.
        given: one minibatch a step.
        fused: sweep; otherwise plain tensor operations.
        looking: tell the optimiser which input comes next.
    """
    parameters = [weight.clone().requires_grad_(), draw(3, len(weight)).requires_grad_()]
    ops = ExactOps()
    ops.names = {id(parameters[0]): "first.weight"}
    optimiser = Adamax(parameters, 0.01, 0.001)
    if fused:
        ops.wide = WideLayer(parameters[0])
        optimiser = SweepingAdamax(parameters, 0.01, 0.001, ops.wide)
    seen = []
    with nullcontext() if fused else engine.plain():
        upcoming = [x for x, _ in given[1:]] + [None]
        for (x, gradient), following in zip(given, upcoming, strict=True):
            optimiser.zero_grad()
            output = ops.linear(x, *parameters)
            output.backward(gradient)
            optimiser.step(Minibatch.of(following) if looking and following is not None else None)
            seen.append(output.detach())
    return [*seen, *(p.detach() for p in parameters), *(m for s in optimiser.state for m in s)]


def require_same(weight: Tensor, given: Sequence[Batch], **settings: bool) -> None:
    fused = train(weight, given, fused=True, **settings)
    for one, two in zip(fused, train(weight, given, fused=False), strict=True):
        assert torch.equal(one.contiguous().view(torch.int64), two.contiguous().view(torch.int64))


@pytest.fixture(params=[1, 2, 3], ids="{} threads".format)
def threads(request: pytest.FixtureRequest) -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("outputs", [1, 2, 4, 7, 10, 18, 33])
@pytest.mark.parametrize("inputs", [1, 3, TILE - 1, TILE, TILE + 1, 2 * TILE + 5])
def test_any_shape_and_any_number_of_threads(outputs: int, inputs: int) -> None:
    require_same(draw(1, outputs, inputs), batches((3, 3, 3), outputs, inputs))


@pytest.mark.parametrize("k", [*range(1, 10), 16, 33])
def test_any_minibatch(k: int) -> None:
    require_same(draw(1, 6, 1500), batches((k, k, k), 6, 1500))


def test_minibatches_of_several_sizes() -> None:
    require_same(draw(1, 12, 700), batches((4, 1, 9, 2, 17, 4, 3), 12, 700))


def test_without_a_look_ahead() -> None:
    require_same(draw(1, 8, 1100), batches((3, 3, 2), 8, 1100), looking=False)


@pytest.mark.parametrize("width", [60, 250])
def test_magnitudes_far_apart(width: int) -> None:
    weight = torch.ldexp(draw(1, 8, 300, width=width), torch.arange(8).view(-1, 1) * 20 - 60)
    require_same(weight, batches((3, 3, 3), 8, 300, width=width))


def test_zeros_of_both_signs() -> None:
    weight = draw(1, 8, 50)
    weight[2], weight[5], weight[:, 7] = 0.0, -0.0, -0.0
    given = batches((3, 3, 3), 8, 50)
    for x, gradient in given:
        x[1], x[:, 4], x[:, 9] = 0.0, -0.0, 0.0
        gradient[:, 3], gradient[0], gradient[:, 6] = 0.0, -0.0, -0.0
    require_same(weight, given)
    given[1][0][:], given[2][1][:] = -0.0, -0.0  # a minibatch of nothing, a gradient of nothing
    require_same(weight, given)
    require_same(torch.zeros_like(weight), given)


def test_ties_at_the_end_of_a_slice() -> None:
    """Values that stand exactly between two slices' neighbours."""
    rng = np.random.default_rng(5)

    def tied(*shape: int) -> Tensor:
        signs = rng.choice([-1.0, 1.0], shape)
        return torch.from_numpy(signs * (1.0 + np.ldexp(1.0, -rng.integers(15, 30, shape))))

    require_same(tied(6, 400), [(tied(4, 400), tied(4, 6)) for _ in range(4)])


def test_inputs_that_are_not_contiguous() -> None:
    given = [(draw(i, 700, 3).t(), draw(i, 6, 3).t()) for i in range(3)]
    require_same(draw(1, 6, 700), given)
    wide = [(draw(i, 3, 1400)[:, ::2], draw(i, 3, 6)) for i in range(3)]
    require_same(draw(1, 6, 700), wide)


def test_another_input_than_the_one_foretold() -> None:
    """What was computed ahead is for the tensor foretold and for no other."""
    layer = WideLayer(draw(1, 4, 90).requires_grad_())
    optimiser = SweepingAdamax([layer.weight], 0.01, 0.001, layer)
    layer.keep(draw(2, 3, 90), draw(3, 3, 4), "linear first, backward")
    foretold, other = draw(4, 3, 90), draw(5, 3, 90)
    optimiser.step(Minibatch.of(foretold))
    alone = WideLayer(layer.weight)
    for x in (other, foretold, foretold.clone()):
        assert torch.equal(layer.product(x), alone.product(x))


@pytest.mark.usefixtures("threads")
def test_cases_that_the_sweep_gathers_itself() -> None:
    """Values, weights and products are those of cases that were gathered before."""
    part, size = draw(1, 9, 1 << 15), 4  # so many numbers that threads share the gathering
    orders = [np.array(rows) for rows in ([3, 8, 0, 5], [1, 1, 7, 2], [6, 4])]
    found = []
    for gathers in (True, False):
        layer = WideLayer(draw(2, 6, 1 << 15).requires_grad_())
        optimiser = SweepingAdamax([layer.weight], 0.01, 0.001, layer)
        layer.keep(part[:size].clone(), draw(3, size, 6), "linear first, backward")
        for i, rows in enumerate(orders):
            taken = part[torch.from_numpy(rows)]
            batch = Minibatch(part, rows) if gathers else Minibatch.of(taken)
            optimiser.step(batch)
            assert torch.equal(batch.values, taken)
            found.append((layer.product(batch.values), layer.weight.detach().clone()))
            layer.keep(batch.values, draw(4 + i, len(rows), 6), "linear first, backward")
    for one, two in zip(found[:3], found[3:], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_the_other_parameters_move_whether_there_is_a_sweep_or_not() -> None:
    """Also those that no kernel takes, and in a thread of the sweep."""
    weight, other = draw(1, 6, 50), draw(2, 5, 4).t()
    found = []
    for fused in (True, False):
        turned = torch.empty(5, 4, dtype=torch.float64).t().copy_(other)
        parameters = [weight.clone().requires_grad_(), turned.requires_grad_()]
        assert not parameters[1].is_contiguous()
        layer = WideLayer(parameters[0])
        optimiser = (
            SweepingAdamax(parameters, 0.01, 0.001, layer)
            if fused
            else Adamax(parameters, 0.01, 0.001)
        )
        for step, swept in enumerate((False, True)):
            x, gradient = draw(5, 3, 50), draw(6, 3, 6)
            parameters[1].grad = draw(7 + step, 4, 5)
            if fused and swept:
                layer.keep(x, gradient, "linear first, backward")
            elif swept:
                with engine.plain():
                    parameters[0].grad = matmul(gradient.t(), x)
            optimiser.step()
        found.append([p.detach().clone() for p in parameters])
    assert not torch.equal(found[0][1], other)
    for one, two in zip(*found, strict=True):
        assert torch.equal(one, two)


def foretold() -> tuple[WideLayer, SweepingAdamax, Minibatch]:
    """A layer after a step, with the next minibatch told."""
    layer = WideLayer(draw(1, 4, 90).requires_grad_())
    optimiser = SweepingAdamax([layer.weight], 0.01, 0.001, layer)
    layer.keep(draw(2, 3, 90), draw(3, 3, 4), "linear first, backward")
    batch = Minibatch(draw(4, 7, 90), np.array([1, 5, 2]))
    optimiser.step(batch)
    return layer, optimiser, batch


def test_an_input_that_was_changed_since_is_computed_anew() -> None:
    layer, _, batch = foretold()
    batch.values[0, 0] = math.nan
    with pytest.raises(InexactError, match="input holds NaN"):
        layer.product(batch.values)


def test_a_weight_that_was_changed_since_is_used() -> None:
    layer, _, batch = foretold()
    with torch.no_grad():
        layer.weight.mul_(2.0)
    assert torch.equal(layer.product(batch.values), WideLayer(layer.weight).product(batch.values))


def test_a_weight_that_does_not_stand_row_after_row_is_not_swept() -> None:
    weight = draw(1, 40, 1000)
    assert is_wide(weight, 1)
    assert not is_wide(torch.empty(1000, 40, dtype=torch.float64).t().copy_(weight), 1)
    assert not is_wide(weight[:, ::2], 1)


def test_a_second_gradient_before_a_step_is_refused() -> None:
    layer, optimiser, batch = foretold()
    gradient = draw(5, 3, 4)
    layer.keep(batch.values, gradient, "linear first, backward")
    with pytest.raises(RuntimeError, match="second gradient"):
        layer.keep(batch.values, gradient, "linear first, backward")
    layer.weight.grad = torch.zeros_like(layer.weight)
    with pytest.raises(RuntimeError, match="beside the sweep's"):
        optimiser.step()


def test_a_gradient_that_is_forgotten_moves_nothing() -> None:
    layer, optimiser, batch = foretold()
    before = layer.weight.detach().clone()
    layer.keep(batch.values, draw(5, 3, 4), "linear first, backward")
    optimiser.zero_grad()
    optimiser.step()
    assert torch.equal(layer.weight, before)


def test_a_frozen_weight_stays_as_it_is() -> None:
    weight, bias = draw(1, 4, 90), draw(2, 4)
    found = []
    for fused in (True, False):
        parameters = [weight.clone(), bias.clone().requires_grad_()]
        ops = ExactOps()
        optimiser = Adamax(parameters, 0.01, 0.001)
        if fused:
            ops.wide = WideLayer(parameters[0])
            optimiser = SweepingAdamax(parameters, 0.01, 0.001, ops.wide)
        for step in range(3):
            optimiser.zero_grad()
            ops.linear(draw(3 + step, 3, 90), *parameters).backward(draw(6 + step, 3, 4))
            optimiser.step()
        assert torch.equal(parameters[0], weight)
        found.append(parameters[1].detach())
    assert torch.equal(*found)


@pytest.mark.parametrize("shape", [(5, 89), (5, 91), (5, 9, 10), (90,)])
def test_a_minibatch_that_does_not_fit_is_refused_before_anything_moves(
    shape: tuple[int, ...],
) -> None:
    layer, optimiser, batch = foretold()
    before = layer.weight.detach().clone()
    layer.keep(batch.values, draw(5, 3, 4), "linear first, backward")
    with pytest.raises(UnusableInputError, match="for a layer of 90 inputs"):
        optimiser.step(Minibatch(draw(8, *shape), np.array([0, 2])))
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("shape", [(90,), (2, 3, 90)])
def test_inputs_of_other_dimensions_go_the_plain_way(shape: tuple[int, ...]) -> None:
    weight, bias, x = draw(1, 4, 90).requires_grad_(), draw(2, 4), draw(3, *shape)
    ops, plain = ExactOps(), ExactOps()
    ops.wide = WideLayer(weight)
    assert torch.equal(ops.linear(x, weight, bias), plain.linear(x, weight, bias))


def test_cases_of_a_part_that_is_not_contiguous_or_was_changed_after_gathering() -> None:
    for part in (draw(4, 90, 7).t(), draw(4, 7, 90)):
        layer, optimiser, batch = foretold()
        layer.keep(batch.values, draw(5, 3, 4), "linear first, backward")
        coming = Minibatch(part, np.array([6, 0]))
        taken = coming.values.clone()
        part[:] = 0.0
        optimiser.step(coming)
        assert torch.equal(coming.values, taken)
        assert torch.equal(layer.product(coming.values), WideLayer(layer.weight).product(taken))


def test_a_case_that_was_changed_between_two_minibatches_is_rounded_by_what_it_is() -> None:
    """By numpy, which tells no tensor: what is known of a part's cases is never taken on trust."""
    layer, optimiser, batch = foretold()
    part, rows = batch.part, np.array([5, 1])
    for factor in (1.0, 1e9, 1e-9):
        part.numpy()[5] *= factor
        layer.keep(layer_input(layer), draw(5, 3, 4), "linear first, backward")
        coming = Minibatch(part, rows)
        optimiser.step(coming)
        assert torch.equal(coming.values, part[rows])
        alone = WideLayer(layer.weight)
        assert torch.equal(layer.product(coming.values), alone.product(coming.values))


def test_a_case_is_looked_at_in_the_first_epoch_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once an epoch, as a trainer tells them: the last step of an epoch foretells nothing."""
    looked: list[int] = []
    right = sweep.raise_tops

    def counted(part: object, rows: np.ndarray, tops: object) -> None:
        looked.extend(rows)
        right(part, rows, tops)

    monkeypatch.setattr(sweep, "raise_tops", counted)
    part, (layer, optimiser, _) = draw(4, 7, 90), foretold()
    looked.clear()
    for _ in range(3):
        x = part[:1].clone()
        for rows in ([1, 2], [3, 4], [6, 5], None):
            layer.keep(x, draw(5, len(x), 4), "linear first, backward")
            coming = None if rows is None else Minibatch(part, np.array(rows))
            optimiser.step(coming)
            x = x if coming is None else coming.values
    assert sorted(looked) == [1, 2, 3, 4, 5, 6]


def test_a_layer_keeps_no_part_alive_and_copies_of_it_compute_anew() -> None:
    part = draw(4, 7, 90)
    layer, optimiser, _ = foretold()
    batch = Minibatch(part, np.array([1, 5, 2]))
    layer.keep(layer_input(layer), draw(3, 3, 4), "linear first, backward")
    optimiser.step(batch)
    for copied, same in (
        copy.deepcopy((optimiser, batch)),
        pickle.loads(pickle.dumps((optimiser, batch))),
    ):
        other = copied.wide
        with torch.no_grad():
            other.weight.copy_(draw(77, 4, 90))
        assert torch.equal(
            other.product(same.values), WideLayer(other.weight).product(batch.values)
        )
    alive = weakref.ref(part)
    del part, batch
    layer.forget()
    gc.collect()
    assert alive() is None


def test_a_part_that_lost_cases_is_refused() -> None:
    layer, optimiser, batch = foretold()
    part = draw(4, 7, 90)
    coming = Minibatch(part, np.array([6, 0]))
    part.data = part.data[:5].clone()
    layer.keep(batch.values, draw(5, 3, 4), "linear first, backward")
    with pytest.raises(IndexError, match="beyond the 5 that are left"):
        optimiser.step(coming)


@pytest.mark.usefixtures("threads")
def test_where_no_thread_can_be_started_one_does_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(_: object) -> None:
        raise RuntimeError("can't start new thread")

    wide._pool.cache_clear()
    right = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", refuses)
    done: list[int] = []
    wide._run([partial(done.append, number) for number in range(5)])
    assert sorted(done) == list(range(5))
    with pytest.raises(ZeroDivisionError):
        wide._run([lambda: 1 // 0, partial(done.append, 9)])
    monkeypatch.setattr(threading.Thread, "start", right)
    wide._run([partial(time.sleep, 0.05), lambda: None])  # a thread that finds what was queued
    assert 9 not in done
    wide._pool.cache_clear()


def layer_input(layer: WideLayer) -> Tensor:
    """Three cases, of no part."""
    return draw(12, 3, layer.weight.shape[1])


@pytest.mark.parametrize("width", [1, 7, 8, 300, 4096, 51_000])
@pytest.mark.parametrize("cases", [1, 2, 4, 8, 16, 1 << 17])
@pytest.mark.parametrize("count", [1, 2, 16])
def test_tiles_cover_all_columns_once(width: int, cases: int, count: int) -> None:
    edges = sweep.edges_of(width, cases, count)
    assert edges[0] == 0
    assert edges[-1] == width
    assert (np.diff(edges) > 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_threads_take_tiles_in_any_order(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles so narrow that both threads take many, and one that comes late."""
    monkeypatch.setattr(sweep, "_CACHED", 64)
    monkeypatch.setattr(wide, "_PART", 1 << 10)
    plainly, right = np.random.default_rng(seed), sweep.sweep_tiles

    def late(*arguments: object) -> object:
        time.sleep(plainly.uniform(0, 0.002))
        return right(*arguments)

    monkeypatch.setattr(sweep, "sweep_tiles", late)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        require_same(draw(seed, 9, 5003), batches((3, 8, 11, 2, 3), 9, 5003))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("rows", [[2], [0, 2], [0, 1, 2, 3]])
def test_rows_of_subnormal_weights_are_refused_in_the_same_words(rows: list[int]) -> None:
    weight, given = draw(1, 4, 90), batches((3, 3), 4, 90)
    weight[rows] = 1e-310
    said = []
    for fused in (True, False):
        layer = WideLayer(weight.clone().requires_grad_())
        gradient = given[0][1].clone()
        gradient[:, rows] = 0.0
        if fused:
            optimiser = SweepingAdamax([layer.weight], 0.01, 0.0, layer)
            layer.keep(given[0][0], gradient, "linear first, backward")
            coming = Minibatch.of(given[1][0])
            optimiser.step(coming)
        with pytest.raises(InexactError, match="subnormal") as caught:
            layer.product(given[1][0])
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_an_error_of_one_thread_is_told_when_all_have_ended() -> None:
    ended: list[int] = []

    def fails() -> None:
        raise ValueError("one of them")

    def works(number: int) -> None:
        time.sleep(0.05)
        ended.append(number)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError, match="one of them"):
            wide._run([fails, *(partial(works, number) for number in range(4))])
    finally:
        torch.set_num_threads(before)
    assert sorted(ended) == [0, 1, 2, 3]


FAULTS = {
    "NaN in an input": lambda weight, given: given[1][0][2, 5:6].fill_(math.nan),
    "infinity in an input": lambda weight, given: given[1][0][0, :1].fill_(math.inf),
    "NaN in the first input": lambda weight, given: given[0][0][0, :1].fill_(math.nan),
    "NaN in a gradient": lambda weight, given: given[1][1][0, :1].fill_(math.nan),
    "infinity in a gradient": lambda weight, given: given[1][1][2, 3:4].fill_(-math.inf),
    "an input that overflows": lambda weight, given: given[1][0][1, :1].fill_(1e300),
    "a gradient that overflows": lambda weight, given: given[1][1][1, :1].fill_(1e300),
    "products that overflow": lambda weight, given: (
        given[1][0][1, :1].fill_(1e200), given[1][1][1, :1].fill_(1e200),
    ),
    "products that become subnormal": lambda weight, given: (
        given[1][0].mul_(1e-160), given[1][1].mul_(1e-160),
    ),
    "NaN in a weight": lambda weight, given: weight[3, 60:61].fill_(math.nan),
    "a weight that overflows": lambda weight, given: weight[7, :1].fill_(2.0**970),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_refused_is_refused_in_the_same_words(name: str) -> None:
    weight, given = draw(1, 8, 90), batches((3, 3, 3), 8, 90)
    FAULTS[name](weight, given)
    said = []
    for fused in (True, False):
        with pytest.raises(InexactError) as caught:
            train(weight, given, fused)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "linear first" in said[0]


@pytest.mark.parametrize(
    ("shape", "slices", "wide"),
    [
        ((128, 51_000), 1, True), ((32, 1024), 1, True), ((32, 1023), 1, False),
        ((128, 51_000), 2, False), ((127, 51_000), 1, True), ((128, 8, 100), 1, False),
    ],
)  # fmt: skip
def test_which_layers_are_swept(shape: tuple[int, ...], slices: int, wide: bool) -> None:
    weight = torch.empty(shape, dtype=torch.float64)
    assert is_wide(weight, slices) is wide
    with engine.plain():
        assert not is_wide(weight, slices)
