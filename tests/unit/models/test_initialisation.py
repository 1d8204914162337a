"""Initial values: bases against scipy, orthogonality, moments, seeds, stages, heads."""

from __future__ import annotations

import hashlib
import math
from itertools import chain

import mpmath
import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import torch
from torch import nn

from lifecycle.domain.classifier import Numerics
from lifecycle.domain.networks import ConformerPlan, ModelPlan, ResidualPlan
from lifecycle.errors import UnusableInputError
from lifecycle.models.ecg_baseline import EcgBaseline
from lifecycle.models.ecg_conformer import EcgConformer
from lifecycle.models.initialisation import frames, sampled, structured
from lifecycle.models.initialisation.apply import bases_of, initialise
from lifecycle.models.initialisation.bases import BASES, cosine, entries, quarter_wave, sine
from lifecycle.models.mlp import MLP
from lifecycle.models.network import Network, weighted_layers
from lifecycle.numerics.modes import ops_for
from lifecycle.numerics.streams import TAG_INIT, raw, uniform_fan_in

OPS = ops_for(Numerics(mode="native"))
STRUCTURED = (*BASES, "mixed")
SHAPES = [
    (64, 12, 5), (64, 64, 5), (40, 160, 1), (160, 40, 1), (160, 1, 5), (160, 160, 1),
    (480, 160), (14, 320), (128, 512), (2, 2), (5, 5), (7, 3), (3, 7), (1, 9), (9, 1),
    (64, 3, 3, 3), (64, 64, 3, 3), (128, 64, 1, 1), (20, 6, 3, 5),
]  # fmt: skip


def network(kind: str) -> Network:
    if kind == "baseline":
        return EcgBaseline(12, 5, ResidualPlan("ecg-baseline", (8, 16, 24), (1, 2, 1)), OPS)
    plan = ConformerPlan("ecg-conformer", 8, 16, (1, 2, 1), conformers=1)
    return EcgConformer(12, 5, plan, OPS)


