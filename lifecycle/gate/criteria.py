"""The criteria of design 03, each a small pure function from policy and evidence to findings.

A criterion that does not apply returns no finding, never a pass; one whose evidence is missing
returns inconclusive. The bounds are taken here, from Z and m at the attempt's own level, not read
from the agreement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

from lifecycle.consistency.agree import Agreement, Pair
from lifecycle.consistency.calls import REFUSED_NO, REFUSED_YES
from lifecycle.consistency.figures import Figures, Lost, LostNo
from lifecycle.domain.classifier import Policy
from lifecycle.domain.verdict import Finding, Status
from lifecycle.gate.evidence import Evidence, MarginCounts
from lifecycle.stats.betting import below, case_bound, patients_for_cases
from lifecycle.stats.intervals import allowed, attempt_level, patients_needed, upper_bound
from lifecycle.stats.limits import allowed_exactly, as_written, exceeds

Findings = tuple[Finding, ...]
Criterion = Callable[[Policy, Evidence], Findings]

COMPARED = ("statistical", "unreleased reference")
# Evidence that no verdict does without; what is asked for later is for later rules to need.
NEEDED = (
    *("build", "basis", "attempt", "agreement", "cutoffs", "holdout", "frozen"),
    *("validation_passed", "pin_intact", "policy_newer", "same_fingerprint_other_weights"),
    *("numerics_mode", "rehearsals", "origin", "task", "recipe_changed_after_list"),
    *("rehearsed_other_bits", "areas"),
)
BASES = ("first build", "identity", *COMPARED)
_NAMED = 20  # cases that a sentence names
NO_UNITS = "cannot be shown: no patient to judge it on."


def percent(share: float) -> str:
    """A share for a person, three digits."""
    return f"{100 * share:.3g}%"


def level(policy: Policy, evidence: Evidence) -> float | None:
    """a_k of this attempt; None where no attempt is counted."""
    if evidence.basis not in COMPARED or evidence.attempt < 1:
        return None
    return attempt_level(policy.alpha, evidence.attempt)


def _plain(criterion: str, status: Status, said: str) -> Findings:
    return (Finding(criterion, status, None, None, None, said),)


def _yes_no(criterion: str, holds: bool | None, good: str, bad: str, status: Status) -> Findings:
    """None is missing; anything but True and False is missing too."""
    if holds is True:
        return _plain(criterion, "pass", good)
    if holds is False:
        return _plain(criterion, status, bad)
    return _plain(criterion, "inconclusive", f"No evidence of {criterion} was given.")


def complete(policy: Policy, evidence: Evidence) -> Findings:
    """Nothing that this basis needs is missing or contradicts itself."""
    gaps = [name for name in NEEDED if getattr(evidence, name) is None]
    if evidence.basis == "first build":
        gaps = [name for name in gaps if name != "agreement"]
    faults = [f"{name.replace('_', ' ')} is missing" for name in gaps] + _faults(policy, evidence)
    if faults:
        return _plain("evidence", "inconclusive", f"The evidence does not do: {'; '.join(faults)}.")
    return _plain("evidence", "pass", "All the evidence that this basis needs is there.")


def _faults(policy: Policy, evidence: Evidence) -> list[str]:
    agreement, found = evidence.agreement, []
    if evidence.basis not in BASES:
        found.append(f"the basis {evidence.basis!r} is unknown")
    if evidence.basis in COMPARED and evidence.attempt < 1:
        found.append("the attempt is not numbered")
    if evidence.basis == "first build" and agreement is not None:
        found.append("a first build has nothing to agree with, yet an agreement was given")
    if agreement is not None and agreement.unit != policy.unit:
        found.append(f"the agreement counts by {agreement.unit}, the policy by {policy.unit}")
    if agreement is not None and agreement.task != evidence.task:
        found.append(f"the agreement is of a {agreement.task}-label classifier")
    if agreement is not None and not agreement.candidate_pairs():
        found.append("the agreement has no build that faces the candidate")
    return found


def validation(policy: Policy, evidence: Evidence) -> Findings:
    """The data met their expectations."""
    return _yes_no(
        "data.validation",
        evidence.validation_passed,
        "The data met their expectations.",
        "The data did not meet their expectations; the validation report names where.",
        "fail",
    )


def pin(policy: Policy, evidence: Evidence) -> Findings:
    """The frozen set is the one that was pinned."""
    return _yes_no(
        "pin",
        evidence.pin_intact,
        "The frozen clinical test set is the pinned one.",
        "The frozen clinical test set is not the one that was pinned.",
        "fail",
    )


def policy_age(policy: Policy, evidence: Evidence) -> Findings:
    """A policy written after the build could have been fitted to it."""
    older = None if evidence.policy_newer is None else evidence.policy_newer is False
    return _yes_no(
        "policy.age",
        older,
        "The policy stood before the build was made.",
        "The policy was changed after this build was made: a second person has to accept it.",
        "inconclusive",
    )


def recipe(policy: Policy, evidence: Evidence) -> Findings:
    """After a look at the discordant list, alpha is no remedy."""
    blind = (
        None
        if evidence.recipe_changed_after_list is None
        else evidence.recipe_changed_after_list is False
    )
    return _yes_no(
        "recipe.blind",
        blind,
        "The recipe was not changed after the discordant cases had been seen.",
        "The recipe was changed after the discordant cases had been seen: no level makes up for "
        "that; use fresh patients, or let a second person accept it.",
        "inconclusive",
    )


def amended(policy: Policy, evidence: Evidence) -> Findings:
    """The frozen set was not amended after a comparison had shown which cases are discordant.

    Where it was, a second person has to accept that: the cases that went are named, and those of
    them that were discordant count against the build.
    """
    found = evidence.amendment
    if not found.pin:
        return ()
    gone, other = len(found.dropped), len(found.changed)
    ever = evidence.agreement.ever if evidence.agreement else None
    D, R = (ever.D, ever.R) if ever else (0, 0)
    all_D, all_R = D + len(found.discordant), R + found.reported
    figure = all_D / all_R if all_R else None
    said = (
        f"The frozen set was amended (pin {found.since} to {found.pin}) after builds had been "
        f"compared on it: {gone} cases were dropped and {other} changed "
        f"({some([*found.dropped, *found.changed])}). {len(found.discordant)} of them were "
        f"discordant; with these it is {all_D} of {all_R} cases. A second person has to accept it."
    )
    return (Finding("frozen.amended", "inconclusive", figure, allowed(policy.p), None, said),)


def some(names: Sequence[str]) -> str:
    """Names in a sentence, the first of many."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def tau(policy: Policy, evidence: Evidence) -> Findings:
    """Tau was chosen on enough patients to be used at all."""
    cutoffs = evidence.cutoffs
    if cutoffs is None:
        return _plain("tau", "inconclusive", "There is no tau.")
    closed = {*cutoffs.evidence.get(REFUSED_YES, ()), *cutoffs.evidence.get(REFUSED_NO, ())}
    critical = sorted(closed & set(policy.critical))
    said = str(cutoffs.evidence.get("said", "")) or f"tau is {cutoffs.status}."
    if cutoffs.status not in ("proposed", "provisional"):
        status: Status = "inconclusive"
        said = f"tau is {cutoffs.status}: {said}"
    elif critical:
        status, said = "inconclusive", f"tau is refused for {', '.join(critical)}: {said}"
    else:
        status = "pass"
    bound = _finite(cutoffs.evidence.get("precision_bound"))
    limit = _finite(cutoffs.evidence.get("refuse_below"))
    return (Finding("tau", status, None, limit, bound, said),)


