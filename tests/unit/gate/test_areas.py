"""`min_macro_auc` and `small_classes: leave-out`: shown, not shown, and what must never pass."""

from __future__ import annotations

import numpy as np
import pytest

from lifecycle.domain.classifier import Policy
from lifecycle.domain.digests import canonical_json, digest_of
from lifecycle.domain.predictions import Predictions
from lifecycle.domain.verdict import Finding
from lifecycle.gate.criteria import CRITERIA
from lifecycle.gate.evidence import NO_AREAS, Areas, Evidence, FrozenFigures, frozen_areas
from lifecycle.gate.judge import judge, policy_digest, to_json
from lifecycle.stats.auc import AucInterval

LEAVE_OUT = {"min_cases_per_class": 5, "small_classes": "leave-out"}


def evidence(**change) -> Evidence:
    """A first build of which everything else is missing."""
    nothing = dict.fromkeys(
        ("agreement", "cutoffs", "holdout", "frozen", "validation_passed", "pin_intact",
         "policy_newer", "same_fingerprint_other_weights", "rehearsals")
    )  # fmt: skip
    first = {
        "build": 1, "basis": "first build", "attempt": 0, "numerics_mode": "exact",
        "origin": "real", "task": "multi",
    }  # fmt: skip
    return Evidence(**(nothing | first | change))


def areas(area: float | None, low: float | None) -> Areas:
    return Areas(AucInterval(area, low, area, 9, 1000), {}, ())


def found(criterion: str, policy: Policy, given: Evidence) -> Finding:
    (only,) = CRITERIA[criterion](policy, given)
    return only


@pytest.mark.parametrize(
    ("area", "low", "status"),
    [
        (0.97, 0.93, "pass"),
        (0.97, 0.90, "pass"),  # the limit itself
        (0.97, 0.899, "inconclusive"),  # the area reaches it, the interval does not show it
        (0.90, 0.80, "inconclusive"),
        (0.899, 0.80, "fail"),
        (None, None, "inconclusive"),
        (0.97, None, "inconclusive"),
        (float("nan"), 0.95, "inconclusive"),
        (0.97, float("nan"), "inconclusive"),
    ],
)
def test_the_lower_end_of_the_interval_is_what_must_reach_the_limit(area, low, status) -> None:
    policy = Policy(min_macro_auc=0.90)
    finding = found("auc.macro", policy, evidence(areas=areas(area, low)))
    assert (finding.status, finding.limit) == (status, 0.90)
    verdict = judge(policy, evidence(areas=areas(area, low)))
    assert verdict.status == ("fail" if status == "fail" else "inconclusive")
    canonical_json(to_json(verdict))


def test_areas_that_were_not_given_are_no_pass_and_without_a_limit_no_finding() -> None:
    assert found("auc.macro", Policy(min_macro_auc=0.0), evidence()).status == "inconclusive"
    assert CRITERIA["auc.macro"](Policy(), evidence(areas=areas(0.1, 0.0))) == ()


def figures(**per_class: int) -> FrozenFigures:
    return FrozenFigures(20, 20, True, per_class, ())


@pytest.mark.parametrize(
    ("per_class", "more", "status", "words"),
    [
        ({"A": 9, "B": 5}, {}, "pass", "at least 5"),
        ({"A": 9, "B": 4}, {}, "pass", "Left out by the policy, for fewer than 5"),
        ({"A": 9, "B": 4}, {"critical": ("A",)}, "pass", "B (4)"),
        ({"A": 9, "B": 4}, {"critical": ("B",)}, "inconclusive", "B is critical"),
        ({"A": 9, "B": 0}, {"critical": ("B",)}, "inconclusive", "B is critical"),
        ({"A": 4, "B": 4}, {}, "inconclusive", "Too few"),  # nothing would be left
        ({"A": 9, "B": 4}, {"small_classes": "inconclusive"}, "inconclusive", "Too few"),
    ],
)
def test_a_small_class_is_left_out_only_by_the_policy(per_class, more, status, words) -> None:
    policy = Policy(**(LEAVE_OUT | more))
    finding = found("classes.minimum", policy, evidence(frozen=figures(**per_class)))
    assert (finding.status, words in finding.said) == (status, True), finding.said
    missing = found("classes.minimum", policy, evidence())
    assert missing.status == "inconclusive"


CLASSES = ("A", "B", "C")


def frozen(labels: list[str], scores: np.ndarray | None = None) -> Predictions:
    ids = tuple(f"c{i:02}" for i in range(len(labels)))
    drawn = np.random.default_rng(5).random((len(labels), 3)) if scores is None else scores
    return Predictions(ids, ids, ("",) * len(ids), tuple(labels), CLASSES, drawn, "multi")


def test_areas_on_the_frozen_set_are_over_the_classes_that_are_left() -> None:
    labels = ["A", "A|B", "B", "", "A|C", "B", "A", "B|A"] * 3
    at = {name: [name in label.split("|") for label in labels] for name in CLASSES}
    scores = np.stack([np.array(at[name], dtype=float) for name in CLASSES], axis=1)
    scores[:, 2] = 1.0 - scores[:, 2]  # C, the rare one, is wrong everywhere
    every = frozen_areas(frozen(labels, scores), Policy(min_cases_per_class=5))
    assert every.left_out == ()
    assert every.macro.area == pytest.approx(2 / 3)
    out = frozen_areas(frozen(labels, scores), Policy(**LEAVE_OUT))
    assert out.left_out == ("C",)
    assert (out.macro.area, out.macro.low) == (1.0, 1.0)
    assert out.per_class["C"].area == 0.0  # told all the same


def test_where_there_are_no_labels_or_every_class_is_small_there_is_no_macro_area() -> None:
    assert frozen_areas(frozen([""] * 6), Policy()) is NO_AREAS
    none = frozen_areas(frozen(["A", "B", "C"] * 2), Policy(**LEAVE_OUT))
    assert none.left_out == CLASSES
    assert none.macro.area is None
    policy = Policy(**LEAVE_OUT, min_macro_auc=0.5)
    assert found("auc.macro", policy, evidence(areas=none)).status == "inconclusive"


def test_a_policy_that_was_written_before_a_key_is_the_same_policy() -> None:
    # digests as they stand in verdicts that were given before the two keys existed
    whole = "cb2428290429211ae4ca665043b1fb59a2f4c98ad9ccafd741e4bf8573982518"
    assert policy_digest(Policy()) == whole
    other = "30dcc18bff245da8bfc28679f87df6d7d6efbca0f461deefe53a6f98789b196f"
    assert policy_digest(Policy(p=0.9, critical=("A",), rehearsals=3)) == other
    own = Policy(min_macro_auc=None, small_classes="inconclusive")
    assert policy_digest(own) == policy_digest(Policy())
    changed = [Policy(min_macro_auc=0.0), Policy(small_classes="leave-out"), Policy(p=0.9)]
    digests = {policy_digest(policy) for policy in [Policy(), *changed]}
    assert len(digests) == 4
    assert digest_of({}) not in digests
