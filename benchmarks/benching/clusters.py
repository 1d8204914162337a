"""Rebuilds of patients with several cases: how they flip, and tests of the rate over cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import betabinom, binom
from scipy.stats import t as student

from lifecycle.stats.betting import log_wealth
from lifecycle.stats.intervals import allowed, upper_bounds

Array = NDArray[np.float64]
Hits = NDArray[np.bool_]
SIZES: dict[str, dict[int, float]] = {  # cases a patient -> share of patients
    "1": {1: 1.0},
    "2": {2: 1.0},
    "1-3": {1: 0.7, 2: 0.2, 3: 0.1},
    "5": {5: 1.0},
    "1-5": {1: 0.6, 2: 0.25, 5: 0.15},
    "1 or 10": {1: 0.9, 10: 0.1},
    "1-20": {1: 0.6, 2: 0.2, 5: 0.15, 20: 0.05},
}
WHO = ("all alike", "the largest", "the smallest")  # whose cases flip


def pmf(r: int, q: float, rho: float) -> Array:
    """Beta-binomial probabilities of 0..r discordant cases of a patient with r cases."""
    if rho == 0.0 or r == 1 or q in (0.0, 1.0):
        return np.asarray(binom.pmf(np.arange(r + 1), r, q))
    if rho == 1.0:
        return np.array([1 - q, *[0.0] * (r - 1), q])
    both = 1.0 / rho - 1.0
    return np.asarray(betabinom.pmf(np.arange(r + 1), r, q * both, (1 - q) * both))


def rates(sizes: dict[int, float], q: float, who: str) -> dict[int, float]:
    """Rate of each size of patient, so that over all cases it is q."""
    if who == "all alike" or len(sizes) == 1:
        return dict.fromkeys(sizes, q)
    cases = sum(r * share for r, share in sizes.items())
    largest = max(sizes)
    own = largest * sizes[largest]
    if who == "the smallest":
        return {r: 0.0 if r == largest else min(1.0, q * cases / (cases - own)) for r in sizes}
    first = min(1.0, q * cases / own)  # what they cannot take is left to the others
    rest = max(0.0, (q * cases - own) / (cases - own))
    return {r: first if r == largest else rest for r in sizes}


@dataclass(frozen=True)
class Law:
    """What a patient can be: cases r, discordant ones d, and the probability of each."""

    r: Array
    d: Array
    p: Array

    @property
    def most(self) -> int:
        """Cases that a patient can have."""
        return int(self.r.max())

    def draw(self, n: int, runs: int, rng: np.random.Generator) -> Array:
        """(runs, k) how many of n patients are of each kind; sizes are drawn too."""
        return rng.multinomial(n, self.p, size=runs).astype(np.float64)


def law_of(size: str, q: float, rho: float, who: str = "all alike") -> Law:
    """Patients whose rate over cases is q."""
    sizes = SIZES[size]
    of = rates(sizes, q, who)
    rows = [
        (r, d, share * chance)
        for r, share in sizes.items()
        for d, chance in enumerate(pmf(r, of[r], rho).tolist())
        if chance > 0
    ]
    r, d, p = np.array(rows, dtype=np.float64).T
    return Law(r, d, p / p.sum())


def betting(law: Law, counts: Array, q: float, a: float) -> Hits:
    """The product's own test of the rate over cases."""
    return np.asarray(log_wealth(law.r, law.d, counts, law.most, q) >= -np.log(a))


def timid(law: Law, counts: Array, q: float, a: float) -> Hits:
    """Betting with sixteen bets of equal weight, evenly spread."""
    bets = np.arange(1, 17) / 16
    factors = 1 - np.outer(law.d - q * law.r, bets) / ((1 - q) * law.most)
    logs = np.log(np.maximum(factors, 1e-300))
    return np.asarray(logsumexp(counts @ logs, axis=1) - np.log(16) >= -np.log(a))


def _mean(law: Law, counts: Array, q: float) -> tuple[Array, Array, Array]:
    """Patients, and mean and variance of their d - q r."""
    x, m = law.d - q * law.r, counts.sum(axis=1)
    mean = counts @ x / m
    return m, mean, np.maximum(counts @ x**2 / m - mean**2, 0.0) * m / (m - 1)


def robust_t(law: Law, counts: Array, q: float, a: float) -> Hits:
    """The cluster-robust t test of a ratio."""
    m, mean, variance = _mean(law, counts, q)
    spread = np.sqrt(np.maximum(variance, 1e-12) / m)
    return np.asarray(mean / spread < -student.ppf(1 - a, m - 1))


def hoeffding(law: Law, counts: Array, q: float, a: float) -> Hits:
    """Hoeffding's inequality (1963); d - q r has the range of `most`."""
    m, mean, _ = _mean(law, counts, q)
    return np.asarray(mean + law.most * np.sqrt(np.log(1 / a) / 2 / m) <= 0)


def bernstein(law: Law, counts: Array, q: float, a: float) -> Hits:
    """The empirical Bernstein bound of Maurer and Pontil (2009)."""
    m, mean, variance = _mean(law, counts, q)
    found = np.sqrt(2 * variance * np.log(2 / a) / m) + 7 * law.most * np.log(2 / a) / 3 / (m - 1)
    return np.asarray(mean + found <= 0)


def stretched(law: Law, counts: Array, q: float, a: float) -> Hits:
    """The bound over patients, of d + q (most - r) over most."""
    y = np.clip((law.d + q * (law.most - law.r)) / law.most, 0, 1)
    m = counts.sum(axis=1)
    return np.asarray(upper_bounds(np.minimum(counts @ y, m), m, a) <= q + 1e-12)


def over_patients(law: Law, counts: Array, q: float, a: float) -> Hits:
    """The product's test of patients, which was the only one: of the mean share, not of cases."""
    m, cases = counts.sum(axis=1), counts @ law.r
    Z = np.minimum(counts @ (law.d / law.r), m)
    limit = allowed(1 - q)
    return np.asarray((upper_bounds(Z, m, a) <= limit) & (counts @ law.d <= limit * cases))


Test = Callable[[Law, Array, float, float], Hits]
CANDIDATES: dict[str, Test] = {
    "betting, five bold bets (chosen)": betting,
    "betting, sixteen even bets": timid,
    "cluster-robust t": robust_t,
    "Hoeffding": hoeffding,
    "empirical Bernstein": bernstein,
    "Clopper-Pearson, stretched": stretched,
    "patients alone (as it was)": over_patients,
}
