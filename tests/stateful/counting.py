"""Plain counting, from docs/explanation alone: what the judge of a rebuild has to come to.

Loops over cases and fractions, and no line of the program: where this and the program differ, one
of them, or the page, is wrong. Pages: longitudinal-consistency, tau.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import combinations

from scipy.stats import beta

SILENT = ""  # a case that is not reported


@dataclass(frozen=True)
class Scored:
    """One case as a build scored it."""

    patient: str
    label: str
    scores: tuple[float, ...]


Scores = Mapping[str, Scored]


@cache
def upper(Z: Fraction, m: int, level: Fraction) -> float:
    """U(Z, m, a) = Beta^-1(1 - a; Z + 1, m - Z), and 1 where Z = m."""
    if m <= Z:
        return 1.0
    return float(beta.isf(float(level), float(Z) + 1.0, float(m - Z)))


def tau_of(holdout: Scores, classes: Sequence[str], positive: str) -> tuple[float | None, int]:
    """The lowest score of a positive above every negative's, and the patients who reach it."""
    at = classes.index(positive)
    highest = max(
        (one.scores[at] for one in holdout.values() if one.label != positive), default=-1.0
    )
    above = [one for one in holdout.values() if one.label == positive and one.scores[at] > highest]
    if not above:
        return None, 0
    return min(one.scores[at] for one in above), len({one.patient for one in above})


def said(one: Scored, classes: Sequence[str], tau: float) -> str:
    """The call of a case: its class, or SILENT where its score is below tau."""
    best = max(one.scores)
    return classes[one.scores.index(best)] if best >= tau else SILENT


def calls_of(scores: Scores, classes: Sequence[str], tau: float | None) -> dict[str, str]:
    """The calls of a build; a refused tau reports nothing."""
    if tau is None:
        return dict.fromkeys(scores, SILENT)
    return {case: said(one, classes, tau) for case, one in scores.items()}


def held_to(
    discordant: Sequence[str], counted: Sequence[str], patients: Mapping[str, str], p: Fraction,
    level: Fraction,
) -> str:  # fmt: skip
    """Pass, fail or inconclusive: the unit is the patient.

    Args:
        discordant: cases on which calls differ, among `counted`.
        counted: R.
        patients: of each case.
        p: consistency to show.
        level: alpha / 2^k.
    """
    r: dict[str, int] = {}
    d: dict[str, int] = {}
    for case in counted:
        r[patients[case]] = r.get(patients[case], 0) + 1
    for case in discordant:
        d[patients[case]] = d.get(patients[case], 0) + 1
    m, Z = len(r), sum((Fraction(d[who], r[who]) for who in d), Fraction(0))
    if m == 0:
        return "inconclusive"
    allowed = 1 - p
    if Z / m > allowed or Fraction(len(discordant), len(counted)) > allowed:
        return "fail"
    return "pass" if upper(Z, m, level) <= float(allowed) + 1e-12 else "inconclusive"


@dataclass(frozen=True)
class Compared:
    """Calls of several builds on the same cases, the judged one last."""

    names: tuple[str, ...]
    calls: tuple[Mapping[str, str], ...]
    patients: Mapping[str, str]

    @property
    def cases(self) -> list[str]:
        """Cases that all have."""
        return sorted(set.intersection(*(set(one) for one in self.calls)))

    def findings(
        self, p: Fraction, delta: Fraction, level: Fraction, floor: Fraction
    ) -> dict[str, str]:
        """Criterion -> status, of the tests that a rebuild has to pass."""
        found = {"consistency.series": self._same(self.calls, p, level)}
        last = self.calls[-1]
        for name, before in zip(self.names[:-1], self.calls[:-1], strict=True):
            found[f"consistency.pair:{name}"] = self._same((before, last), p, level)
            found[f"lost:{name}"] = self._lost(before, last, delta, level)
        found["consistency.ever"] = self._ever(p, level)
        found["reportable.floor"] = self._floor(floor)
        return found

    def _same(self, calls: Sequence[Mapping[str, str]], p: Fraction, level: Fraction) -> str:
        counted = [case for case in self.cases if all(one[case] for one in calls)]
        unlike = [case for case in counted if len({one[case] for one in calls}) > 1]
        return held_to(unlike, counted, self.patients, p, level)

    def contradicted(self) -> list[str]:
        """Cases on which any two builds contradict each other."""
        pairs = list(combinations(self.calls, 2))
        return [
            case
            for case in self.cases
            if any(a[case] and b[case] and a[case] != b[case] for a, b in pairs)
        ]

    def _ever(self, p: Fraction, level: Fraction) -> str:
        counted = [case for case in self.cases if sum(bool(one[case]) for one in self.calls) > 1]
        return held_to(self.contradicted(), counted, self.patients, p, level)

    def _lost(
        self, before: Mapping[str, str], now: Mapping[str, str], delta: Fraction, level: Fraction
    ) -> str:
        spoke = {self.patients[case] for case in self.cases if before[case]}
        gone = {self.patients[case] for case in self.cases if before[case] and not now[case]}
        if not spoke:
            return "inconclusive"
        if Fraction(len(gone), len(spoke)) > delta:
            return "fail"
        bound = upper(Fraction(len(gone)), len(spoke), level)
        return "pass" if bound <= float(delta) + 1e-12 else "inconclusive"

    def _floor(self, floor: Fraction) -> str:
        all_speak = sum(all(one[case] for one in self.calls) for case in self.cases)
        if not any(one[case] for one in self.calls for case in self.cases):
            return "inconclusive"
        return "pass" if Fraction(all_speak, len(self.cases)) >= floor else "fail"


def on_holdout(
    holdout: Scores, classes: Sequence[str], tau: float | None, positive: str
) -> tuple[Fraction | None, Fraction | None]:
    """Precision and recall of the positive class on the holdout, at tau."""
    calls = calls_of(holdout, classes, tau)
    called = [case for case, what in calls.items() if what == positive]
    there = [case for case, one in holdout.items() if one.label == positive]
    right = [case for case in called if holdout[case].label == positive]
    precision = Fraction(len(right), len(called)) if called else None
    return precision, Fraction(len(right), len(there)) if there else None


def worst(statuses: Sequence[str]) -> str:
    """The verdict is the worst of its findings; none at all is inconclusive."""
    for status in ("fail", "inconclusive"):
        if status in statuses or not statuses:
            return status if statuses else "inconclusive"
    return "pass"