def _finite(value: object) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def arithmetic(policy: Policy, evidence: Evidence) -> Findings:
    """Same code, data, recipe and machine must give the same weights, except in native mode."""
    differs = evidence.same_fingerprint_other_weights
    if differs is True and evidence.numerics_mode == "native":
        return _plain(
            "arithmetic",
            "pass",
            "Other weights came from the same recipe and machine; native mode promises no more.",
        )
    same = None if differs is None else differs is False
    return _yes_no(
        "arithmetic",
        same,
        "No build of the same recipe, data and machine has other weights.",
        f"The same recipe, data and machine gave other weights in {evidence.numerics_mode} mode: "
        "an arithmetic or environment fault.",
        policy.arithmetic_fault,
    )


def rehearsals(policy: Policy, evidence: Evidence) -> Findings:
    """Enough rehearsed profiles agreed, where the policy asks for any; other bits always count."""
    other = _rehearsed_bits(policy, evidence)
    if policy.rehearsals == 0:
        return other
    had = evidence.rehearsals
    status: Status = "pass" if had is not None and had >= policy.rehearsals else "inconclusive"
    said = f"{had or 0} rehearsed profiles agree with the build; {policy.rehearsals} are needed."
    figure = None if had is None else float(had)
    limit = float(policy.rehearsals)
    return (Finding("rehearsals", status, figure, limit, None, said), *other)


