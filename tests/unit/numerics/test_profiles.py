"""Profiles: what is set, what is left out and why, and that a child really computes so."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lifecycle.errors import UsageError
from lifecycle.numerics.exact.engine import SWITCH
from lifecycle.numerics.fingerprint import VARIABLES
from lifecycle.numerics.profiles import CONTROLLED, PROFILES, choose, reason_against

PLAIN = {"architecture": "x86_64", "instruction_set": "sse4_2"}
AVX2 = {"architecture": "x86_64", "instruction_set": "sse4_2 avx fma avx2"}
AVX512 = {"architecture": "x86_64", "instruction_set": "sse4_2 avx fma avx2 avx512f"}
ARM = {"architecture": "aarch64", "instruction_set": ""}


def _no() -> bool:
    return False


def _names(asked: str, machine: dict[str, str]) -> list[str]:
    return [profile.name for profile in choose(asked, machine, _no).run]


@pytest.mark.parametrize("machine", [PLAIN, AVX2, AVX512])
def test_any_x86_machine_has_eight(machine: dict[str, str]) -> None:
    names = _names("standard", machine)
    assert len(names) == 8
    assert {PROFILES[name].threads for name in names} == {1, 2}
    kernels = {PROFILES[name].variables.get("ATEN_CPU_CAPABILITY") for name in names}
    assert len(kernels) >= 2


def test_three_instruction_sets_where_the_processor_has_them() -> None:
    kernels = {p.variables.get("ATEN_CPU_CAPABILITY") for p in choose("standard", AVX512, _no).run}
    assert kernels == {None, "default", "avx2", "avx512"}


def test_what_cannot_run_is_left_out_with_its_reason() -> None:
    left_out = choose("all", AVX2, _no).left_out
    assert set(left_out) == {"avx512-1", "avx512-2", "cuda"}
    assert left_out["avx512-1"] == "this processor has no avx512f"
    assert "no GPU" in left_out["cuda"]
    assert "avx2, fma" in choose("all", PLAIN, _no).left_out["avx2-1"]
    assert "x86" in choose("all", ARM, _no).left_out["sse-1"]
    assert "native-2" in _names("all", ARM)


def test_a_gpu_is_asked_for_only_by_its_own_profile() -> None:
    def never() -> bool:
        raise AssertionError("asked")

    assert reason_against(PROFILES["sse-1"], PLAIN, never) == ""
    assert "no GPU" not in reason_against(PROFILES["cuda"], PLAIN, lambda: True)


def test_names_are_taken_in_one_order_and_once() -> None:
    assert _names("sse-2, native-1,sse-2", PLAIN) == ["native-1", "sse-2"]
    assert _names("all", AVX512) == [name for name in PROFILES if name != "cuda"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [("sse-9", "no profile 'sse-9'"), ("avx512-1", "no avx512f"), (" , ", "name some of"),
     ("cuda", "no GPU"), ("native-1,all", "no profile 'all'")],
)  # fmt: skip
def test_what_cannot_be_asked_for(asked: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        choose(asked, AVX2, _no)


def test_no_two_profiles_are_the_same() -> None:
    seen = [(p.device, tuple(sorted(p.settings().items()))) for p in PROFILES.values()]
    assert len(set(seen)) == len(seen)
    assert all(name == profile.name for name, profile in PROFILES.items())
    assert all(p.name.endswith(f"-{p.threads}") for p in PROFILES.values() if p.device == "cpu")


def test_a_profile_s_environment_owes_nothing_to_what_was_set_around_it() -> None:
    around = {"PATH": "p", "OMP_NUM_THREADS": "7", "MKL_CBWR": "AVX", "OPENBLAS_CORETYPE": "Zen"}
    native = PROFILES["native-2"].environment(around)
    assert native["PATH"] == "p"
    assert native["OMP_NUM_THREADS"] == native["MKL_NUM_THREADS"] == "2"
    assert native["OPENBLAS_NUM_THREADS"] == native["NUMBA_NUM_THREADS"] == "2"
    assert not {"MKL_CBWR", "OPENBLAS_CORETYPE"} & set(native)
    assert PROFILES["sse-1"].environment(around)["MKL_CBWR"] == "COMPATIBLE"
    assert PROFILES["uncompiled-1"].environment({})[SWITCH] == "0"


def test_everything_that_a_profile_sets_is_cleared_by_the_others() -> None:
    set_by_any = {name for profile in PROFILES.values() for name in profile.settings()}
    assert set_by_any <= CONTROLLED
    assert set(VARIABLES) <= CONTROLLED


@pytest.mark.skipif("sse-2" in choose("all").left_out, reason="no x86 processor")
def test_a_child_computes_as_its_profile_says() -> None:
    code = (
        "from lifecycle.workflows.rehearsing_child import seen; import torch, os\n"
        "print(torch.backends.cpu.get_cpu_capability(), torch.get_num_threads(), sep=';')\n"
        "print(seen()['openblas_kernels'])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=PROFILES["sse-2"].environment(os.environ),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    first, blas = done.stdout.split()
    assert first == "DEFAULT;2"
    assert blas not in ("Haswell", "SkylakeX", "Zen", "")
