"""The pin of the frozen test set: every kind of change is named."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace

import numpy as np
import pytest

from lifecycle.cohorts.pin import canonical_case, case_digests, check_pin, make_pin
from lifecycle.domain.cohort import Cohort
from lifecycle.domain.digests import canonical_json
from lifecycle.errors import ExpectationError, IntegrityError, UsageError


def _cohort(n: int = 4, p: int = 3) -> Cohort:
    values = np.random.default_rng(7).random((n, p))
    ids = tuple(f"case-{i}" for i in range(n))
    return Cohort(
        ids=ids,
        patients=tuple(f"p{i // 2}" for i in range(n)),
        groups=("slide",) * n,
        labels=("A", "", *("B",) * (n - 2)),
        features=tuple(f"cg{j}" for j in range(p)),
        values=values,
        origin="real",
    )


def _with_value(cohort: Cohort, row: int, column: int, value: float) -> Cohort:
    values = np.array(cohort.values)
    values[row, column] = value
    return replace(cohort, values=values)


def test_the_bytes_are_canonical_json_of_the_case() -> None:
    cohort = _cohort()
    facts = {
        "id": "case-0",
        "patient": "p0",
        "group": "slide",
        "label": "A",
        "values": cohort.values[0].astype("<f8").tobytes().hex(),
    }
    assert canonical_case(cohort, 0) == canonical_json(facts)
    assert case_digests(cohort)["case-0"] == hashlib.sha256(canonical_json(facts)).hexdigest()


def test_an_unknown_label_is_left_out_of_the_bytes() -> None:
    assert "label" not in json.loads(canonical_case(_cohort(), 1))


def test_names_that_need_escaping_are_canonical_too() -> None:
    cohort = replace(_cohort(), patients=('a"b', "ü\n", "p", "q"))
    for row in (0, 1):
        data = canonical_case(cohort, row)
        assert canonical_json(json.loads(data)) == data


def test_negative_zero_and_kinds_of_nan_are_one_value() -> None:
    odd_nan = np.array([0xFFF8000000000001], dtype=np.uint64).view(np.float64)[0]
    one = _with_value(_with_value(_cohort(), 0, 0, 0.0), 0, 1, np.nan)
    other = _with_value(_with_value(_cohort(), 0, 0, -0.0), 0, 1, odd_nan)
    assert case_digests(one) == case_digests(other)


def test_sixteen_bit_values_count_as_the_float64_they_stand_for() -> None:
    counts = np.array([[1, 65535, 0]], dtype=np.uint16)
    few = _cohort().take([0])
    exact = replace(few, values=counts.astype(np.float64) / 65536)
    assert case_digests(replace(few, values=counts)) == case_digests(exact)


def test_the_pinned_cases_pass_in_any_order() -> None:
    cohort = _cohort()
    pin = make_pin(cohort, "1.0.0", 1, "")
    check_pin(pin, cohort)
    check_pin(pin, cohort.take([3, 1, 0, 2]))
    assert make_pin(cohort.take([3, 1, 0, 2]), "1.0.0", 1, "").total == pin.total
    assert pin.origin == "real"
    assert pin.number == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.take([0, 1, 3]), "case 'case-2' is missing."),
        (lambda c: c.take([0]), "case 'case-1' is missing (and 2 more)"),
        (lambda c: replace(c, ids=("x", *c.ids[1:])), "case 'x' was not pinned"),
        (
            lambda c: _with_value(c, 2, 0, np.nextafter(c.values[2, 0], 1)),
            "case 'case-2' was chang",
        ),
        (lambda c: replace(c, labels=("B", *c.labels[1:])), "case 'case-0' was changed."),
        (lambda c: replace(c, labels=("A", "A", "B", "B")), "case 'case-1' was changed."),
        (lambda c: replace(c, patients=("p9", *c.patients[1:])), "case 'case-0' was changed."),
        (lambda c: replace(c, groups=("other", *c.groups[1:])), "case 'case-0' was changed."),
        (lambda c: replace(c, values=c.values[:, ::-1]), "all 4 cases were changed"),
        (lambda c: replace(c, features=("cg9", "cg1", "cg2")), "the feature list was changed"),
        (lambda c: replace(c, origin="simulated"), "the cases are simulated, and real ones"),
    ],
)
def test_every_change_is_refused_and_named(change, said) -> None:
    pin = make_pin(_cohort(), "1.0.0", 2, "slides of 2019 were wrong")
    with pytest.raises(IntegrityError) as refused:
        check_pin(pin, change(_cohort()))
    assert said in str(refused.value)
    assert "pin 2 of version 1.0.0" in str(refused.value)


def test_a_total_that_was_edited_is_refused() -> None:
    pin = make_pin(_cohort(), "1.0.0", 1, "")
    with pytest.raises(IntegrityError):
        check_pin(replace(pin, total="0" * 64), _cohort())


def test_duplicate_cases_cannot_be_pinned() -> None:
    with pytest.raises(ExpectationError, match="'case-0' occurs twice"):
        make_pin(_cohort().take([0, 1, 0]), "1.0.0", 1, "")


def test_no_cases_cannot_be_pinned() -> None:
    with pytest.raises(ExpectationError, match="no frozen cases"):
        make_pin(_cohort().take([]), "1.0.0", 1, "")


def test_an_amendment_needs_a_reason() -> None:
    with pytest.raises(UsageError, match="reason"):
        make_pin(_cohort(), "1.0.0", 2, " ")


def test_a_wide_frozen_set_is_fast() -> None:
    cohort = _cohort(339, 20_000)
    began = time.process_time()
    case_digests(cohort)
    assert time.process_time() - began < 1.0
