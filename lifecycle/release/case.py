"""A case: what a verdict rests on, and the verdict made from it and from saved predictions alone.

The gate of today and the auditor of tomorrow run these lines (decision 8). Nothing here needs the
training data, the weights or params.yaml, which may all have changed by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle.consistency.agree import Agreement, Series, agree
from lifecycle.consistency.align import align, take
from lifecycle.consistency.calls import call
from lifecycle.consistency.tau import choose
from lifecycle.domain.classifier import Origin, Policy, Task, TauPlan
from lifecycle.domain.cohort import Pin
from lifecycle.domain.digests import sha256
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.domain.verdict import Verdict
from lifecycle.dossier import builds as kept
from lifecycle.dossier.builds import Build
from lifecycle.dossier.exposed import Exposed
from lifecycle.dossier.files import record_in
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.pins import read_pins
from lifecycle.dossier.terms import completed
from lifecycle.errors import IntegrityError
from lifecycle.gate.criteria import COMPARED
from lifecycle.gate.evidence import (
    Amendment,
    Basis,
    Evidence,
    Exposure,
    Followed,
    frozen_areas,
    frozen_figures,
    holdout_figures,
)
from lifecycle.gate.judge import decision_of, difference, judge, verdict_of
from lifecycle.gate.rules import rules_of
from lifecycle.records.format import published, value_of
from lifecycle.records.release import CASE, CaseFactsV2
from lifecycle.release.amended import amendment_of, compared_before
from lifecycle.release.files import read_plain
from lifecycle.release.followed import Facts, Scored, followed_of
from lifecycle.release.standing import Needs
from lifecycle.stats.intervals import attempt_level


@dataclass(frozen=True, slots=True)
class Case:
    """What a verdict rests on.

    Attributes:
        classifier, version, task: whose build it is.
        build: number of the judged build.
        first: number of the version's first build; tau is chosen on its holdout.
        references: builds that it faces, in order; none for a first build.
        released: whether the references are signed releases.
        identical: it computes the same function as every reference, by proof (exact arithmetic).
        pin: digest of the frozen set in force.
        attempt: k of the attempt; 0 for a version's first network.
        policy: what was demanded.
        tau: how tau is chosen.
        yes, no: tau in force, as chosen.
        validation_passed: the data met their expectations.
        policy_newer: the policy was changed after the build was made.
        arithmetic_fault: what must give the same weights gave others.
        list_seen: the recipe was changed after the discordant cases could be seen.
        numerics_mode: of the build.
        rehearsals: rehearsed profiles that agreed.
        rehearsed_other_bits: rehearsed profiles that gave other bits in exact mode.
        origin: real or simulated cases.
        rules: the numbered rules that it is judged by.
        criteria: names of the criteria of these rules that it is judged by.
        followed: what the chain says of earlier versions; None in a case of `gate/1`.
        exposure: networks that were judged on the frozen cases; none in a case of `gate/1`.
    """

    classifier: str
    version: str
    task: Task
    build: int
    first: int
    references: tuple[int, ...]
    released: bool
    identical: bool
    pin: str
    attempt: int
    policy: Policy
    tau: TauPlan
    yes: tuple[float, ...]
    no: tuple[float, ...] | None
    validation_passed: bool
    policy_newer: bool
    arithmetic_fault: bool
    list_seen: bool
    numerics_mode: str
    rehearsals: int | None
    rehearsed_other_bits: tuple[str, ...]
    origin: Origin
    rules: str
    criteria: tuple[str, ...]
    followed: Facts | None = None
    exposure: tuple[Exposed, ...] = ()

    @property
    def basis(self) -> Basis:
        """What the build is judged against."""
        if not self.references:
            return "first build"
        if self.identical:
            return "identity"
        return "statistical" if self.released else "unreleased reference"


@dataclass(frozen=True, slots=True)
class Judged:
    """A case with the verdict that was made from it: the file that a release record names."""

    case: Case
    verdict: Verdict


def to_record(judged: Judged) -> dict[str, Any]:
    """A judged case as its file keeps it; `from_record` gives back an equal value."""
    case = judged.case
    facts = published(case, CaseFactsV2)
    return CASE.write({"case": facts, "verdict": decision_of(judged.verdict)})


def from_record(value: object, where: str) -> Judged:
    """The judged case of a kept file, of any published version.

    Raises:
        UnusableInputError: a newer program wrote it.
        IntegrityError: a key is unknown, missing or of another type.
    """
    entry = CASE.read(value, where)
    # not checked by the settings of today, which may have become stricter since
    case: Case = value_of(Case, entry["case"])
    return Judged(case, verdict_of(entry["verdict"], where))


def kept_case(layout: Layout, digest: str) -> Judged:
    """A signed case, whole.

    Raises:
        IntegrityError: the file is missing or was changed.
    """
    path = layout.cases / f"{digest}.json"
    if not path.exists():
        raise IntegrityError(f"{path} is missing: restore it from git")
    data = read_plain(path)
    if sha256(data) != digest:
        raise IntegrityError(f"{path} was changed: restore it from git")
    return from_record(record_in(data, path), str(path))


def needs_of(layout: Layout) -> Needs:
    """The roles that each signed case's own policy asks for.

    The policy of today has no say in what was decided under another: a looser one would release
    what was refused, and a stricter one would end what is in use.
    """
    known: dict[str, Sequence[str]] = {}

    def needs(digest: str) -> Sequence[str]:
        if digest not in known:
            known[digest] = kept_case(layout, digest).case.policy.signatures
        return known[digest]

    return needs


def replay(layout: Layout, case: Case) -> Verdict:
    """The verdict, from the case and the saved predictions, by the rules that the case names.

    Raises:
        UnusableInputError: rules of a newer program.
        IntegrityError: builds, pins or tau are not those that the case names.
    """
    return judge(case.policy, evidence_of(layout, case), case.rules, case.criteria)


def replayed(layout: Layout, judged: Judged, where: str) -> Verdict:
    """The verdict of a kept case, made anew: the same decision, in the sentences of today.

    Raises:
        IntegrityError: the saved predictions give another decision; names what differs.
    """
    again = replay(layout, judged.case)
    found = difference(judged.verdict, again)
    if found is not None:
        raise IntegrityError(
            f"{where}: field verdict.{found}: the saved predictions give another verdict"
        )
    return again


def evidence_of(layout: Layout, case: Case) -> Evidence:
    """Everything that the gate looks at; figures are computed anew.

    Raises:
        IntegrityError: builds, pins or tau are not those that the case names.
    """
    build = kept.read_build(layout, case.build)
    cutoffs = _cutoffs(layout, case)
    aligned = faced(layout, build, [kept.read_build(layout, n) for n in case.references], case.pin)
    agreement = None
    if case.references:
        agreement = agreement_of(aligned, cutoffs, case.policy, case.attempt)
    calls = {name: call(predictions, cutoffs) for name, predictions in aligned.items()}
    candidate = calls.pop(build.name)
    return Evidence(
        build=case.build,
        basis=case.basis,
        # weights equal to the first build's are no attempt; they are held to the first one's level
        attempt=max(1, case.attempt) if case.basis in COMPARED else 0,
        agreement=agreement,
        cutoffs=cutoffs,
        holdout=holdout_figures(kept.holdout_predictions(build), cutoffs, case.tau.positive),
        frozen=frozen_figures(candidate, aligned[build.name].labels, calls, case.policy.unit),
        validation_passed=case.validation_passed,
        pin_intact=True,  # `faced`, above, ends otherwise
        policy_newer=case.policy_newer,
        same_fingerprint_other_weights=case.arithmetic_fault,
        numerics_mode=case.numerics_mode,
        rehearsals=case.rehearsals,
        rehearsed_other_bits=case.rehearsed_other_bits,
        areas=frozen_areas(kept.frozen_predictions(build), case.policy),
        origin=case.origin,
        task=case.task,
        recipe_changed_after_list=case.list_seen,
        amendment=_amendment(layout, case, cutoffs),
        followed=_followed(layout, case, cutoffs),
        exposure=_exposure(case),
    )


def _exposure(case: Case) -> Exposure:
    networks = {weights for one in case.exposure for weights in one.weights}
    counts = ((one.classifier, one.version, len(one.weights)) for one in case.exposure)
    return Exposure(len(networks), tuple(counts))


def _followed(layout: Layout, case: Case, cutoffs: Cutoffs) -> Followed | None:
    """How the build stands to the version that it follows; None where nobody asked.

    Raises:
        IntegrityError: a build or pin of that version is missing or was changed.
    """
    if case.followed is None:
        return None
    builds = [kept.read_build(layout, number) for number in case.followed.builds]
    before = [_scored_before(layout, build, case) for build in builds]
    build = kept.read_build(layout, case.build)
    force = _pin(layout, _pins_of(layout, case.version), case.pin, build)
    judged = Scored(build.name, pinned_scores(layout, build, force), force, cutoffs)
    return followed_of(case.followed, case.policy, judged, before)


def _pins_of(layout: Layout, version: str) -> list[Pin]:
    return [pin for pin in read_pins(layout.pins) if pin.version == version]


def _scored_before(layout: Layout, build: Build, case: Case) -> Scored:
    """A release of the version before, at the tau of its own first build.

    Raises:
        IntegrityError: it is no build of the version that the policy names.
    """
    plan = case.policy.predecessor
    if plan is None or build.version != plan.version:
        raise IntegrityError(
            f"{layout.name} {build.name} is of version {build.version}, which the policy does not "
            "name as the one that is followed"
        )
    first = first_build(layout, build.version)
    terms = completed(first.content["terms"])
    tau = choose(kept.holdout_predictions(first), value_of(TauPlan, terms["tau"]))
    total = build.content["inputs"]["pin"]["total"]
    pin = _pin(layout, _pins_of(layout, build.version), total, build)
    return Scored(build.name, pinned_scores(layout, build, pin), pin, tau)


def first_build(layout: Layout, version: str) -> Build:
    """The first build of a version, of those that are at hand.

    Raises:
        IntegrityError: there is none.
    """
    found = kept.first_of(kept.builds_here(layout), version)
    if found is None:
        raise IntegrityError(f"{layout.builds}: no build of version {version}; restore it from git")
    return found


def _amendment(layout: Layout, case: Case, cutoffs: Cutoffs) -> Amendment:
    build = kept.read_build(layout, case.build)
    faced_builds = [kept.read_build(layout, number) for number in case.references]
    return amendment_of(layout, build, faced_builds, looked_at(layout, case), cutoffs)


def looked_at(layout: Layout, case: Case) -> list[Build]:
    """Builds that were compared before the frozen set was amended; `gate/1` did not ask."""
    if not rules_of(case.rules, f"b{case.build}").looks_at_all:
        return []
    build = kept.read_build(layout, case.build)
    settled = [kept.read_build(layout, n) for n in case.references] if case.released else []
    return compared_before(layout, build, settled, kept.builds_here(layout))


def _cutoffs(layout: Layout, case: Case) -> Cutoffs:
    first = kept.read_build(layout, case.first)
    cutoffs = choose(kept.holdout_predictions(first), case.tau)
    if (cutoffs.yes, cutoffs.no) != (case.yes, case.no):
        raise IntegrityError(
            f"{layout.name} {first.name}: its holdout gives another tau than the case states"
        )
    return cutoffs


def agreement_of(
    aligned: Mapping[str, Predictions], cutoffs: Cutoffs, policy: Policy, attempt: int
) -> Agreement:
    """Agreement of aligned builds, the candidate last.

    Args:
        aligned: name -> predictions on the same cases.
        cutoffs: tau in force.
        policy: gives the unit, the actions and alpha.
        attempt: k; 0 is held to the first attempt's level.
    """
    calls = tuple(call(predictions, cutoffs) for predictions in aligned.values())
    return agree(
        Series(tuple(aligned), calls),
        attempt_level(policy.alpha, max(1, attempt)),
        unit=policy.unit,
        subgroups=list(aligned.values())[-1].subgroups,
        scores=[predictions.scores for predictions in aligned.values()],
        actions=policy.actions,
    )


def faced(
    layout: Layout, build: Build, references: Sequence[Build], total: str
) -> dict[str, Predictions]:
    """Frozen scores of the references and of the build (last), on the same cases.

    A reference scored under an earlier pin is compared on the cases that the amendment left as
    they were: its scores of a changed case are scores of something else.

    Args:
        layout: the classifier's folders.
        build: the candidate.
        references: builds that it faces.
        total: digest of the pin in force for the candidate.

    Raises:
        IntegrityError: scores of other cases than a pin names, or a pin is missing.
    """
    pins = [pin for pin in read_pins(layout.pins) if pin.version == build.version]
    force = _pin(layout, pins, total, build)
    found, amended = {}, False
    for reference in references:
        old = _pin(layout, pins, reference.content["inputs"]["pin"]["total"], reference)
        scores = pinned_scores(layout, reference, old)
        if old.total != force.total:
            amended = True
            same = {case for case, digest in old.cases.items() if force.cases.get(case) == digest}
            scores = take(scores, [i for i, case in enumerate(scores.ids) if case in same])
        found[reference.name] = scores
    found[build.name] = pinned_scores(layout, build, force)
    return align(found, allow_missing=amended)


def _pin(layout: Layout, pins: Sequence[Pin], total: str, build: Build) -> Pin:
    for pin in pins:
        if pin.total == total:
            return pin
    raise IntegrityError(
        f"{layout.pins}: the pin that {build.name} was scored under is missing; restore the file "
        "from git"
    )


def pinned_scores(layout: Layout, build: Build, pin: Pin) -> Predictions:
    """A build's scores on exactly the pinned cases.

    Raises:
        IntegrityError: they are scores of other cases.
    """
    predictions = kept.frozen_predictions(build)
    odd = sorted(set(predictions.ids) ^ set(pin.cases))
    if odd:
        raise IntegrityError(
            f"{build.folder / kept.FROZEN}: the cases are not those of pin {pin.number} "
            f"(first: {odd[0]})"
        )
    return predictions
