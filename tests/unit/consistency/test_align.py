from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lifecycle.consistency.align import align
from lifecycle.domain.predictions import Predictions
from lifecycle.errors import UnusableInputError


def build(ids, classes=("A", "B", "C"), **more):
    n, C = len(ids), len(classes)
    scores = np.array([[float(j == i % C) for j in range(C)] for i in range(n)])
    facts = {
        "patients": tuple(f"patient of {c}" for c in ids),
        "groups": ("",) * n,
        "labels": None,
        "task": "single",
    }
    return Predictions(ids=tuple(ids), classes=classes, scores=scores, **(facts | more))


def test_same_cases_in_one_order():
    one = build("cab", labels=tuple("ABC"), subgroups={"sex": tuple("fmf")})
    found = align({"b1": one, "b2": build("abc")})
    assert list(found) == ["b1", "b2"]
    assert found["b1"].ids == found["b2"].ids == ("a", "b", "c")
    assert found["b1"].labels == ("B", "C", "A")
    assert found["b1"].subgroups == {"sex": ("m", "f", "f")}
    assert found["b1"].patients[0] == "patient of a"
    assert found["b1"].scores.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_permuted_classes_are_named():
    with pytest.raises(UnusableInputError, match="column 1 is 'A' in b1 and 'B' in b2") as caught:
        align({"b1": build("ab"), "b2": build("ab", classes=("B", "A", "C"))})
    assert "column 3" not in str(caught.value)


def test_other_classes_are_named():
    with pytest.raises(UnusableInputError, match="'C' only in b1; 'D' only in b2"):
        align({"b1": build("ab"), "b2": build("ab", classes=("A", "B", "D"))})
    with pytest.raises(UnusableInputError, match="'C' only in b1"):
        align({"b1": build("ab"), "b2": build("ab", classes=("A", "B"))})


def test_a_missing_case_is_named():
    named = {"b1": build("abcd"), "b2": build("bc"), "b3": build("abcd")}
    with pytest.raises(UnusableInputError, match="b2 lacks case 'a' and 1 more"):
        align(named)
    assert align(named, allow_missing=True)["b1"].ids == ("b", "c")


def test_nothing_in_common():
    with pytest.raises(UnusableInputError, match="b1, b2 have no case in common"):
        align({"b1": build("ab"), "b2": build("cd")}, allow_missing=True)
    with pytest.raises(UnusableInputError, match="nothing to align"):
        align({})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "multi"}, "b1 is single-label, b2 is multi-label"),
        ({"patients": ("p", "patient of b")}, "case 'a' has patient 'patient of a' in b1 and 'p'"),
        ({"groups": ("", "slide")}, "case 'b' has group '' in b1 and 'slide' in b2"),
        ({"ids": ("a", "a")}, "b2: case 'a' is there twice"),
    ],
)
def test_other_facts_are_refused(change, words):
    with pytest.raises(UnusableInputError, match=words):
        align({"b1": build("ab"), "b2": replace(build("ab"), **change)})


def test_labels_must_agree_where_both_know_them():
    b1, b2 = build("ab", labels=("A", "")), build("ab", labels=("", "B"))
    b3 = build("ab", labels=("B", "B"))
    assert align({"b1": b1, "b2": b2, "b0": build("ab")})["b2"].labels == ("", "B")
    with pytest.raises(UnusableInputError, match="case 'a' has label 'A' in b1 and 'B' in b3"):
        align({"b1": b1, "b2": b2, "b3": b3})
