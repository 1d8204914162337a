"""Sign off, refuse, withdraw, amend: what is signed is shown first; one signature, one record.

Order of checks: decision 8. What depends on the chain is checked again under its lock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lifecycle.domain.digests import canonical_json, sha256
from lifecycle.dossier import builds as kept
from lifecycle.dossier.exposed import missing
from lifecycle.dossier.once import reading_once
from lifecycle.errors import IntegrityError, SignOffRefusedError, UsageError
from lifecycle.gate import judge as judging
from lifecycle.gate.rules import RULES
from lifecycle.records.types import time_of
from lifecycle.release import chain as chains
from lifecycle.release.case import Case, Judged, kept_case, needs_of, replay, to_record
from lifecycle.release.chain import ROLES_FOR, Chain, Link
from lifecycle.release.derived import owed
from lifecycle.release.envelope import seal
from lifecycle.release.files import WAIT, locked, place_once, read_plain
from lifecycle.release.keys import keyid, unlock
from lifecycle.release.predecessors import facts_of
from lifecycle.release.records import Record, Signature, statement_of
from lifecycle.release.roster import Person, Roster, person_of, read_rosters
from lifecycle.release.standing import released_builds, standing, versions
from lifecycle.release.subjects import attempt_subjects, subjects_of
from lifecycle.release.tested import tested_fields
from lifecycle.workflows.auditing import verify
from lifecycle.workflows.exposing import exposure_here
from lifecycle.workflows.judging import case_of, read_verdict
from lifecycle.workflows.project import Project
from lifecycle.workflows.readiness import against

JUDGING = ("review", "approval", "override")  # meanings that an author's own build cannot have


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is about to be signed.

    Attributes:
        project: whose classifier.
        kind, meaning: of the record.
        version, build, built_by: what it speaks of.
        subjects: file -> SHA-256.
        judged: case and verdict; None for a withdrawal or an amendment.
        reason: the signer's words, "" where none are needed.
        demonstration: the cohort is simulated: never for patients.
        target: the record that is withdrawn or amended.
        findings: what the machine holds against a refused build.
        drill: facts of a recovery drill.
        refused: earlier refusals of the build: who, when and why. They end the signatures before
            them; whoever signs after one is shown it.
    """

    project: Project
    kind: str
    meaning: str
    version: str
    build: int
    built_by: str
    subjects: dict[str, str]
    judged: Judged | None = None
    reason: str = ""
    demonstration: bool = False
    target: Link | None = None
    findings: tuple[str, ...] = ()
    drill: Mapping[str, Any] | None = None
    refused: tuple[str, ...] = ()


def rosters_of(project: Project, trust: str | None = None) -> tuple[Roster, ...]:
    """The verified rosters; there must be one.

    Raises:
        SignOffRefusedError: nobody may sign yet.
        IntegrityError: a roster was changed.
    """
    rosters = read_rosters(project.layout.signers, trust)
    if not rosters:
        raise SignOffRefusedError(
            f"{project.layout.signers} has no roster, so nobody may sign; begin with "
            "`lifecycle release keys create` and `lifecycle release keys enrol`"
        )
    return rosters


def chain_of(project: Project) -> Chain:
    """The verified chain of the classifier; empty before the first record."""
    rosters = read_rosters(project.layout.signers)
    return chains.read(project.layout.releases, project.name, rosters)


@reading_once()  # what is named as subject is the very bytes that were judged
def propose_sign_off(
    project: Project, meaning: str, demonstration: bool = False, reason: str = ""
) -> Proposal:
    """The current build, if it may be signed at all.

    Raises:
        SignOffRefusedError: every reason against it.
        IntegrityError: a record, pin, file or the chain was changed.
    """
    rosters_of(project)
    chain = chain_of(project)
    judged = _judged_now(project)
    reasons = against(project, judged.case, judged.verdict, demonstration)
    reasons += _chain_said(project, chain, judged)
    if reasons:
        raise SignOffRefusedError(
            f"{project.name} b{judged.case.build} cannot be signed: " + "; ".join(reasons)
        )
    if meaning == "override" and not reason.strip():
        raise UsageError("an override needs its reason: --reason TEXT")
    if meaning == "override" and judged.verdict.status == "pass":
        raise UsageError("the verdict is pass: there is nothing to override")
    return replace(
        _about_build(project, judged, "sign-off", meaning),
        reason=reason,
        demonstration=demonstration,
        refused=_refusals(chain, judged),
    )


