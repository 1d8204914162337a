"""What a case says that follows from the dossier: made so for a new case, and again by every audit.

Nothing here is believed from a file that somebody could write by hand: builds are read whole, pins
and attempts too, and what was released follows from the signed chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lifecycle.domain.classifier import Policy
from lifecycle.dossier import builds as kept
from lifecycle.dossier.attempts import read_attempts
from lifecycle.dossier.builds import Build
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.pins import read_pins
from lifecycle.dossier.terms import completed
from lifecycle.dossier.traces import trace_of
from lifecycle.errors import IntegrityError
from lifecycle.gate.judge import policy_digest
from lifecycle.gate.rules import Rules, rules_of
from lifecycle.records.format import published
from lifecycle.records.settings import TauRecord
from lifecycle.release.case import Case

RECIPE = ("preprocess", "model", "recipe", "search")


def owed(released: Iterable[int], build: int, rules: Rules) -> set[int]:
    """Builds that a build must not contradict: every released one of its version but itself.

    A build that is made current again faces the releases that came after it, too: patients have
    results of both. `gate/1` left those out.
    """
    others = set(released) - {build}
    return others if rules.looks_at_all else {number for number in others if number < build}


def identical(build: Build, faced: Sequence[Build]) -> bool:
    """Whether the build computes the same function as every build that it faces, by proof."""
    return (
        is_exact(build)
        and bool(faced)
        and all(
            _function_of(build) == _function_of(other)
            and build.content["predictions"] == other.content["predictions"]
            for other in faced
        )
    )


def is_exact(build: Build) -> bool:
    """Whether the build was made in exact arithmetic."""
    return bool(build.content["recipe"]["numerics"]["mode"] == "exact")


def _function_of(build: Build) -> dict[str, Any]:
    """What decides which scores and calls a build gives, in exact arithmetic, for any input."""
    content = build.content
    return {
        "weights": {key: content["weights"][key] for key in ("md5", "sha256")},
        "features": content["inputs"]["features"],
        "terms": completed(content["terms"]),
        "numerics": content["recipe"]["numerics"],
        "arithmetic": content["framework"].get("arithmetic"),
    }


def arithmetic_fault(build: Build, others: Sequence[Build], rules: Rules) -> bool:
    """Whether other weights came from what must give the same ones.

    That is the same machine, data and recipe; in exact mode any machine will do. The frozen set is
    no part of it: no network is trained on it.
    """
    return any(
        _trained_from(build, rules) == _trained_from(other, rules)
        and build.weights != other.weights
        for other in others
    )


def _trained_from(build: Build, rules: Rules) -> dict[str, Any]:
    content = build.content
    return {
        "inputs": _learnt(build) if rules.looks_at_all else dict(content["inputs"]),
        "recipe": content["recipe"],
        "arithmetic": content["framework"].get("arithmetic"),
        "environment": None if is_exact(build) else content["environment"],
        "exact": is_exact(build),
    }


def _learnt(build: Build) -> object:
    """What the network was trained from, by the trace: its input and what was to be learnt.

    Not `inputs`: the digests of sources, cohort and split there take in the frozen cases, and an
    amended frozen set would hide that the arithmetic is wrong. Builds that were made before traces
    were kept have nothing better.
    """
    trace = trace_of(build)
    if trace is not None:
        return trace.input
    return {key: value for key, value in build.content["inputs"].items() if key != "pin"}


def recipe_changed_after_list(layout: Layout, build: Build, builds: Sequence[Build]) -> bool:
    """Whether an earlier version with another recipe was compared on some of these frozen cases.

    Whoever changed the recipe then could have seen which cases were discordant.
    """
    pins = read_pins(layout.pins)
    cases = {digest for pin in pins if pin.version == build.version for digest in pin.contents()}
    earlier = [b for b in builds if b.version != build.version]
    compared = {
        b.version
        for b in earlier
        if b.number < build.number
        and kept.first_of(tuple(earlier), b.version) != b
        and any(_terms(b)[key] != _terms(build)[key] for key in RECIPE)
    }
    shared = [pin for pin in pins if pin.version in compared]
    return any(cases & pin.contents() for pin in shared)


def _terms(build: Build) -> dict[str, Any]:
    """What it was made from; a key that did not exist then has its default."""
    return completed(build.content["terms"])


def policy_newer(
    layout: Layout, build: Build, builds: Sequence[Build], policy: Policy, rules: Rules
) -> bool:
    """Whether the policy was changed after this network was first made, or first judged.

    The earliest build of these weights counts, and their attempt, which stays when builds go:
    building the same network once more, under another variable of the environment, makes no policy
    older.
    """
    now = policy_digest(policy)
    if not rules.looks_at_all:
        return bool(kept.run_facts(build)["policy"] != now)
    judged_under = {
        attempt.policy
        for attempt in read_attempts(layout)
        if (attempt.version, attempt.weights) == (build.version, build.weights)
    }
    if judged_under - {None, now}:
        return True
    same = [
        other
        for other in builds
        if (other.version, other.weights) == (build.version, build.weights)
        and other.number <= build.number
    ]
    earliest = min([*same, build], key=lambda b: b.number)
    return bool(kept.run_facts(earliest)["policy"] != now)


def require_derived(layout: Layout, case: Case, where: str) -> None:
    """A case says of its build what the dossier says; the rest of it is testimony of who signed.

    Testimony is what no file keeps: that the data were validated, and how many rehearsals agreed.
    An exported bundle holds fewer builds, so there only what is at hand can be held against it.

    Raises:
        IntegrityError: names the field.
    """
    rules = rules_of(case.rules, where)
    builds = kept.builds_here(layout)
    build = next(one for one in builds if one.number == case.build)
    faced = [one for one in builds if one.number in case.references]
    before = [one for one in builds if one.version == build.version and one.number < build.number]
    content = build.content
    first = kept.first_of(builds, build.version)
    facts = {
        "version": (case.version, build.version),
        "task": (case.task, content["task"]),
        "first": (case.first, None if first is None else first.number),
        "pin": (case.pin, content["inputs"]["pin"]["total"]),
        "numerics_mode": (case.numerics_mode, content["recipe"]["numerics"]["mode"]),
        "origin": (case.origin == "simulated", content["origin"] == "simulated"),
        "identical": (case.identical, identical(build, faced)),
        "tau": (published(case.tau, TauRecord), _terms(build)["tau"]),
        # one more than once, or the build itself, would turn the comparison round
        "references": (case.references, tuple(sorted({*case.references} - {case.build}))),
    }
    # what accuses a build cannot be left out; an accusation whose proof is not here may stand
    accusing = {
        "policy_newer": (
            case.policy_newer,
            policy_newer(layout, build, builds, case.policy, rules),
        ),
        "arithmetic_fault": (case.arithmetic_fault, arithmetic_fault(build, before, rules)),
        "list_seen": (case.list_seen, recipe_changed_after_list(layout, build, builds)),
    }
    for field, (said, there) in facts.items():
        if said != there:
            raise IntegrityError(
                f"{where}: field case.{field}: {said}, and the dossier says {there}"
            )
    for field, (said, there) in accusing.items():
        if there and not said:
            raise IntegrityError(
                f"{where}: field case.{field}: {said}, and the dossier says {there}"
            )
