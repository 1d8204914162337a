"""The environment fingerprint: what bits can depend on, found without loading a framework."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

LIBRARIES = ("torch", "numpy", "numba", "scipy", "scikit-learn", "pandas", "pyarrow", "safetensors")
# Variables by which kernels, BLAS code paths and thread counts are chosen.
VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "LIFECYCLE_COMPILED",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS",
    "NPY_DISABLE_CPU_FEATURES",
    "NUMBA_CPU_NAME",
    "NUMBA_DISABLE_JIT",
    "OMP_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
)
_ISA = (
    "sse4_2",
    "avx",
    "fma",
    "avx2",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vnni",
    "amx_tile",
)


def fingerprint(environ: dict[str, str] | None = None) -> dict[str, dict[str, str]]:
    """Machine, libraries and variables, as text, in a fixed layout.

    An unset variable is "" so that setting one is seen as a change of a known key.
    """
    values = dict(os.environ) if environ is None else environ
    return {
        "machine": _machine(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "variables": {name: values.get(name, "") for name in VARIABLES},
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _machine() -> dict[str, str]:
    fields = _cpuinfo()
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return {
        "architecture": platform.machine(),
        "cpu": fields.get("model name", platform.processor()),
        "cpu_family_model": f"{fields.get('cpu family', '')}/{fields.get('model', '')}",
        "instruction_set": " ".join(name for name in _ISA if name in flags),
        "cores": str(os.cpu_count() or 0),
        "python": platform.python_version(),
        "system": f"{platform.system()} {' '.join(platform.libc_ver())}".strip(),
        "gpu": _gpu(),
    }


def _cpuinfo() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _gpu() -> str:
    """Models of NVIDIA GPUs that the driver lists, "" where there is none."""
    cards = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    models = []
    for card in cards:
        lines = card.read_text(encoding="utf-8").splitlines()
        models += [line.split(":", 1)[1].strip() for line in lines if line.startswith("Model:")]
    return ", ".join(models)


def changed_keys(old: dict[str, dict[str, str]], new: dict[str, dict[str, str]]) -> list[str]:
    """Which entries of two fingerprints differ, as `group.key: old -> new`."""
    found = []
    for group in sorted(set(old) | set(new)):
        one, two = old.get(group, {}), new.get(group, {})
        for key in sorted(set(one) | set(two)):
            if one.get(key) != two.get(key):
                found.append(f"{group}.{key}: {one.get(key) or '-'} -> {two.get(key) or '-'}")
    return found
