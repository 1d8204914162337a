"""What the doctor sees of a machine, and the dangers that it names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from lifecycle.numerics import machine
from lifecycle.numerics.exact import engine


def test_every_entry_says_something() -> None:
    found = machine.machine_facts({})
    assert list(found) == ["machine", "libraries", "computes with", "variables"]
    for group in ("machine", "libraries", "computes with"):
        assert all(text for text in found[group].values()), group
    assert found["libraries"]["torch"].startswith(torch.__version__.partition("+")[0])
    assert found["computes with"]["torch kernels"] == torch.backends.cpu.get_cpu_capability()
    assert "GiB" in found["machine"]["memory"]


def test_only_variables_that_are_set_are_shown() -> None:
    given = {"OMP_NUM_THREADS": "1", "HOME": "/somewhere", "MKL_CBWR": "COMPATIBLE"}
    assert machine.machine_facts(given)["variables"] == {
        "MKL_CBWR": "COMPATIBLE",
        "OMP_NUM_THREADS": "1",
    }


def test_compiled_kernels_that_are_off_are_said_so() -> None:
    with engine.plain():
        assert machine.machine_facts({})["computes with"]["compiled kernels"].startswith("off")


def test_a_container_may_allow_less_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "_LIMIT", limit)
    limit.write_text("2147483648\n")
    assert machine.machine_facts({})["machine"]["memory"].endswith("of which we may use 2.0 GiB")
    limit.write_text("max\n")
    assert "use" not in machine.machine_facts({})["machine"]["memory"]


def test_an_ordinary_process_is_in_no_danger() -> None:
    assert machine.dangers({}) == ()


@pytest.mark.parametrize(
    ("name", "value", "harmless"),
    [
        ("MKL_BLAS_COMPUTE_MODE", "FLOAT_TO_BF16", "STANDARD"),
        ("MKL_VML_MODE", "VML_LA", "VML_HA"),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16", "strict"),
        ("NVIDIA_TF32_OVERRIDE", "1", "0"),
        ("LD_PRELOAD", "libfast.so", ""),
        ("NUMBA_DISABLE_JIT", "1", "0"),
        ("OMP_NUM_THREADS", str(os.cpu_count() * 2 + 1), "1"),
    ],
)
def test_a_variable_in_danger_is_named(name: str, value: str, harmless: str) -> None:
    (said,) = machine.dangers({name: value})
    assert said.startswith(name)
    assert machine.dangers({name: harmless}) == ()
    assert machine.dangers({name: ""}) == ()


def test_flushing_to_zero_is_a_danger() -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush to zero")
    try:
        (said,) = machine.dangers({})
    finally:
        torch.set_flush_denormal(False)
    assert "torch.set_flush_denormal" in said


def test_torchs_settings_are_dangers() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    try:
        dtype, precision = machine.dangers({})
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision(before)
    assert "torch.float64" in dtype
    assert "`medium`" in precision
