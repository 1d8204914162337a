"""The model card: what is said of a release, and that no name of a case or class becomes markup."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from signing import new_lab

from lifecycle.domain.classifier import Policy, TauPlan
from lifecycle.domain.digests import digest_of
from lifecycle.domain.predictions import Cutoffs
from lifecycle.domain.verdict import Finding, Verdict
from lifecycle.dossier.builds import Build
from lifecycle.release.bom import bom_of, faults
from lifecycle.release.case import Case, Judged
from lifecycle.release.model_card import Facts, card_of, markdown_of
from lifecycle.release.standing import standing

CLASSES = ["GBM, RTK I", "a|b <img src=x> ![y](http://z)"]
CONTENT = {
    "classifier": "wine",
    "version": "1",
    "classes": CLASSES,
    "terms": {
        "split": {"holdout": 0.25},
        "frozen": {"fraction": 0.2},
        "preprocess": {"convention": "m-value"},
        "model": {"kind": "mlp", "hidden": [8]},
    },
    "inputs": {
        "cohort": "1" * 64, "features": "2" * 64, "pin": {"number": 1, "total": "3" * 64},
    },
    "recipe": {"seed": 0, "numerics": {"mode": "native", "dtype": "float64"}},
    "environment": {"libraries": {"torch": "2.13.0+cpu"}},
    "framework": {"torch": "2.13.0+cpu"},
    "weights": {"file": "4" * 64, "sha256": "5" * 64, "md5": "6" * 32},
    "predictions": {"frozen": "7" * 64},
}  # fmt: skip


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    lab = new_lab(tmp_path_factory.mktemp("lab"))
    lab.add("rev")
    lab.add("app", "approval")
    (release,) = standing(lab.chain(), "1").releases
    finding = Finding("holdout.recall", "pass", 0.875, 0.5, None, "The recall is 88%.")
    area = {"area": 0.5, "low": None, "high": None, "positives": 3}
    sure = {"area": 0.75, "low": 0.5, "high": 1.0, "positives": 4}
    areas = {"left_out": ["rare"], "per_class": {CLASSES[0]: sure, CLASSES[1]: area}, "macro": None}
    shown = {"remarks": ["A remark."], "areas": areas}
    case = Case(
        classifier="wine", version="1", task="single", build=1, first=1, references=(),
        released=False, identical=False, pin="3" * 64, attempt=0, policy=Policy(),
        tau=TauPlan(positive=CLASSES[0]), yes=(0.75, 0.75), no=None, validation_passed=True,
        policy_newer=False, arithmetic_fault=False, list_seen=False, numerics_mode="native",
        rehearsals=None, rehearsed_other_bits=(), origin="real", rules="gate/1",
        criteria=("holdout",),
    )  # fmt: skip
    return Facts(
        title="Wines",
        chain=lab.chain(),
        release=release,
        build=Build(1, CONTENT, {}, digest_of(CONTENT), Path("b1")),
        judged=Judged(
            case, Verdict("pass", "first build", 1, (finding,), "8" * 64, "gate/1", (), shown)
        ),
        cutoffs=Cutoffs((0.75, 0.75), None, "provisional", {"said": "13 of 13"}),
        frozen={CLASSES[0]: 3, CLASSES[1]: 4},
        holdout={CLASSES[0]: 1},
    )


def _simulated(facts: Facts) -> Facts:
    case = replace(facts.judged.case, origin="simulated")
    return replace(facts, judged=replace(facts.judged, case=case))


def test_it_says_what_the_evidence_says(facts: Facts) -> None:
    card = card_of(facts)
    assert json.loads(json.dumps(card, allow_nan=False)) == card
    assert card["mark"] is None
    assert card["tau"]["yes"] == dict.fromkeys(CLASSES, 0.75)
    assert card["verdict"]["findings"][0]["figure"] == 0.875
    assert card["digests"]["head of the chain (SHA-256)"] == facts.chain.head
    people = [one["printedName"] for one in card["release"]["signatures"]]
    assert people == ["Dr rev", "Dr app"]


def test_every_limit_is_named(facts: Facts) -> None:
    limits = "\n".join(card_of(facts)["limits"])
    for word in ("provisional", "A remark.", "numerics mode native", "Class rare"):
        assert word in limits


def test_a_simulated_cohort_is_marked_everywhere(facts: Facts) -> None:
    marked = _simulated(facts)
    card = card_of(marked)
    assert "never for patients" in card["mark"]
    text = markdown_of(card)
    assert text.splitlines()[2] == f"**{card['mark']}**"
    assert card["mark"] not in markdown_of(card_of(facts))
    assert "It must never be used for patients" in text
    limits = bom_of(marked, {}, "1")["metadata"]["component"]["modelCard"]["considerations"]
    assert card["mark"] in limits["technicalLimitations"]


def test_names_are_text_and_no_markup(facts: Facts) -> None:
    text = markdown_of(card_of(facts))
    assert "<img" not in text and "![y]" not in text
    assert "a\\|b &lt;img src=x&gt;" in text
    odd = replace(facts, title="a\u202eb\nc # d")
    assert "a\\\\u202eb c \\# d" in markdown_of(card_of(odd))


def test_tables_are_whole(facts: Facts) -> None:
    """Every row of a table has as many cells as its head, whatever names hold."""
    lines = markdown_of(card_of(facts)).splitlines()
    rules = [at for at, line in enumerate(lines) if line.startswith("| ---")]
    assert len(rules) > 5
    for at in rules:
        width = lines[at].count("|")
        end = next(n for n in range(at, len(lines) + 1) if n == len(lines) or not lines[n])
        for line in lines[at - 1 : end]:
            assert line.replace("\\|", "").count("|") == width, line


def test_the_bill_of_materials_is_sound_and_valid(facts: Facts) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    bom = bom_of(facts, {"torch": "2.13.0+cpu", "ast-serialize": "0.13.1"}, "0.1.0")
    assert faults(bom) == []
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is None
    assert bom == bom_of(facts, {"torch": "2.13.0+cpu", "ast-serialize": "0.13.1"}, "0.1.0")
    figures = bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]
    assert {"type": "holdout.recall", "value": "0.875", "slice": "pass: The recall is 88%."} in (
        figures["performanceMetrics"]
    )
    areas = [one for one in figures["performanceMetrics"] if one["type"].startswith("area")]
    assert [one.get("confidenceInterval") for one in areas] == [
        {"lowerBound": "0.5", "upperBound": "1.0"},
        None,
    ]
