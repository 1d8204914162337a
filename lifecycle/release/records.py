"""What a record says: in-toto Statements (v1) of five kinds, and our own words inside them.

Sign-offs and refusals are test results (https://in-toto.io/attestation/test-result/v0.1) with the
extension `lifecycle`; withdrawals, amendments and drills carry that extension alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lifecycle.domain.names import fault_of_name
from lifecycle.errors import IntegrityError, UsageError
from lifecycle.release.fields import FieldError, Fields, faults_of

STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
DECISION = "urn:lifecycle:decision:1"
SCHEMA = "lifecycle/release/1"
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
_TESTS = ("passedTests", "warnedTests", "failedTests")
_SIGNATURE = ("keyid", "printedName", "userId", "meaning", "signedAt", "components")
_OURS = (
    *("schema", "kind", "number", "classifier", "version", "previous", "roster", "build", "case"),
    *("verdict", "demonstration", "reason", "target", "drill", "findings", "signature"),
)


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


def statement_of(record: Record) -> dict[str, Any]:
    """The in-toto Statement to sign.

    Raises:
        UsageError: the record is not one that `record_of` would read back; names the field.
    """
    statement = _statement(record)
    try:
        with faults_of("the new record"):
            again = _record(statement)
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
    return {
        "schema": SCHEMA,
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
        return _record(statement)


def _record(statement: object) -> Record:
    top = Fields.of(statement, ("_type", "subject", "predicateType", "predicate"), "statement")
    top.one_of("_type", {STATEMENT})
    tested = top.one_of("predicateType", {TEST_RESULT, DECISION}) == TEST_RESULT
    known = ("result", "configuration", *_TESTS, "lifecycle") if tested else ("lifecycle",)
    predicate = top.child("predicate", known)
    ours = predicate.child("lifecycle", _OURS)
    ours.one_of("schema", {SCHEMA})
    kind = ours.one_of("kind", KINDS)
    if (kind in TESTED) != tested:
        raise top.fault("predicateType", f"not that of the kind {kind}")
    record = Record(
        kind=kind,
        number=ours.number("number"),
        classifier=ours.name("classifier"),
        version=ours.name("version"),
        previous=ours.maybe("previous", ours.digest),
        roster=_roster(ours),
        signature=_signature(ours.child("signature", _SIGNATURE)),
        subjects=_subjects(top),
        case=ours.maybe("case", ours.digest),
        verdict=ours.maybe("verdict", lambda key: ours.one_of(key, STATUSES)),
        demonstration=ours.flag("demonstration"),
        reason=ours.maybe("reason", ours.prose),
        target=ours.maybe("target", ours.digest),
        findings=ours.each("findings", lambda item: item.prose("item")),
        drill=_drill(ours),
        **_built(ours),
        **(_tested(predicate) if tested else {}),
    )
    _require_kind(record, ours)
    return record


def _roster(ours: Fields) -> tuple[int, str]:
    bound = ours.child("roster", ("version", "sha256"))
    return bound.number("version"), bound.digest("sha256")


def _built(ours: Fields) -> dict[str, Any]:
    if ours.values["build"] is None:
        return {}
    built = ours.child("build", ("number", "builtBy"))
    return {"build": built.number("number"), "built_by": built.name("builtBy")}


def _drill(ours: Fields) -> Mapping[str, Any] | None:
    facts = ours.values["drill"]
    if facts is not None and (not isinstance(facts, dict) or not facts):
        raise ours.fault("drill", "not an object with facts")
    return facts


def _signature(signed: Fields) -> Signature:
    parts = signed.each("components", lambda item: item.one_of("item", COMPONENTS))
    if parts != COMPONENTS:
        raise signed.fault("components", f"not {' and '.join(COMPONENTS)}")
    return Signature(
        signed.digest("keyid"),
        signed.name("printedName"),
        signed.name("userId"),
        signed.one_of("meaning", MEANINGS),
        signed.moment("signedAt"),
        parts,
    )


def _subjects(top: Fields) -> dict[str, str]:
    pairs = top.each("subject", _subject)
    names = [name for name, _ in pairs]
    if not names or names != sorted(set(names)):
        raise top.fault("subject", "empty, not sorted by name, or one twice")
    return dict(pairs)


def _subject(item: Fields) -> tuple[str, str]:
    fields = item.child("item", ("name", "digest"))
    return _file(fields), fields.child("digest", ("sha256",)).digest("sha256")


def _file(fields: Fields) -> str:
    """A path below the project: it will be opened, so it must not lead out of it."""
    name = fields.text("name")
    steps = name.split("/")
    if fault_of_name(name) or "\\" in name or any(step in ("", ".", "..") for step in steps):
        raise fields.fault("name", f"{name!r} is no path below the project")
    return name


def _tested(predicate: Fields) -> dict[str, Any]:
    lists = [predicate.each(key, lambda item: item.name("item")) for key in _TESTS]
    every = [name for names in lists for name in names]
    if len(set(every)) != len(every):
        raise predicate.fault("passedTests", "a criterion stands twice in the lists of tests")
    policies = predicate.each("configuration", _policy)
    if len(policies) > 1:
        raise predicate.fault("configuration", "more than one policy")
    return {
        "result": predicate.one_of("result", RESULTS),
        "policy": policies[0] if policies else None,
        **dict(zip(("passed", "warned", "failed"), lists, strict=True)),
    }


def _policy(item: Fields) -> str:
    fields = item.child("item", ("name", "digest"))
    fields.one_of("name", {"policy"})
    return fields.child("digest", ("sha256",)).digest("sha256")


def _require_kind(record: Record, ours: Fields) -> None:
    """What each kind must say and must not."""
    kind, override = record.kind, record.signature.meaning == "override"
    if record.signature.meaning not in MEANINGS_OF[kind]:
        raise ours.fault("signature.meaning", f"a {kind} cannot mean {record.signature.meaning}")
    if (kind != "sign-off" or override) and record.reason is None:
        raise ours.fault("reason", f"missing, and {'an override' if override else kind} needs one")
    if (kind in AIMED) != (record.target is not None):
        raise ours.fault("target", f"not as the kind {kind} has it")
    if (kind == "drill") != (record.drill is not None):
        raise ours.fault("drill", f"not as the kind {kind} has it")
    if record.findings and kind != "refusal":
        raise ours.fault("findings", "only a refusal has findings")
    if record.build is None and kind not in AIMED:
        raise ours.fault("build", f"missing, and {kind} needs one")
    if kind == "sign-off":
        _require_sign_off(record, ours)


def _require_sign_off(record: Record, ours: Fields) -> None:
    """A sign-off rests on a case, a policy and a verdict that can be signed."""
    if record.case is None:
        raise ours.fault("case", "missing, and a sign-off needs one")
    if record.policy is None:
        raise FieldError("field statement.predicate.configuration: a sign-off needs its policy")
    override = record.signature.meaning == "override"
    if record.verdict not in (("inconclusive",) if override else ("pass", "inconclusive")):
        raise ours.fault("verdict", f"{record.verdict} cannot be signed with that meaning")
    clean = record.verdict == "pass" and not record.warned and not record.failed
    if record.result == "FAILED" or (record.result == "PASSED" and not clean):
        raise FieldError(
            f"field statement.predicate.result: {record.result} does not fit the verdict"
        )
