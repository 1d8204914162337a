from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from lifecycle.domain.classifier import Numerics, Recipe, SearchPlan
from lifecycle.domain.digests import tensors_digests
from lifecycle.domain.networks import ModelPlan
from lifecycle.errors import UnusableInputError
from lifecycle.models.build import build_model, load_tensors
from lifecycle.training.optimising import optimiser_for
from lifecycle.training.search import grid, search
from lifecycle.training.trainer import Examples, scores, train

PLAN = ModelPlan(hidden=(8, 4))
RECIPE = Recipe(lr=0.01, l2=0.001, epochs=6, minibatch=3, stop="best-holdout")


def _examples(n: int = 40, p: int = 10, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return Examples(rng.standard_normal((n, p)) + y[:, None] * 0.7, y)


_CHILD = """
import sys; sys.path.insert(0, {here!r})
from test_trainer import *
from test_trainer import _examples
print(tensors_digests(train(PLAN, RECIPE, _examples(), _examples(seed=1), 3).tensors)["md5"])
"""


def test_two_processes_train_the_same_bits() -> None:
    code = _CHILD.format(here=str(__import__("pathlib").Path(__file__).parent))
    run = [sys.executable, "-W", "ignore", "-c", code]
    there = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    here = train(PLAN, RECIPE, _examples(), _examples(seed=1), 3)
    assert there == tensors_digests(here.tensors)["md5"]
    assert len(there) == 32


@pytest.mark.parametrize("change", [{"seed": 1}, {"lr": 0.02}, {"l2": 0.0}, {"minibatch": 2}])
def test_every_term_of_the_recipe_reaches_the_weights(change: dict) -> None:
    one = train(PLAN, RECIPE, _examples(), _examples(seed=1), 3)
    two = train(PLAN, replace(RECIPE, **change), _examples(), _examples(seed=1), 3)
    assert tensors_digests(one.tensors) != tensors_digests(two.tensors)


@pytest.mark.parametrize(
    ("mode", "dtype"),
    [
        ("native", "float64"),
        ("native", "float32"),
        ("deterministic", "float64"),
        ("deterministic", "float32"),
        ("exact", "float64"),
    ],
)
def test_modes_and_dtypes(mode: str, dtype: str) -> None:
    recipe = replace(RECIPE, numerics=Numerics(mode, dtype))  # type: ignore[arg-type]
    found = train(PLAN, recipe, _examples(), _examples(seed=1), 3)
    assert {value.dtype.name for value in found.tensors.values()} == {dtype}
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_rebuild_with_the_kept_epochs_gives_the_best_epoch_again() -> None:
    first = train(PLAN, RECIPE, _examples(), _examples(seed=1), 3)
    assert first.epochs == min(first.history, key=lambda e: (e.holdout_error, e.holdout_loss)).epoch
    again = replace(RECIPE, stop="fixed", epochs=first.epochs)
    second = train(PLAN, again, _examples(), _examples(seed=1), 3)
    assert tensors_digests(first.tensors) == tensors_digests(second.tensors)


def test_adamax_follows_its_own_formula() -> None:
    # an independent plain numpy step: Kingma & Ba 2014, Algorithm 2, with coupled L2
    numerics = Numerics("native")
    recipe = replace(RECIPE, epochs=1, minibatch=40, stop="fixed", numerics=numerics)
    data = _examples()
    model = build_model(PLAN, recipe, 10, 3)
    loss = model.ops.cross_entropy(model(torch.from_numpy(data.x)), torch.from_numpy(data.y))
    loss.backward()  # type: ignore[no-untyped-call]
    trained = train(PLAN, recipe, data, data, 3).tensors
    for name, parameter in model.named_parameters():
        w = parameter.detach().numpy()
        g = parameter.grad.numpy() + recipe.l2 * w  # type: ignore[union-attr]
        step = recipe.lr / (1 - 0.9) * (0.1 * g) / np.maximum(0.0, np.abs(g) + 1e-8)
        assert np.allclose(trained[name], w - step, rtol=1e-12, atol=1e-12), name


def test_the_network_is_the_paper_s() -> None:
    model = build_model(ModelPlan(), RECIPE, 51_000, 7)
    shapes = [tuple(m.weight.shape) for m in model.layers()]
    assert shapes == [(128, 51_000), (32, 128), (7, 32)]
    assert len(model.norms) == 2


def test_scores_lie_on_the_simplex_and_nan_is_refused() -> None:
    model = build_model(PLAN, RECIPE, 10, 3)
    found = scores(model, _examples().x, RECIPE, "single")
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-12
    bad = _examples().x.copy()
    bad[2, 0] = np.nan
    with pytest.raises(UnusableInputError, match="case number 3"):
        scores(model, bad, RECIPE, "single")


def test_a_loss_that_overflows_is_named_with_its_epoch() -> None:
    data = _examples()
    data.x[3, 4] = 1e300
    native = replace(RECIPE, lr=1e300, numerics=Numerics("native"))
    with pytest.raises(UnusableInputError, match="epoch 1: the loss is nan"):
        train(PLAN, native, data, data, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_input_that_is_no_number_is_named(value: float) -> None:
    data = _examples()
    data.x[3, 4] = value
    with pytest.raises(UnusableInputError, match="training: case number 4, feature number 5 is"):
        train(PLAN, RECIPE, data, _examples(), 3)
    with pytest.raises(UnusableInputError, match="holdout: case number 4, feature number 5 is"):
        train(PLAN, RECIPE, _examples(), data, 3)


def test_exact_training_that_overflows_names_step_layer_and_tensor() -> None:
    recipe = replace(RECIPE, lr=1e300, epochs=2)
    place = r"epoch 1, step \d+, linear linears\.\d.*: .*(weight|input|gradient).* overflows"
    with pytest.raises(UnusableInputError, match=place):
        train(PLAN, recipe, _examples(), _examples(), 3)
    data = _examples()
    data.x[0, 0] = 2.0**970
    with pytest.raises(
        UnusableInputError, match=r"linear linears\.0: input holds values of 2\^970"
    ):
        train(PLAN, RECIPE, data, data, 3)


def test_weights_of_another_shape_are_refused() -> None:
    tensors = train(PLAN, replace(RECIPE, epochs=1), _examples(), _examples(), 3).tensors
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_tensors(build_model(PLAN, RECIPE, 11, 3), tensors)


def test_the_grid_is_the_paper_s() -> None:
    found = grid(8)
    assert len(found) == 8
    assert found[0] == pytest.approx(np.exp(-6), rel=1e-15)
    assert found[-1] == pytest.approx(np.exp(-2), rel=1e-15)
    assert np.allclose(np.diff(np.log(found)), 4 / 7)


def test_search_takes_the_lowest_error_and_does_not_depend_on_jobs() -> None:
    plan = SearchPlan(run=True, points=2, epochs=3)
    data, held = _examples(), _examples(seed=1)
    one = search(plan, PLAN, RECIPE, data, held, 3)
    two = search(replace(plan, jobs=2), PLAN, RECIPE, data, held, 3)
    assert one == two
    assert len(one) == 4
    assert one[0].error == min(point.error for point in one)
    ties = [(p.lr, -p.l2) for p in one if p.error == one[0].error]
    assert ties == sorted(ties)


def test_training_leaves_the_environment_as_it_was() -> None:
    # a variable set on the way would change the fingerprint of whatever is built next
    before = dict(os.environ)
    train(PLAN, replace(RECIPE, epochs=1), _examples(), _examples(), 3)
    assert dict(os.environ) == before


@pytest.mark.parametrize("optimiser", ["adamax", "adam", "sgd"])
def test_exact_with_full_slices_follows_the_framework(optimiser: str) -> None:
    # an independent implementation: torch's own optimisers and layers, in float64
    recipe = replace(
        RECIPE, lr=0.003, optimiser=optimiser, schedule="cosine", warm_up=1, stop="fixed", epochs=3
    )
    exact = replace(recipe, numerics=Numerics("exact", slices=3))
    native = replace(recipe, numerics=Numerics("native"))
    one, two = (train(PLAN, r, _examples(), _examples(seed=1), 3).tensors for r in (exact, native))
    for name, value in one.items():
        assert np.allclose(value, two[name], rtol=0, atol=1e-8), name


def test_a_cosine_begins_at_the_rate_and_ends_near_zero() -> None:
    recipe = replace(RECIPE, schedule="cosine", stop="fixed", epochs=6, warm_up=2)
    optimiser = optimiser_for(build_model(PLAN, recipe, 10, 3), recipe, 40)
    assert optimiser.rates is not None
    rates = [optimiser.rates(step) for step in range(6 * 14)]
    assert rates[:28] == pytest.approx([0.01 * (i + 1) / 28 for i in range(28)])
    assert rates[28] == 0.01
    assert 0 < rates[-1] < 0.0001
    assert optimiser_for(build_model(PLAN, RECIPE, 10, 3), RECIPE, 40).rates is None
