"""Formats of a signed release: statement, roster, case and exported bundle."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import MaxLen, MinLen
from pydantic import Field

from lifecycle.records.evidence import CRITERIA_V1, RULES_V1, Decision, VerdictV1, decision_of_v1
from lifecycle.records.format import Format, Value, same
from lifecycle.records.settings import PolicyRecord, PolicyRecordV2, TauRecord
from lifecycle.records.types import (
    Count,
    Digest,
    FilePath,
    Moment,
    Name,
    Number,
    Part,
    Prose,
    Record,
    Text,
)

Kind = Literal["sign-off", "refusal", "withdrawal", "amendment", "drill"]
Meaning = Literal["authorship", "review", "approval", "responsibility", "override"]
Role = Literal["admin", "approver", "author", "reviewer"]


class EnvelopeSignature(Part):
    """One signature of a DSSE envelope."""

    keyid: Digest
    sig: str


class Envelope(Part):
    """A DSSE envelope (protocol 1.0) with exactly one signature; `payload` is base64."""

    payload: str
    payloadType: str  # noqa: N815  # as DSSE writes it
    signatures: Annotated[list[EnvelopeSignature], MinLen(1), MaxLen(1)]


class RosterName(Part):
    """Which roster was in force."""

    version: Number
    sha256: Digest


class BuildName(Part):
    """Which build, and who built it."""

    number: Number
    builtBy: Name  # noqa: N815  # as in-toto's own fields are written


class SignatureRecord(Part):
    """Who signed, as what and when (21 CFR 11.50)."""

    keyid: Digest
    printedName: Name  # noqa: N815
    userId: Name  # noqa: N815
    meaning: Meaning
    signedAt: Moment  # noqa: N815
    components: tuple[Literal["key file"], Literal["passphrase"]] = Field(strict=False)


class ReleaseV1(Part):
    """Version 1, of lifecycle 0.1.0: the extension `predicate.lifecycle` of a Statement."""

    kind: Kind
    number: Number
    classifier: Name
    version: Name
    previous: Digest | None
    roster: RosterName
    build: BuildName | None
    case: Digest | None
    verdict: Literal["pass", "inconclusive", "fail"] | None
    demonstration: bool
    reason: Prose | None
    target: Digest | None
    drill: Annotated[dict[str, Any], MinLen(1)] | None
    findings: list[Prose]
    signature: SignatureRecord


class ReleaseV2(ReleaseV1, Record):
    """Version 2: with the program."""


class Sha256(Part):
    """The digest of an in-toto resource."""

    sha256: Digest


class Subject(Part):
    """A file that a decision rests on; a pin stands under its file, version and number."""

    name: FilePath
    digest: Sha256


class PolicyName(Part):
    """The policy, by its digest."""

    name: Literal["policy"]
    digest: Sha256


class Tested(Part):
    """in-toto's test result, v0.1, with our extension (whose own format is `release`)."""

    result: Literal["PASSED", "WARNED", "FAILED"]
    configuration: Annotated[list[PolicyName], MaxLen(1)]
    passedTests: list[Name]  # noqa: N815
    warnedTests: list[Name]  # noqa: N815
    failedTests: list[Name]  # noqa: N815
    lifecycle: dict[str, Any]


class Decided(Part):
    """The predicate of withdrawals, amendments and drills: our extension alone."""

    lifecycle: dict[str, Any]


class TestStatement(Part):
    """An in-toto Statement (v1) with a test result."""

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: Annotated[list[Subject], MinLen(1)]
    predicateType: Literal["https://in-toto.io/attestation/test-result/v0.1"]  # noqa: N815
    predicate: Tested


class DecisionStatement(Part):
    """An in-toto Statement (v1) with another decision."""

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: Annotated[list[Subject], MinLen(1)]
    predicateType: Literal["urn:lifecycle:decision:1"]  # noqa: N815
    predicate: Decided


