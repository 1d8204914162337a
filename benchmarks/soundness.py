"""Is the gate sound, and what can it show? False passes and power, by simulation.

Every simulated rebuild that must not pass has a true consistency of exactly p, the most favourable
one that must not, so a false pass should happen with probability at most alpha over all attempts.
The decisions are the product's own: `upper_bounds`, `attempt_level`, `log_wealth`, and the whole
path `agree` -> `judge` where a verdict is spoken of.

    python benchmarks/soundness.py                 a few minutes
    python benchmarks/soundness.py --only power    one part of it
    python benchmarks/soundness.py --full          half an hour
    python benchmarks/soundness.py --smallest      tries it out

Patients have one or several cases; a patient's cases are discordant with a probability drawn from
a beta distribution (mean 1 - p, intra-patient correlation rho), rho = 1 meaning all or none. Parts:
`patients`, `exact`, `attempts`, `verdicts` (the mean over patients), `cases`, `candidates`
(the rate over cases), `lost`, `power`.
Exit code 1 where a cell's false-pass probability lies above alpha beyond the simulation's error.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from benching import at_least, leave_with, parsed, rhythms
from benching.clusters import CANDIDATES, SIZES, WHO, Law, betting, law_of, over_patients, pmf
from benching.rhythms import verdicts as made
from numpy.typing import NDArray

from lifecycle.domain.classifier import Policy
from lifecycle.domain.predictions import Calls
from lifecycle.gate.rules import NOW
from lifecycle.records.evidence import RULES_V1
from lifecycle.stats.betting import below
from lifecycle.stats.intervals import allowed, attempt_level, clopper_pearson, upper_bounds
from lifecycle.stats.limits import allowed_exactly

ALPHA = 0.05
SURE = 1e-4  # a cell is unsound where even its 99.99% interval lies above the level
OLD_SIZES = {name: SIZES[name] for name in ("1", "2", "5", "1-20")}
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


def patients_by_size(cell: Cell) -> dict[int, int]:
    """Whole patients of each size; the smallest size takes the rest."""
    shares = OLD_SIZES[cell.size]
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
    for p, n, size, rho in itertools.product(ps, ns, OLD_SIZES, rhos):
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


def whole_gate(before: Calls, now: Calls, attempt: int, **policy: Any) -> str:
    """The status of the product's own verdict."""
    (found,) = made(before, now, attempt, Policy(p=0.95, alpha=ALPHA, **policy))
    return found.status


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
            two = calls_of(before, patients), calls_of(now, patients)
            found.append(whole_gate(*two, 1, most_cases=2))
        hits = np.array([status == "pass" for status in found])
        seen, low, high = share(hits)
        sound &= not false or share(hits, SURE)[1] <= ALPHA
        print(f"  {name:44} pass {100 * seen:6.2f}%  ({100 * low:.2f} - {100 * high:.2f}%)")
    print()
    return sound


def over_cases(effort: Effort, rng: np.random.Generator) -> bool:
    """Size of the test of the rate over cases; whoever flips, that rate is 1 - p exactly."""
    runs = effort.of(20_000, 200_000)
    print(f"The rate over cases, one test at a = {ALPHA:g}, {runs:,} rebuilds a cell; of all who")
    print("flip (all alike, the largest, the smallest patients) and correlations the worst cell")
    print("   p     n  cases/pat.  false pass   95% interval      who flips   rho  patients alone")
    ns = (72, 100, 339, 1000, 3000) if effort.full else (100, 339, 1000)
    rhos = (0.0, 0.2, 0.5, 0.9, 1.0) if effort.full else (0.0, 0.5, 1.0)
    sound, found = True, []
    for p, n, size in itertools.product((0.9, 0.95, 0.99), ns, SIZES):
        rows = []
        for who, rho in itertools.product(WHO, rhos):
            law = law_of(size, allowed(p), rho, who)
            counts = law.draw(n, runs, rng)
            hits = betting(law, counts, allowed(p), ALPHA)
            sound &= share(hits, SURE)[1] <= ALPHA and agrees(law, counts, p, hits)
            alone = float(over_patients(law, counts, allowed(p), ALPHA).mean())
            rows.append((*share(hits), who, rho, alone))
        worst, alone = max(rows), max(row[-1] for row in rows)
        found.append((worst[0], p, n, size, worst[3], worst[4]))
        print(
            f"{p:5.2f} {n:5d}  {size:>10}  {100 * worst[0]:9.2f}%  {100 * worst[1]:6.2f} - "
            f"{100 * worst[2]:5.2f}%  {worst[3]:>12}  {worst[4]:4.2f}  {100 * alone:12.2f}%"
        )
    print(f"Worst cell {100 * max(found)[0]:.2f}%\n")
    return sound & repeated(effort, rng, sorted(found)[-3:])


