from __future__ import annotations

import math

import numpy as np
import pytest

from lifecycle.stats.vectors import vector_sine

RNG = np.random.default_rng(3)


def _networks() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    one = {"a": RNG.normal(size=(4, 5)), "b": RNG.normal(size=7)}
    return one, {name: value.copy() for name, value in one.items()}


def test_equal_and_scaled_networks_have_no_angle() -> None:
    one, two = _networks()
    assert vector_sine(one, two) == 0.0
    assert vector_sine(one, {name: 2.0 * value for name, value in two.items()}) == 0.0


@pytest.mark.parametrize("angle", [1e-3, 1e-8, 1e-12, 1e-15])
def test_small_angles_do_not_cancel(angle: float) -> None:
    # sqrt(1 - cos^2) gives 0 or 1.5e-8 for all but the first of them
    one = {"w": np.array([1.0, 0.0]), "b": np.array([0.0])}
    two = {"w": np.array([math.cos(angle), math.sin(angle)]), "b": np.array([0.0])}
    assert vector_sine(one, two) == pytest.approx(math.sin(angle), rel=1e-6)


def test_right_and_opposite_angles() -> None:
    x, y = {"w": np.array([3.0, 0.0])}, {"w": np.array([0.0, 5.0], dtype=np.float32)}
    assert vector_sine(x, y) == pytest.approx(1.0, abs=1e-15)
    assert vector_sine(x, {"w": -x["w"]}) == 0.0


def test_one_bit_is_an_angle() -> None:
    one, two = _networks()
    two["a"][0, 0] = np.nextafter(two["a"][0, 0], 9.0)
    assert 0.0 < vector_sine(one, two) < 1e-15


def test_what_has_no_angle() -> None:
    one, two = _networks()
    assert math.isnan(vector_sine(one, {name: 0.0 * value for name, value in two.items()}))
    with pytest.raises(ValueError, match="other parameters"):
        vector_sine(one, {"a": one["a"]})
    with pytest.raises(ValueError, match="other parameters"):
        vector_sine(one, {**two, "a": two["a"].T})
