"""What a verdict guarantees of consistency, and what it only shows, in one plain sentence."""

from __future__ import annotations

from lifecycle.consistency.agree import Agreement
from lifecycle.domain.classifier import Policy
from lifecycle.gate.criteria import one_case_each, percent
from lifecycle.stats.betting import patients_for_cases
from lifecycle.stats.intervals import allowed, patients_needed

MEAN = "the share of a {who}'s reported cases that are discordant, on average over {who}s"
SHARE = "the share of all reported cases that are discordant (1 - consistency)"


def guaranteed(policy: Policy, agreement: Agreement, a: float | None) -> str:
    """The sentence that stands beside every figure of consistency.

    Args:
        policy: what was demanded; its `consistency_of` as the rules read it.
        agreement: of the builds compared.
        a: level of the attempt; None where none was counted.
    """
    if a is None:
        return "No attempt was counted, so nothing is guaranteed of consistency; all is shown only."
    limit, sure = percent(allowed(policy.p)), percent(1 - a)
    head = f"A pass guarantees with confidence {sure}: at most {limit} is"
    who = "patient" if agreement.unit == "patient" else "component"
    mean, most = MEAN.format(who=who), f"{who}s with at most {policy.most_cases} cases each"
    if one_case_each(policy, agreement):
        return f"{head} {SHARE}; every {who} has one case here, so it is that of {who}s too."
    if policy.consistency_of != "patients" and agreement.largest > policy.most_cases:
        return (
            f"Nothing is guaranteed of cases: a {who} has {agreement.largest} here, and no more "
            f"than {policy.most_cases} was stated beforehand (`most_cases`)."
        )
    if policy.consistency_of == "both":
        return f"{head} {mean}, and at most {limit} is {SHARE}, of {most}."
    if policy.consistency_of == "cases":
        return f"{head} {SHARE}, of {most}. Only shown: {mean}."
    return (
        f"{head} {mean}. Only shown: {SHARE}; where {who}s with many cases flip more, it is larger."
    )


def needed_patients(policy: Policy, cases: int, units: int, a: float) -> int:
    """Patients without a discordant case that could show all that p is guaranteed of, at error a.

    Of cases it takes about as many as it says: patients with as many cases each as those here.

    Args:
        policy: what is demanded.
        cases: of the frozen set.
        units: its patients or components.
        a: one-sided error.
    """
    needed = patients_needed(policy.p, a)
    mean = cases / units if units else 0.0
    if policy.consistency_of == "patients" or not 1.0 <= mean <= policy.most_cases != 1:
        return needed
    of_cases = patients_for_cases(mean, policy.most_cases, allowed(policy.p), a)
    return of_cases if policy.consistency_of == "cases" else max(needed, of_cases)
