"""Results of a validation that were tampered with, and what a failed validation says."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lifecycle.cohorts.expectations import (
    Failure,
    Validation,
    read_result,
    require,
    validate,
    write_result,
)
from lifecycle.domain.cohort import Cohort
from lifecycle.domain.digests import canonical_json
from lifecycle.errors import (
    ExitCode,
    ExpectationError,
    IntegrityError,
    UnusableInputError,
)

BETA = Failure(
    "cases.beta-at-most-one",
    "critical",
    1,
    ("case A feature cg1 value 1.2",),
    "beta outside [0, 1]: case A feature cg1 value 1.2",
)
CONSTANT = Failure("features.varies", "warning", 1, ("feature cg2",), "constant: feature cg2")
FAILED = Validation(False, (BETA,), (CONSTANT,), 28)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    for result in (FAILED, Validation(True, (), (), 28), Validation(True, (), (CONSTANT,), 28)):
        write_result(tmp_path / "result.json", result)
        assert read_result(tmp_path / "result.json") == result


def test_a_result_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match=r"result\.json"):
        read_result(tmp_path / "result.json")


TAMPERED: dict[str, dict[str, Any]] = {
    "passed in spite of failures": {"passed": True},
    "failures taken out": {"failures": []},
    "passed as text": {"passed": "no"},
    "checked as text": {"checked": "28"},
    "checked as a truth value": {"checked": True},
    "fewer checked than failed": {"checked": 1},
    "another field": {"note": "fine"},
    "a warning among the failures": {"failures": [asdict(CONSTANT)]},
    "failures that are a number": {"failures": 3},
    "failures that are text": {"failures": "none"},
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_changed_result_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_result(path, FAILED)
    path.write_bytes(canonical_json(json.loads(path.read_bytes()) | TAMPERED[name]))
    with pytest.raises(IntegrityError, match=r"result\.json was changed"):
        read_result(path)


@pytest.mark.parametrize(
    "change",
    [
        {"severity": "warning"},
        {"count": "1"},
        {"count": True},
        {"offenders": "case A"},
        {"offenders": [1]},
        {"said": None},
        {"more": 1},
    ],
)
def test_a_changed_failure_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_result(path, FAILED)
    record = json.loads(path.read_bytes())
    record["failures"][0] |= change
    path.write_bytes(canonical_json(record))
    with pytest.raises(IntegrityError, match=r"result\.json was changed"):
        read_result(path)


@pytest.mark.parametrize("text", ["[]\n", "null\n", "3\n", "{}\n", "", "{", "NaN\n"])
def test_a_file_that_is_no_result_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(IntegrityError, match=r"result\.json was changed"):
        read_result(tmp_path / "result.json")


def test_other_bytes_of_the_same_content_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_result(path, FAILED)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1))
    with pytest.raises(IntegrityError):
        read_result(path)


def test_nothing_is_raised_where_the_data_pass(tmp_path: Path) -> None:
    require(Validation(True, (), (CONSTANT,), 28), tmp_path)


def test_the_message_names_failures_and_data_docs() -> None:
    with pytest.raises(ExpectationError) as caught:
        require(FAILED, Path("work/gbm/validation/data_docs/index.html"))
    assert caught.value.exit_code == ExitCode.EXPECTATION == 11
    assert str(caught.value).splitlines() == [
        "the data do not meet 1 of 28 expectations:",
        "- beta outside [0, 1]: case A feature cg1 value 1.2",
        "correct the data or params.yaml; see work/gbm/validation/data_docs/index.html",
    ]


@pytest.mark.parametrize("count", [8, 9, 20])
def test_the_message_has_ten_lines_at_most(count: int) -> None:
    failures = tuple(replace(BETA, said=f"failure {i}") for i in range(count))
    with pytest.raises(ExpectationError) as caught:
        require(Validation(False, failures, (), 28), Path("index.html"))
    lines = str(caught.value).splitlines()
    assert len(lines) == 10
    shown = sum(line.startswith("- failure") for line in lines)
    assert shown == count or f"- and {count - shown} more" in lines


def small() -> Cohort:
    ids = tuple("abcdef")
    values = np.random.default_rng(5).random((6, 3))
    labels = tuple("XY" * 3)
    return Cohort(ids, ids, ("",) * 6, labels, ("cg1", "cg2", "cg3"), values, "simulated")


def check(cohort: Cohort, folder: Path) -> Validation:
    parts = dict.fromkeys("abcd", "training") | {"e": "holdout", "f": "frozen"}
    return validate(cohort, None, parts, ("X", "Y"), "single", "beta", folder)


def test_attributes_that_do_not_fit_the_values(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match=r"6 cases and 3 features.*\(6, 2\)"):
        check(replace(small(), values=np.zeros((6, 2))), tmp_path)
    with pytest.raises(UnusableInputError, match="6 cases but 5 groups"):
        check(replace(small(), groups=("",) * 5), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_old_data_docs_are_replaced_whole(tmp_path: Path) -> None:
    old = tmp_path / "data_docs" / "validations" / "old.html"
    old.parent.mkdir(parents=True)
    old.write_text("of an earlier cohort")
    check(small(), tmp_path)
    assert not old.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["data_docs"]


def test_names_with_markup_and_line_breaks_stay_harmless(tmp_path: Path) -> None:
    cohort = small()
    values = cohort.values.copy()
    values[0, 0] = values[1, 1] = 3
    names = ("<b>cg1</b>", "cg2\nfailure: none", "$cg3 {x} %s")
    found = check(replace(cohort, features=names, values=values), tmp_path)
    sentence = next(f.said for f in found.failures if "beta" in f.said)
    assert "feature <b>cg1</b> value 3" in sentence
    assert len(sentence.splitlines()) == 1
    index = (tmp_path / "data_docs" / "index.html").read_text()
    assert "<b>cg1</b>" not in index
    assert "&lt;b&gt;cg1&lt;/b&gt;" in index


def test_an_expectation_that_cannot_be_evaluated_is_not_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lifecycle.cohorts import expectations
    from lifecycle.cohorts.suites import Check, checks_of

    def with_one_more(*arguments: Any) -> list[Check]:
        arguments_of = {"column": "no such column", "max_value": 1}
        broken = Check(
            "cases", "broken", "ExpectColumnValuesToBeBetween", arguments_of, "", "", "warning"
        )
        return [*checks_of(*arguments), broken]

    monkeypatch.setattr(expectations, "checks_of", with_one_more)
    found = check(small(), tmp_path)
    assert not found.passed
    failure = next(f for f in found.failures if f.expectation == "cases.broken")
    assert "could not be evaluated" in failure.said
    assert "no such column" in failure.said
