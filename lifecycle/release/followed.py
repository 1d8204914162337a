"""A build against the releases of the version that its own follows: each side with its own tau.

Whose releases these are follows from the signed chain (`predecessors`). Here two versions are
brought to the cases and classes that they share: a frozen case is the same where its name and its
content are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lifecycle.consistency.agree import Agreement, Series, agree
from lifecycle.consistency.align import take
from lifecycle.consistency.calls import call
from lifecycle.consistency.mapped import ClassMap, Mapped, through
from lifecycle.domain.classifier import Policy, PredecessorPlan
from lifecycle.domain.cohort import Pin
from lifecycle.domain.predictions import Calls, Cutoffs, Predictions
from lifecycle.errors import IntegrityError
from lifecycle.gate.evidence import Followed
from lifecycle.stats.intervals import attempt_level


@dataclass(frozen=True, slots=True)
class Facts:
    """What the chain says of the versions before a build's own; stands in its case.

    Attributes:
        earlier: the last version that was released before; None where there is none.
        builds: numbers of the releases of the version that the policy names, in order.
        attempt: k of the comparison with them: networks judged since, over all versions that were
            not released meanwhile; at least 1.
    """

    earlier: str | None
    builds: tuple[int, ...]
    attempt: int


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A build with what its calls are made of.

    Attributes:
        name: bN.
        frozen: its scores on the frozen set.
        pin: that it was scored under.
        tau: of its own version.
    """

    name: str
    frozen: Predictions
    pin: Pin
    tau: Cutoffs


def followed_of(facts: Facts, policy: Policy, judged: Scored, before: Sequence[Scored]) -> Followed:
    """How a build stands to the releases of the version before its own.

    Args:
        facts: of the chain.
        policy: names the version and its class map; gives unit, alpha and actions.
        judged: the build.
        before: the releases, as `facts.builds` has them.

    Raises:
        IntegrityError: one case has two patients or groups.
    """
    plan = policy.predecessor
    version = "" if plan is None else plan.version
    found = Followed(facts.earlier, version, facts.builds, facts.attempt)
    if plan is None or not before:
        return found
    common, changed = _common(judged, before)
    then = {case for one in before for case in one.pin.cases}
    found = replace(
        found,
        common=len(common),
        only_now=tuple(sorted(set(judged.pin.cases) - then)),
        only_then=tuple(sorted(then - set(judged.pin.cases))),
        changed=changed,
    )
    why = _incomparable(plan, judged, before, common)
    if why:
        return replace(found, why=why)
    maps = _maps(plan, judged, before)
    mapped = through(_calls([*before, judged], common), maps, judged.name)
    found = replace(
        found,
        unmatched={name: one for name, one in mapped.unmatched.items() if one},
        astray=_astray(maps, judged, before),
        called=mapped.called,
        compared=mapped.compared,
    )
    if not mapped.rows.any():
        return replace(found, why="no common case is called a class that both versions have")
    agreement = _agreement(mapped, policy, facts.attempt, judged, common)
    return replace(found, agreement=agreement)


def _common(judged: Scored, before: Sequence[Scored]) -> tuple[list[str], tuple[str, ...]]:
    """Cases that are the same in every build, and those that only go by the same name.

    The same is a case of one name, patient, group and content. Its label may be another: a class
    that has a new name changes the label of its cases, and no call.
    """
    now, then = _contents(judged), [_contents(one) for one in before]
    same = [
        case
        for case, entry in now.items()
        if all(case in one and _same_case(entry, one[case]) for one in then)
    ]
    other = {
        case
        for one in then
        for case, entry in one.items()
        if case in now and not _same_case(now[case], entry)
    }
    return sorted(same), tuple(sorted(other))


Entry = tuple[str, str | None, tuple[str, str]]


def _contents(one: Scored) -> dict[str, Entry]:
    """Case -> its digest, that of its values where it is kept, its patient and group."""
    rows = zip(one.frozen.ids, one.frozen.patients, one.frozen.groups, strict=True)
    return {
        case: (one.pin.cases[case], one.pin.values.get(case), (patient, group))
        for case, patient, group in rows
    }


def _same_case(one: Entry, two: Entry) -> bool:
    return one[0] == two[0] or (one[1] is not None and one[1:] == two[1:])


def _incomparable(
    plan: PredecessorPlan, judged: Scored, before: Sequence[Scored], common: Sequence[str]
) -> str:
    """Why nothing can be compared; "" where something can."""
    if not common:
        return "no frozen case is the same in both versions, by name and content"
    for one in before:
        if one.frozen.task != judged.frozen.task:
            return f"{one.name} is {one.frozen.task}-label and the build {judged.frozen.task}-label"
        strange = sorted(set(plan.classes or ()) - set(one.frozen.classes))
        if strange:
            return f"the class map names {strange[0]!r}, which {one.name} does not have"
    shared = {target for own in _maps(plan, judged, before).values() for target in own.values()}
    if len(shared) < (2 if judged.frozen.task == "single" else 1):
        return "the versions share too few classes for two calls to contradict each other"
    return ""


def _maps(
    plan: PredecessorPlan, judged: Scored, before: Sequence[Scored]
) -> dict[str, dict[str, str]]:
    """Of each build, class of its own -> shared class, which has the name of today."""
    found = {}
    for one in before:
        alike = {name: name for name in one.frozen.classes if name in judged.frozen.classes}
        found[one.name] = alike if plan.classes is None else dict(plan.classes)
    targets = {target for own in found.values() for target in own.values()}
    found[judged.name] = {name: name for name in judged.frozen.classes if name in targets}
    return found


def _astray(
    maps: Mapping[str, ClassMap], judged: Scored, before: Sequence[Scored]
) -> tuple[str, ...]:
    """Classes of one name that the map does not take for one."""
    names = {
        name
        for one in before
        for name in one.frozen.classes
        if name in judged.frozen.classes and maps[one.name].get(name) != name
    }
    return tuple(sorted(names))


def _calls(builds: Sequence[Scored], common: Sequence[str]) -> dict[str, Calls]:
    """Calls on the common cases, in their order, each build at the tau of its version."""
    return {one.name: call(_on(one, common), one.tau) for one in builds}


def _on(one: Scored, cases: Sequence[str]) -> Predictions:
    rows = {case: i for i, case in enumerate(one.frozen.ids)}
    return take(one.frozen, [rows[case] for case in cases])


def _agreement(
    mapped: Mapped, policy: Policy, attempt: int, judged: Scored, common: Sequence[str]
) -> Agreement:
    calls = tuple(mapped.calls.values())
    facts = {(one.ids, one.patients, one.groups) for one in calls}
    if len(facts) != 1:
        raise IntegrityError(
            f"{', '.join(mapped.calls)}: a case of the same content has two patients or groups"
        )
    subgroups = _on(judged, common).subgroups
    chosen = mapped.rows.tolist()
    actions = {
        name: action for name, action in (policy.actions or {}).items() if name in calls[0].classes
    }
    return agree(
        Series(tuple(mapped.calls), calls),
        attempt_level(policy.alpha, max(1, attempt)),
        unit=policy.unit,
        subgroups={
            key: tuple(value for value, kept in zip(column, chosen, strict=True) if kept)
            for key, column in subgroups.items()
        },
        actions=actions or None,
    )
