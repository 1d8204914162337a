"""Elementary functions: special values, one set of bits for tensors, kernels and every profile.

Run as a script it prints a digest of all functions, of tensors and of kernels: the test of the
profiles runs it so, in child processes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
import torch

from lifecycle.errors import UnusableInputError
from lifecycle.numerics import streams
from lifecycle.numerics.exact import compiled, elementary
from lifecycle.numerics.exact.compiled import (
    erf_,
    exp_,
    expm1_,
    gelu_,
    gelu_derivative_,
    log1p_,
    log_,
    normal_cdf_,
    sigmoid_,
    softplus_,
    sqrt_,
    tanh_,
)
from lifecycle.numerics.exact.engine import SWITCH

# In the order of `sweep`.
NAMES = (
    *("exp", "expm1", "log", "log1p", "sqrt", "tanh", "sigmoid", "softplus"),
    *("erf", "normal_cdf", "gelu", "gelu_derivative"),
)
# The bits of lifecycle/arithmetic/1. Another digest on another machine is a fault of the formulas'
# promise; a formula that is meant to change is a new arithmetic version (`rounding.ARITHMETIC`).
DIGEST = "b2c7e7df8c012caf4966acd268aaf9a4ef028b92a7d855093d29421f60acf80d"
INF, NAN = math.inf, math.nan
# The tests themselves run in a further one: what the machine offers, in full.
PROFILES = (
    {
        "ATEN_CPU_CAPABILITY": "default",
        "OMP_NUM_THREADS": "1",
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_OPT": "1",
    },
    {
        "ATEN_CPU_CAPABILITY": "avx2",
        "OMP_NUM_THREADS": "2",
        "MKL_CBWR": "COMPATIBLE",
        "NUMBA_LOOP_VECTORIZE": "0",
    },
    {"ATEN_CPU_CAPABILITY": "avx512", "OMP_NUM_THREADS": "2", "NUMBA_CPU_NAME": "generic"},
)
CHOOSERS = ("ATEN", "MKL", "OMP", "NUMBA")


def arguments():
    """Values of every kind, from integers: the same on every machine."""
    hard = [0.0, 2.0**-1074, 2.0**-1022, 1e-300, 0.65, 0.92, 6.0, 23.6, 277.25, 277.26, 709.78]
    hard += [709.79, 1e300, INF, NAN, *(2.0**k for k in range(-60, 12))]
    hard += [k * 0.6931471805599453 / 2 for k in range(-850, 2100)]
    edges = np.array(hard + [-x for x in hard])
    edges = np.concatenate([np.nextafter(edges, -INF), edges, np.nextafter(edges, INF)])
    patterns = streams.raw(4, 9, 0, size=30_000).view(np.float64)
    spread = [
        (2 * streams.unit(4, 9, 1 + i, size=size) - 1) * width
        for i, (width, size) in enumerate(((1, 40_000), (8, 60_000), (30, 30_000), (720, 30_000)))
    ]
    return np.concatenate([edges, patterns, *spread])


@numba.njit(error_model="numpy")
def sweep(x, out):
    for i in range(x.shape[0]):
        out[0, i] = exp_(x[i])
        out[1, i] = expm1_(x[i])
        out[2, i] = log_(x[i])
        out[3, i] = log1p_(x[i])
        out[4, i] = sqrt_(x[i])
        out[5, i] = tanh_(x[i])
        out[6, i] = sigmoid_(x[i])
        out[7, i] = softplus_(x[i])
        out[8, i] = erf_(x[i])
        out[9, i] = normal_cdf_(x[i])
        out[10, i] = gelu_(x[i])
        out[11, i] = gelu_derivative_(x[i])


def by_tensors(x):
    t = torch.from_numpy(x)
    return np.stack([getattr(elementary, name)(t).numpy() for name in NAMES])


def by_kernel(x):
    out = np.empty((len(NAMES), len(x)))
    sweep(x, out)
    return out


def digest(values):
    return hashlib.sha256(values.astype("<f8").tobytes()).hexdigest()


def bits(values):
    return np.asarray(values, dtype=np.float64).view(np.int64)


def of(name, *values):
    return getattr(elementary, name)(torch.tensor(values, dtype=torch.float64)).tolist()


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("exp", [0.0, -0.0, -INF, INF, -277.26, -400.0, 710.0], [1, 1, 0, INF, 0, 0, INF]),
        ("expm1", [0.0, -0.0, -INF, INF, 2.0**-60, 710.0], [0, 0, -1, INF, 2.0**-60, INF]),
        ("log", [1.0, 0.0, -0.0, INF, 2.0**-1074], [0, -INF, -INF, INF, -1074 * math.log(2)]),
        ("log1p", [0.0, -0.0, -1.0, INF, 2.0**-60], [0, 0, -INF, INF, 2.0**-60]),
        ("sqrt", [0.0, -0.0, INF, 4.0, 2.0**-1074], [0, 0, INF, 2, 2.0**-537]),
        ("tanh", [0.0, -0.0, INF, -INF, 30.0, 2.0**-60], [0, 0, 1, -1, 1, 2.0**-60]),
        ("sigmoid", [0.0, INF, -INF, 40.0, -300.0], [0.5, 1, 0, 1, 0]),
        ("softplus", [0.0, INF, -INF, 50.0, -300.0], [math.log(2), INF, 0, 50, 0]),
        ("erf", [0.0, -0.0, INF, -INF, 6.0, -7.0], [0, 0, 1, -1, 1, -1]),
        ("normal_cdf", [0.0, INF, -INF, 9.0, -24.0], [0.5, 1, 0, 1, 0]),
        ("gelu", [0.0, -0.0, INF, -INF, 9.0, -24.0, 1e300], [0, 0, INF, 0, 9, 0, 1e300]),
        ("gelu_derivative", [0.0, INF, -INF, 40.0, -40.0], [0.5, 1, 0, 1, 0]),
    ],
)
def test_special_values(name, x, y):
    assert bits(of(name, *x)).tolist() == bits(np.array(y, dtype=float)).tolist()


@pytest.mark.parametrize(("name", "x"), [("log", -1.0), ("log1p", -1.5), ("sqrt", -4.0)])
def test_outside_the_domain_there_is_no_number(name, x):
    assert math.isnan(of(name, x)[0])


def test_scores_cannot_become_subnormal():
    """The least result that is not 0 is about 2^-400."""
    for name in ("exp", "sigmoid", "softplus"):
        (least, zero) = of(name, -277.2588, -277.2589)
        assert 2.0**-401 < least < 2.0**-399
        assert zero == 0


def test_zeros_and_nans_are_canonical():
    """One zero and one NaN, whatever sign the processor would give them."""
    for values in (by_tensors(arguments()), by_kernel(arguments())):
        assert not (np.signbit(values) & (values == 0)).any()
        assert set(bits(values[np.isnan(values)]).tolist()) == {0x7FF8 << 48}


def test_odd_functions_are_odd():
    x = torch.from_numpy(arguments())
    for name in ("tanh", "erf"):
        function = getattr(elementary, name)
        assert torch.equal(torch.nan_to_num(-function(-x)), torch.nan_to_num(function(x)))


def test_phi_has_one_half_at_zero_and_sums_to_one():
    x = torch.from_numpy(np.abs(streams.unit(4, 9, 7, size=5000) * 12))
    both = elementary.normal_cdf(x) + elementary.normal_cdf(-x)
    assert (both - 1).abs().max() <= 2.0**-52


def test_kernels_and_tensors_give_the_same_bits():
    x = arguments()
    tensors, kernels = by_tensors(x), by_kernel(x)
    assert len(x) > 150_000
    for i, name in enumerate(NAMES):
        assert np.array_equal(bits(tensors[i]), bits(kernels[i])), name


def test_a_scalar_call_gives_the_bits_of_a_vectorised_loop():
    for x in (0.3, -1.7, 25.0):
        assert gelu_(x) == of("gelu", x)[0]


def test_the_bits_of_this_arithmetic_version():
    assert digest(by_tensors(arguments())) == DIGEST


@pytest.mark.parametrize(
    "profiles",
    [
        pytest.param(PROFILES[:1], id="oldest"),
        pytest.param(PROFILES[1:], id="others", marks=pytest.mark.slow),
    ],
)
def test_no_profile_changes_a_bit(profiles):
    """Whatever the environment chooses, of tensors and of kernels."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(CHOOSERS)}
    children = [
        subprocess.Popen(
            [sys.executable, __file__], env=environ | profile, stdout=subprocess.PIPE, text=True
        )
        for profile in profiles
    ]
    printed = [child.communicate(timeout=120)[0].split() for child in children]
    assert [child.returncode for child in children] == [0] * len(profiles)
    assert printed == [[DIGEST, DIGEST]] * len(profiles)


