"""Is the gate sound? Probability that a rebuild that is not consistent enough passes.

Every simulated rebuild has a true patient-level consistency of exactly p, the most favourable one
that must not pass, so a false pass should happen with probability at most alpha over all attempts.
The decisions are the product's own: `upper_bounds`, `attempt_level`, and on a sample the whole
path `agree` -> `judge`.

    python benchmarks/soundness.py            under a minute
    python benchmarks/soundness.py --full     some minutes
    python benchmarks/soundness.py --smallest tries it out

Patients have one or several cases; a patient's cases are discordant with a probability drawn from
a beta distribution (mean 1 - p, intra-patient correlation rho), rho = 1 meaning all or none.
Exit code 1 where a cell's false-pass probability lies above alpha beyond the simulation's error.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from benching import at_least, leave_with, parsed
from numpy.typing import NDArray
from scipy.stats import betabinom, binom

from lifecycle.consistency.agree import Series, agree
from lifecycle.domain.classifier import Policy
from lifecycle.domain.predictions import Calls, Cutoffs
from lifecycle.gate.evidence import Evidence, HoldoutFigures, frozen_figures
from lifecycle.gate.judge import judge
from lifecycle.stats.intervals import allowed, attempt_level, clopper_pearson, upper_bounds

ALPHA = 0.05
SURE = 1e-4  # a cell is unsound where even its 99.99% interval lies above the level
SIZES: dict[str, dict[int, float]] = {  # cases a patient -> share of patients
    "1": {1: 1.0},
    "2": {2: 1.0},
    "5": {5: 1.0},
    "1-20": {1: 0.6, 2: 0.2, 5: 0.15, 20: 0.05},
}
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Effort:
    """How much is simulated."""

    full: bool
    smallest: bool

    def of(self, usual: int, many: int) -> int:
        """How many of something: a hundredth of the usual where it is only tried out."""
        if self.smallest:
            return -(-usual // 100)
        return many if self.full else usual


@dataclass(frozen=True)
class Cell:
    """One setting: true consistency = wanted consistency = p."""

    p: float
    n: int
    size: str
    rho: float


def pmf(r: int, q: float, rho: float) -> Array:
    """Beta-binomial probabilities of 0..r discordant cases of a patient with r cases."""
    if rho == 0.0 or r == 1:
        return np.asarray(binom.pmf(np.arange(r + 1), r, q))
    if rho == 1.0:
        return np.array([1 - q, *[0.0] * (r - 1), q])
    both = 1.0 / rho - 1.0
    return np.asarray(betabinom.pmf(np.arange(r + 1), r, q * both, (1 - q) * both))


def patients_by_size(cell: Cell) -> dict[int, int]:
    """Whole patients of each size; the smallest size takes the rest."""
    shares = SIZES[cell.size]
    counts = {r: int(share * cell.n) for r, share in shares.items()}
    counts[min(counts)] += cell.n - sum(counts.values())
    return counts


def draw(cell: Cell, runs: int, rng: np.random.Generator) -> tuple[Array, Array, int]:
    """Z and the discordant cases of `runs` rebuilds, and how many cases there are."""
    Z, D, R = np.zeros(runs), np.zeros(runs), 0
    for r, n in patients_by_size(cell).items():
        p = pmf(r, 1.0 - cell.p, cell.rho)
        d = rng.multinomial(n, p / p.sum(), size=runs) @ np.arange(r + 1)
        Z, D, R = Z + d / r, D + d, R + r * n
    return np.minimum(Z, cell.n), D, R


def bounds(Z: Array, m: int, a: float) -> Array:
    """The product's bound, taken once for every distinct Z."""
    distinct, where = np.unique(Z, return_inverse=True)
    return upper_bounds(distinct, m, a)[where]


def passes(Z: Array, D: Array, m: int, R: int, p: float, a: float) -> NDArray[np.bool_]:
    """The rule of the gate: the bound within the limit, neither rate beyond it."""
    limit = allowed(p)
    return (bounds(Z, m, a) <= limit) & (limit >= Z / m) & (limit >= D / R)


def share(hits: NDArray[np.bool_], alpha: float = 0.05) -> tuple[float, float, float]:
    """Share of hits with its exact interval."""
    low, high = clopper_pearson(int(hits.sum()), len(hits), alpha)
    return float(hits.mean()), low, high