def _refusals(chain: Chain, judged: Judged) -> tuple[str, ...]:
    found = (link.record for link in chain.links if link.record.kind == "refusal")
    return tuple(
        f"{one.signature.printed_name} at {one.signature.signed_at}: {one.reason}"
        for one in found
        if (one.version, one.build) == (judged.case.version, judged.case.build)
    )


@reading_once()
def propose_refusal(project: Project, meaning: str, reason: str) -> Proposal:
    """A refusal of the current build, with what the machine itself holds against it.

    Raises:
        UsageError: the build is a release, which is withdrawn and not refused.
    """
    rosters_of(project)
    _require_reason(reason, "refusal")
    judged = _judged_now(project)
    _require_not_released(project, chain_of(project), judged)
    simulated = judged.case.origin == "simulated"
    findings = [one.said for one in judged.verdict.findings if one.status != "pass"]
    findings += against(project, judged.case, judged.verdict, simulated)
    return replace(
        _about_build(project, judged, "refusal", meaning),
        reason=reason,
        demonstration=simulated,
        findings=tuple(findings),
    )


def _require_not_released(project: Project, chain: Chain, judged: Judged) -> None:
    number, version = judged.case.build, judged.case.version
    if number in released_builds(chain, version, needs_of(project.layout)):
        raise UsageError(
            f"{project.name} b{number} is released; `lifecycle release withdraw {project.name} "
            f"--build {number}` ends a release"
        )


def propose_about(
    project: Project, kind: str, meaning: str, reason: str, build: int | None
) -> Proposal:
    """A withdrawal or an amendment of a signed build, the newest release where none is named.

    Raises:
        UsageError: nothing is signed that it could speak of.
    """
    rosters_of(project)
    _require_reason(reason, kind)
    target = _target(project, chain_of(project), build)
    record = target.record
    if record.build is None or record.built_by is None:
        raise UsageError(f"{target.path.name} speaks of no build")
    return Proposal(
        project, kind, meaning, record.version, record.build, record.built_by,
        dict(record.subjects), reason=reason, demonstration=record.demonstration, target=target,
    )  # fmt: skip


def _target(project: Project, chain: Chain, build: int | None) -> Link:
    """The signature that completed the newest release (of a build), or the newest open one."""
    # of every version: a release outlives the version that params.yaml is at
    needs = needs_of(project.layout)
    every = [standing(chain, version, needs) for version in versions(chain)]
    groups = [part.links for one in every for part in one.partial]
    groups += [r.links for one in every for r in one.releases if r.withdrawn is None]
    signed = [g[-1] for g in groups if build is None or g[-1].record.build == build]
    if not signed:
        which = "no build" if build is None else f"no signature on b{build}"
        raise UsageError(
            f"{project.name} has {which} that is in force; see `lifecycle release history "
            f"{project.name}`"
        )
    return signed[-1]


def _require_reason(reason: str, kind: str) -> None:
    if not reason.strip():
        raise UsageError(f"a {kind} needs its reason: --reason TEXT")


def _judged_now(project: Project) -> Judged:
    """Case and verdict of the current build; the kept verdict must be the same.

    Raises:
        SignOffRefusedError: the build was judged by another policy than params.yaml has now.
        IntegrityError: it is not the same for another reason.
    """
    case = case_of(project)
    verdict = replay(project.layout, case)
    kept_one = read_verdict(project, kept.read_build(project.layout, case.build))
    made_by = [(one.policy, one.rules, one.criteria) for one in (kept_one, verdict)]
    if made_by[0] != made_by[1]:
        raise SignOffRefusedError(
            f"{project.name} b{case.build} cannot be signed: it was judged by another policy or by "
            f"other rules than there are now; run `dvc repro gate@{project.name}`, which judges it "
            "anew"
        )
    found = judging.difference(kept_one, verdict)
    if found is not None:
        raise IntegrityError(
            f"{project.layout.verdicts / f'b{case.build}.json'} is not what the evidence amounts "
            f"to ({found} differs): it is stale or was changed; run "
            f"`dvc repro gate@{project.name}`"
        )
    return Judged(case, verdict)


def _about_build(project: Project, judged: Judged, kind: str, meaning: str) -> Proposal:
    case = judged.case
    run = kept.run_facts(kept.read_build(project.layout, case.build))
    return Proposal(
        project, kind, meaning, case.version, case.build, str(run["by"]),
        {**subjects_of(project.layout, case), **attempt_subjects(project.layout, case)},
        judged,
    )  # fmt: skip