def _rehearsed_bits(policy: Policy, evidence: Evidence) -> Findings:
    """Exact arithmetic that gave other weights in a rehearsal: a fault of a machine or library.

    It is a finding also where no rehearsal is asked for: what was seen cannot be unseen.
    """
    other = evidence.rehearsed_other_bits
    if not other:
        return ()
    said = (
        f"Exact mode gave other weights under {', '.join(other)}: an arithmetic or environment "
        "fault, not a matter of statistics."
    )
    found = Finding("rehearsals.bits", policy.arithmetic_fault, float(len(other)), 0.0, None, said)
    return (found,)


def holdout(policy: Policy, evidence: Evidence) -> Findings:
    """A first build has to reach the policy's precision and recall on the holdout.

    So has a build that is one and the same function as an earlier one: agreement is no merit if
    what it agrees with was refused.
    """
    if evidence.basis not in ("first build", "identity"):
        return ()
    # without a tau nothing is reported: that is no poor recall, but no evidence at all
    cutoffs = evidence.cutoffs
    there = cutoffs is not None and cutoffs.status != "refused"
    seen = evidence.holdout if there else None
    return (
        _reaches("holdout.precision", seen.precision if seen else None, policy.holdout_precision),
        _reaches("holdout.recall", seen.recall if seen else None, policy.holdout_recall),
    )


def _reaches(criterion: str, figure: float | None, limit: float) -> Finding:
    what = criterion.removeprefix("holdout.")
    value = _finite(figure)
    if value is None:
        said = f"The {what} on the holdout at tau does not exist: nothing was reported or labelled."
        return Finding(criterion, "inconclusive", None, limit, None, said)
    said = f"The {what} on the holdout at tau is {percent(value)}; {percent(limit)} is demanded."
    return Finding(criterion, "pass" if value >= limit else "fail", value, limit, None, said)


def minima(policy: Policy, evidence: Evidence) -> Findings:
    """A class with too few labelled frozen cases cannot be spoken of."""
    seen = evidence.frozen
    if policy.min_cases_per_class == 0:
        return ()
    if seen is None:
        return _plain("classes.minimum", "inconclusive", "No figures of the frozen set were given.")
    if not seen.labelled or not seen.per_class:
        return ()
    few = {c: k for c, k in seen.per_class.items() if k < policy.min_cases_per_class}
    fewest, limit = float(min(seen.per_class.values())), float(policy.min_cases_per_class)
    status, said = _small(policy, few, seen.per_class, fewest)
    return (Finding("classes.minimum", status, fewest, limit, None, said),)


def _small(
    policy: Policy, few: Mapping[str, int], counts: Mapping[str, int], fewest: float
) -> tuple[Status, str]:
    """What classes below the minimum amount to; left out only where the policy says so."""
    limit = policy.min_cases_per_class
    if not few:
        said = f"Every class has at least {limit} frozen case(s); the rarest has {fewest:.0f}."
        return "pass", said
    names = ", ".join(f"{name} ({k})" for name, k in few.items())
    if policy.small_classes == "inconclusive" or len(few) == len(counts):
        said = f"Too few frozen cases to speak of: {names}; {limit} a class are demanded."
        return "inconclusive", said
    said = f"Left out by the policy, for fewer than {limit} frozen cases: {names}; nothing is shown"
    closed = sorted(set(few) & set(policy.critical))
    if closed:
        return "inconclusive", f"{said}. {', '.join(closed)} is critical and cannot be left out."
    return "pass", f"{said} for them."


def area(policy: Policy, evidence: Evidence) -> Findings:
    """The macro AUC on the frozen set is shown to reach the policy's limit."""
    limit = policy.min_macro_auc
    if limit is None:
        return ()
    figure, bound = _finite(evidence.areas.macro.area), _finite(evidence.areas.macro.low)
    if figure is None or bound is None:
        said = "There is no macro AUC on the frozen set: labels, or positives, are missing."
        return (Finding("auc.macro", "inconclusive", None, limit, None, said),)
    said = (
        f"The macro AUC on the frozen set is {figure:.3f}, its 95% interval over patients begins "
        f"at {bound:.3f}; {limit:g} is demanded of the latter."
    )
    status: Status = "pass" if bound >= limit else "fail" if figure < limit else "inconclusive"
    return (Finding("auc.macro", status, figure, limit, bound, said),)


