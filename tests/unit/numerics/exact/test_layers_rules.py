"""What the layers promise beside their values: independence, statistics, masks, errors."""

from __future__ import annotations

import networks
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lifecycle.errors import UnusableInputError
from lifecycle.numerics.exact import convolution, engine, products
from lifecycle.numerics.exact.ops import ExactOps
from lifecycle.numerics.exact.rounding import InexactError
from lifecycle.numerics.ops import FrameworkOps
from lifecycle.numerics.streams import DropoutKey, dropout_mask

from .test_layers_gradients import draw


@pytest.fixture(params=["compiled", "plain"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "plain":
        for module in (engine, products):
            monkeypatch.setattr(module, "compiled", lambda: False)
    return str(request.param)


@pytest.mark.parametrize("slices", [1, 2])
@pytest.mark.usefixtures("both")
def test_a_case_alone_has_the_scores_it_has_among_others(slices: int) -> None:
    model = networks.EcgNetwork(ExactOps(slices), width=8)
    x, _ = networks.examples(n=5, time=120)
    x = x * torch.tensor([1.0, 1e-6, 1e4, 3.0, 0.1], dtype=torch.float64).view(-1, 1, 1)
    model(x)  # moves the running statistics
    model.eval()
    with torch.no_grad():
        among = model(x)
        alone = torch.cat([model(x[case : case + 1]) for case in range(len(x))])
        turned = model(x.flip(0)).flip(0)
    assert among.numpy().tobytes() == alone.numpy().tobytes() == turned.numpy().tobytes()


def test_batch_norm_moves_its_running_statistics() -> None:
    x, weight, bias = draw(1, 4, 30, 6) * 3.0 + 1.0, draw(2, 6), draw(3, 6)
    found, right = ((torch.zeros(6).double(), torch.ones(6).double()) for _ in range(2))
    for ops, running in ((ExactOps(1), found), (FrameworkOps(), right)):
        ops.batch_norm(x, weight, bias, running, True)
        ops.batch_norm(x * 0.5, weight, bias, running, True)
        before = [part.clone() for part in running]
        ops.batch_norm(x, weight, bias, running, False)
        assert all(torch.equal(*pair) for pair in zip(before, running, strict=True))
    for one, two in zip(found, right, strict=True):
        assert not torch.equal(one, torch.ones(6).double())
        torch.testing.assert_close(one, two, rtol=1e-14, atol=1e-14)


def test_a_batch_of_one_value_has_no_variance() -> None:
    running = (torch.zeros(6).double(), torch.ones(6).double())
    with pytest.raises(UnusableInputError, match="one value a channel"):
        ExactOps().batch_norm(draw(1, 1, 6), draw(2, 6), draw(3, 6), running, True)


def test_dropout_masks_are_a_function_of_the_key_in_every_mode() -> None:
    x = draw(1, 50, 41)
    key = DropoutKey(seed=1, step=2, layer=3)
    exact, native = (ops.dropout(x, 0.3, key) for ops in (ExactOps(), FrameworkOps()))
    assert torch.equal(exact, native)
    assert torch.equal(exact != 0, torch.from_numpy(dropout_mask(key, (50, 41), 0.3)))
    others = [DropoutKey(2, 2, 3), DropoutKey(1, 3, 3), DropoutKey(1, 2, 4)]
    for other in others:
        assert not np.array_equal(
            dropout_mask(key, (50, 41), 0.3), dropout_mask(other, (50, 41), 0.3)
        )
    assert ExactOps().dropout(x, 0.3, None) is x


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_dropout_keeps_the_share_it_shall(rate: float) -> None:
    kept = dropout_mask(DropoutKey(0, 0, 0), (100_001,), rate)
    assert abs(kept.mean() - (1.0 - rate)) < 0.005
    # known bits: the stream is part of the arithmetic
    if rate == 0.5:
        words = np.random.PCG64(np.random.SeedSequence([0, 3, 0, 0])).random_raw(4)
        low_first = [bool(half >> 31) for word in words for half in (word & 0xFFFFFFFF, word >> 32)]
        assert kept[:8].tolist() == low_first


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_an_impossible_dropout_rate_is_refused(rate: float) -> None:
    with pytest.raises(UnusableInputError, match="rate"):
        dropout_mask(DropoutKey(0, 0, 0), (3,), rate)


def planted(x: Tensor, value: float) -> Tensor:
    x = x.clone()
    x.view(-1)[7] = value
    return x


CALLS = {
    "conv1d": lambda ops, x: ops.conv1d(x, draw(2, 3, 4, 3), None),
    "batch_norm": lambda ops, x: ops.batch_norm(
        x, draw(2, 4), draw(3, 4), (draw(4, 4), draw(5, 4)), True
    ),
    "layer_norm": lambda ops, x: ops.layer_norm(x, draw(2, 4), draw(3, 4)),
    "attention": lambda ops, x: ops.attention(x, x, x, 2),
    "global_avg_pool": lambda ops, x: ops.global_avg_pool(x),
    "relu then conv1d": lambda ops, x: ops.conv1d(ops.relu(x), draw(2, 3, 4, 3), None),
    "max_pool1d then conv1d": lambda ops, x: ops.conv1d(
        ops.max_pool1d(x, 3, 2, 1), draw(2, 3, 4, 3), None
    ),
    "gelu then conv1d": lambda ops, x: ops.conv1d(ops.gelu(x), draw(2, 3, 4, 3), None),
    "depthwise then total": lambda ops, x: ops.global_avg_pool(
        ops.conv1d(x, draw(2, 4, 1, 3), None, groups=4)
    ),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
@pytest.mark.usefixtures("both")
def test_nan_infinity_and_overflow_stop(name: str, value: float) -> None:
    with pytest.raises(InexactError, match=r"NaN or infinity|overflow"):
        CALLS[name](ExactOps(), planted(draw(1, 2, 9, 4), value))


@pytest.mark.parametrize("name", ["conv1d", "batch_norm", "layer_norm", "attention"])
@pytest.mark.usefixtures("both")
def test_a_nan_in_a_gradient_stops_and_names_the_backward_pass(name: str) -> None:
    result = CALLS[name](ExactOps(), draw(1, 2, 9, 4).requires_grad_())
    if name == "batch_norm":
        result = ExactOps().conv1d(result, draw(2, 3, 4, 3), None)
    with pytest.raises(InexactError, match=r"backward.*gradient holds NaN"):
        result.backward(planted(torch.ones_like(result), float("nan")))


@pytest.mark.usefixtures("both")
def test_products_that_would_be_subnormal_stop() -> None:
    with pytest.raises(InexactError, match="subnormal"):
        ExactOps().conv1d(draw(1, 2, 9, 4) * 1e-200, draw(2, 3, 4, 3) * 1e-120, None)


REFUSED = [
    (lambda ops: ops.conv1d(draw(1, 2, 9, 4), draw(2, 3, 5, 3), None), "do not fit"),
    (lambda ops: ops.conv1d(draw(1, 2, 9, 4), draw(2, 3, 2, 3), None, groups=2), "do not fit"),
    (lambda ops: ops.conv1d(draw(1, 2, 9, 4), draw(2, 3, 4, 10), None), "fewer than the window"),
    (lambda ops: ops.conv1d(draw(1, 2, 9, 4), draw(2, 3, 4, 3), None, stride=0), "positive"),
    (lambda ops: ops.conv1d(draw(1, 2, 9, 4).float(), draw(2, 3, 4, 3), None), "float32"),
    (lambda ops: ops.attention(*[draw(1, 2, 9, 6)] * 3, heads=4), "4 heads"),
    (lambda ops: ops.max_pool1d(draw(1, 2, 9, 4), 3, 2, 2), "half of the window"),
    (lambda ops: ops.avg_pool1d(draw(1, 2, 9, 4), 10, 2), "fewer than the window"),
    (lambda ops: ops.smelu(draw(1, 3), 0.0), "beta"),
    (
        lambda ops: ops.bce_with_logits(draw(1, 3, 4), draw(1, 3, 1), draw(1, 4)),
        "differ in shape",
    ),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_shapes_and_settings_that_do_not_fit_are_refused(call: object, message: str) -> None:
    with pytest.raises(UnusableInputError, match=message):
        call(ExactOps())


def test_a_network_is_looked_at_when_it_is_bound() -> None:
    model = networks.EcgNetwork(ExactOps(), width=4)
    ExactOps().bind(model)
    with pytest.raises(UnusableInputError, match="Conv2d"):
        ExactOps().bind(nn.ModuleList([nn.Conv2d(1, 1, 1).double()]))
    with pytest.raises(UnusableInputError, match="running statistics"):
        ExactOps().bind(nn.ModuleList([nn.BatchNorm1d(3, track_running_stats=False).double()]))
    with pytest.raises(UnusableInputError, match="inner dimension"):
        long = nn.Conv1d(1, 1, 1).double()
        long.weight = nn.Parameter(torch.zeros(1, 1, 2**21 + 1, dtype=torch.float64))
        ExactOps().bind(nn.ModuleList([long]))


def test_windows_of_the_sheet_are_the_windows_of_the_input() -> None:
    """The strided views hold every window once, beside those that run into the next sample."""
    x = draw(1, 3, 11, 2)
    for window in (
        convolution.Window(5, padding=2),
        convolution.Window(4, stride=3, padding=1),
        convolution.Window(2, stride=5),
        convolution.Window(3, padding=1, dilation=2),
    ):
        sheet = convolution.Sheet.empty(x, (3, 11, 2), window)
        sheet.inner[:, window.padding : window.padding + 11] = x
        eye = torch.eye(window.kernel * 2, dtype=torch.float64)
        windows = convolution.correlate(sheet, eye)[:, : window.outputs(11)]
        padded = torch.nn.functional.pad(x, (0, 0, window.padding, window.padding))
        taps = [padded[:, window.at(tap, windows.shape[1])] for tap in range(window.kernel)]
        assert torch.equal(windows, torch.cat(taps, dim=2))


@pytest.mark.usefixtures("both")
def test_no_cases_have_no_scores() -> None:
    model = networks.EcgNetwork(ExactOps(), width=8)
    x, _ = networks.examples(n=2, time=120)
    model(x)
    model.eval()
    with torch.no_grad():
        assert model(x[:0]).shape == (0, networks.CLASSES)