def values(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize("order", [1, 2, 3, 8, 12, 60, 64, 320])
def test_bases_against_scipy(order: int) -> None:
    eye = np.eye(order)
    expected = {
        "dct": scipy.fft.dct(eye, type=2, norm="ortho", axis=0),
        "sinusoidal": scipy.fft.dst(eye, type=2, norm="ortho", axis=0),
        "hartley": (scipy.fft.fft(eye).real - scipy.fft.fft(eye).imag) / np.sqrt(order),
    }
    even = order & -order
    walsh = scipy.linalg.hadamard(even) / np.sqrt(even)
    rest = scipy.fft.dct(np.eye(order // even), type=2, norm="ortho", axis=0)
    expected["hadamard"] = np.kron(walsh, rest)
    for kind in BASES:
        np.testing.assert_allclose(entries(kind, order, order, order), expected[kind], atol=2e-14)


@pytest.mark.parametrize("order", [1, 2, 5, 12, 14, 60, 128, 200])
@pytest.mark.parametrize("kind", BASES)
def test_bases_are_orthonormal(kind: str, order: int) -> None:
    rows = entries(kind, order, order, order)
    np.testing.assert_allclose(rows @ rows.T, np.eye(order), atol=1e-13)


@pytest.mark.parametrize("order", [1, 7, 320, 1280])
def test_cosines_are_rounded_once(order: int) -> None:
    k = np.arange(-3, 9 * order, max(1, order // 5))
    with mpmath.workdps(60):
        angles = [mpmath.mpf(int(one)) / (2 * order) for one in k]
        expected = [[float(f(angle)) for angle in angles] for f in (mpmath.cospi, mpmath.sinpi)]
    assert cosine(order, k).tolist() == expected[0]
    assert sine(order, k).tolist() == expected[1]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", BASES)
def test_weights_are_orthogonal_without_mean_and_of_one_deviation(
    kind: str, shape: tuple[int, ...]
) -> None:
    weight = structured.weight(kind, shape)
    assert weight.shape == shape
    outputs, inputs = shape[0], math.prod(shape[1:])
    flat = weight.reshape(outputs, inputs)
    if outputs <= inputs:
        gram, size = flat @ flat.T, 1.0 / 3.0
    else:
        gram, size = flat.T @ flat, outputs / (3.0 * inputs)
    np.testing.assert_allclose(gram, size * np.eye(len(gram)), atol=1e-12)
    assert abs(flat.mean()) < 1e-15
    assert flat.std() == pytest.approx(1.0 / math.sqrt(3.0 * inputs), rel=1e-12)


def test_the_published_rule_would_not_be_orthogonal() -> None:
    rows = entries("dct", 60, 16, 60)
    plain = rows - rows.mean()
    scaled = plain / plain.std() / math.sqrt(3 * 60)
    assert np.abs(scaled @ scaled.T - np.eye(16) / 3).max() > 1e-3


def test_two_dimensions_are_separable() -> None:
    parts = [entries("hartley", size, size, size) for size in (4, 3, 5)]
    row = np.einsum("i,h,w->ihw", parts[0][1], parts[1][2], parts[2][3]).ravel()
    weight = structured.weight("hartley", (40, 4, 3, 5)).reshape(40, 60)
    found = weight[1 * 15 + 2 * 5 + 3] * math.sqrt(3.0)
    assert min(np.abs(found - row).max(), np.abs(found + row).max()) < 1e-14


def test_a_single_value_and_the_turn() -> None:
    assert structured.weight("dct", (1, 1)).item() == pytest.approx(1 / math.sqrt(3))
    for a, b, rest in [(3.0, 0.0, 0.0), (2.0, -1.5, 1.4), (1.0, 1.0, -1.0)]:
        c, s = structured.angle(a, b, rest)
        assert c * c + s * s == pytest.approx(1.0)
        assert (a + b) * c + (b - a) * s == pytest.approx(-rest, abs=1e-14)


@pytest.mark.parametrize(("classes", "features"), [(12, 14), (12, 128), (5, 24), (2, 2), (5, 5)])
def test_heads_are_equiangular(classes: int, features: int) -> None:
    frame = frames.simplex(classes, features)
    expected = np.full((classes, classes), -1.0 / (classes - 1))
    np.fill_diagonal(expected, 1.0)
    np.testing.assert_allclose(frame @ frame.T, expected, atol=1e-14)
    np.testing.assert_allclose(frame.sum(axis=0), 0.0, atol=1e-14)


@pytest.mark.parametrize("kind", ["baseline", "conformer"])
@pytest.mark.parametrize("init", STRUCTURED)
def test_structured_networks(kind: str, init: str) -> None:
    model = network(kind)
    initialise(model, init, 0)
    first = values(model)
    initialise(model, init, 1)
    assert all(torch.equal(value, first[name]) for name, value in model.named_parameters())
    head = model.head.weight.detach().double()
    assert torch.allclose(head @ head.T, torch.eye(5).double() * 1.25 - 0.25, atol=1e-6)
    ends = {id(layer) for layer in model.residual_ends()}
    for layer in weighted_layers(model):
        inputs = layer.weight[0].numel()
        scale = 0.01 if id(layer) in ends else 1.0
        if layer is not model.head:
            deviation = float(layer.weight.detach().double().std(correction=0))
            assert deviation == pytest.approx(scale / math.sqrt(3 * inputs), rel=1e-6)
        assert not layer.bias.any()


def test_the_ends_of_bottlenecks_are_scaled_and_the_baseline_has_none() -> None:
    assert len(network("conformer").residual_ends()) == 4
    assert network("baseline").residual_ends() == ()


@pytest.mark.parametrize("kind", ["baseline", "conformer"])
def test_mixed_gives_every_stage_its_basis(kind: str) -> None:
    """In the reference this option matches no module of the Conformer: two arms were one."""
    model = network(kind)
    initialise(model, "mixed", 0)
    mixed = {id(layer): layer.weight.detach().clone() for layer in weighted_layers(model)}
    single = {}
    for basis in BASES:
        initialise(model, basis, 0)
        single[basis] = {id(one): one.weight.detach().clone() for one in weighted_layers(model)}
    assert len(model.stages()) == 4
    for basis, stage in zip(BASES, model.stages(), strict=True):
        layers = [id(one) for one in chain(*(weighted_layers(part) for part in stage))]
        assert all(torch.equal(mixed[layer], single[basis][layer]) for layer in layers)
        for other in BASES:
            same = all(torch.equal(mixed[layer], single[other][layer]) for layer in layers)
            assert same == (other == basis)


def test_every_layer_is_a_stage_where_a_model_names_none() -> None:
    model = nn.ModuleList(nn.Linear(4, 4) for _ in range(5))
    assert list(bases_of(model, "mixed").values()) == [*BASES, "dct"]


def test_uniform_numbers_the_layers_and_not_the_norms() -> None:
    """The bits that builds of the methylation network have had from their first version on."""
    model = MLP(20, 3, ModelPlan(hidden=(8, 4)), OPS).double()
    initialise(model, "uniform", 7)
    for number, layer in enumerate(model.layers()):
        outputs, inputs = layer.weight.shape
        weight = uniform_fan_in(7, 2 * number, (outputs, inputs))
        bias = uniform_fan_in(7, 2 * number + 1, (outputs,), inputs)
        assert np.array_equal(layer.weight.detach().numpy(), weight)
        assert np.array_equal(layer.bias.detach().numpy(), bias)


def test_kaiming_draws_normal_numbers_by_fan_out() -> None:
    conv = nn.Conv1d(64, 96, 5).double()
    initialise(conv, "kaiming", 3)
    weight = conv.weight.detach().numpy() / math.sqrt(2.0 / (96 * 5))
    assert abs(weight.mean()) < 4 / math.sqrt(weight.size)
    assert weight.std() == pytest.approx(1.0, abs=4 / math.sqrt(2 * weight.size))
    assert np.mean(weight**4) == pytest.approx(3.0 - 1.2 / 12, abs=0.15)  # twelve uniform parts
    assert not conv.bias.any()
    again = nn.Conv1d(64, 96, 5).double()
    initialise(again, "kaiming", 4)
    assert not torch.equal(again.weight, conv.weight)


def test_normal_numbers_are_what_their_definition_says() -> None:
    words = [int(word) for word in raw(5, TAG_INIT, 2, size=6)]
    parts = [(word >> shift) & 0xFFFF for word in words for shift in (0, 16, 32, 48)]
    expected = [(sum(parts[:12]) - 393210) / 65536, (sum(parts[12:]) - 393210) / 65536]
    assert sampled.normal(5, 2, (2,)).tolist() == expected


def test_kaiming_counts_the_outputs_of_a_group() -> None:
    whole = sampled.kaiming(0, 0, (32, 1, 5))
    depthwise = sampled.kaiming(0, 0, (32, 1, 5), groups=32)
    np.testing.assert_allclose(depthwise, whole * math.sqrt(32), rtol=1e-15)


@pytest.mark.parametrize("init", ["uniform", "kaiming", "hartley"])
def test_norms_are_one_and_zero(init: str) -> None:
    model = network("baseline")
    with torch.no_grad():
        for value in model.parameters():
            value.fill_(9.0)
    initialise(model, init, 0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            assert bool((module.weight == 1.0).all())
            assert not module.bias.any()


def test_float32_holds_the_rounded_values() -> None:
    wide, narrow = nn.Linear(30, 20).double(), nn.Linear(30, 20)
    for layer in (wide, narrow):
        initialise(layer, "sinusoidal", 0)
    assert torch.equal(wide.weight.float(), narrow.weight)


def test_a_parameter_of_no_known_layer_is_refused() -> None:
    model = nn.Module()
    model.register_parameter("gain", nn.Parameter(torch.ones(3)))
    with pytest.raises(UnusableInputError, match="parameter gain belongs to no linear map"):
        initialise(model, "dct", 0)


def test_torch_leaves_the_frameworks_values() -> None:
    layer = nn.Linear(3, 2)
    before = values(layer)
    initialise(layer, "torch", 0)
    assert all(torch.equal(value, before[name]) for name, value in layer.named_parameters())


def test_initial_bits_are_these() -> None:
    """Computed by integers and IEEE operations alone: any machine must find the same digest."""
    quarter_wave.cache_clear()
    found = hashlib.sha256()
    for kind in BASES:
        for shape in SHAPES:
            found.update(structured.weight(kind, shape).tobytes())
    found.update(frames.simplex(12, 128).tobytes() + sampled.normal(0, 0, (1000,)).tobytes())
    assert found.hexdigest() == DIGEST


DIGEST = "cb102d4285d013a5e6c647ac146063d6b6204aae062a98c74371d7040cf473b8"