def identity(policy: Policy, evidence: Evidence) -> Findings:
    """The candidate is the function that it faces: consistency 1 by proof, no n and no bound."""
    if evidence.basis != "identity":
        return ()
    pairs = evidence.agreement.candidate_pairs() if evidence.agreement else ()
    if not pairs:
        return _plain("consistency.identity", "inconclusive", "No agreement confirms the identity.")
    if not any(_nothing_differs(pair) for pair in pairs):
        return _plain(
            "consistency.identity",
            "fail",
            "The build is said to be an earlier one, but its calls differ from every earlier one.",
        )
    said = (
        "Weights, buffers, preprocessing, classes, tie rule and tau equal the earlier build's "
        "under exact inference: it is that build, for every input. This says nothing of accuracy."
    )
    return (Finding("consistency.identity", "pass", 1.0, policy.p, None, said),)


def _nothing_differs(pair: Pair) -> bool:
    gone = (pair.figures.cells_discordant, pair.lost.cases, pair.gained.cases, pair.argmax_changes)
    return not any(gone)


def consistency(policy: Policy, evidence: Evidence, *, exact: bool = False) -> Findings:
    """Series, candidate against each, and ever; all must pass (design 03, three figures)."""
    agreement = _compared(evidence)
    if agreement is None:
        return _missing(evidence, "consistency")
    return judge_consistency(policy, agreement, level(policy, evidence), exact=exact)


def judge_consistency(
    policy: Policy, agreement: Agreement, a: float | None, *, exact: bool = True
) -> Findings:
    """The consistency tests alone, for comparisons outside of any build.

    Args:
        policy: its p is used.
        agreement: figures.
        a: level; None (no attempt was counted) makes every test inconclusive.
        exact: shares are held against the limit as fractions; in `gate/1` as rounded numbers, by
            which a share of just the limit could fail.
    """
    units = agreement.units
    found = [_consistent("consistency.series", agreement.series, units, policy.p, a, exact)]
    for pair in agreement.candidate_pairs():
        name = f"consistency.pair:{pair.reference}"
        found.append(_consistent(name, pair.figures, units, policy.p, a, exact))
    found.append(_consistent("consistency.ever", agreement.ever, units, policy.p, a, exact))
    return tuple(found)


def over_patients(policy: Policy, evidence: Evidence) -> Findings:
    """`consistency`, where the policy has p guaranteed of patients."""
    return () if policy.consistency_of == "cases" else consistency(policy, evidence, exact=True)


def over_cases(policy: Policy, evidence: Evidence) -> Findings:
    """The case-level rate |D| / |R|, where the policy has p guaranteed of cases."""
    if policy.consistency_of == "patients":
        return ()
    agreement = _compared(evidence)
    if agreement is None:
        return _missing(evidence, "consistency.cases")
    return judge_cases(policy, agreement, level(policy, evidence))


def judge_stated(policy: Policy, agreement: Agreement, a: float | None) -> Findings:
    """The consistency tests alone, of patients and of cases as the policy has it."""
    patients = () if policy.consistency_of == "cases" else judge_consistency(policy, agreement, a)
    return (*patients, *judge_cases(policy, agreement, a))


def judge_cases(policy: Policy, agreement: Agreement, a: float | None) -> Findings:
    """The tests of the case-level rate: series, the candidate against each, and ever.

    Holds: none where the policy wants patients only, nor where `both` are wanted and are the same
    because every patient has one case: the test of patients is the test of cases then.
    """
    if policy.consistency_of == "patients" or _said_of_both(policy, agreement):
        return ()
    tables = {"series": agreement.series}
    tables |= {f"pair:{p.reference}": p.figures for p in agreement.candidate_pairs()}
    tables |= {"ever": agreement.ever}
    return tuple(
        _of_cases(f"consistency.cases.{kind}", figures, policy, agreement, a)
        for kind, figures in tables.items()
    )


def one_case_each(policy: Policy, agreement: Agreement) -> bool:
    """Whether patients and cases are the same: no patient has two, here and as stated."""
    return policy.most_cases == 1 and agreement.largest <= 1


def _said_of_both(policy: Policy, agreement: Agreement) -> bool:
    return policy.consistency_of == "both" and one_case_each(policy, agreement)