def _chain_said(project: Project, chain: Chain, judged: Judged) -> list[str]:
    """What the chain has against it: other releases than the build was compared with."""
    case = judged.case
    signed = released_builds(chain, case.version, needs_of(project.layout))
    faces = owed(signed, case.build, RULES[case.rules])
    if faces != (set(case.references) if case.released else set()):
        return [
            f"the released builds are {_named(faces)}, and it was compared with "
            f"{_named(set(case.references))}; run `dvc repro`"
        ]
    return _followed_said(project, chain, case)


def _followed_said(project: Project, chain: Chain, case: Case) -> list[str]:
    """Other releases of earlier versions, or other networks, than the case speaks of."""
    layout, policy = project.layout, case.policy
    now = facts_of(layout, chain, case.version, case.first, policy, case.exposure)
    if now != case.followed:
        return ["earlier versions were released or withdrawn since it was judged; run `dvc repro`"]
    left = missing(exposure_here(project, case.build), case.exposure)
    if left:
        named = ", ".join(f"{one.classifier} {one.version}" for one in left)
        return [f"networks of {named} were judged on its frozen cases since; run `dvc repro`"]
    return []


def _named(builds: set[int]) -> str:
    return ", ".join(f"b{number}" for number in sorted(builds)) or "none"


def sign(proposal: Proposal, key_file: Path, passphrase: str, now: datetime | None = None) -> Link:
    """Sign a proposal: one record, whole or not at all.

    Args:
        proposal: what was shown to the signer.
        key_file: the signer's encrypted key.
        passphrase: of the key.
        now: the moment; the clock's where None.

    Raises:
        SignOffRefusedError: passphrase, person, role or moment forbid it.
    """
    key = unlock(key_file, passphrase)
    layout = proposal.project.layout
    # what does not verify now never will: nothing is added to it
    verify(proposal.project.root, proposal.project.name, weights=False)
    moment = (now or datetime.now(UTC).astimezone()).isoformat(timespec="seconds")

    def make(chain: Chain) -> tuple[str, bytes]:
        data = None if proposal.judged is None else _case_bytes(proposal, chain, proposal.judged)
        record = _record(proposal, chain, key, moment, None if data is None else sha256(data))
        sealed = seal(statement_of(record), key)
        if data is not None:  # under the lock, and only for a signature that nothing forbids
            _keep_case(layout.cases, data)
        return proposal.kind, sealed

    # rosters wait: a signature must not be later than the roster that follows its own
    with locked(layout.signers, WAIT):
        return chains.append(
            layout.releases, proposal.project.name, lambda: rosters_of(proposal.project), make
        )


@reading_once()
def _case_bytes(proposal: Proposal, chain: Chain, judged: Judged) -> bytes:
    """The case's file; the one that others have signed already where it says the same.

    Another version of this program may write other bytes for the same case, and signatures on
    other bytes would never add up.
    """
    layout = proposal.project.layout
    for link in _open_links(proposal, chain):
        digest = str(link.record.case)
        before = kept_case(layout, digest)
        same = before.case == judged.case
        if same and judging.difference(before.verdict, judged.verdict) is None:
            return read_plain(layout.cases / f"{digest}.json")
    return canonical_json(to_record(judged))


