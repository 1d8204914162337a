"""The gate: policy and evidence to a verdict. Pure; a verdict is a value, never an exception."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lifecycle.domain.classifier import Policy
from lifecycle.domain.digests import digest_of
from lifecycle.domain.verdict import Finding, Verdict, worst
from lifecycle.errors import IntegrityError
from lifecycle.gate.criteria import COMPARED, level
from lifecycle.gate.evidence import Evidence
from lifecycle.gate.following import shown_of
from lifecycle.gate.guarantee import guaranteed, needed_patients
from lifecycle.gate.rules import NOW, RULES, criteria_of
from lifecycle.records.evidence import VERDICT
from lifecycle.records.format import plain, published
from lifecycle.records.settings import PolicyRecord
from lifecycle.stats.intervals import attempt_level, patients_needed

FIXED_BUILDS = (
    "The builds are fixed and the cases are random: the verdict speaks of these builds on cases "
    "like the frozen ones, not of what the recipe would do next time."
)
ATTEMPTS_SEEN = "Attempts made in a clone that was thrown away cannot be counted."

# Keys of the policy that came late: absent from its digest where they say just this.
_LATER = {
    "small_classes": "inconclusive",
    "min_macro_auc": None,
    "signatures": ["reviewer", "approver"],
}
_DECIDES = ("criterion", "status", "figure", "limit", "bound")
_CLOSE = 1e-9  # relative: another release of a numerical library may change a last digit


def judge(
    policy: Policy, evidence: Evidence, rules: str = NOW, criteria: Sequence[str] | None = None
) -> Verdict:
    """Judge a build: every criterion in order, the verdict the worst of them.

    Holds: missing evidence (None) never passes; a criterion that does not apply yields no
    finding and is listed under `shown["not_applicable"]`; tests are taken at a_k = alpha / 2^k
    and all must pass (intersection-union, so no correction among them).

    Args:
        policy: what is demanded.
        evidence: what is known.
        rules: the numbered rules to judge by; today's where none are named.
        criteria: names of the criteria to apply; all that the rules have where None.

    Returns:
        The verdict; equal input gives an equal verdict.

    Raises:
        UsageError: p, alpha, delta or a margin of the policy is not within (0, 1).
        UnusableInputError: rules or criteria of a newer program.
        IntegrityError: a criterion that the rules demand is not among `criteria`.
    """
    names = tuple(RULES[rules].criteria) if criteria is None else tuple(criteria)
    chosen = criteria_of(rules, names, f"the verdict on b{evidence.build}")
    found = {name: criterion(policy, evidence) for name, criterion in chosen.items()}
    findings = tuple(finding for group in found.values() for finding in group)
    return Verdict(
        status=worst(tuple(finding.status for finding in findings)),
        basis=evidence.basis,
        build=evidence.build,
        findings=findings,
        policy=policy_digest(policy),
        rules=rules,
        criteria=names,
        shown=_shown(
            _as_read(policy, names),
            evidence,
            [name for name, group in found.items() if not group],
        ),
    )


def _as_read(policy: Policy, criteria: Sequence[str]) -> Policy:
    """The policy as the rules read it: `gate/1` knew one meaning of p only."""
    known = "consistency.cases" in criteria
    return policy if known else replace(policy, consistency_of="patients")


def policy_digest(policy: Policy) -> str:
    """SHA-256 of the policy's canonical JSON.

    Keys that came later count only where they say something: a policy that was written before
    them is the same policy.
    """
    entries = published(policy, PolicyRecord).items()
    return digest_of({k: v for k, v in entries if k not in _LATER or v != _LATER[k]})


def difference(one: Verdict, two: Verdict) -> str | None:
    """Which field of two verdicts decides otherwise; None where they are the same decision.

    What is compared is what decides: status, basis, policy, rules, and of each finding criterion,
    status, figure, limit and bound. Figures may differ in their last digits.
    """
    for key in ("status", "basis", "build", "policy", "rules", "criteria"):
        if getattr(one, key) != getattr(two, key):
            return key
    if len(one.findings) != len(two.findings):
        return "findings"
    for a, b in zip(one.findings, two.findings, strict=True):
        for key in _DECIDES:
            if not _alike(getattr(a, key), getattr(b, key)):
                return f"findings.{a.criterion}.{key}"
    return None


def _alike(one: object, two: object) -> bool:
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=_CLOSE, abs_tol=_CLOSE)
    return one == two


def can_ever_show(policy: Policy, patients: int, cases: int | None = None) -> str | None:
    """A warning, before anything is built, that a frozen set is too small for its policy.

    Args:
        policy: what is demanded.
        patients: patients (or components) of the frozen set.
        cases: its cases; one a patient where they are not stated.

    Returns:
        The sentence, or None where a first attempt without any discordant or lost case, all of
        them reported, would pass.
    """
    a, n = attempt_level(policy.alpha, 1), cases if cases is not None else patients
    wanted = {
        f"consistency {policy.p:g}": needed_patients(policy, n, patients, a),
        f"at most {policy.delta:g} of reports lost": patients_needed(1.0 - policy.delta, a),
    }
    said = []
    short = [f"{what} needs {needed}" for what, needed in wanted.items() if needed > patients]
    if short:
        said.append(
            f"The frozen set has {patients} patients. Without a single discordant case, at the "
            f"first attempt, {' and '.join(short)}: a rebuild can only be inconclusive."
        )
    if policy.consistency_of != "patients" and n > patients * policy.most_cases:
        said.append(
            f"Its {patients} patients have {n} cases, so a patient has more than the "
            f"{policy.most_cases} that `policy.most_cases` allows for: state how many a patient "
            "can have, or a rebuild can only be inconclusive."
        )
    return " ".join(said) or None


def to_json(verdict: Verdict) -> dict[str, Any]:
    """All of a verdict as JSON for people and programs: sentences and shown figures too."""
    value: dict[str, Any] = plain(verdict)
    return value


def decision_of(verdict: Verdict) -> dict[str, Any]:
    """What is kept of a verdict: what decides, by which rules; no sentence."""
    return {
        "status": verdict.status,
        "basis": verdict.basis,
        "build": verdict.build,
        "rules": verdict.rules,
        "criteria": list(verdict.criteria),
        "findings": [{key: getattr(one, key) for key in _DECIDES} for one in verdict.findings],
        "policy": verdict.policy,
    }


def to_record(verdict: Verdict, classifier: str, weights: str) -> dict[str, Any]:
    """A verdict as `dossier/<c>/verdicts/bN.json` keeps it; `from_record` reads it.

    Args:
        verdict: what was decided.
        classifier: of which classifier.
        weights: SHA-256 over parameters and buffers of the build that was judged.
    """
    return VERDICT.write({**decision_of(verdict), "classifier": classifier, "weights": weights})


def from_record(value: object, where: str, build: int, classifier: str, weights: str) -> Verdict:
    """The verdict of a kept file: without sentences, which are made when it is judged again.

    Args:
        value: parsed JSON.
        where: the file, for messages.
        build: N of the build that it must be a verdict on.
        classifier: whose verdict it must be.
        weights: of that build. A record of before version 3 names neither classifier nor weights.

    Raises:
        IntegrityError: it was changed, or is a verdict on another build.
        UnusableInputError: a newer program wrote it.
    """
    entry = VERDICT.read(value, where)
    wanted = {"build": build, "classifier": classifier, "weights": weights}
    for field, there in wanted.items():
        if entry[field] not in (there, None):
            raise IntegrityError(
                f"{where} was changed: field {field}: {entry[field]}, and it stands as the verdict "
                f"on b{build} of {classifier}; restore it from git, or run "
                f"`dvc repro -f gate@{classifier}` for the current build"
            )
    return verdict_of(entry, where)


def verdict_of(decision: Mapping[str, Any], where: str) -> Verdict:
    """The verdict that `decision_of` wrote.

    Raises:
        IntegrityError: the status is not the worst of the findings.
    """
    verdict = Verdict(
        status=decision["status"],
        basis=decision["basis"],
        build=decision["build"],
        findings=tuple(Finding(**one) for one in decision["findings"]),
        policy=decision["policy"],
        rules=decision["rules"],
        criteria=tuple(decision["criteria"]),
    )
    expected = worst(tuple(finding.status for finding in verdict.findings))
    if verdict.status != expected:
        raise IntegrityError(
            f"{where}: the verdict says {verdict.status}, but its findings amount to {expected}: "
            "it was changed"
        )
    return verdict


def _shown(policy: Policy, evidence: Evidence, unused: list[str]) -> dict[str, Any]:
    """What stands beside the verdict and does not decide; finite JSON."""
    agreement = evidence.agreement
    shown: dict[str, Any] = {
        "not_applicable": unused,
        "attempt": evidence.attempt,
        "level": level(policy, evidence),
        "numerics_mode": evidence.numerics_mode,
        "origin": evidence.origin,
        "rehearsals": evidence.rehearsals,
        "holdout": plain(evidence.holdout),
        "frozen": plain(evidence.frozen),
        "areas": plain(evidence.areas),
        "remarks": [FIXED_BUILDS, ATTEMPTS_SEEN],
    }
    shown |= _power(policy, evidence)
    if agreement is not None:
        if evidence.basis in COMPARED:
            shown["guaranteed"] = guaranteed(policy, agreement, level(policy, evidence))
        shown["names"] = list(agreement.names)
        shown["series"], shown["ever"] = plain(agreement.series), plain(agreement.ever)
        shown["discordant"] = [entry.case for entry in agreement.discordant]
    shown |= shown_of(evidence)
    cleaned: dict[str, Any] = _finite(shown)
    return cleaned


def _power(policy: Policy, evidence: Evidence) -> dict[str, Any]:
    """How many patients the policy needs at this attempt, and whether they are there."""
    a = level(policy, evidence) or attempt_level(policy.alpha, 1)
    units = evidence.agreement.units if evidence.agreement else None
    if units is None and evidence.frozen is not None:
        units = evidence.frozen.units
    cases = evidence.frozen.cases if evidence.frozen is not None else units
    if evidence.agreement is not None:
        cases = evidence.agreement.series.S
    needed = needed_patients(policy, cases or 0, units or 0, a)
    warned = evidence.basis in COMPARED or evidence.basis == "first build"
    return {
        "patients_needed": needed,
        "patients": units,
        "can_be_shown": None if units is None else units >= needed,
        "warning": can_ever_show(policy, units, cases) if warned and units is not None else None,
    }


def _finite(value: Any) -> Any:
    """JSON cannot say NaN; what is not finite is shown as absent."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
