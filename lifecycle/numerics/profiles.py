"""Numerics profiles: named environments in which a child process computes in other ways.

Instruction set, BLAS code path, compiler target and thread count are chosen by variables that the
libraries read when they are loaded, so a profile needs a process of its own. On one machine
profiles stand in for the machines of the paper's experiment (seed 002, IV: two processors, two
GPUs); they are not those machines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lifecycle.errors import UsageError
from lifecycle.numerics.exact.engine import SWITCH
from lifecycle.numerics.fingerprint import VARIABLES, fingerprint

STANDARD = 8  # profiles that a rehearsal takes where none is named
STAND_IN = (
    "Profiles on one machine stand in for different machines; they are not different machines."
)
GPU_LATER = "networks are trained on the processor in this version"
# Read by the libraries besides the fingerprint's variables; a profile clears them all.
CONTROLLED = frozenset(VARIABLES) | {
    SWITCH,
    "MKL_DYNAMIC",
    "NUMBA_CPU_FEATURES",
    "NUMBA_CPU_NAME",
    "NUMBA_DISABLE_JIT",
    "NUMBA_NUM_THREADS",
    "OMP_DYNAMIC",
}
_NUMPY_AVX512 = "X86_V4 AVX512_ICL AVX512_SPR"
_NUMPY_AVX2 = f"X86_V3 {_NUMPY_AVX512}"

_SSE = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "NPY_DISABLE_CPU_FEATURES": _NUMPY_AVX2,
    "NUMBA_CPU_NAME": "generic",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Prescott",
}
_AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "NPY_DISABLE_CPU_FEATURES": _NUMPY_AVX512,
    "NUMBA_CPU_NAME": "haswell",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
_AVX512 = {
    "ATEN_CPU_CAPABILITY": "avx512",
    "MKL_CBWR": "AVX512",
    "MKL_ENABLE_INSTRUCTIONS": "AVX512",
    "NUMBA_CPU_NAME": "skylake-avx512",
    "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
    "OPENBLAS_CORETYPE": "SkylakeX",
}
_AVX = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "AVX",
    "NUMBA_CPU_NAME": "sandybridge",
    "ONEDNN_MAX_CPU_ISA": "AVX",
    "OPENBLAS_CORETYPE": "Sandybridge",
}
_SSE4 = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "NUMBA_CPU_NAME": "nehalem",
    "OPENBLAS_CORETYPE": "Nehalem",
}
_OLD_BLAS = {"MKL_CBWR": "COMPATIBLE", "OPENBLAS_CORETYPE": "Prescott"}
_OLD_KERNELS = {"ATEN_CPU_CAPABILITY": "default", "NPY_DISABLE_CPU_FEATURES": _NUMPY_AVX2}
_UNCOMPILED = {SWITCH: "0"}


@dataclass(frozen=True, slots=True)
class Profile:
    """A way to compute.

    Attributes:
        name: what a person calls it; ends in the number of threads.
        about: one phrase for a person.
        threads: of the linear algebra, whatever the recipe says.
        variables: what is set for the libraries, threads left out.
        needs: flags of the processor (`x86` for the family) without which it cannot run.
        device: `cpu` or `cuda`.
    """

    name: str
    about: str
    threads: int
    variables: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    device: str = "cpu"

    def settings(self) -> dict[str, str]:
        """Every variable that is set for the child, threads with them."""
        count = str(self.threads)
        threads = {f"{name}_NUM_THREADS": count for name in ("MKL", "NUMBA", "OMP", "OPENBLAS")}
        return {**self.variables, **threads, "MKL_DYNAMIC": "FALSE", "OMP_DYNAMIC": "FALSE"}

    def environment(self, around: Mapping[str, str]) -> dict[str, str]:
        """The child's environment: what is around, without the variables that choose arithmetic."""
        kept = {name: value for name, value in around.items() if name not in CONTROLLED}
        return {**kept, **self.settings()}


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("native-1", "as this machine computes by itself", 1),
        Profile("native-2", "as this machine computes by itself", 2),
        Profile("sse-1", "kernels and BLAS without AVX", 1, _SSE, ("x86",)),
        Profile("sse-2", "kernels and BLAS without AVX", 2, _SSE, ("x86",)),
        Profile("avx2-1", "kernels and BLAS for AVX2", 1, _AVX2, ("x86", "avx2", "fma")),
        Profile("avx2-2", "kernels and BLAS for AVX2", 2, _AVX2, ("x86", "avx2", "fma")),
        Profile("avx512-1", "kernels and BLAS for AVX-512", 1, _AVX512, ("x86", "avx512f")),
        Profile("avx512-2", "kernels and BLAS for AVX-512", 2, _AVX512, ("x86", "avx512f")),
        Profile("sse4-1", "BLAS of 2008, kernels without AVX", 1, _SSE4, ("x86",)),
        Profile("old-blas-2", "this machine's kernels, BLAS without AVX", 2, _OLD_BLAS, ("x86",)),
        Profile("old-kernels-2", "kernels without AVX, this machine's BLAS", 2, _OLD_KERNELS,
                ("x86",)),
        Profile("uncompiled-1", "plain tensor operations instead of compiled kernels", 1,
                _UNCOMPILED),
        Profile("avx-1", "BLAS for AVX without fused multiply-add", 1, _AVX, ("x86", "avx")),
        Profile("cuda", "the GPU", 1, {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}, (), "cuda"),
    )
}  # fmt: skip