def cells(full: bool) -> Iterator[Cell]:
    ns = (72, 100, 150, 300, 1000, 3000) if full else (100, 300, 1000)
    rhos = (0.0, 0.05, 0.2, 0.5, 0.9, 1.0) if full else (0.0, 0.2, 0.5, 1.0)
    ps = (0.9, 0.95, 0.98, 0.99) if full else (0.9, 0.95, 0.99)
    for p, n, size, rho in itertools.product(ps, ns, SIZES, rhos):
        if size != "1" or rho == 0.0:  # correlation means nothing for one case a patient
            yield Cell(p, n, size, rho)


def one_test(effort: Effort, rng: np.random.Generator) -> bool:
    """Size of one test at alpha, ours beside the naive count of cases."""
    runs = effort.of(100_000, 400_000)
    print(f"One test at a = {ALPHA:g}, {runs:,} rebuilds a cell (true consistency = p)")
    print("   p     n  cases/pat.  rho   false pass   95% interval      naive count of cases")
    sound, worst, naive_worst = True, 0.0, 0.0
    for cell in cells(effort.full):
        Z, D, R = draw(cell, runs, rng)
        hits = passes(Z, D, cell.n, R, cell.p, ALPHA)
        seen, low, high = share(hits)
        naive = float((bounds(D, R, ALPHA) <= allowed(cell.p)).mean())
        sound &= share(hits, SURE)[1] <= ALPHA
        worst, naive_worst = max(worst, seen), max(naive_worst, naive)
        print(
            f"{cell.p:5.2f} {cell.n:5d}  {cell.size:>10}  {cell.rho:4.2f}  {100 * seen:9.2f}%  "
            f"{100 * low:6.2f} - {100 * high:5.2f}%  {100 * naive:12.2f}%"
        )
    print(f"Worst cell {100 * worst:.2f}% (naive counting {100 * naive_worst:.2f}%)\n")
    return sound


def exact_size(p: float, n: int, r: int, rho: float, a: float) -> float:
    """False-pass probability without simulation: the law of Z by convolution of n patients."""
    one = pmf(r, 1.0 - p, rho)
    length = r * n + 1
    padded = 1 << (length - 1).bit_length()
    law = np.fft.irfft(np.fft.rfft(one, padded) ** n, padded)[:length].clip(min=0.0)
    Z = np.arange(length) / r
    limit = allowed(p)
    return float(law[(upper_bounds(Z, n, a) <= limit) & (limit >= Z / n)].sum())


def exact(effort: Effort, rng: np.random.Generator) -> bool:
    """Worst exact size over a grid of equal cluster sizes, in units of the level."""
    del rng  # nothing is drawn
    step = 360 if effort.smallest else 7 if effort.full else 37
    grid = [
        (exact_size(p, n, r, rho, a) / a, p, n, r, rho, a)
        for p in (0.9, 0.95, 0.99)
        for n in (*range(40, 400, step), 1000)
        for r in (1, 2, 5, 20)
        for rho in ((0.0,) if r == 1 else (0.5, 0.9, 0.99, 1.0))
        for a in (0.05, 0.025, 0.0125)
    ]
    worst = max(grid)
    print(
        f"Exact size (no simulation) over {len(grid):,} cells: worst {100 * worst[0]:.2f}% of its "
        "level, at p = {}, n = {}, {} cases a patient, rho = {}, a = {}\n".format(*worst[1:])
    )
    return worst[0] <= 1.0 + 1e-9


def attempts(effort: Effort, rng: np.random.Generator) -> bool:
    """Any false pass within k attempts: at alpha / 2^k, and at alpha every time."""
    runs = effort.of(100_000, 400_000)
    print(f"Rebuilding until it passes, {runs:,} series a row")
    print("   p     n  cases/pat.  rho  attempts  false pass   95% interval    alpha every time")
    sound = True
    settings = ((0.95, 300, "1", 0.0), (0.95, 300, "5", 0.5), (0.95, 1000, "1-20", 0.2))
    for p, n, size, rho in settings:
        cell, ever, uncorrected = Cell(p, n, size, rho), np.zeros(runs, bool), np.zeros(runs, bool)
        for k in range(1, 11):
            Z, D, R = draw(cell, runs, rng)
            ever |= passes(Z, D, n, R, p, attempt_level(ALPHA, k))
            uncorrected |= passes(Z, D, n, R, p, ALPHA)
            if k not in (1, 2, 5, 10):
                continue
            seen, low, high = share(ever)
            sound &= share(ever, SURE)[1] <= ALPHA
            print(
                f"{p:5.2f} {n:5d}  {size:>10}  {rho:4.2f}  {k:8d}  {100 * seen:9.2f}%  "
                f"{100 * low:6.2f} - {100 * high:5.2f}%  {100 * uncorrected.mean():10.2f}%"
            )
    print()
    return sound