def test_square_roots_are_correctly_rounded():
    x = np.abs(arguments())
    x = x[np.isfinite(x)]
    expected = [math.sqrt(value) for value in x.tolist()]
    assert elementary.sqrt(torch.from_numpy(x)).tolist() == expected


def test_any_shape_and_any_stride():
    x = torch.from_numpy(arguments())[: 3 * elementary.BLOCK + 12].reshape(-1, 12)
    whole = elementary.gelu(x)
    assert whole.shape == x.shape
    assert np.array_equal(bits(elementary.gelu(x.t()).t()), bits(whole))
    assert bits(elementary.gelu(x[7, 5])) == bits(whole[7, 5])
    assert np.array_equal(bits(elementary.sqrt(x[:, ::5])), bits(elementary.sqrt(x)[:, ::5]))
    for name in NAMES:
        function = getattr(elementary, name)
        assert function(x[0, 0]).shape == ()
        assert function(x[:0]).shape == (0, 12)


def test_no_gradient_passes():
    x = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    for name in NAMES:
        assert not getattr(elementary, name)(x).requires_grad


def test_kernels_contract_nothing():
    """No fused multiply-add in the machine code, where a fused loop would be another arithmetic."""

    @numba.njit(error_model="numpy")
    def loop(x, y):
        for i in range(x.shape[0]):
            y[i] = gelu_(x[i])

    loop(np.zeros(4), np.zeros(4))
    (code,) = loop.inspect_asm().values()
    assert re.search("mul", code)
    assert not re.search(r"\b(vfn?m(add|sub)\w*|fn?m(add|sub)|fml[as])\b", code)


