"""Numerics modes: how the framework is told to compute."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lifecycle.domain.classifier import Numerics

DTYPES: dict[str, torch.dtype] = {"float64": torch.float64, "float32": torch.float32}


@contextmanager
def numerics_mode(numerics: Numerics) -> Iterator[torch.dtype]:
    """Compute in a mode for the length of a block; what was set before is set again after it.

    `deterministic` asks the framework for deterministic algorithms and refuses those that are not;
    `native` asks for nothing. Both give other bits on other machines: mode `exact` removes that.

    Yields:
        The dtype of parameters and inputs.
    """
    threads = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(numerics.threads)
    torch.use_deterministic_algorithms(numerics.mode == "deterministic")
    try:
        yield DTYPES[numerics.dtype]
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)


def framework_facts() -> dict[str, str]:
    """What the loaded framework computes with (the fingerprint says it without loading it)."""
    settings = torch.__config__.show()
    blas = re.search(r"BLAS_INFO=(\w+)", settings)
    return {
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "blas": blas.group(1) if blas else "",
        "cuda": str(torch.version.cuda or ""),
        "device": "cpu",
    }
