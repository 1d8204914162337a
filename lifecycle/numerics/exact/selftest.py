"""The self-test of exact arithmetic: every operation's bits, against the known ones.

A wrong digest means faulty hardware, a broken library, or an arithmetic that is not the version
it claims to be. What it cannot find: a fault that comes and goes, or that these inputs do not meet.

    python -m lifecycle.numerics.exact.selftest --write

writes `known_digests.json` anew: for checks that were added, or together with a new
`rounding.ARITHMETIC` where bits were changed on purpose. It refuses everything else.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lifecycle.domain.digests import digest_of
from lifecycle.errors import IntegrityError, LifecycleError, UsageError
from lifecycle.numerics.exact import checks as parts
from lifecycle.numerics.exact.checks import Check, Compute, Value
from lifecycle.numerics.exact.rounding import ARITHMETIC

KNOWN = Path(__file__).with_name("known_digests.json")
_CURES = {
    parts.COMPILED: "set LIFECYCLE_COMPILED=0 to compute without compiled kernels, and install the "
    "numba and llvmlite of requirements.lock",
    parts.SWEEP: "set LIFECYCLE_COMPILED=0 to compute without compiled kernels, and install the "
    "numba and llvmlite of requirements.lock",
    parts.NUMPY_BLAS: "install the numpy of requirements.lock, or set OPENBLAS_CORETYPE=Haswell",
    parts.TORCH_BLAS: "install the torch of requirements.lock, or set MKL_CBWR=COMPATIBLE",
    parts.PLAIN: "install the torch and numpy of requirements.lock, or set "
    "ATEN_CPU_CAPABILITY=default",
    parts.NUMPY: "install the numpy of requirements.lock",
    parts.ANY: "install the numpy and mpmath of requirements.lock",
}
_HARDWARE = "if it stays wrong, or comes and goes, run a memory test: the machine may be faulty"


@dataclass(frozen=True, slots=True)
class Wrong:
    """A check that did not give the known bits.

    Attributes:
        check: its name: the operation and the case.
        way: how it was computed.
        threads: with so many threads.
        found: its digest, or what went wrong on the way.
        known: the digest that it must have.
    """

    check: str
    way: str
    threads: int
    found: str
    known: str

    def said(self) -> str:
        """One line for a person."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return (
            f"{self.check}: {self.way}, {threads}: {self.found[:40]} instead of {self.known[:12]}"
        )

    def cure(self) -> str:
        """What a person can do."""
        return f"{_CURES[self.way]}; {_HARDWARE}"


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What a self-test found.

    Attributes:
        arithmetic: version of the arithmetic.
        checks: number of checks, the same on every machine.
        ways: number of computations; fewer where compiled kernels are off.
        digest: over the name and the digest of every check, the same on every machine.
        threads: numbers of threads that were tried.
        wrong: what was not right, the most basic first.
        seconds: time it took.
    """

    arithmetic: str
    checks: int
    ways: int
    digest: str
    threads: tuple[int, ...]
    wrong: tuple[Wrong, ...]
    seconds: float

    def facts(self) -> dict[str, str]:
        """What a build's record keeps: equal on all machines."""
        return {"self_test": f"{self.checks} checks, sha256 {self.digest}"}

    def require(self) -> SelfTest:
        """The self-test itself.

        Raises:
            IntegrityError: something was wrong.
        """
        if not self.wrong:
            return self
        first = self.wrong[0]
        names = list(dict.fromkeys(wrong.check for wrong in self.wrong))
        others = f" ({len(names)} of {self.checks} checks are wrong)" if len(names) > 1 else ""
        raise IntegrityError(
            f"exact arithmetic is wrong on this machine: {first.said()}{others}; {first.cure()}"
        )


def digest(values: Sequence[Value]) -> str:
    """SHA-256 over dtypes, shapes and little-endian bytes."""
    found = hashlib.sha256()
    for value in values:
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        found.update(f"{array.dtype.str[1:]}{array.shape}".encode())
        found.update(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).tobytes())
    return found.hexdigest()


