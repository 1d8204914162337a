"""Classical figures of agreement between two builds. Shown; nothing here decides."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from scipy.stats import binomtest

from lifecycle.errors import UsageError


def kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Cohen's kappa of two columns of calls (Educ. Psychol. Meas. 20, 1960).

    Returns:
        The figure, or None where there is no case or chance alone explains all agreement.

    Raises:
        UsageError: the columns differ in length.
    """
    if len(first) != len(second):
        raise UsageError("kappa needs two columns of the same length")
    n = len(first)
    if n == 0:
        return None
    one, two = Counter(first), Counter(second)
    seen = sum(a == b for a, b in zip(first, second, strict=True)) / n
    chance = math.fsum(one[name] * two[name] for name in one) / n**2
    return (seen - chance) / (1.0 - chance) if chance < 1.0 else None


def mcnemar(lost: int, gained: int) -> float:
    """Exact two-sided McNemar test of changed against changed back (Psychometrika 12, 1947).

    Args:
        lost: patients right before and wrong now.
        gained: patients wrong before and right now.

    Returns:
        The p value; 1 where nothing changed.
    """
    if lost + gained == 0:
        return 1.0
    return float(binomtest(lost, lost + gained, 0.5).pvalue)


def percent_agreement(
    reference: Sequence[bool], candidate: Sequence[bool]
) -> tuple[float | None, float | None, float | None]:
    """Overall, positive and negative percent agreement with a reference that is no truth.

    FDA, Statistical Guidance on Reporting Results from Studies Evaluating Diagnostic Tests,
    13 March 2007.

    Returns:
        OPA, PPA and NPA as shares; None where the denominator is empty.
    """
    pairs = list(zip(reference, candidate, strict=True))

    def share(chosen: list[tuple[bool, bool]]) -> float | None:
        return sum(a == b for a, b in chosen) / len(chosen) if chosen else None

    return share(pairs), share([x for x in pairs if x[0]]), share([x for x in pairs if not x[0]])
