"""The ECG networks: sizes, modes, gradients, and what a trainer asks of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
import torch
from networks import examples
from torch import Tensor, nn

from lifecycle.domain.classifier import Numerics
from lifecycle.domain.networks import ConformerPlan, ResidualPlan
from lifecycle.models.blocks import halve
from lifecycle.models.ecg_baseline import EcgBaseline
from lifecycle.models.ecg_conformer import EcgConformer
from lifecycle.models.initialisation.apply import initialise
from lifecycle.models.network import Network, weighted_layers
from lifecycle.numerics.exact import optimisers
from lifecycle.numerics.exact.ops import ExactOps
from lifecycle.numerics.fingerprint import fingerprint
from lifecycle.numerics.modes import numerics_mode, ops_for
from lifecycle.numerics.profiles import PROFILES, reason_against

LEADS, CLASSES = 12, 5
PUBLISHED = {
    "baseline": ResidualPlan("ecg-baseline"),
    "conformer": ConformerPlan("ecg-conformer"),
}
LAPTOP = {
    "baseline": ResidualPlan("ecg-baseline", (16, 32, 48), (1, 1, 1)),
    "conformer": ConformerPlan("ecg-conformer", 24, 32, (1,), stem_stride=4, conformers=1),
}
DEEPER = {
    "conformer": ConformerPlan("ecg-conformer", 24, 32, (1, 1, 1), stem_stride=4, conformers=1),
}
SMALL = {
    "baseline": ResidualPlan("ecg-baseline", (8, 12), (1, 2)),
    "conformer": ConformerPlan(
        "ecg-conformer", 6, 8, (1, 2), dropout=0.1, conformers=2, features=8, penalty=0.5
    ),
}
NATIVE = Numerics(mode="native")
KINDS = ("baseline", "conformer")


def network(
    kind: str, plans: dict = SMALL, numerics: Numerics = NATIVE, classes: int = CLASSES
) -> Network:
    made: Callable[..., Network] = EcgBaseline if kind == "baseline" else EcgConformer
    model = made(LEADS, classes, plans[kind], ops_for(numerics)).double()
    initialise(model, "dct", 0)
    if isinstance(model.ops, ExactOps):
        model.ops.bind(model)
    return model


def loss_of(model: Network, x: Tensor, y: Tensor) -> Tensor:
    weight = torch.linspace(1.0, 3.0, y.shape[1], dtype=torch.float64)
    loss = model.ops.bce_with_logits(model(x), y, weight)
    penalty = model.penalty()
    return loss if penalty is None else loss + penalty


def gradients(kind: str, mode: str, n: int = 6, time: int = 121) -> tuple[Tensor, dict]:
    """Training logits and the gradient of every parameter, in a mode."""
    numerics = Numerics(mode=mode)
    with numerics_mode(numerics):
        model = network(kind, numerics=numerics)
        x, y = examples(n, time)
        loss_of(model, x, y).backward()
        found = {name: value.grad for name, value in model.named_parameters()}
        return model.eval()(x).detach(), found


@pytest.mark.parametrize(
    ("kind", "plans", "count"),
    [
        ("baseline", PUBLISHED, 1_653_772),
        ("conformer", PUBLISHED, 1_827_634),
        ("baseline", LAPTOP, 32_324),
        ("conformer", LAPTOP, 33_218),
        ("conformer", DEEPER, 42_338),
    ],
)
def test_parameter_counts(kind: str, plans: dict, count: int) -> None:
    model = network(kind, plans, classes=12)
    assert sum(value.numel() for value in model.parameters()) == count


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("plans", [PUBLISHED, LAPTOP])
def test_exact_arithmetic_supports_the_sizes(kind: str, plans: dict) -> None:
    network(kind, plans, Numerics(mode="exact"))  # bind refuses what it cannot do


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["native", "deterministic", "exact"])
def test_every_parameter_gets_a_gradient(kind: str, mode: str) -> None:
    logits, found = gradients(kind, mode)
    assert logits.shape == (6, CLASSES)
    assert bool(torch.isfinite(logits).all())
    for name, gradient in found.items():
        assert gradient is not None, name
        assert bool(torch.isfinite(gradient).all()), name
        if not cancels(name):
            assert gradient.abs().max() > 0.0, name


def cancels(name: str) -> bool:
    """Biases before a BatchNorm, which subtracts them again: their gradient is rounding."""
    return name.endswith("conv.bias")


@pytest.mark.parametrize("kind", KINDS)
def test_deterministic_equals_native_in_one_process(kind: str) -> None:
    (a, first), (b, second) = gradients(kind, "native"), gradients(kind, "deterministic")
    assert torch.equal(a, b)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kind", KINDS)
def test_exact_is_native_within_the_precision_of_three_slices(kind: str) -> None:
    x, y = examples(6, 121)
    values = []
    for numerics in (NATIVE, Numerics(mode="exact", slices=3), Numerics(mode="exact")):
        model = network(kind, numerics=numerics)
        loss_of(model, x, y).backward()
        values.append((model.eval()(x).detach(), [v.grad for v in model.parameters()]))
    (native, slopes), (fine, fine_slopes), (coarse, _) = values
    assert (fine - native).abs().max() <= 1e-11 * native.abs().max()
    top = max(slope.abs().max() for slope in slopes)
    for a, b in zip(slopes, fine_slopes, strict=True):
        assert (a - b).abs().max() <= 1e-10 * top
    assert 0.0 < (coarse - native).abs().max() <= 1e-3 * native.abs().max()


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_follows_seed_and_step_and_is_off_in_evaluation(kind: str) -> None:
    model = network(kind)
    x, _ = examples(4, 121)

    def again(seed: int, step: int) -> Tensor:
        model.seed, model.step = seed, step
        return model(x).detach()

    first = again(0, 0)
    assert torch.equal(first, again(0, 0))
    assert not torch.equal(first, again(0, 1))
    assert not torch.equal(first, again(1, 0))
    model.eval()
    assert torch.equal(again(0, 0), again(5, 7))
    assert model.dropout_key(0) is None


def test_dropout_layers_have_keys_of_their_own() -> None:
    model = network("conformer")
    assert isinstance(model, EcgConformer)
    keys = [key for block in range(2) for key in model.keys_of(block)]
    assert len(set(keys)) == 8


def test_the_penalty_is_the_mean_square_of_the_spare_features() -> None:
    model = network("conformer")
    x, _ = examples(4, 121)
    model(x)
    assert isinstance(model, EcgConformer)
    spare = model.spare
    penalty = model.penalty()
    assert spare is not None
    assert penalty is not None
    assert spare.shape == (4, 8 - CLASSES)
    expected = 0.5 * float((spare.detach() ** 2).mean())
    assert penalty.item() == pytest.approx(expected, rel=1e-14)
    penalty.backward()
    assert model.features.weight.grad.abs().max() > 0.0
    model.eval()(x)
    assert model.penalty() is None


def test_without_weight_or_spare_features_there_is_no_penalty() -> None:
    x, _ = examples(2, 121)
    for plan in (
        ConformerPlan("ecg-conformer", 6, 8, (1,), conformers=0),
        ConformerPlan("ecg-conformer", 6, 8, (1,), conformers=0, features=5, penalty=1.0),
    ):
        model = network("conformer", {"conformer": plan})
        model(x)
        assert model.penalty() is None


@pytest.mark.parametrize("time", [1, 2, 3, 4, 5, 9, 63, 124, 125])
def test_halving_is_adaptive_average_pooling(time: int) -> None:
    x = examples(2, max(time, 2))[0][:, :time].requires_grad_()
    expected = nn.functional.adaptive_avg_pool1d(x.transpose(1, 2), (time + 1) // 2).transpose(1, 2)
    ours = halve(ops_for(NATIVE), x)
    assert torch.allclose(ours, expected, rtol=0, atol=1e-14)
    factor = torch.arange(ours.numel(), dtype=torch.float64).reshape(ours.shape)
    slopes = [torch.autograd.grad((factor * y).sum(), x)[0] for y in (ours, expected)]
    assert torch.allclose(*slopes, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("time", [100, 121, 250])
def test_any_length_of_signal(kind: str, time: int) -> None:
    assert network(kind)(examples(2, time)[0]).shape == (2, CLASSES)


@pytest.mark.parametrize("kind", KINDS)
def test_stages_hold_every_layer_but_the_head_once(kind: str) -> None:
    model = network(kind)
    inside = [id(layer) for part in chain(*model.stages()) for layer in weighted_layers(part)]
    others = [id(layer) for layer in weighted_layers(model) if layer is not model.head]
    assert sorted(inside) == sorted(others)


CHILD = """
import test_ecg_networks
print(*(test_ecg_networks.trained(kind, "exact") for kind in test_ecg_networks.KINDS))
"""


def trained(kind: str, mode: str, steps: int = 3) -> str:
    """Digest of parameters and buffers after a few steps of Adam, of losses and of scores."""
    model = network(kind, numerics=Numerics(mode=mode))
    optimiser = optimisers.Adam(list(model.parameters()), 1e-3, 1e-4)
    x, y = examples(8, 121)
    parts = []
    for step in range(steps):
        model.step = step
        optimiser.zero_grad()
        loss = loss_of(model, x, y)
        loss.backward()
        optimiser.step()
        parts.append(loss.detach())
    parts += [model.ops.sigmoid(model.eval()(x)).detach(), *model.state_dict().values()]
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()


def child(profile: str) -> list[str]:
    """Digests of both networks in a process of its own."""
    folders = (Path(__file__).parent, *(Path(part) for part in sys.path if part))
    path = os.pathsep.join(str(folder) for folder in folders)
    environment = PROFILES[profile].environment(os.environ) | {"PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", CHILD], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_exact_training_has_one_digest_in_other_environments() -> None:
    """Initial values too: they are computed in the child."""
    here = [trained(kind, "exact") for kind in KINDS]
    machine = fingerprint()["machine"]
    wanted = ("old-kernels-2", "native-1")
    name = next(name for name in wanted if not reason_against(PROFILES[name], machine))
    assert child(name) == here
    assert len(set(here)) == 2
