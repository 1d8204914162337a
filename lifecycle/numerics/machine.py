"""What this machine and process compute with, and what could spoil arithmetic here.

The fingerprint says what a build's record keeps, without loading a framework; this is the longer
list for a person who looks for a cause.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lifecycle.numerics.exact import engine
from lifecycle.numerics.fingerprint import fingerprint
from lifecycle.numerics.profiles import CONTROLLED

_LIBRARIES = ("torch", "numpy", "scipy", "numba", "llvmlite", "mpmath")
_LIMIT = Path("/sys/fs/cgroup/memory.max")
# Variables by which a library may compute with less than it is asked for -> values without danger.
_CARELESS: Mapping[str, tuple[str, ...]] = {
    "MKL_BLAS_COMPUTE_MODE": ("STANDARD",),
    "MKL_VML_MODE": ("VML_HA",),
    "ONEDNN_DEFAULT_FPMATH_MODE": ("STRICT",),
    "NVIDIA_TF32_OVERRIDE": ("0",),
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": ("0",),
}


def machine_facts(environ: Mapping[str, str] | None = None) -> dict[str, dict[str, str]]:
    """Processor, libraries, linear algebra, threads and variables that are set, as text."""
    values = os.environ if environ is None else environ
    found = fingerprint(dict(values))["machine"]
    names = sorted(CONTROLLED | set(_CARELESS))
    return {
        "machine": {
            "processor": found["cpu"],
            "instruction set": f"{found['architecture']}: {found['instruction_set']}",
            "cores": f"{found['cores']}, of which we may use {len(os.sched_getaffinity(0))}",
            "memory": _memory(),
            "GPU": found["gpu"] or "none",
            "system": found["system"],
            "python": found["python"],
        },
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "computes with": _engines(),
        "variables": {name: values[name] for name in names if name in values},
    }


def dangers(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What a person should know before exact arithmetic is believed; one sentence each."""
    values = os.environ if environ is None else environ
    return (*_of_process(), *_of_variables(values))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _memory() -> str:
    """Memory of the machine, and the limit of this container where there is one."""
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = _LIMIT.read_text(encoding="utf-8").strip()
    except OSError:
        limit = "max"
    said = f"{size / 2**30:.1f} GiB"
    return said if not limit.isdigit() else f"{said}, of which we may use {_gib(int(limit))}"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _engines() -> dict[str, str]:
    settings = torch.__config__.show()
    libraries = re.findall(r"(?:Intel\(R\) )?(oneAPI Math Kernel Library Version \S+)", settings)
    blas = re.search(r"BLAS_INFO=(\w+)", settings)
    return {
        "torch kernels": torch.backends.cpu.get_cpu_capability(),
        "torch products": ", ".join(libraries) or (blas.group(1) if blas else "unknown"),
        "torch threads": str(torch.get_num_threads()),
        "numpy kernels": _numpy_kernels(),
        "numpy products": _numpy_products(),
        "compiled kernels": _compiled(),
    }


def _numpy_kernels() -> str:
    settings: Any = np.show_config(mode="dicts")
    extensions = settings.get("SIMD Extensions", {})
    return " ".join([*extensions.get("baseline", [])[-1:], *extensions.get("found", [])])


def _numpy_products() -> str:
    """numpy's matrix library as it is loaded, or as numpy was built."""
    if find_spec("threadpoolctl") is not None:
        from threadpoolctl import threadpool_info

        loaded = [entry for entry in threadpool_info() if entry["user_api"] == "blas"]
        said = [
            f"{one['internal_api']} {one['version']} for {one.get('architecture', '?')}, "
            f"threads: {one['num_threads']}"
            for one in loaded
        ]
        if said:
            return "; ".join(said)
    settings: Any = np.show_config(mode="dicts")
    built = settings.get("Build Dependencies", {}).get("blas", {})
    return f"{built.get('name', 'unknown')} {built.get('version', '')}".strip()


def _compiled() -> str:
    if not engine.compiled():
        return "off: the same bits, slower"
    from llvmlite import binding

    name = os.environ.get("NUMBA_CPU_NAME") or binding.get_host_cpu_name()
    return f"numba for {name}"


def _of_process() -> Iterator[str]:
    tiny = np.array([2.0**-1050])
    if float((tiny * 0.5)[0]) == 0.0 or float((torch.from_numpy(tiny) * 0.5)[0]) == 0.0:
        yield (
            "subnormal numbers are flushed to zero: a library called torch.set_flush_denormal or "
            "was compiled with -ffast-math"
        )
    if torch.get_default_dtype() != torch.float32:
        yield f"torch's default dtype is {torch.get_default_dtype()}, not float32"
    if torch.get_float32_matmul_precision() != "highest":
        yield (
            f"torch multiplies float32 with precision `{torch.get_float32_matmul_precision()}`: "
            f"native builds in float32 differ"
        )
    if find_spec("numba") is None:
        yield "numba is not installed: exact arithmetic is slower; install lifecycle[build]"


def _of_variables(values: Mapping[str, str]) -> Iterator[str]:
    for name, harmless in _CARELESS.items():
        if values.get(name) and values[name].upper() not in harmless:
            yield f"{name}={values[name]}: a library may compute with fewer bits; unset it"
    if values.get("LD_PRELOAD"):
        yield f"LD_PRELOAD={values['LD_PRELOAD']}: a library may stand in for another; unset it"
    if values.get("NUMBA_DISABLE_JIT", "") not in ("", "0"):
        yield "NUMBA_DISABLE_JIT: no compiled kernels, exact arithmetic is slower; unset it"
    threads = values.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0))
    if threads.isdigit() and int(threads) > cores:
        yield f"OMP_NUM_THREADS={threads} on {cores} cores: slow; bits do not care"
