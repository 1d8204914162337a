"""What a laboratory may do, written from docs/ and not from the program: the model of the machine.

One class keeps what a careful person would keep on paper (builds, attempts, pins, signatures,
rosters, what git has seen), and answers: what does the gate say, who may sign, what is released,
does `verify` hold. Every rule stands in one method, with the page that it comes from, so that a
rule that is added to the program is added here in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import permutations
from typing import Any

from stateful.counting import (
    Compared,
    Scores,
    calls_of,
    on_holdout,
    tau_of,
    worst,
)

CLASSES, POSITIVE = ("A", "B", "C"), "A"
REFUSE_BELOW = 0.5  # tau.refuse_below of the laboratory
ROLES_FOR = {
    "authorship": {"author"},
    "review": {"reviewer"},
    "approval": {"approver"},
    "override": {"approver", "reviewer"},
}
MEANING_FOR = {"author": "authorship", "reviewer": "review", "approver": "approval"}
JUDGING = ("review", "approval", "override")
Policy = tuple[tuple[str, Any], ...]  # sorted items of `policy`, hashable


def policy(**stated: Any) -> Policy:
    """A policy as `params.yaml` states it."""
    return tuple(sorted(stated.items()))


def of(stated: Policy, key: str) -> Any:
    """A key of a policy, with the default of docs/reference/params.md."""
    defaults = {
        "p": 0.95, "alpha": 0.05, "delta": 0.1, "reportable_floor": 0.5, "holdout_precision": 1.0,
        "holdout_recall": 0.5, "signatures": ("reviewer", "approver"), "arithmetic_fault": "fail",
    }  # fmt: skip
    return {**defaults, **dict(stated)}[key]


def exactly(number: float) -> Fraction:
    """A number as a person wrote it."""
    return Fraction(repr(number))


@dataclass(frozen=True)
class Build:
    """A build as its record, its scores and the laboratory's diary state it.

    Attributes:
        number: N of bN.
        version: of the classifier.
        content: everything that makes it what it is; known content keeps its number.
        learnt: what its network was trained from: the version's recipe and the training cases.
        weights: digest of its network.
        pin: number of the pin that it was scored under.
        frozen, holdout: its scores.
        policy: in force when it was built.
        by: who built it.
    """

    number: int
    version: str
    content: tuple[Any, ...]
    learnt: tuple[Any, ...]
    weights: str
    pin: int
    frozen: Scores
    holdout: Scores
    policy: Policy
    by: str

    @property
    def name(self) -> str:
        """As people call it."""
        return f"b{self.number}"


@dataclass(frozen=True)
class Verdict:
    """What the gate has to say."""

    status: str
    basis: str
    references: tuple[int, ...]
    released: bool
    findings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Subject:
    """What is signed together."""

    build: int
    version: str
    policy: Policy
    verdict: Verdict


@dataclass(frozen=True)
class Signature:
    """One sign-off: who, as what."""

    record: int
    user: str
    meaning: str
    subject: Subject


@dataclass(frozen=True)
class Bound:
    """What a record names by its digest."""

    version: str
    attempts: frozenset[tuple[str, str]]  # version and weights
    builds: frozenset[int]


@dataclass
class Group:
    """Signatures on one subject, and what became of them."""

    subject: Subject
    signatures: list[Signature]
    released: int = 0  # the record that made it a release
    withdrawn: bool = False
    settles: frozenset[str] = frozenset()  # attempts that the release's own record names


@dataclass(frozen=True)
class Person:
    """One line of a roster."""

    roles: frozenset[str]
    key: str
    active: bool = True


@dataclass
class Books:
    """Everything that is known of the laboratory."""

    mode: str
    terms: Callable[[str], tuple[Any, ...]]  # version -> its recipe
    policy: Policy = ()
    version: str = "1"
    builds: list[Build] = field(default_factory=list)
    attempts: dict[str, dict[str, int]] = field(default_factory=dict)
    judged_under: dict[tuple[str, str], Policy] = field(default_factory=dict)  # of each attempt
    pins: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    current: int = 0
    judged: dict[int, tuple[Policy, Verdict]] = field(default_factory=dict)
    rosters: list[dict[str, Person]] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    records: list[tuple[str, int, int]] = field(default_factory=list)  # kind, roster, build
    seen: bool = False  # the pipeline has run to its end on what is here
    clean: bool = True  # git has it all
    remembered: set[tuple[str, Any]] = field(default_factory=set)  # builds, attempts in a commit
    gone: dict[tuple[str, Any], Any] = field(default_factory=dict)  # taken away by hand
    imported: dict[str, str] = field(default_factory=dict)  # the frozen cases as imported last
    running: str = ""  # the network that the pipeline made last
    bound: list[Bound] = field(default_factory=list)  # by signatures, in force or not

    # ---- what there is

    def build(self, number: int) -> Build:
        """One build."""
        return self.builds[number - 1]

    def of_version(self, version: str) -> list[Build]:
        """Builds of a version, in order."""
        return [one for one in self.builds if one.version == version]

    def first(self, version: str) -> Build | None:
        """The build that fixes what every rebuild keeps."""
        return next(iter(self.of_version(version)), None)

    def number_for(self, content: tuple[Any, ...]) -> int:
        """Known content keeps its number, new content gets the next (reference/records)."""
        known = [one.number for one in self.builds if one.content == content]
        return known[0] if known else len(self.builds) + 1

    def attempt_for(self, version: str, weights: str) -> int:
        """k of a network (longitudinal-consistency, attempts; threat-model, the first row)."""
        counted = self.attempts.get(version, {})
        if weights in counted:
            return counted[weights]
        first = self.first(version)
        if first is None or first.weights == weights:
            return 0
        settled = self.settled(version)
        return sum(k > 0 and one not in settled for one, k in counted.items()) + 1

    def settled(self, version: str) -> frozenset[str]:
        """Attempts that a release has settled: of a network that was not released before."""
        known: set[str] = set()
        settled: frozenset[str] = frozenset()
        done = [one for one in self.groups if one.released and one.subject.version == version]
        for group in sorted(done, key=lambda one: one.released):
            weights = self.build(group.subject.build).weights
            if weights not in known:
                known.add(weights)
                settled = group.settles
        return settled

    # ---- the gate

    def in_force(self, version: str) -> set[int]:
        """Released builds of a version (sign-a-release, later decisions)."""
        return {
            one.subject.build
            for one in self.groups
            if one.released and not one.withdrawn and one.subject.version == version
        }

    def faced(self, build: Build) -> tuple[list[Build], bool]:
        """Whom a build faces, and whether these are releases (three figures; decision 5)."""
        others = self.in_force(build.version) - {build.number}
        if others:
            return [self.build(number) for number in sorted(others)], True
        before = [one for one in self.of_version(build.version) if one.number < build.number]
        return before[:1] + before[1:][-1:], False

    def verdict(self, number: int, stated: Policy) -> Verdict:
        """What the gate says of a build under a policy (read-a-verdict)."""
        build = self.build(number)
        references, released = self.faced(build)
        first = self.first(build.version)
        assert first is not None
        tau, patients = tau_of(first.holdout, CLASSES, POSITIVE)
        enough = patients > 0 and 0.05 ** (1.0 / patients) >= REFUSE_BELOW
        tau = tau if enough else None
        basis = self._basis(build, references, released)
        found = {
            "tau": "pass" if enough else "inconclusive",
            "policy.age": "pass" if self._policy_stood(build, stated) else "inconclusive",
            "recipe.blind": "pass" if self._blind(build) else "inconclusive",
            "arithmetic": self._arithmetic(build, stated),
        }
        if self._amended(build, references if released else []):
            found["frozen.amended"] = "inconclusive"
        if self._version_before(build) is not None:
            # no policy here names the version that is followed (new-version)
            found["predecessor"] = "inconclusive"
        if basis in ("first build", "identity"):
            found |= self._on_holdout(build, tau, stated)
        if basis in ("statistical", "unreleased reference"):
            found |= self._compared(build, references, tau).findings(
                exactly(of(stated, "p")),
                exactly(of(stated, "delta")),
                exactly(of(stated, "alpha"))
                / 2 ** max(1, self.attempts[build.version][build.weights]),
                exactly(of(stated, "reportable_floor")),
            )
        return Verdict(
            worst(list(found.values())),
            basis,
            tuple(one.number for one in references),
            released,
            tuple(sorted(found.items())),
        )

    def _basis(self, build: Build, references: Sequence[Build], released: bool) -> str:
        if not references:
            return "first build"
        same = all(
            (one.weights, one.frozen, one.holdout) == (build.weights, build.frozen, build.holdout)
            for one in references
        )
        if self.mode == "exact" and same:
            return "identity"
        return "statistical" if released else "unreleased reference"

    def _policy_stood(self, build: Build, stated: Policy) -> bool:
        """The policy is as old as the first build of these weights, and as their attempt."""
        same = [one for one in self.of_version(build.version) if one.weights == build.weights]
        judged = self.judged_under.get((build.version, build.weights), stated)
        return same[0].policy == stated == judged

    def _version_before(self, build: Build) -> str | None:
        """A version that began earlier and was released, whatever became of that (new-version)."""
        own = self.first(build.version)
        assert own is not None
        for group in self.groups:
            version = group.subject.version
            first = self.first(version)
            other = group.released and version != build.version
            if other and first is not None and first.number < own.number:
                return version
        return None

    def _blind(self, build: Build) -> bool:
        """No other recipe was compared on these cases before this build was made."""
        own = {line for pin in self.pins[build.version] for line in pin.values()}
        for one in self.builds[: build.number - 1]:
            first = self.first(one.version)
            compared = first is not None and first.number != one.number
            other = self.terms(one.version) != self.terms(build.version)
            shown = {line for pin in self.pins[one.version] for line in pin.values()}
            if one.version != build.version and compared and other and own & shown:
                return False
        return True

    def _arithmetic(self, build: Build, stated: Policy) -> str:
        """Other weights from the same recipe and data; the frozen set is no part of these."""
        if self.mode == "native":
            return "pass"
        before = [one for one in self.of_version(build.version) if one.number < build.number]
        other = any(one.learnt == build.learnt and one.weights != build.weights for one in before)
        return of(stated, "arithmetic_fault") if other else "pass"

    def _amended(self, build: Build, settled: Sequence[Build]) -> bool:
        """The frozen set was amended after builds had been compared on it (frozen-set)."""
        return bool(self._compared_before(build, settled))

    def _compared_before(self, build: Build, settled: Sequence[Build]) -> set[int]:
        """Builds that were compared on the frozen set as it was before an amendment."""
        since = max((self._pin_number(one, build.pin) for one in settled), default=0)
        first = self.first(build.version)
        assert first is not None
        return {
            one.number
            for one in self.of_version(build.version)
            if one.number not in (build.number, first.number)
            and since <= self._pin_number(one, build.pin) < build.pin
        }

    def _pin_number(self, build: Build, force: int) -> int:
        """The pin of a build, seen from a later one; a set that is restored is what it was."""
        pins = self.pins[build.version]
        same = [n for n in range(1, force + 1) if pins[n - 1] == pins[build.pin - 1]]
        return build.pin if build.pin > force else same[-1]

    def _on_holdout(self, build: Build, tau: float | None, stated: Policy) -> dict[str, str]:
        precision, recall = on_holdout(build.holdout, CLASSES, tau, POSITIVE)
        if tau is None:
            precision = recall = None
        limits = {"precision": precision, "recall": recall}
        return {
            f"holdout.{what}": "inconclusive"
            if share is None
            else "pass"
            if share >= exactly(of(stated, f"holdout_{what}"))
            else "fail"
            for what, share in limits.items()
        }

    def _compared(self, build: Build, references: Sequence[Build], tau: float | None) -> Compared:
        """Cases that are the same in every pin; scores of a changed case are of something else."""
        pins = self.pins[build.version]
        own = pins[build.pin - 1]
        calls = []
        for one in (*references, build):
            theirs = pins[one.pin - 1]
            same = {case: x for case, x in one.frozen.items() if own.get(case) == theirs[case]}
            calls.append(calls_of(same, CLASSES, tau))
        patients = {case: one.patient for case, one in build.frozen.items()}
        return Compared(tuple(one.name for one in (*references, build)), tuple(calls), patients)

    # ---- who may sign

    def why_not(self, stated: Policy) -> list[str]:
        """Reasons why nobody may sign the current build now (sign-a-release, what is refused)."""
        reasons = [] if self.verifies() else ["what was signed does not verify"]
        if not self.rosters:
            reasons.append("there is no roster")
        if not self.seen:
            reasons.append("the pipeline has not run on what is here")
        if not self.clean:
            reasons.append("the tree is not clean")
        if any(one in self.remembered for one in self.gone):
            reasons.append("a build or an attempt was taken away")
        if not self.works():
            return [*reasons, "what the current build rests on is not here"]
        known = self.judged.get(self.current)
        if known is None or known != (stated, self.verdict(self.current, stated)):
            reasons.append("it was judged by another policy or against others")
            return reasons
        verdict = known[1]
        if verdict.status == "fail":
            reasons.append("the verdict is fail")
        if verdict.references and not verdict.released:
            reasons.append("it was compared with builds that nobody released")
        return reasons

    def subject(self) -> Subject:
        """What a signature on the current build would speak of."""
        stated, verdict = self.judged[self.current]
        return Subject(self.current, self.version, stated, verdict)

    def may_sign(self, key: str, meaning: str) -> list[str]:
        """Reasons why the holder of a key may not sign the current build so; none is permission."""
        reasons = self.why_not(self.policy)
        if reasons:
            return reasons
        user = self.holder(key)
        if user is None:
            return ["not the key of an active signer"]
        person, subject = self.rosters[-1][user], self.subject()
        if not person.roles & ROLES_FOR[meaning]:
            reasons.append("the role does not allow it")
        mine = [
            one
            for group in self.groups
            if not group.withdrawn and group.subject.build == subject.build
            for one in group.signatures
            if one.user == user and one.subject.version == subject.version
        ]
        author = user == self.build(self.current).by or any(
            one.meaning == "authorship" for one in mine
        )
        if author and meaning in JUDGING:
            reasons.append("the own build")
        if meaning == "authorship" and any(one.meaning in JUDGING for one in mine):
            reasons.append("who has judged is no author")
        if any(one.subject == subject for one in mine):
            reasons.append("signed already")
        if subject.verdict.status == "pass" and meaning == "override":
            reasons.append("nothing to override")
        if subject.verdict.status != "pass" and meaning == "approval":
            group = self.group(subject)
            if group is None or all(one.meaning != "override" for one in group.signatures):
                reasons.append("no override yet")
        return reasons

    def holder(self, key: str) -> str | None:
        """Whose key it is in the newest roster, if that person may sign at all."""
        people = self.rosters[-1] if self.rosters else {}
        return next((u for u, one in people.items() if one.key == key and one.active), None)

    def group(self, subject: Subject) -> Group | None:
        """The signatures in force on a subject."""
        there = [one for one in self.groups if one.subject == subject and not one.withdrawn]
        return there[0] if there else None

    def add_signature(self, key: str, meaning: str) -> None:
        """A sign-off was made."""
        user, subject = self.holder(key), self.subject()
        assert user is not None
        self.records.append(("sign-off", len(self.rosters), subject.build))
        signature = Signature(len(self.records), user, meaning, subject)
        attempts = self.bind(subject)
        group = self.group(subject)
        if group is None:
            group = Group(subject, [])
            self.groups.append(group)
        group.signatures.append(signature)
        if not group.released and self.complete(group):
            group.released, group.settles = signature.record, attempts

    def bind(self, subject: Subject) -> frozenset[str]:
        """A record names every file that it rests on, and all attempts on its frozen cases."""
        attempts = frozenset(self.attempts.get(subject.version, {}))
        every = frozenset((v, w) for v, judged in self.attempts.items() for w in judged)
        first = self.first(subject.version)
        assert first is not None
        builds = {*subject.verdict.references, subject.build, first.number}
        builds |= self._looked_at(self.build(subject.build), subject.verdict)
        self.bound.append(Bound(subject.version, every, frozenset(builds)))
        return attempts

    def _looked_at(self, build: Build, verdict: Verdict) -> set[int]:
        """Builds that were compared before an amendment: evidence, so bound."""
        settled = [self.build(n) for n in verdict.references] if verdict.released else []
        return self._compared_before(build, settled)

    def complete(self, group: Group) -> bool:
        """Every needed role has signed, each another person, none of them the author."""
        needs = of(group.subject.policy, "signatures")
        passed = group.subject.verdict.status == "pass"
        authors = {self.build(group.subject.build).by} | {
            one.user for one in group.signatures if one.meaning == "authorship"
        }
        overriders = [one for one in group.signatures if one.meaning == "override"]
        if not passed and not overriders:
            return False

        def fills(one: Signature, need: str) -> bool:
            if one.meaning != MEANING_FOR[need] or (need != "author" and one.user in authors):
                return False
            if need != "approver" or passed:
                return True
            return any(o.record < one.record and o.user != one.user for o in overriders)

        return any(
            len({one.user for one in way}) == len(needs)
            and all(fills(one, need) for one, need in zip(way, needs, strict=True))
            for way in permutations(group.signatures, len(needs))
        )

    def refused(self, number: int, version: str) -> None:
        """A refusal ends the signatures on the build; a release is not refused."""
        self.groups = [
            one
            for one in self.groups
            if one.released or (one.subject.build, one.subject.version) != (number, version)
        ]

    def withdrawn(self, number: int) -> None:
        """A withdrawal ends the build's release: nothing of it is applied any more."""
        for group in self.groups:
            if group.subject.build == number:
                group.withdrawn = True

    # ---- verify

    def verifies(self) -> bool:
        """Whether `release verify` holds (sign-a-release, verify)."""
        return not self.verify_faults()

    def verify_faults(self) -> list[str]:
        """What `release verify` has to find."""
        if not self.records:
            return []
        faults = []
        for what, name in self.gone:
            if what == "build" and any(name in one.builds for one in self.bound):
                faults.append(f"b{name} was signed")
            if what == "build" and name in self.judged:
                faults.append(f"there is a verdict on b{name}, and no b{name}")
            if what == "attempt" and any(name in one.attempts for one in self.bound):
                faults.append(f"attempt {name} was signed")
        return faults

    def works(self) -> bool:
        """Whether the current build can be judged: everything that it rests on is here."""
        if not self.current or self.current > len(self.builds) or not self.whole():
            return False
        build = self.build(self.current)
        pins = self.pins.get(self.version, [])
        return (
            build.version == self.version
            and build.weights == self.running
            and bool(pins)
            and pins[-1] == pins[build.pin - 1] == self.imported
        )

    def whole(self) -> bool:
        """Builds, their attempts and what was signed are here; a build at the end may be gone."""
        there = self.no_gap()
        counted = all(
            one.weights in self.attempts.get(one.version, {})
            for one in self.of_version(self.version)
        )
        counts = [k for k in self.attempts.get(self.version, {}).values() if k]
        return (
            there and counted and max(counts, default=0) <= len(counts) and not self._signed_gone()
        )

    def no_gap(self) -> bool:
        """No build is missing before others."""
        return all(name > len(self.builds) for what, name in self.gone if what == "build")

    def _signed_gone(self) -> bool:
        return any("signed" in fault for fault in self.verify_faults())