def _of_cases(
    criterion: str, figures: Figures, policy: Policy, agreement: Agreement, a: float | None
) -> Finding:
    """Pass if the rate over cases is shown below 1 - p; fail if D/R exceeds it."""
    limit, most = allowed(policy.p), policy.most_cases
    if not _possible(figures) or not _patterned(figures):
        said = "The figures of this comparison are impossible; compare the builds again."
        return Finding(criterion, "inconclusive", None, limit, None, said)
    if figures.m == 0:
        said = "No case is reported by the builds compared: there is nothing to show it on."
        return Finding(criterion, "inconclusive", None, limit, None, said)
    rate = figures.D / figures.R
    head = (
        f"{figures.D} of {figures.R} cases that are reported are discordant "
        f"({figures.m} patients or components with at most {most} each)"
    )
    more = exceeds(figures.D, figures.R, allowed_exactly(policy.p))
    if agreement.largest > most:
        if more:
            return _decide(criterion, rate, limit, a, None, head, more)
        said = (
            f"{head}; a patient or component has {agreement.largest} cases here, so nothing can be "
            "guaranteed of cases: state `policy.most_cases` before the build is made."
        )
        return Finding(criterion, "inconclusive", rate, limit, None, said)
    bound = None if a is None else _case_bound(figures, most, policy.p, a)
    return _decide(criterion, rate, limit, a, bound, head, more)


def _patterned(f: Figures) -> bool:
    """Whether the figures have their patterns, and these amount to them."""
    rows = f.patterns or ()
    found = (sum(n for _, _, n in rows), sum(r * n for r, _, n in rows))
    return (*found, sum(d * n for _, d, n in rows)) == (f.m, f.R, f.D)


def _case_bound(figures: Figures, most: int, p: float, a: float) -> _Bound:
    """The bound over cases; on the side of the limit on which the exact decision puts it.

    Where a patient can have one case only, it is the one over patients.
    """
    patterns, limit = figures.patterns or (), allowed(p)
    short, of = _why_of_cases(figures, most, limit, a), " of cases"
    if most == 1:
        return _Bound(upper_bound(figures.D, figures.m, a), short, of)
    found = case_bound(patterns, most, a)
    if below(patterns, most, allowed_exactly(p), a):
        return _Bound(min(found, limit), short, of)
    return _Bound(max(found, math.nextafter(limit, 1.0)), short, of)


def _why_of_cases(figures: Figures, most: int, limit: float, a: float) -> str:
    mean = figures.R / figures.m
    needed = patients_needed(1.0 - limit, a)
    if most > 1:
        needed = patients_for_cases(mean, most, limit, a)
    each = "one case" if mean == 1.0 else f"{mean:.3g} cases"
    return (
        f"About {needed} patients with {each} each, none of them discordant, could show "
        f"it at this attempt where a patient can have {most}; here are {figures.m}."
    )


def critical(policy: Policy, evidence: Evidence, *, exact: bool = False) -> Findings:
    """Critical classes show consistency by themselves, in the series, each pair and ever.

    Of patients and of cases as the policy has it, where `exact`; in `gate/1` of patients.
    """
    agreement = _compared(evidence)
    if not policy.critical or evidence.basis not in COMPARED:
        return ()
    if agreement is None:
        return _missing(evidence, "critical")
    a = level(policy, evidence)
    patients = not exact or policy.consistency_of != "cases"
    cases = exact and policy.consistency_of != "patients" and not _said_of_both(policy, agreement)
    found: list[Finding] = []
    for name in policy.critical:
        tables = {"series": agreement.by_class, "ever": agreement.by_class_ever}
        tables |= {f"pair:{p.reference}": p.by_class for p in agreement.candidate_pairs()}
        for kind, table in tables.items():
            figures = _named(table, name)
            criterion = f"critical.{name}.{kind}"
            if figures is None:
                found += _plain(criterion, "inconclusive", f"No figures of class {name!r}.")
                continue
            if patients:
                found.append(_consistent(criterion, figures, figures.m, policy.p, a, exact))
            if cases:
                named = f"critical.{name}.cases.{kind}"
                found.append(_of_cases(named, figures, policy, agreement, a))
    return tuple(found)


def _named(table: Sequence[Figures], name: str) -> Figures | None:
    return next((figures for figures in table if figures.name == name), None)