def test_fastmath_of_a_caller_stays_outside():
    with pytest.raises(UnusableInputError, match="fastmath"):
        compiled.kernel(fastmath=True)

    @numba.njit(fastmath=True)
    def careless(x, y):
        for i in range(x.shape[0]):
            y[i] = gelu_(x[i])

    x = (2 * streams.unit(4, 9, 8, size=20_000) - 1) * 8
    y = np.empty_like(x)
    careless(x, y)
    assert np.array_equal(bits(y), bits(elementary.gelu(torch.from_numpy(x))))


def test_without_numba_a_kernel_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    spec = importlib.util.spec_from_file_location("compiled_alone", compiled.__file__)
    alone = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(alone)
    assert compiled.available()
    assert not alone.available()
    with pytest.raises(UnusableInputError, match="exp: numba is not installed; install"):
        alone.exp_(1.0)


def test_kernels_are_cached_by_the_digest_of_the_room(tmp_path):
    folder = Path(compiled._cache_folder(str(tmp_path)))
    assert folder.parent == tmp_path
    assert re.fullmatch("[0-9a-f]{16}", folder.name)
    (tmp_path / "file").touch()
    assert compiled._cache_folder(str(tmp_path / "file")) == ""


@pytest.mark.parametrize(
    ("host", "settings", "wider"),
    [
        ("sapphirerapids", {}, True),
        ("znver4", {}, True),
        ("znver4", {"avx512f": False}, False),
        ("haswell", {}, False),
        ("sapphirerapids", {"ENABLE_AVX": 0}, False),
        ("sapphirerapids", {"CPU_NAME": "generic"}, False),
        ("sapphirerapids", {"CPU_FEATURES": "+avx2"}, False),
    ],
)
def test_vectors_are_wide_unless_the_environment_says_otherwise(host, settings, wider, monkeypatch):
    for name, value in {"ENABLE_AVX": 1, "CPU_NAME": None, "CPU_FEATURES": None}.items():
        monkeypatch.setattr(numba.config, name, settings.get(name, value))
    monkeypatch.setattr(compiled.llvm, "get_host_cpu_name", lambda: host)
    features = compiled.llvm.FeatureMap({"avx512f": settings.get("avx512f", True)})
    monkeypatch.setattr(compiled.llvm, "get_host_cpu_features", lambda: features)
    compiled._prefer_wide_vectors()
    found = numba.config.CPU_FEATURES
    assert ("-prefer-256-bit" in (found or "")) is wider
    assert wider or found == settings.get("CPU_FEATURES")


def test_kernels_for_vectors_of_another_length_are_kept_apart(tmp_path, monkeypatch):
    names = set()
    for length in (4, 8):
        monkeypatch.setattr(compiled, "vector_length", lambda length=length: length)
        names.add(Path(compiled._cache_folder(str(tmp_path / str(length)))).name)
    assert len(names) == 2


@pytest.mark.parametrize(("disabled", "compiles"), [("1", False), ("0", True)])
def test_where_numba_may_not_compile_the_plain_way_runs(disabled, compiles):
    """In a process of its own: numba reads the variable once."""
    script = (
        "import torch\n"
        "from lifecycle.numerics.exact import engine, optimisers\n"
        "weight = torch.ones(4, 5, dtype=torch.float64).requires_grad_()\n"
        "weight.grad = torch.ones_like(weight)\n"
        "optimisers.Adamax([weight], 0.5, 0.0).step()\n"
        "print(engine.compiled(), round(weight[0, 0].item(), 6))\n"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": disabled, SWITCH: "1"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{compiles} 0.5\n"


def test_a_kernel_works_where_no_cache_can_be(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "file"))

    @compiled.kernel()
    def twice(x):
        return x + x

    assert twice(2.0) == 4.0
    assert str(tmp_path / "file") == numba.config.CACHE_DIR


if __name__ == "__main__":
    print(digest(by_tensors(arguments())), digest(by_kernel(arguments())))  # noqa: T201