def known_digests(path: Path = KNOWN) -> dict[str, str]:
    """Name of a check -> its digest in this version of the arithmetic.

    Raises:
        IntegrityError: the file is missing or of another version.
    """
    try:
        entry = json.loads(path.read_bytes())
        arithmetic, found = entry["arithmetic"], dict(entry["checks"])
    except (OSError, ValueError, KeyError, TypeError):
        raise IntegrityError(f"{path} cannot be read; install lifecycle again") from None
    if arithmetic != ARITHMETIC:
        raise IntegrityError(f"{path} holds digests of {arithmetic}, not of {ARITHMETIC}")
    return found


def self_test(
    threads: int | None = None,
    chosen: Sequence[Check] | None = None,
    known: Mapping[str, str] | None = None,
) -> SelfTest:
    """Compute every check in every way that this process can go.

    Args:
        threads: tried besides 1; every core that we may use where None.
        chosen: these checks only.
        known: these digests instead of the shipped ones.
    """
    started = time.monotonic()
    right = known_digests() if known is None else known
    selected = parts.checks() if chosen is None else tuple(chosen)
    counts = tuple(sorted({1, threads or len(os.sched_getaffinity(0))}))
    digests: dict[str, str] = {}
    wrong: list[Wrong] = []
    ways = 0
    for count in counts:
        with _threads(count):
            for check, way, found in _computed(selected):
                ways += 1
                digests.setdefault(check, found)
                if found != right.get(check, "none"):
                    wrong.append(Wrong(check, way, count, found, right.get(check, "none")))
    order = {check.name: place for place, check in enumerate(selected)}
    wrong.sort(key=lambda one: order[one.check])
    return SelfTest(
        ARITHMETIC, len(selected), ways, digest_of([ARITHMETIC, digests]), counts,
        tuple(wrong), time.monotonic() - started,
    )  # fmt: skip


def _computed(chosen: Sequence[Check]) -> Iterator[tuple[str, str, str]]:
    """Check, way, digest."""
    for check in chosen:
        for way, compute in check.usable().items():
            yield check.name, way, _digest_of(compute)


def _digest_of(compute: Compute) -> str:
    try:
        return digest(compute())
    except LifecycleError as error:
        return f"error: {error}"
    except Exception as error:  # noqa: BLE001  # whatever a broken library raises is a finding
        return f"error: {type(error).__name__}: {error}"


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads in the framework and in BLAS libraries, for the length of a block."""
    before = torch.get_num_threads()
    with ExitStack() as stack:
        if find_spec("threadpoolctl") is not None:
            from threadpoolctl import threadpool_limits

            stack.enter_context(threadpool_limits(count, user_api="blas"))
        stack.callback(torch.set_num_threads, before)
        torch.set_num_threads(count)
        yield


def write_known(path: Path = KNOWN) -> int:
    """Write the digests of this machine as the known ones; their number.

    Raises:
        UsageError: a known bit would change within one version of the arithmetic.
        IntegrityError: the ways do not agree with each other here.
    """
    names = parts.checks()
    found: dict[str, str] = {}
    with _threads(1):
        for name, _, value in _computed(names):
            found.setdefault(name, value)
    self_test(None, names, found).require()
    kept = known_digests(path) if path.exists() and _version(path) == ARITHMETIC else {}
    changed = [name for name, value in kept.items() if found.get(name, "") != value]
    if changed:
        raise UsageError(
            f"{path.name}: {', '.join(changed)} would change within {ARITHMETIC}; "
            f"a changed bit is a new version: raise rounding.ARITHMETIC"
        )
    entry = {"arithmetic": ARITHMETIC, "checks": found}
    path.write_text(json.dumps(entry, indent=1) + "\n", encoding="utf-8")
    return len(found)


def _version(path: Path) -> str:
    return str(json.loads(path.read_bytes()).get("arithmetic"))


def main(arguments: Sequence[str]) -> None:
    """Run the self-test, or write the known digests."""
    if list(arguments) == ["--write"]:
        say = f"{write_known()} digests of {ARITHMETIC} written to {KNOWN.name}"
    elif arguments:
        raise SystemExit("usage: python -m lifecycle.numerics.exact.selftest [--write]")
    else:
        tested = self_test().require()
        say = f"{tested.arithmetic}: {tested.checks} checks in {tested.ways} ways are right"
    sys.stdout.write(f"{say}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