def _consistent(
    criterion: str, figures: Figures, units: int, p: float, a: float | None, exact: bool
) -> Finding:
    """Pass if U(Z, m, a) <= 1 - p; fail if Z/m or D/R exceeds it; else inconclusive."""
    limit = allowed(p)
    if not _possible(figures):
        said = "The figures of this comparison are impossible; compare the builds again."
        return Finding(criterion, "inconclusive", None, limit, None, said)
    if figures.m == 0:
        said = "No case is reported by the builds compared: there is nothing to show it on."
        return Finding(criterion, "inconclusive", None, limit, None, said)
    head = (
        f"{figures.D} of {figures.R} cases that are reported are discordant "
        f"({figures.m} patients or components)"
    )
    rates = (figures.Z / figures.m, figures.D / figures.R)
    more = _exceeds(figures, p) if exact else max(rates) > limit
    bound = _of_units(figures.Z, figures.m, units, limit, a)
    return _decide(criterion, max(rates), limit, a, bound, head, more)


def _exceeds(figures: Figures, p: float) -> bool:
    """Whether Z/m or D/R is more than 1 - p; what has no exact Z is held to its rounded one."""
    limit = allowed_exactly(p)
    Z = figures.exact if figures.exact is not None else as_written(figures.Z)
    return exceeds(Z, figures.m, limit) or exceeds(figures.D, figures.R, limit)


def _possible(f: Figures) -> bool:
    """NaN fails every one of these comparisons."""
    return 0 <= f.Z <= f.m <= f.R <= f.S and 0 <= f.D <= f.R and (f.Z > 0) == (f.D > 0)


@dataclass(frozen=True, slots=True)
class _Bound:
    """A bound, what is said where it exceeds its limit, and what it is of if that is not said."""

    value: float
    short: str
    of: str = ""


def _of_units(Z: float, m: int, units: int, limit: float, a: float | None) -> _Bound | None:
    """The bound over units; none without a level."""
    return None if a is None else _Bound(upper_bound(Z, m, a), _why(m, units, limit, a))


def _decide(
    criterion: str,
    rate: float,
    limit: float,
    a: float | None,
    bound: _Bound | None,
    head: str,
    more: bool,
) -> Finding:
    """The one place where a bound is held against a limit; `more`: the rate exceeds it."""
    value = None if bound is None else bound.value
    if more:
        said = f"{head}: {percent(rate)}, more than the {percent(limit)} allowed."
        return Finding(criterion, "fail", rate, limit, value, said)
    if a is None or bound is None:
        said = f"{head}; no attempt was counted, so no level can be given."
        return Finding(criterion, "inconclusive", rate, limit, None, said)
    shown = f"{head}; at most {percent(bound.value)}{bound.of} at confidence {percent(1 - a)}"
    if bound.value <= limit:
        said = f"{shown}, within the {percent(limit)} allowed."
        return Finding(criterion, "pass", rate, limit, value, said)
    said = f"{shown}, but {percent(limit)} is allowed. {bound.short}"
    return Finding(criterion, "inconclusive", rate, limit, value, said)


def _why(m: int, units: int, limit: float, a: float) -> str:
    needed = patients_needed(1.0 - limit, a)
    if units < needed:
        return (
            f"At least {needed} patients without any such case are needed at this attempt; with "
            f"{units} this can never be shown here."
        )
    if m < needed:
        return f"At least {needed} reported patients without any such case are needed, not {m}."
    return f"{m} patients could show it ({needed} are needed without any such case), not these."


def discordant_count(policy: Policy, evidence: Evidence) -> Findings:
    """A plain limit on cases with a contradiction between any two builds."""
    if policy.max_discordant is None or evidence.basis not in COMPARED:
        return ()
    agreement = _compared(evidence)
    if agreement is None:
        return _missing(evidence, "discordant.count")
    found = max(agreement.ever.D, agreement.series.D)
    return (_within("discordant.count", found, policy.max_discordant, "discordant cases"),)


def gained(policy: Policy, evidence: Evidence) -> Findings:
    """A plain limit on reports that an earlier build did not make."""
    if policy.max_gained is None or evidence.basis not in COMPARED:
        return ()
    agreement = _compared(evidence)
    if agreement is None:
        return _missing(evidence, "gained")
    return tuple(
        _within(f"gained:{p.reference}", p.gained.cases, policy.max_gained, "reports gained")
        for p in agreement.candidate_pairs()
    )