def calls_of(called: NDArray[np.intp], patients: tuple[str, ...]) -> Calls:
    """Single-label calls of class 0, 1 or (2) inconclusive."""
    state = np.where(np.arange(2) == called[:, None], 1, -1).astype(np.int8)
    state[called == 2] = 0
    ids = tuple(f"c{i}" for i in range(len(called)))
    none = ("",) * len(ids)
    return Calls(ids, patients, none, ("A", "B"), state, called % 2, 0, "single")


def whole_gate(before: Calls, now: Calls, attempt: int) -> str:
    """The product's own path from calls to a verdict."""
    agreement = agree(Series(("b1", "b2"), (before, now)), attempt_level(ALPHA, attempt))
    evidence = Evidence(
        build=2,
        basis="statistical",
        attempt=attempt,
        agreement=agreement,
        cutoffs=Cutoffs((0.5, 0.5), None, "proposed", {}),
        holdout=HoldoutFigures(1.0, 1.0, 60, 60, 0.0, 1.0),
        frozen=frozen_figures(now, None, {"b1": before}),
        validation_passed=True,
        pin_intact=True,
        policy_newer=False,
        same_fingerprint_other_weights=False,
        numerics_mode="deterministic",
        rehearsals=0,
        origin="simulated",
        task="single",
    )
    return judge(Policy(p=0.95, alpha=ALPHA), evidence).status


Rebuild = Callable[[NDArray[np.intp], tuple[str, ...], np.random.Generator], NDArray[np.intp]]


def flips(share_of: float) -> Rebuild:
    """A rebuild that flips patients whole (rho = 1) with this probability."""

    def rebuild(
        called: NDArray[np.intp], patients: tuple[str, ...], rng: np.random.Generator
    ) -> NDArray[np.intp]:
        codes = np.unique(np.array(patients), return_inverse=True)[1]
        hit = rng.random(int(codes.max()) + 1) < share_of
        return np.where(hit[codes], 1 - called, called)

    return rebuild


def silence(share_of: float) -> Rebuild:
    """A rebuild that agrees in all it says, but no longer reports this share of patients."""

    def rebuild(
        called: NDArray[np.intp], patients: tuple[str, ...], rng: np.random.Generator
    ) -> NDArray[np.intp]:
        codes = np.unique(np.array(patients), return_inverse=True)[1]
        hit = rng.random(int(codes.max()) + 1) < share_of
        return np.where(hit[codes], 2, called)

    return rebuild


def verdicts(effort: Effort, rng: np.random.Generator) -> bool:
    """Whole verdicts of the gate on 300 patients with 450 cases, p = 0.95, delta = 0.10."""
    runs = effort.of(600, 5_000)
    patients = tuple(f"p{i % 300}" for i in range(450))
    kinds: dict[str, tuple[Rebuild, bool]] = {
        "flips 5% of patients (must not pass)": (flips(0.05), True),
        "silent on 10% of patients (must not pass)": (silence(0.10), True),
        "silent on 30% of patients (must not pass)": (silence(0.30), True),
        "flips 1% of patients (power)": (flips(0.01), False),
        "flips none (power)": (flips(0.0), False),
    }
    print(f"Whole verdicts by `judge`, first attempt, 300 patients, {runs} rebuilds a row")
    sound = True
    for name, (rebuild, false) in kinds.items():
        found = []
        for _ in range(runs):
            called = rng.integers(2, size=len(patients))
            before, now = called, rebuild(called, patients, rng)
            found.append(whole_gate(calls_of(before, patients), calls_of(now, patients), 1))
        hits = np.array([status == "pass" for status in found])
        seen, low, high = share(hits)
        sound &= not false or share(hits, SURE)[1] <= ALPHA
        print(f"  {name:44} pass {100 * seen:6.2f}%  ({100 * low:.2f} - {100 * high:.2f}%)")
    print()
    return sound


def main() -> int:
    """Print the tables; 1 where the gate is unsound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--full", action="store_true", help="more cells and more rebuilds")
    parser.add_argument("--seed", type=at_least(0), default=20260101)
    options = parsed(parser)
    rng = np.random.Generator(np.random.PCG64(options.seed))
    start = time.perf_counter()
    effort = Effort(options.full, options.smallest)
    parts = [part(effort, rng) for part in (one_test, exact, attempts, verdicts)]
    print(f"{'SOUND' if all(parts) else 'UNSOUND'} ({time.perf_counter() - start:.0f} s)")
    return 0 if all(parts) else 1


if __name__ == "__main__":
    leave_with(main)
