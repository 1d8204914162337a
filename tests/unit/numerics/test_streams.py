from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from lifecycle.domain.digests import tensors_digests
from lifecycle.numerics.fingerprint import changed_keys, fingerprint
from lifecycle.numerics.streams import permutation, uniform_fan_in, unit

_PRINT = (
    "import json;from lifecycle.numerics.streams import *;"
    "from lifecycle.domain.digests import tensors_digests as d;"
    "print(json.dumps(d({'w':uniform_fan_in(3,0,(16,33)),'o':permutation(3,2,97)})))"
)


def test_the_same_bits_without_vector_instructions() -> None:
    here = tensors_digests({"w": uniform_fan_in(3, 0, (16, 33)), "o": permutation(3, 2, 97)})
    plain = {**os.environ, "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512_SKX"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PRINT],
        env=plain, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == here


def test_initial_values_lie_within_their_bound_and_fill_it() -> None:
    values = uniform_fan_in(0, 0, (200, 400))
    assert np.abs(values).max() <= 1 / 20
    assert np.abs(values).max() > 0.0499
    assert abs(values.mean()) < 1e-3


def test_streams_differ_by_seed_tag_and_path() -> None:
    draws = {tuple(unit(s, t, p, size=4)) for s in (0, 1) for t in (1, 2) for p in (0, 1)}
    assert len(draws) == 8


@pytest.mark.parametrize("n", [1, 2, 97])
def test_an_order_holds_every_case_once_and_changes_each_epoch(n: int) -> None:
    orders = [tuple(permutation(0, epoch, n)) for epoch in range(1, 5)]
    assert all(sorted(order) == list(range(n)) for order in orders)
    if n > 10:
        assert len(set(orders)) == 4


def test_a_changed_variable_is_named() -> None:
    one = fingerprint({"OMP_NUM_THREADS": "1"})
    two = fingerprint({"OMP_NUM_THREADS": "2", "ATEN_CPU_CAPABILITY": "default"})
    assert changed_keys(one, two) == [
        "variables.ATEN_CPU_CAPABILITY: - -> default",
        "variables.OMP_NUM_THREADS: 1 -> 2",
    ]
    assert one["libraries"]["torch"].startswith("2.13.0")
    assert changed_keys(one, one) == []
