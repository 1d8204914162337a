from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from signing import DECIDES, Lab

from lifecycle.errors import IntegrityError, UsageError
from lifecycle.release.records import DECISION, Record, record_of, statement_of


@pytest.fixture
def record(lab: Lab) -> Record:
    return lab.record(lab.chain())


def _decision(record: Record, kind: str, **fields) -> Record:
    bare = {"result": None, "policy": None, "passed": (), "kind": kind, "reason": "why\nand why"}
    bare["signature"] = replace(record.signature, meaning=DECIDES[kind][1])
    return replace(record, **{**bare, **fields})


def _every_kind(record: Record) -> list[Record]:
    return [
        record,
        replace(record, verdict="inconclusive", result="WARNED", warned=("late",)),
        replace(
            record,
            verdict="inconclusive",
            result="WARNED",
            reason="seen on the slides",
            signature=replace(record.signature, meaning="override"),
        ),
        replace(
            record,
            kind="refusal",
            reason="no",
            findings=("a", "b"),
            verdict="fail",
            result="FAILED",
        ),
        replace(
            record,
            kind="refusal",
            reason="no",
            verdict=None,
            policy=None,
            case=None,
            result="FAILED",
        ),
        _decision(record, "withdrawal", target="d" * 64),
        _decision(record, "amendment", target="d" * 64, build=None, built_by=None, case=None),
        _decision(record, "drill", drill={"seconds": 1.5, "same": True, "commit": "e" * 40}),
    ]


@pytest.mark.parametrize("at", range(8))
def test_every_kind_is_read_back(record: Record, at: int) -> None:
    one = _every_kind(record)[at]
    assert record_of(statement_of(one), "r.json") == one


def test_it_is_an_in_toto_test_result(record: Record) -> None:
    statement = statement_of(record)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert statement["subject"] == [
        {"name": "dossier/wine/builds/b1/record.json", "digest": {"sha256": "a" * 64}}
    ]
    predicate = statement["predicate"]
    assert predicate["result"] == "PASSED"
    assert predicate["configuration"] == [{"name": "policy", "digest": {"sha256": "b" * 64}}]
    assert predicate["passedTests"] == ["consistency.series", "holdout.recall"]
    drill = _decision(record, "drill", drill={"seconds": 1})
    assert statement_of(drill)["predicateType"] == DECISION
    assert set(statement_of(drill)["predicate"]) == {"lifecycle"}


def _put(statement: dict, where: str, value: object) -> dict:
    changed = copy.deepcopy(statement)
    *steps, last = [int(step) if step.isdigit() else step for step in where.split("/")]
    spot = changed
    for step in steps:
        spot = spot[step]
    spot[last] = value
    return changed