def actions(policy: Policy, evidence: Evidence) -> Findings:
    """A plain limit on cases whose clinical action changes."""
    if policy.max_action_discordant is None or evidence.basis not in COMPARED:
        return ()
    figures = evidence.agreement.actions if evidence.agreement else None
    if figures is None:
        return _missing(evidence, "actions.count")
    found = max(figures.ever.D, figures.series.D)
    what = "cases whose clinical action changes"
    return (_within("actions.count", found, policy.max_action_discordant, what),)


def _within(criterion: str, found: int, limit: int, what: str) -> Finding:
    status: Status = "pass" if 0 <= found <= limit else "fail"
    said = f"{found} {what}; {limit} allowed."
    return Finding(criterion, status, _finite(found), float(limit), None, said)


def lost(policy: Policy, evidence: Evidence) -> Findings:
    """Reports that are no longer made: overall and of every critical class, against each build."""
    if evidence.basis not in COMPARED:
        return ()
    agreement = _compared(evidence)
    if agreement is None:
        return _missing(evidence, "lost")
    return judge_kept(policy, agreement, level(policy, evidence))


def judge_kept(policy: Policy, agreement: Agreement, a: float | None) -> Findings:
    """The tests of lost reports alone, at a level; see `judge_consistency`."""
    found: list[Finding] = []
    for pair in agreement.candidate_pairs():
        found.append(_kept(f"lost:{pair.reference}", pair.lost, policy.delta, a))
        for name in policy.critical:
            own = next((entry for entry in pair.lost_by_class if entry.name == name), None)
            found.append(_kept(f"lost:{pair.reference}:{name}", own, policy.delta, a))
    return tuple(found)


def lost_by_side(policy: Policy, evidence: Evidence) -> Findings:
    """As `lost`; of a multi-label classifier calls (yes) and exclusions (no) apart.

    A patient who loses a call counts whole, as of a single-label classifier; of exclusions the
    patients' shares count (docs/explanation/longitudinal-consistency.md says why). A build that
    rules nothing out has no exclusion to lose, and there is no finding.
    """
    if evidence.task != "multi":
        return lost(policy, evidence)
    agreement = _compared(evidence)
    if agreement is None:
        return _missing(evidence, "lost")
    a = level(policy, evidence)
    found: list[Finding] = []
    for pair in agreement.candidate_pairs():
        who = pair.reference
        found.append(_kept(f"lost.yes:{who}", pair.lost_yes, policy.delta, a, "calls", "call"))
        found += _kept_open(f"lost.no:{who}", pair.lost_no, policy.delta_no, a)
        for name in policy.critical:
            yes = next((entry for entry in pair.lost_by_class if entry.name == name), None)
            no = next((entry for entry in pair.lost_no_by_class if entry.name == name), None)
            of = f"calls {name}"
            found.append(_kept(f"lost.yes:{who}:{name}", yes, policy.delta, a, of, "call"))
            if no is None or no.reported_units != 0:
                of, gone = f"rules {name} out of", "exclusion"
                found.append(_kept(f"lost.no:{who}:{name}", no, policy.delta_no, a, of, gone))
    return tuple(found)


def _kept_open(criterion: str, entry: LostNo, limit: float, a: float | None) -> Findings:
    """The mean share of a patient's exclusions that are left open."""
    m = entry.m
    if m == entry.excluded_cells == 0:
        return ()
    if not 0 <= entry.Z <= m <= entry.excluded_cells or not entry.cells >= 0 or m == 0:
        said = "The figures of the exclusions are impossible; compare the builds again."
        return (Finding(criterion, "inconclusive", None, limit, None, said),)
    head = (
        f"Of {entry.excluded_cells} exclusions in {m} patients {entry.cells} are left open, of a "
        "patient's own on average"
    )
    Z = Fraction(*entry.exact) if entry.exact is not None else as_written(entry.Z)
    rate, bound = float(Z / m), _of_units(entry.Z, m, m, limit, a)
    head = f"{head} {percent(rate)}"
    return (_decide(criterion, rate, limit, a, bound, head, exceeds(Z, m, limit)),)


def _kept(
    criterion: str,
    entry: Lost | None,
    delta: float,
    a: float | None,
    does: str = "reports",
    gone: str = "report",
) -> Finding:
    if entry is None or not 0 <= entry.units <= entry.reported_units or not entry.reported_units:
        said = f"The earlier build {does} no patient: that its {gone}s are kept " + NO_UNITS
        return Finding(criterion, "inconclusive", None, delta, None, said)
    m, rate = entry.reported_units, entry.units / entry.reported_units
    head = f"Of {m} patients whom the earlier build {does}, {entry.units} lose a {gone}"
    bound = _of_units(entry.units, m, m, delta, a)
    return _decide(criterion, rate, delta, a, bound, head, rate > delta)