def cuda_there() -> bool:
    """Whether the framework sees a GPU; it is loaded only where the system lists one."""
    if not fingerprint()["machine"]["gpu"]:
        return False
    import torch  # two seconds, and only on machines with a GPU

    return bool(torch.cuda.is_available())


def reason_against(
    profile: Profile, machine: Mapping[str, str], cuda: Callable[[], bool] = cuda_there
) -> str:
    """Why a profile cannot run on a machine, or "".

    Args:
        profile: which.
        machine: the fingerprint's group `machine`.
        cuda: whether a GPU can be used; asked only by a profile that needs one.
    """
    if profile.device == "cuda":
        return GPU_LATER if cuda() else "the framework sees no GPU here"
    there = set(machine["instruction_set"].split())
    if machine["architecture"].lower() in ("x86_64", "amd64", "i686"):
        there.add("x86")
    missing = [flag for flag in profile.needs if flag not in there]
    return f"this processor has no {', '.join(missing)}" if missing else ""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which profiles run.

    Attributes:
        run: in the order of `PROFILES`.
        left_out: name -> why it cannot run on this machine.
    """

    run: tuple[Profile, ...]
    left_out: Mapping[str, str]


def choose(
    asked: str,
    machine: Mapping[str, str] | None = None,
    cuda: Callable[[], bool] = cuda_there,
) -> Choice:
    """The profiles that somebody asked for.

    Args:
        asked: names with commas between them, `all`, or `standard` (the first eight usable).
        machine: the fingerprint's group `machine`; this machine where None.
        cuda: as in `reason_against`.

    Raises:
        UsageError: there is no such profile, a named one cannot run here, or none is named.
    """
    here = fingerprint()["machine"] if machine is None else machine
    reasons = {name: reason_against(one, here, cuda) for name, one in PROFILES.items()}
    usable = [name for name in PROFILES if not reasons[name]]
    left_out = {name: why for name, why in reasons.items() if why}
    if asked in ("all", "standard"):
        names = usable if asked == "all" else usable[:STANDARD]
        return Choice(tuple(PROFILES[name] for name in names), left_out)
    names = [part.strip() for part in asked.split(",") if part.strip()]
    _require(names, left_out)
    return Choice(tuple(PROFILES[name] for name in PROFILES if name in names), {})


def _require(names: list[str], left_out: Mapping[str, str]) -> None:
    if not names:
        raise UsageError(f"--profiles: name some of {', '.join(PROFILES)}, or `all`")
    for name in names:
        if name not in PROFILES:
            raise UsageError(f"there is no profile {name!r}; there are: {', '.join(PROFILES)}")
        if name in left_out:
            raise UsageError(f"the profile {name!r} cannot run: {left_out[name]}")