OURS = "predicate/lifecycle/"
NAMED = [{"name": n, "digest": {"sha256": "a" * 64}} for n in ("a", "b")]


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        ("_type", "x", "statement._type"),
        ("more", 1, "statement.more: not a known field"),
        ("predicateType", DECISION, "predicate.result: not a known field"),
        ("predicateType", 5, "statement.predicateType"),
        ("predicate/more", 1, "statement.predicate.more: not a known field"),
        ("predicate/result", "OK", "predicate.result: 'OK' is none of"),
        ("predicate/result", ["PASSED"], "predicate.result"),
        ("predicate/result", "FAILED", "FAILED does not fit the verdict"),
        ("predicate/failedTests", ["x"], "PASSED does not fit the verdict"),
        ("predicate/warnedTests", ["holdout.recall"], "a criterion stands twice"),
        ("predicate/passedTests", "all", "predicate.passedTests: not a list"),
        ("predicate/passedTests", [1], "predicate.passedTests[0]: not a text"),
        ("predicate/configuration", [], "a sign-off needs its policy"),
        ("predicate/configuration", [{}], "configuration[0].name: missing"),
        ("predicate/configuration/0/name", "p", "configuration[0].name"),
        ("predicate/configuration/0/digest/sha256", "A" * 64, "not a SHA-256"),
        ("subject", [], "statement.subject: 0 entries"),
        ("subject", NAMED[::-1], "statement.subject: not sorted"),
        ("subject", [NAMED[0], NAMED[0]], "one twice"),
        ("subject/0/name", "../secret", "is no path below the project"),
        ("subject/0/name", "/etc/passwd", "is no path below the project"),
        ("subject/0/name", "a//b", "is no path below the project"),
        ("subject/0/name", "a\\b", "is no path below the project"),
        ("subject/0/name", "", "is no path below the project"),
        ("subject/0/uri", "x", "subject[0].uri: not a known field"),
        ("subject/0/digest/md5", "x", "digest.md5: not a known field"),
        (OURS + "schema", "lifecycle/roster/2", "lifecycle.schema"),
        (OURS + "program", "x", "lifecycle.program"),
        (OURS + "kind", "promotion", "lifecycle.kind: 'promotion' is none of"),
        (OURS + "kind", "drill", "predicateType: not that of the kind drill"),
        (OURS + "number", True, "lifecycle.number: not a whole number"),
        (OURS + "number", 0, "lifecycle.number: 0 is less than 1"),
        (OURS + "number", 1.0, "lifecycle.number: not a whole number"),
        (OURS + "classifier", "", "lifecycle.classifier: it is empty"),
        (OURS + "version", 1, "lifecycle.version: not a text"),
        (OURS + "previous", "0" * 63, "lifecycle.previous: not a SHA-256"),
        (OURS + "roster", None, "lifecycle.roster: not an object"),
        (OURS + "roster/version", "1", "lifecycle.roster.version: not a whole"),
        (OURS + "build", None, "lifecycle.build: missing"),
        (OURS + "build/builtBy", " ada", "build.builtBy: it begins or ends"),
        (OURS + "build/extra", 1, "build.extra: not a known field"),
        (OURS + "case", None, "lifecycle.case: missing"),
        (OURS + "case", 7, "lifecycle.case: not a text"),
        (OURS + "verdict", "fail", "lifecycle.verdict: fail cannot be signed"),
        (OURS + "verdict", None, "lifecycle.verdict: None cannot be signed"),
        (OURS + "verdict", "fine", "lifecycle.verdict: 'fine' is none of"),
        (OURS + "verdict", "inconclusive", "PASSED does not fit the verdict"),
        (OURS + "demonstration", 0, "lifecycle.demonstration: neither"),
        (OURS + "reason", " \n", "lifecycle.reason: blank"),
        (OURS + "reason", "a\x1b[2Jb", "lifecycle.reason: blank, or with"),
        (OURS + "target", "d" * 64, "lifecycle.target: not as the kind sign-off"),
        (OURS + "drill", {"a": 1}, "lifecycle.drill: not as the kind sign-off"),
        (OURS + "drill", [], "lifecycle.drill: not an object"),
        (OURS + "findings", ["x"], "lifecycle.findings: only a refusal"),
        (OURS + "more", 1, "predicate.lifecycle.more: not a known field"),
        (OURS + "signature/meaning", "love", "signature.meaning: 'love' is none of"),
        (OURS + "signature/meaning", "override", "lifecycle.reason: missing, and an override"),
        (OURS + "signature/components", [], "signature.components[0]: missing"),
        (OURS + "signature/components/1", "retina", "components[1]"),
        (OURS + "signature/printedName", "", "signature.printedName: it is empty"),
        (OURS + "signature/userId", None, "signature.userId: not a text"),
        (OURS + "signature/keyid", "x", "signature.keyid: not a SHA-256"),
        (OURS + "signature/signedAt", "2026-11-30T14:05:09Z", "signature.signedAt"),
        (OURS + "signature/signedAt", "2026-11-30T14:05:09", "signature.signedAt"),
        (OURS + "signature/signedAt", "2026-11-30T14:05+01:00", "signature.signedAt"),
        (OURS + "signature/signedAt", "2026-02-30T14:05:09+01:00", "signature.signedAt"),
        (OURS + "signature/signedAt", "2026-11-30T14:05:09+25:00", "signature.signedAt"),
    ],
)
def test_a_field_that_is_not_what_it_must_be(
    record: Record, where: str, value: object, said: str
) -> None:
    changed = _put(statement_of(record), where, value)
    with pytest.raises(IntegrityError) as refused:
        record_of(changed, "r.json")
    assert str(refused.value).startswith("r.json: field ")
    assert said in str(refused.value)


def test_a_missing_field_is_named(record: Record) -> None:
    statement = statement_of(record)
    for key in list(statement["predicate"]["lifecycle"]):
        changed = copy.deepcopy(statement)
        del changed["predicate"]["lifecycle"][key]
        with pytest.raises(IntegrityError, match=f"lifecycle.{key}: missing"):
            record_of(changed, "r.json")
    for value in (None, 5, [], "x"):
        with pytest.raises(IntegrityError, match=r"r\.json: field statement: not an object"):
            record_of(value, "r.json")


@pytest.mark.parametrize("kind", ["refusal", "withdrawal", "amendment", "drill"])
def test_every_other_kind_needs_a_reason(record: Record, kind: str) -> None:
    by_kind = {one.kind: one for one in _every_kind(record)}
    with pytest.raises(UsageError, match=r"lifecycle\.reason: missing"):
        statement_of(replace(by_kind[kind], reason=None))


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("withdrawal", {"target": None}, "target"),
        ("drill", {"drill": None}, "drill"),
        ("drill", {"drill": {}}, "drill"),
        ("drill", {"drill": {"a": 1}, "build": None, "built_by": None}, "build"),
        ("withdrawal", {"target": "d" * 64, "passed": ("x",)}, "cannot say"),
        ("withdrawal", {"target": "d" * 64, "build": None}, "cannot say"),
    ],
)
def test_a_record_that_cannot_be_is_not_signed(
    record: Record, kind: str, fields: dict, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        statement_of(_decision(record, kind, **fields))


def test_only_a_sign_off_overrides(record: Record) -> None:
    signature = replace(record.signature, meaning="override")
    with pytest.raises(UsageError, match="a withdrawal cannot mean override"):
        statement_of(_decision(record, "withdrawal", target="d" * 64, signature=signature))
