"""Every network of the table, whatever it is: whole, known, and the same when loaded again."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from lifecycle.domain.classifier import Numerics, Recipe
from lifecycle.domain.digests import tensors_digests
from lifecycle.domain.limits import Measures
from lifecycle.domain.networks import DEFAULT, NETWORKS, network_of, plan_of
from lifecycle.dossier.weights import packed, unpacked
from lifecycle.errors import UnusableInputError
from lifecycle.models.build import build_model, builder_of, load_tensors, tensors_of
from lifecycle.models.initialisation.apply import stages_of
from lifecycle.models.network import Network, weighted_layers
from lifecycle.training.trainer import Examples, scores, train

ROOT = Path(__file__).resolve().parents[3]
KINDS = list(NETWORKS)
CLASSES, CASES = 3, 12
MODULES = [
    path.stem
    for path in sorted((ROOT / "lifecycle/models").glob("*.py"))
    if re.search(r"^class \w+\(Network\):", path.read_text("utf-8"), re.MULTILINE)
]


def _settings(kind: str) -> Any:
    return NETWORKS[kind].settings(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_is_whole(kind: str) -> None:
    network, where = NETWORKS[kind], f"the entry of {kind} in lifecycle/domain/networks.py"
    settings = network.settings
    fields = dataclasses.fields(settings)
    assert fields[0].name == "kind", f"{where}: `kind` is not the first field of its settings"
    for field in fields[1:]:
        assert field.default is not dataclasses.MISSING, f"{where}: {field.name} has no default"
    has_default = fields[0].default is not dataclasses.MISSING
    assert has_default == (kind == DEFAULT), f"{where}: only `{DEFAULT}` may be left out"
    assert getattr(settings, "__pydantic_config__", None), f"{where}: unknown keys are not refused"
    assert network.measures, f"{where}: it can learn from nothing"
    assert set(network.measures) <= set(get_args(Measures)), f"{where}: unknown measurements"
    # a row of features and a signal have another number of dimensions
    mixed = "ecg" in network.measures and network.measures != ("ecg",)
    assert not mixed, f"{where}: `ecg` stands beside other measurements"
    made = builder_of(kind)
    assert isinstance(made, type) and issubclass(made, Network), f"{where}: no Network is built"
    assert isinstance(_settings(kind), settings)


def test_every_network_class_has_an_entry() -> None:
    modules = {
        network.builder.partition(":")[0].rpartition(".")[2] for network in NETWORKS.values()
    }
    assert "mlp" in MODULES
    for name in MODULES:
        assert name in modules, (
            f"lifecycle/models/{name}.py has a network that no entry of NETWORKS "
            "(lifecycle/domain/networks.py) builds"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_is_documented(kind: str) -> None:
    text = (ROOT / "docs/reference/params.md").read_text("utf-8")
    assert f"### `{kind}`" in text, f"docs/reference/params.md has no heading for {kind}"


@pytest.mark.parametrize("kind", ["tree", "", None, 3, ["mlp"], {}])
def test_an_unknown_kind_is_said_and_the_known_ones_are_named(kind: object) -> None:
    for ask in (network_of, builder_of):
        with pytest.raises(UnusableInputError) as error:
            ask(kind)  # type: ignore[arg-type]  # what a file may hold
        assert repr(kind) in str(error.value) and all(one in str(error.value) for one in KINDS)
    with pytest.raises(UnusableInputError, match="use the version of lifecycle that made the bui"):
        plan_of({"kind": kind}, "b1/record.json")


@pytest.mark.parametrize(
    "entry", [{}, {"kind": "mlp", "heads": 4}, {"kind": "ecg-conformer", "width": 7, "heads": 2}]
)
def test_a_record_of_other_settings_is_said(entry: dict[str, object]) -> None:
    with pytest.raises(UnusableInputError, match=r"^b1/record\.json: terms\.model: "):
        plan_of(entry, "b1/record.json")


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_gives_back_the_settings(kind: str) -> None:
    plan = _settings(kind)
    kept = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(plan).items()
    }
    assert plan_of(kept, "") == plan and next(iter(kept)) == "kind"


def test_the_table_needs_no_torch() -> None:
    code = (
        "import sys, lifecycle.params.reader, lifecycle.domain.networks as n\n"
        "[n.NETWORKS[k].settings(k) for k in n.NETWORKS]\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _x(kind: str) -> np.ndarray:
    rng = np.random.default_rng(5)
    return rng.normal(size=(CASES, 96, 12) if NETWORKS[kind].of_signals else (CASES, 40))


@pytest.mark.parametrize("task", ["single", "multi"])
@pytest.mark.parametrize("kind", KINDS)
def test_built_trained_kept_loaded_and_applied_in_exact_arithmetic(kind: str, task: Any) -> None:
    recipe = Recipe(
        lr=0.01, l2=0.001, epochs=1, minibatch=6, numerics=Numerics(mode="exact", threads=1)
    )
    plan, x = _settings(kind), _x(kind)
    rng = np.random.default_rng(6)
    y: Any = np.arange(CASES) % CLASSES
    if task == "multi":
        y = (rng.random((CASES, CLASSES)) < 0.5).astype(np.float64)
        y[0], y[1] = 0.0, 1.0  # every class has cases on both sides
    examples = Examples(x, y)
    before = build_model(plan, recipe, x.shape[-1], CLASSES)
    trained = train(plan, recipe, examples, examples, CLASSES)
    assert tensors_digests(tensors_of(before)) != tensors_digests(trained.tensors)
    assert all(np.isfinite(value).all() for value in trained.tensors.values())

    said = []
    for tensors in (trained.tensors, unpacked(packed(trained.tensors))):
        model = build_model(plan, recipe, x.shape[-1], CLASSES)
        load_tensors(model, tensors)
        model.eval()
        said.append(scores(model, x, recipe, task))
    assert said[0].tobytes() == said[1].tobytes()
    assert said[0].shape == (CASES, CLASSES) and ((said[0] >= 0) & (said[0] <= 1)).all()
    if task == "single":
        assert np.allclose(said[0].sum(axis=1), 1.0, atol=1e-9)
    again = train(plan, recipe, examples, examples, CLASSES)
    assert tensors_digests(again.tensors) == tensors_digests(trained.tensors)
    unswept = train(plan, recipe, examples, examples, CLASSES, fused=False)
    assert tensors_digests(unswept.tensors) == tensors_digests(trained.tensors)


@pytest.mark.parametrize("kind", KINDS)
def test_initial_values_know_every_layer(kind: str) -> None:
    model = build_model(_settings(kind), Recipe(lr=0.1, l2=0.0, epochs=1), 12, CLASSES)
    staged = [
        layer for stage in stages_of(model) for one in stage for layer in weighted_layers(one)
    ]
    others = [one for one in weighted_layers(model) if one is not getattr(model, "head", None)]
    assert sorted(map(id, staged)) == sorted(map(id, others))


def test_a_wide_logistic_regression_is_swept_to_the_same_bits() -> None:
    recipe = Recipe(lr=0.01, l2=0.001, epochs=2, minibatch=4, numerics=Numerics(threads=1))
    x = np.random.default_rng(1).normal(size=(CASES, 20_000))
    examples = Examples(x, np.arange(CASES) % CLASSES)
    one, two = (
        train(_settings("logistic"), recipe, examples, examples, CLASSES, fused=fused)
        for fused in (True, False)
    )
    assert tensors_digests(one.tensors) == tensors_digests(two.tensors)