def agrees(law: Law, counts: Array, p: float, hits: NDArray[np.bool_]) -> bool:
    """On some of the rebuilds the decision of the gate, in whole numbers, is the same."""
    for row, hit in zip(counts[:3], hits[:3], strict=True):
        rows = [(int(r), int(d), int(n)) for r, d, n in zip(law.r, law.d, row, strict=True) if n]
        if below(rows, law.most, allowed_exactly(p), ALPHA) != hit:
            return False
    return True


def repeated(effort: Effort, rng: np.random.Generator, worst: list[tuple[Any, ...]]) -> bool:
    """Up to ten attempts in the worst cells, attempt k at alpha / 2^k."""
    runs, sound = effort.of(20_000, 200_000), True
    print(f"The same, rebuilding until it passes: {runs:,} series a row")
    print("   p     n  cases/pat.     who flips   rho   1, 2, 5 and 10 attempts")
    for _, p, n, size, who, rho in worst:
        law = law_of(size, allowed(p), rho, who)
        ever, seen = np.zeros(runs, bool), []
        for k in range(1, 11):
            a = attempt_level(ALPHA, k)
            ever |= betting(law, law.draw(n, runs, rng), allowed(p), a)
            if k in (1, 2, 5, 10):
                seen.append(f"{100 * ever.mean():.2f}%")
                sound &= share(ever, SURE)[1] <= ALPHA
        print(f"{p:5.2f} {n:5d}  {size:>10}  {who:>12}  {rho:4.2f}   {', '.join(seen)}")
    print()
    return sound


def candidates(effort: Effort, rng: np.random.Generator) -> bool:
    """Why betting: the worst size of each test of the rate over cases, and its power."""
    runs = effort.of(5_000, 50_000)
    grid = [
        (n, law_of(size, q, rho, who), q)
        for q in (0.1, 0.05, 0.01)
        for n in (100, 339, 1000)
        for size in SIZES
        for who in WHO
        for rho in (0.0, 1.0)
    ]
    likely = {
        (size, n): law_of(size, 0.005, 0.5) for size in ("1-3", "1-20") for n in (339, 1000, 2000)
    }
    print(f"Tests of the rate over cases at a = {ALPHA:g}: worst size of {len(grid)} cells, and")
    print("power at p = 0.95, first attempt, of a rebuild that is 99.5% consistent (rho = 0.5)")
    print(f"{'':34}    size" + "".join(f"{f'{size} {n}':>11}" for size, n in likely))
    for name, test in CANDIDATES.items():
        size = max(float(test(law, law.draw(n, runs, rng), q, ALPHA).mean()) for n, law, q in grid)
        shown = [
            f"{100 * test(law, law.draw(n, runs, rng), 0.05, ALPHA / 2).mean():10.0f}%"
            for (_, n), law in likely.items()
        ]
        print(f"{name:34} {100 * size:6.2f}%{''.join(shown)}")
    print()
    return True  # the chosen one is held to its level by `cases`


def lost(effort: Effort, rng: np.random.Generator) -> bool:
    """Multi-label, twelve classes: lost calls and lost exclusions, false pass and power."""
    runs, policy = effort.of(200, 2_000), Policy(min_cases_per_class=0)
    print(f"Multi-label, 12 classes, one case a patient, first attempt, {runs} rebuilds a row")
    print(f"     n  {'rebuild':44}  lost.yes   lost.no   verdict by gate/1")
    sound = True
    for n, (name, kind) in itertools.product((100, 339, 2000), _rebuilds().items()):
        hits = np.array([_sides(kind, n, policy, rng) for _ in range(runs)])
        for column, side in enumerate(("yes", "no")):
            if name.startswith("loses") and f"{side} " in name:
                sound &= share(hits[:, column], SURE)[1] <= ALPHA
        seen = "".join(f"{100 * one:9.1f}%" for one in hits.mean(axis=0))
        print(f"{n:6d}  {name:44} {seen}")
    print()
    return sound


Sides = Callable[[Array, np.random.Generator], NDArray[np.int8]]


def _rebuilds() -> dict[str, Sides]:
    """Rebuilds of the multi-label classifier, by what happens to them."""

    def noise(sd: float, wrong: float) -> Sides:
        return lambda v, rng: rhythms.contradicted(rhythms.noisy(v, sd, rng), wrong, rng)

    def quiet(side: int) -> Sides:
        return lambda v, rng: rhythms.opened(rhythms.states(v), side, 0.10, rng)

    found = {
        f"{'identical' if not wrong else '99.5% consistent'}, noise SD {sd:g}": noise(sd, wrong)
        for wrong in (0.0, 0.005)
        for sd in (0.0, 0.1, 0.2, 0.4)
    }
    return {
        **found,
        "loses yes of 10% of patients (must not pass)": quiet(1),
        "loses no of 10% of patients (must not pass)": quiet(-1),
    }


