"""One digest for a trained conv + attention + norm network, whatever the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import networks
import pytest

from lifecycle.numerics.exact.engine import SWITCH, compiled

TESTS = Path(networks.__file__).parent
CHILD = """
import networks
print(networks.trained("exact"), networks.trained("native"))
"""
# What decides about kernels, code paths of the BLAS and the order of sums.
ENVIRONMENTS = [
    {"ATEN_CPU_CAPABILITY": capability, "MKL_CBWR": path, "OMP_NUM_THREADS": threads}
    for capability, (path, threads) in product(
        ("default", "avx2", "avx512"), (("", "1"), ("COMPATIBLE", "2"), ("", "2"))
    )
][:8]
PLAIN = {"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1", SWITCH: "0"}


def child(environment: dict[str, str]) -> tuple[str, str]:
    """Weight digests of the exact and of the native build in a process of its own."""
    names = {"ATEN_CPU_CAPABILITY", "MKL_CBWR", "OMP_NUM_THREADS", SWITCH, "PYTHONPATH"}
    kept = {name: value for name, value in os.environ.items() if name not in names}
    path = os.pathsep.join([str(TESTS), *(part for part in sys.path if part)])
    chosen = {name: value for name, value in environment.items() if value}
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        env=kept | chosen | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    exact, native = done.stdout.split()
    return exact, native


def test_one_digest_under_three_environments() -> None:
    """Without kernels and with the oldest ones, with one thread and two, on both paths of MKL."""
    chosen = [PLAIN, ENVIRONMENTS[1], ENVIRONMENTS[5]]
    assert len({one["ATEN_CPU_CAPABILITY"] for one in chosen}) == 2
    assert {one["OMP_NUM_THREADS"] for one in chosen} == {"1", "2"}
    _require_one_digest(chosen)


@pytest.mark.slow
@pytest.mark.timeout(900)  # nine processes, on a machine that may be busy
def test_one_digest_under_nine_environments() -> None:
    assert len(ENVIRONMENTS) == 8
    _require_one_digest([PLAIN, *ENVIRONMENTS])


def _require_one_digest(environments: list[dict[str, str]]) -> None:
    here = networks.trained("exact")  # also compiles, once for all
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(child, environments))
    sys.stdout.write(f"native: {len({native for _, native in found})} digests of {len(found)}\n")
    assert {exact for exact, _ in found} == {here}


@pytest.mark.slow
@pytest.mark.timeout(900)  # everything is compiled anew
@pytest.mark.skipif(not compiled(), reason="compiled kernels are off")
@pytest.mark.parametrize("cpu", ["generic", "haswell"])
def test_one_digest_with_kernels_compiled_for_another_processor(cpu: str, tmp_path: Path) -> None:
    other = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    assert child(other)[0] == networks.trained("exact")
