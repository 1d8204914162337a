"""What a record says: in-toto Statements (v1) of five kinds, and our own words inside them.

Sign-offs and refusals are test results (https://in-toto.io/attestation/test-result/v0.1) with the
extension `lifecycle`; withdrawals, amendments and drills carry that extension alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from lifecycle.errors import IntegrityError, UsageError
from lifecycle.records.format import explain
from lifecycle.records.release import (
    RELEASE,
    DecisionStatement,
    Tested,
    TestStatement,
)
from lifecycle.release.fields import FieldError, faults_of
from lifecycle.version import PROGRAM

STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
DECISION = "urn:lifecycle:decision:1"
TESTED = ("sign-off", "refusal")
KINDS = (*TESTED, "withdrawal", "amendment", "drill")
AIMED = ("withdrawal", "amendment")  # kinds that speak of an earlier record
RESULTS = ("PASSED", "WARNED", "FAILED")
STATUSES = ("pass", "inconclusive", "fail")
MEANINGS = ("authorship", "review", "approval", "responsibility", "override")
# What each kind can mean; the role that a meaning needs is the chain's to check.
MEANINGS_OF = {
    "sign-off": ("authorship", "review", "approval", "responsibility", "override"),
    "refusal": ("review", "approval"),
    "withdrawal": ("approval",),
    "amendment": ("responsibility",),
    "drill": ("responsibility",),
}
COMPONENTS = ("key file", "passphrase")  # 21 CFR 11.200(a)(1)


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signed, as what and when (21 CFR 11.50).

    Attributes:
        keyid: SHA-256 of the public key; the envelope's.
        printed_name: name in the roster.
        user_id: user in the roster.
        meaning: of MEANINGS.
        signed_at: `2026-11-30T14:05:09+01:00`, always with offset.
        components: what identified the signer (21 CFR 11.200).
    """

    keyid: str
    printed_name: str
    user_id: str
    meaning: str
    signed_at: str
    components: tuple[str, ...] = COMPONENTS


@dataclass(frozen=True, slots=True)
class Record:
    """One signed decision.

    Attributes:
        kind: of KINDS.
        number: place in the chain, from 1.
        classifier: whose chain.
        version: of the classifier.
        previous: SHA-256 of the former record's file, None for the first.
        roster: version and SHA-256 of the roster that the signer stands in.
        signature: who, as what, when.
        subjects: file name below the project -> SHA-256; at least one.
        build: number of the build; None only for a withdrawal or an amendment.
        built_by: user who built it, None exactly where `build` is.
        case: SHA-256 of the case file that the verdict can be recomputed from.
        verdict: of STATUSES, None where nothing was judged.
        policy: SHA-256 of the policy that was applied, None where nothing was judged.
        result: of RESULTS; sign-off and refusal only, None else.
        passed, warned, failed: criteria of the verdict; sign-off and refusal only.
        demonstration: true where the cohort is simulated: never for patients.
        reason: needed for every kind but sign-off, and for the meaning `override`.
        target: SHA-256 of the record that is withdrawn or amended, None for other kinds.
        findings: what the machine held against it; refusals only.
        drill: facts of a recovery drill; kind drill only, None else.
        program: what wrote it, `lifecycle 0.2.0`; this program where it is "".
    """

    kind: str
    number: int
    classifier: str
    version: str
    previous: str | None
    roster: tuple[int, str]
    signature: Signature
    subjects: Mapping[str, str]
    build: int | None = None
    built_by: str | None = None
    case: str | None = None
    verdict: str | None = None
    policy: str | None = None
    result: str | None = None
    passed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    demonstration: bool = False
    reason: str | None = None
    target: str | None = None
    findings: tuple[str, ...] = ()
    drill: Mapping[str, Any] | None = field(default=None)
    program: str = field(default="", compare=False)


def statement_of(record: Record) -> dict[str, Any]:
    """The in-toto Statement to sign.

    Raises:
        UsageError: the record is not one that `record_of` would read back; names the field.
    """
    statement = _statement(record)
    try:
        with faults_of("the new record"):
            again = _record(statement, "the new record")
    except IntegrityError as error:
        raise UsageError(str(error).partition("; the file was changed")[0]) from None
    if again != record:
        raise UsageError("the new record holds what its kind cannot say")
    return statement


def _statement(record: Record) -> dict[str, Any]:
    subjects = [
        {"name": name, "digest": {"sha256": record.subjects[name]}}
        for name in sorted(record.subjects)
    ]
    tested = record.kind in TESTED
    return {
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": TEST_RESULT if tested else DECISION,
        "predicate": {**(_tests(record) if tested else {}), "lifecycle": _ours(record)},
    }


def _tests(record: Record) -> dict[str, Any]:
    policy = [] if record.policy is None else [record.policy]
    return {
        "result": record.result,
        "configuration": [{"name": "policy", "digest": {"sha256": digest}} for digest in policy],
        "passedTests": list(record.passed),
        "warnedTests": list(record.warned),
        "failedTests": list(record.failed),
    }