def _sides(kind: Sides, n: int, policy: Policy, rng: np.random.Generator) -> list[bool]:
    """Whether lost.yes, lost.no and the verdict pass, and whether they would by `gate/1`."""
    values = rhythms.logits(n, rng)
    before = rhythms.calls_of(rhythms.states(values))
    now = rhythms.calls_of(kind(values, rng))
    today, old = made(before, now, 1, policy, NOW, RULES_V1)
    passed = {finding.criterion: finding.status == "pass" for finding in today.findings}
    both = passed["lost.yes:b1"], passed["lost.no:b1"]
    return [*both, today.status == "pass", old.status == "pass"]


def power(effort: Effort, rng: np.random.Generator) -> bool:
    """What the gate shows at its first attempt: whole verdicts at p = 0.95."""
    runs = effort.of(200, 2_000)
    print(f"Share of rebuilds that pass, whole verdicts, first attempt, p = 0.95, {runs} a cell")
    print(f"{'':42}" + "".join(f"   {kind:24}" for kind in _CONSISTENT))
    print(f"{'patients':42}" + "".join(f"{n:9d}" for _ in _CONSISTENT for n in (100, 339, 2000)))
    single = {
        f"single-label, {size} case(s), {of}": (size, of)
        for size, of in (
            *(("1", "both"), ("1-3", "patients"), ("1-3", "both")),
            *(("1-5", "both"), ("1-20", "both")),
        )
    }
    for name, (size, of) in single.items():
        cells = [
            np.mean([_passes(size, of, n, wrong, rng) for _ in range(runs)])
            for wrong in _CONSISTENT.values()
            for n in (100, 339, 2000)
        ]
        print(f"{name:42}" + "".join(f"{100 * one:8.1f}%" for one in cells))
    for sd in (0.0, 0.2):
        cells = [
            np.mean([_passes_multi(sd, n, wrong, rng) for _ in range(runs)])
            for wrong in _CONSISTENT.values()
            for n in (100, 339, 2000)
        ]
        name = f"multi-label, 12 classes, noise SD {sd:g}"
        print(f"{name:42}" + "".join(f"{100 * one:8.1f}%" for one in cells))
    print()
    return True


_CONSISTENT = {"identical": 0.0, "99.5% consistent": 0.005}


def _passes(size: str, of: Any, n: int, wrong: float, rng: np.random.Generator) -> bool:
    """A single-label verdict; discordant cases fall on all cases alike."""
    sizes = SIZES[size]
    r = rng.choice(list(sizes), size=n, p=list(sizes.values()))
    patients = tuple(f"p{i}" for i in np.repeat(np.arange(n), r))
    called = rng.integers(2, size=len(patients))
    now = np.where(rng.random(len(called)) < wrong, 1 - called, called)
    two = calls_of(called, patients), calls_of(now, patients)
    return whole_gate(*two, 1, consistency_of=of, most_cases=max(sizes)) == "pass"


def _passes_multi(sd: float, n: int, wrong: float, rng: np.random.Generator) -> bool:
    values = rhythms.logits(n, rng)
    now = rhythms.contradicted(rhythms.noisy(values, sd, rng), wrong, rng)
    two = rhythms.calls_of(rhythms.states(values)), rhythms.calls_of(now)
    return whole_gate(*two, 1, min_cases_per_class=0) == "pass"


PARTS = {
    "patients": one_test,
    "exact": exact,
    "attempts": attempts,
    "verdicts": verdicts,
    "cases": over_cases,
    "candidates": candidates,
    "lost": lost,
    "power": power,
}


def main() -> int:
    """Print the tables; 1 where the gate is unsound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--full", action="store_true", help="more cells and more rebuilds")
    parser.add_argument("--only", choices=list(PARTS), help="one part")
    parser.add_argument("--seed", type=at_least(0), default=20260101)
    options = parsed(parser)
    chosen = {options.only: PARTS[options.only]} if options.only else PARTS
    start = time.perf_counter()
    effort = Effort(options.full, options.smallest)
    parts = [
        part(effort, np.random.Generator(np.random.PCG64(options.seed))) for part in chosen.values()
    ]
    print(f"{'SOUND' if all(parts) else 'UNSOUND'} ({time.perf_counter() - start:.0f} s)")
    return 0 if all(parts) else 1


if __name__ == "__main__":
    leave_with(main)