def _keep_case(folder: Path, data: bytes) -> None:
    """The case under its content's name, before the record that names it.

    One is there already where somebody has signed the same build, or was killed while signing it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{sha256(data)}.json"
    try:
        place_once(path, data)
    except FileExistsError:
        if read_plain(path) != data:
            raise IntegrityError(f"{path} was changed: restore it from git") from None


def _some(judged: Judged | None) -> Judged:
    if judged is None:
        raise UsageError("this record rests on no case")
    return judged


def _record(
    proposal: Proposal, chain: Chain, key: Ed25519PrivateKey, moment: str, case: str | None
) -> Record:
    person = _person(proposal, chain, key)
    _require_moment(chain, moment)
    if proposal.kind == "sign-off":
        _require_other_person(proposal, chain, person, case)
        said = _chain_said(proposal.project, chain, _some(proposal.judged))
        if said:
            raise SignOffRefusedError("; ".join(said))
    elif proposal.kind == "refusal":
        _require_not_released(proposal.project, chain, _some(proposal.judged))
    elif proposal.target is not None:
        _require_target(proposal, chain)
    roster = chain.rosters[-1]
    signature = Signature(person.keyid, person.name, person.user, proposal.meaning, moment)
    return Record(
        kind=proposal.kind,
        number=chain.next_number,
        classifier=proposal.project.name,
        version=proposal.version,
        previous=chain.head,
        roster=(roster.version, roster.digest),
        signature=signature,
        subjects=proposal.subjects,
        build=proposal.build,
        built_by=proposal.built_by,
        demonstration=proposal.demonstration,
        reason=proposal.reason or None,
        target=None if proposal.target is None else proposal.target.digest,
        findings=proposal.findings,
        drill=proposal.drill,
        **_tested(proposal, case),
    )


def _require_target(proposal: Proposal, chain: Chain) -> None:
    """What was shown is still what a withdrawal or an amendment speaks of.

    Raises:
        UsageError: another record has ended or completed it meanwhile; nothing is signed.
    """
    target = proposal.target
    if target is None or _target(proposal.project, chain, proposal.build).digest != target.digest:
        raise UsageError(
            f"{proposal.project.name} b{proposal.build}: another record was signed meanwhile; look "
            f"at `lifecycle release history {proposal.project.name}` and begin again"
        )


def _tested(proposal: Proposal, case: str | None) -> dict[str, Any]:
    """The verdict as an in-toto test result."""
    if proposal.judged is None:
        return {}
    verdict = proposal.judged.verdict
    return {"case": case, **tested_fields(verdict, refused=proposal.kind == "refusal")}


def _person(proposal: Proposal, chain: Chain, key: Ed25519PrivateKey) -> Person:
    """Whose key it is, and that its roles allow the meaning.

    Raises:
        SignOffRefusedError: they do not, or it is nobody's.
    """
    person = person_of(chain.rosters, chain.rosters[-1].version, keyid(key.public_key()))
    if person is None or not person.active:
        raise SignOffRefusedError(
            "this key is not that of an active signer; an admin enrols it with "
            "`lifecycle release keys enrol`"
        )
    wanted = ROLES_FOR[proposal.meaning]
    if not set(wanted) & set(person.roles):
        raise SignOffRefusedError(
            f"{person.user} ({', '.join(person.roles)}) may not sign {proposal.meaning}: "
            f"it needs the role {' or '.join(wanted)}"
        )
    return person


def _require_moment(chain: Chain, moment: str) -> None:
    """The clock runs forward.

    Raises:
        SignOffRefusedError: it is before the newest record or roster.
    """
    last = [chain.rosters[-1].issued_at]
    last += [link.record.signature.signed_at for link in chain.links[-1:]]
    latest = max(last, key=time_of)
    if time_of(moment) < time_of(latest):
        raise SignOffRefusedError(
            f"the clock says {moment}, which is before {latest}, when the newest record or roster "
            "was signed; set the clock right"
        )


def _require_other_person(
    proposal: Proposal, chain: Chain, person: Person, case: str | None
) -> None:
    """Nobody judges the own build, and nobody signs a case twice.

    A build that was judged anew (by another policy, against other builds) is another case, which
    everyone signs anew.

    Raises:
        SignOffRefusedError: names the rule.
    """
    mine = f"{person.user} cannot sign {proposal.meaning} of b{proposal.build}"
    own = _signatures(proposal, chain, person.user)
    author = person.user == proposal.built_by or "authorship" in own
    if author and proposal.meaning in JUDGING:
        raise SignOffRefusedError(f"{mine}: an author does not judge the own build")
    if proposal.meaning == "authorship" and set(own) & set(JUDGING):
        raise SignOffRefusedError(f"{mine}: who has judged a build is not its author")
    same = _signatures(proposal, chain, person.user, case)
    if same:
        raise SignOffRefusedError(f"{mine}: {person.user} has signed its {same[0]} already")
    if _some(proposal.judged).verdict.status == "pass" or proposal.meaning != "approval":
        return
    if not _overridden(proposal, chain, case):
        raise SignOffRefusedError(
            f"{mine}: the verdict is inconclusive; another person has to override it first "
            "(--meaning override --reason TEXT)"
        )


def _open_links(proposal: Proposal, chain: Chain, case: str | None = None) -> Sequence[Link]:
    """Signatures on this build that are in force; on one case of it where one is named."""
    found = standing(chain, proposal.version, needs_of(proposal.project.layout))
    groups = [(part.subject, part.links) for part in found.partial]
    groups += [(one.subject, one.links) for one in found.releases if one.withdrawn is None]
    return [
        link
        for subject, links in groups
        if subject.build == proposal.build and case in (None, subject.case)
        for link in links
    ]


def _signatures(proposal: Proposal, chain: Chain, user: str, case: str | None = None) -> list[str]:
    """Meanings that a user has signed on this build, or on one case of it."""
    signed = (link.record.signature for link in _open_links(proposal, chain, case))
    return [one.meaning for one in signed if one.user_id == user]


def _overridden(proposal: Proposal, chain: Chain, case: str | None) -> bool:
    links = _open_links(proposal, chain, case)
    return any(link.record.signature.meaning == "override" for link in links)