def _ours(record: Record) -> dict[str, Any]:
    built = None
    if record.build is not None:
        built = {"number": record.build, "builtBy": record.built_by}
    fields = {
        "kind": record.kind,
        "number": record.number,
        "classifier": record.classifier,
        "version": record.version,
        "previous": record.previous,
        "roster": {"version": record.roster[0], "sha256": record.roster[1]},
        "build": built,
        "case": record.case,
        "verdict": record.verdict,
        "demonstration": record.demonstration,
        "reason": record.reason,
        "target": record.target,
        "drill": None if record.drill is None else dict(record.drill),
        "findings": list(record.findings),
        "signature": _signed(record.signature),
    }
    # checked when the whole statement is read back
    return {"schema": RELEASE.schema, "program": record.program or PROGRAM, **fields}


def _signed(signature: Signature) -> dict[str, Any]:
    return {
        "keyid": signature.keyid,
        "printedName": signature.printed_name,
        "userId": signature.user_id,
        "meaning": signature.meaning,
        "signedAt": signature.signed_at,
        "components": list(signature.components),
    }


def record_of(statement: object, name: str) -> Record:
    """The record that a Statement says: exactly the known fields, each of its type.

    Args:
        statement: a JSON value whose signature was checked.
        name: the file, for messages.

    Raises:
        IntegrityError: names file and field.
    """
    with faults_of(name):
        return _record(statement, name)


def _record(statement: object, name: str) -> Record:
    top = _checked(statement)
    value = RELEASE.model(top.predicate.lifecycle, name)
    tested = isinstance(top.predicate, Tested)
    if (value.kind in TESTED) != tested:
        raise FieldError(f"field statement.predicateType: not that of the kind {value.kind}")
    signed = value.signature
    record = Record(
        kind=value.kind,
        number=value.number,
        classifier=value.classifier,
        version=value.version,
        previous=value.previous,
        roster=(value.roster.version, value.roster.sha256),
        signature=Signature(
            signed.keyid,
            signed.printedName,
            signed.userId,
            signed.meaning,
            signed.signedAt,
            tuple(signed.components),
        ),
        subjects=_subjects(top),
        case=value.case,
        verdict=value.verdict,
        demonstration=value.demonstration,
        reason=value.reason,
        target=value.target,
        findings=tuple(value.findings),
        drill=value.drill,
        build=None if value.build is None else value.build.number,
        built_by=None if value.build is None else value.build.builtBy,
        program=value.program,
        **(_tested(top.predicate) if isinstance(top.predicate, Tested) else {}),
    )
    _require_kind(record)
    return record


def _checked(statement: object) -> TestStatement | DecisionStatement:
    """The Statement around our own extension."""
    kind = statement.get("predicateType") if isinstance(statement, dict) else None
    model = TestStatement if kind == TEST_RESULT else DecisionStatement
    try:
        return model.model_validate(statement)
    except ValidationError as error:
        raise FieldError(explain(error, "statement")) from None


def _subjects(top: TestStatement | DecisionStatement) -> dict[str, str]:
    names = [one.name for one in top.subject]
    if names != sorted(set(names)):
        raise FieldError("field statement.subject: not sorted by name, or one twice")
    return {one.name: one.digest.sha256 for one in top.subject}


def _tested(predicate: Tested) -> dict[str, Any]:
    lists = (predicate.passedTests, predicate.warnedTests, predicate.failedTests)
    every = [name for names in lists for name in names]
    if len(set(every)) != len(every):
        raise FieldError(
            "field statement.predicate.passedTests: a criterion stands twice in the lists of tests"
        )
    policies = [one.digest.sha256 for one in predicate.configuration]
    return {
        "result": predicate.result,
        "policy": policies[0] if policies else None,
        **dict(zip(("passed", "warned", "failed"), map(tuple, lists), strict=True)),
    }


def _fault(field: str, said: str) -> FieldError:
    return FieldError(f"field statement.predicate.lifecycle.{field}: {said}")


def _require_kind(record: Record) -> None:
    """What each kind must say and must not."""
    kind, override = record.kind, record.signature.meaning == "override"
    if record.signature.meaning not in MEANINGS_OF[kind]:
        raise _fault("signature.meaning", f"a {kind} cannot mean {record.signature.meaning}")
    if (kind != "sign-off" or override) and record.reason is None:
        raise _fault("reason", f"missing, and {'an override' if override else kind} needs one")
    if (kind in AIMED) != (record.target is not None):
        raise _fault("target", f"not as the kind {kind} has it")
    if (kind == "drill") != (record.drill is not None):
        raise _fault("drill", f"not as the kind {kind} has it")
    if record.findings and kind != "refusal":
        raise _fault("findings", "only a refusal has findings")
    if record.build is None and kind not in AIMED:
        raise _fault("build", f"missing, and {kind} needs one")
    if kind == "sign-off":
        _require_sign_off(record)


def _require_sign_off(record: Record) -> None:
    """A sign-off rests on a case, a policy and a verdict that can be signed."""
    if record.case is None:
        raise _fault("case", "missing, and a sign-off needs one")
    if record.policy is None:
        raise FieldError("field statement.predicate.configuration: a sign-off needs its policy")
    override = record.signature.meaning == "override"
    if record.verdict not in (("inconclusive",) if override else ("pass", "inconclusive")):
        raise _fault("verdict", f"{record.verdict} cannot be signed with that meaning")
    clean = record.verdict == "pass" and not record.warned and not record.failed
    if record.result == "FAILED" or (record.result == "PASSED" and not clean):
        raise FieldError(
            f"field statement.predicate.result: {record.result} does not fit the verdict"
        )