class PersonRecord(Part):
    """Someone who may sign."""

    user: Name
    name: Name
    keyid: Digest
    public: Text
    roles: list[Role]
    active: bool


class RosterV1(Part):
    """Version 1, of lifecycle 0.1.0."""

    version: Number
    previous: Digest | None
    issuedAt: Moment  # noqa: N815
    people: list[PersonRecord]


class RosterV2(RosterV1, Record):
    """Version 2: with the program."""


class ChainEnd(Part):
    """How far a classifier's chain went: its number of records, and the newest one's SHA-256."""

    records: Number
    head: Digest


class RosterV3(RosterV2):
    """Version 3: where every chain of the dossier ended when it was issued.

    Null in a roster of an older version, which says nothing of it.
    """

    chains: dict[Name, ChainEnd] | None


class CaseFactsV1(Part):
    """What a verdict rests on beside the saved predictions."""

    classifier: Name
    version: Name
    task: Literal["single", "multi"]
    build: Number
    first: Number
    references: list[Number]
    released: bool
    identical: bool
    pin: Digest
    attempt: Count
    policy: PolicyRecord
    tau: TauRecord
    yes: Annotated[list[float], MinLen(2)]
    no: list[float] | None
    validation_passed: bool
    policy_newer: bool
    arithmetic_fault: bool
    list_seen: bool
    numerics_mode: Literal["native", "deterministic", "exact"]
    rehearsals: Count | None
    rehearsed_other_bits: list[Text]
    origin: Literal["real", "simulated"]


class CaseFactsV2(CaseFactsV1):
    """With the rules that it was judged by, and the criteria of these."""

    rules: Text
    criteria: Annotated[list[Text], MinLen(1)]


class ExposedRecord(Part):
    """Networks of one version that were judged on cases of the frozen set, by their weights."""

    classifier: Name
    version: Name
    weights: Annotated[list[Digest], MinLen(1)]


class FollowedRecord(Part):
    """How a build stands to earlier versions, by the chain."""

    earlier: Name | None
    builds: list[Number]
    attempt: Count


class CaseFactsV3(CaseFactsV2):
    """With how it stands to earlier versions, and the networks that were judged on its cases.

    Cases without either were judged by criteria that do not ask for it.
    """

    policy: PolicyRecordV2
    followed: FollowedRecord | None = None
    exposure: list[ExposedRecord] = Field(default_factory=list)


class CaseV1(Part):
    """Version 1, of lifecycle 0.1.0."""

    case: CaseFactsV1
    verdict: VerdictV1


class CaseV2(Record):
    """Version 2: rules and criteria are named, and the verdict holds what decides."""

    case: CaseFactsV2
    verdict: Decision


class CaseV3(Record):
    """Version 3: with earlier versions and exposure, and the keys that the policy got."""

    case: CaseFactsV3
    verdict: Decision


class BundleV1(Record):
    """What an exported release holds beside the signed files."""

    classifier: Name
    version: Name
    build: Number
    head: Digest
    fingerprint: Digest
    files: dict[FilePath, Digest]


def _roster_of_v2(fields: Value) -> Value:
    return {**fields, "chains": None}


def _case_of_v1(fields: Value) -> Value:
    rules = {"rules": RULES_V1, "criteria": list(CRITERIA_V1)}
    return {"case": {**fields["case"], **rules}, "verdict": decision_of_v1(fields["verdict"])}


RELEASE = Format(
    "release",
    (ReleaseV1, ReleaseV2),
    ReleaseV2,
    (same,),
    place="statement.predicate.lifecycle",
)
ROSTER = Format(
    "roster", (RosterV1, RosterV2, RosterV3), RosterV3, (same, _roster_of_v2), place="payload"
)
CASE = Format("case", (CaseV1, CaseV2, CaseV3), CaseV3, (_case_of_v1, same))
BUNDLE = Format("bundle", (BundleV1,), BundleV1, digested=1, cure="unpack the bundle anew")
