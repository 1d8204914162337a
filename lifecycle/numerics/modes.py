"""Numerics modes: how the framework is told to compute."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lifecycle.domain.classifier import Numerics
from lifecycle.numerics.exact.ops import ExactOps
from lifecycle.numerics.exact.rounding import ARITHMETIC
from lifecycle.numerics.ops import FrameworkOps, Ops

DTYPES: dict[str, torch.dtype] = {"float64": torch.float64, "float32": torch.float32}


@contextmanager
def numerics_mode(numerics: Numerics) -> Iterator[torch.dtype]:
    """Compute in a mode for the length of a block; what was set before is set again after it.

    `deterministic` asks the framework for deterministic algorithms and refuses those that are not;
    `native` asks for nothing. Both give other bits on other machines. `exact` asks for nothing
    either: its operations (`ops_for`) are the same bits whatever the framework does.

    Yields:
        The dtype of parameters and inputs.
    """
    threads = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads_of(numerics))
    _be_strict(numerics.mode == "deterministic")
    try:
        yield DTYPES[numerics.dtype]
    finally:
        torch.set_num_threads(threads)
        _be_strict(strict)


def _be_strict(wanted: bool) -> None:
    """Deterministic algorithms or not; asking imports the framework's compiler, over a second."""
    if torch.are_deterministic_algorithms_enabled() != wanted:
        torch.use_deterministic_algorithms(wanted)


def threads_of(numerics: Numerics) -> int:
    """Threads of the linear algebra: as stated, or 1, or (exact) every core that we may use."""
    if numerics.threads is not None:
        return numerics.threads
    return len(os.sched_getaffinity(0)) if numerics.mode == "exact" else 1


def ops_for(numerics: Numerics) -> Ops:
    """The operations of a numerics mode."""
    return ExactOps(numerics.slices) if numerics.mode == "exact" else FrameworkOps()


def framework_facts(numerics: Numerics | None = None) -> dict[str, str]:
    """What the loaded framework computes with (the fingerprint says it without loading it).

    `arithmetic` is the version of exact arithmetic, "" in the other modes.
    """
    settings = torch.__config__.show()
    blas = re.search(r"BLAS_INFO=(\w+)", settings)
    return {
        "arithmetic": ARITHMETIC if numerics is not None and numerics.mode == "exact" else "",
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "blas": blas.group(1) if blas else "",
        "cuda": str(torch.version.cuda or ""),
        "device": "cpu",
    }