def reportable(policy: Policy, evidence: Evidence) -> Findings:
    """A floor under what all builds report, so that silence cannot pass for agreement."""
    if evidence.basis not in COMPARED:
        return ()
    agreement = _compared(evidence)
    if agreement is None:
        return _missing(evidence, "reportable.floor")
    figure, limit = _finite(agreement.series.reportable), policy.reportable_floor
    if figure is None or agreement.series.cases_any == 0:
        said = "No build reports any case: what is reportable cannot be judged."
        return (Finding("reportable.floor", "inconclusive", figure, limit, None, said),)
    said = f"All builds report {percent(figure)} of the results; at least {percent(limit)} are due."
    status: Status = "pass" if figure >= limit else "fail"
    return (Finding("reportable.floor", status, figure, limit, None, said),)


def margins(policy: Policy, evidence: Evidence) -> Findings:
    """Opt-in: patients right and reported before must stay so, per class."""
    if evidence.basis not in COMPARED:
        return ()
    stated = {
        "sensitivity": policy.margins.sensitivity or {},
        "specificity": policy.margins.specificity or {},
    }
    counts = evidence.frozen.margins if evidence.frozen else ()
    a = level(policy, evidence)
    found: list[Finding] = []
    for kind, limits in stated.items():
        for name, limit in limits.items():
            own = [c for c in counts if (c.kind, c.name) == (kind, name)]
            found += _margin(f"{kind}.{name}", own, limit, a, evidence)
    return tuple(found)


def _margin(
    criterion: str,
    counts: Sequence[MarginCounts],
    limit: float,
    a: float | None,
    evidence: Evidence,
) -> Findings:
    """One finding a reference; a reference without counts is missing evidence."""
    faced = evidence.agreement.candidate_pairs() if evidence.agreement else ()
    absent = {pair.reference for pair in faced} - {entry.reference for entry in counts}
    if absent or not counts:
        who = f" against {', '.join(sorted(absent))}" if absent else ""
        return _plain(criterion, "inconclusive", f"{criterion}{who} {NO_UNITS}")
    return tuple(_margin_one(f"{criterion}:{c.reference}", c, limit, a) for c in counts)


def _margin_one(criterion: str, c: MarginCounts, limit: float, a: float | None) -> Finding:
    if not 0 <= c.lost <= c.units or c.units == 0:
        said = f"{criterion} {NO_UNITS}"
        return Finding(criterion, "inconclusive", None, limit, None, said)
    head = f"Of {c.units} patients {c.lost} were right and reported before and are not now"
    rate = c.lost / c.units
    bound = _of_units(c.lost, c.units, c.units, limit, a)
    return _decide(criterion, rate, limit, a, bound, head, rate > limit)


def _compared(evidence: Evidence) -> Agreement | None:
    return evidence.agreement if evidence.basis in COMPARED else None


def _missing(evidence: Evidence, criterion: str) -> Findings:
    """No finding where the criterion does not apply; inconclusive where it does."""
    if evidence.basis not in COMPARED:
        return ()
    return _plain(criterion, "inconclusive", f"No figures for {criterion} were given.")


CRITERIA: dict[str, Criterion] = {
    "evidence": complete,
    "data.validation": validation,
    "pin": pin,
    "policy.age": policy_age,
    "recipe.blind": recipe,
    "tau": tau,
    "holdout": holdout,
    "classes.minimum": minima,
    "auc.macro": area,
    "consistency.identity": identity,
    "consistency": consistency,
    "discordant.count": discordant_count,
    "critical": critical,
    "lost": lost,
    "gained": gained,
    "reportable.floor": reportable,
    "margins": margins,
    "actions.count": actions,
    "arithmetic": arithmetic,
    "rehearsals": rehearsals,
}
# What `gate/2` judges by. Entries of CRITERIA are never taken away or changed: cases name them.
CRITERIA_2: dict[str, Criterion] = {
    **CRITERIA,
    "consistency": over_patients,
    "consistency.cases": over_cases,
    "lost": lost_by_side,
    "critical": partial(critical, exact=True),
    "frozen.amended": amended,
}
