"""The split: no patient or slide on two sides, classes near their shares, order irrelevant."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.cohorts.split import assign, components, quotas, read_parts, write_parts
from lifecycle.domain.classifier import CohortSource, FrozenPlan, SplitPlan
from lifecycle.domain.cohort import Cohort
from lifecycle.errors import ExpectationError, UnusableInputError

QUARTER = FrozenPlan(fraction=0.25)
APART = FrozenPlan(source=CohortSource(source="simulated", path="x", part="frozen"))
USED = ("training", "holdout", "frozen")


def _cohort(rows, prefix: str = "c") -> Cohort:
    """Rows are (patient, group, label); an empty patient is the case itself."""
    ids = tuple(f"{prefix}{i:03d}" for i in range(len(rows)))
    return Cohort(
        ids=ids,
        patients=tuple(row[0] or case for row, case in zip(rows, ids, strict=True)),
        groups=tuple(row[1] for row in rows),
        labels=tuple(row[2] for row in rows),
        features=("f",),
        values=np.zeros((len(rows), 1)),
        origin="simulated",
    )


def _singles(**classes: int) -> Cohort:
    return _cohort([("", "", name) for name, count in classes.items() for _ in range(count)])


def _by_class(cohort: Cohort, parts) -> Counter[tuple[str, str]]:
    return Counter((label, parts[c]) for c, label in zip(cohort.ids, cohort.labels, strict=True))


def _sides(column, cohort: Cohort, parts) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for value, case in zip(column, cohort.ids, strict=True):
        if value and parts[case] in USED:
            found.setdefault(value, set()).add(parts[case])
    return found


def _never_straddles(cohort: Cohort, parts) -> None:
    for column in (cohort.patients, cohort.groups):
        assert all(len(sides) == 1 for sides in _sides(column, cohort, parts).values())


def test_independent_cases_meet_their_shares_exactly() -> None:
    cohort = _singles(K1=148, K2=215, K3=67)
    parts = assign(cohort, None, SplitPlan(), QUARTER, None)
    assert Counter(parts.values()) == {"training": 241, "holdout": 81, "frozen": 108}
    counts = _by_class(cohort, parts)
    assert [counts[k, "frozen"] for k in ("K1", "K2", "K3")] == [37, 54, 17]
    assert [counts[k, "holdout"] for k in ("K1", "K2", "K3")] == [28, 40, 13]


def test_the_published_430_become_301_and_129() -> None:
    cohort = _singles(K1=148, K2=215, K3=67)
    frozen = _cohort([("", "", "")] * 5, "frozen")
    parts = assign(cohort, frozen, SplitPlan(holdout=0.3), APART, None)
    assert Counter(parts.values()) == {"training": 301, "holdout": 129, "frozen": 5}


def test_a_separate_frozen_source_is_frozen_whole_without_labels() -> None:
    frozen = _cohort([("p", "s", ""), ("p", "s", "A")], "frozen")
    parts = assign(_singles(A=4, B=4), frozen, SplitPlan(), APART, None)
    assert {parts[case] for case in frozen.ids} == {"frozen"}


KNOWN_FROZEN = ["c006", "c007", "c012", "c015"]
KNOWN_HOLDOUT = ["c000", "c002", "c008"]


def test_the_bits_of_a_known_split() -> None:
    """Held for ever: a split that changed with a library would move cases between parts."""
    parts = assign(_singles(A=8, B=8), None, SplitPlan(seed=5), QUARTER, None)
    assert [case for case, part in parts.items() if part == "frozen"] == KNOWN_FROZEN
    assert [case for case, part in parts.items() if part == "holdout"] == KNOWN_HOLDOUT


def test_the_seed_decides() -> None:
    cohort = _singles(A=20, B=20)
    splits = [assign(cohort, None, SplitPlan(seed=s), QUARTER, None) for s in (0, 0, 1)]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_the_chance_of_a_patient_does_not_depend_on_its_cases() -> None:
    rows = [(f"p{i}", "", "A") for i in range(40) for _ in range(4 if i < 10 else 1)]
    cohort = _cohort(rows)
    large = Counter[str]()
    for seed in range(200):
        parts = assign(cohort, None, SplitPlan(seed=seed), QUARTER, None)
        large.update(parts[cohort.ids[4 * i]] for i in range(10))
    assert 0.20 < large["frozen"] / 2000 < 0.30  # expected 0.25, standard error under 0.01


def test_components_join_through_patients_and_slides() -> None:
    rows = [
        ("p1", "s1", "A"),
        ("p2", "s1", "A"),
        ("p2", "s2", "A"),
        ("p3", "", "A"),
        ("p4", "", "A"),
    ]
    assert components(_cohort(rows)) == [[0, 1, 2], [3], [4]]


def test_a_patient_and_a_slide_of_one_name_are_not_joined() -> None:
    assert len(components(_cohort([("x", "", "A"), ("y", "x", "A")]))) == 2


_ROWS = st.lists(
    st.tuples(
        st.integers(0, 30).map(lambda i: f"p{i}"),
        st.integers(-20, 25).map(lambda i: f"s{i}" if i > 0 else ""),
        st.sampled_from("AAABBC"),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(rows=_ROWS, seed=st.integers(0, 2**32), holdout=st.sampled_from([0.1, 0.25, 0.5]))
def test_no_patient_or_slide_is_on_two_sides(rows, seed, holdout) -> None:
    cohort = _cohort(rows)
    try:
        parts = assign(cohort, None, SplitPlan(holdout=holdout, seed=seed), QUARTER, None)
    except ExpectationError as refused:
        assert "class " in str(refused)
        return
    assert set(parts) == set(cohort.ids)
    _never_straddles(cohort, parts)
    counts = _by_class(cohort, parts)
    assert all(counts[label, part] for label in set(cohort.labels) for part in USED)


@settings(max_examples=60, deadline=None)
@given(rows=_ROWS, seed=st.integers(0, 9), data=st.data())
def test_the_order_of_cases_is_irrelevant(rows, seed, data) -> None:
    cohort = _cohort(rows)
    shuffled = cohort.take(data.draw(st.permutations(range(len(rows)))))
    plan = SplitPlan(seed=seed)
    try:
        parts = assign(cohort, None, plan, QUARTER, None)
    except ExpectationError as refused:
        with pytest.raises(ExpectationError) as again:
            assign(shuffled, None, plan, QUARTER, None)
        assert str(again.value) == str(refused)
        return
    assert assign(shuffled, None, plan, QUARTER, None) == parts


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 4), st.sampled_from("ABC")), min_size=30, max_size=80),
    seed=st.integers(0, 99),
    share=st.sampled_from([0.15, 0.25, 0.4]),
)
def test_classes_are_within_one_patient_of_their_quota(sizes, seed, share) -> None:
    """Patients of one class each: at most the largest patient is missing from a quota."""
    every = [*sizes, *((1, name) for name in "ABC" for _ in range(3))]
    cohort = _cohort([(f"p{i}", "", name) for i, (k, name) in enumerate(every) for _ in range(k)])
    parts = assign(cohort, None, SplitPlan(seed=seed), FrozenPlan(fraction=share), None)
    counts = _by_class(cohort, parts)
    quota = quotas(Counter(cohort.labels), share)
    for name in "ABC":
        assert abs(counts[name, "frozen"] - quota[name]) <= 3


@given(cases=st.dictionaries(st.sampled_from("ABCDE"), st.integers(4, 400), min_size=1))
def test_quotas_add_up_and_stay_near(cases) -> None:
    quota = quotas(cases, 0.3)
    assert quota.total() == np.floor(0.3 * sum(cases.values()) + 0.5)
    assert all(abs(quota[name] - 0.3 * count) < 1 for name, count in cases.items())


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("", "", "A")] * 9 + [("", "", "B")], "class 'B' has 1 case;"),
        ([("", "", "A")] * 9 + [("", "", "B")] * 2, "class 'B' has 2 cases;"),
        (
            [("", "", "A")] * 9 + [("p", "", "B")] * 5,
            "class 'B' has 5 cases in 1 patient or slide component;",
        ),
        ([("", "", "")] * 4, "no case has a label"),
    ],
)
def test_a_class_with_too_few_cases_is_named(rows, said) -> None:
    with pytest.raises(ExpectationError) as refused:
        assign(_cohort(rows), None, SplitPlan(), QUARTER, None)
    assert said in str(refused.value)


def test_classes_that_are_tied_to_each_other_are_named() -> None:
    """Three slides AB, BC, CA: no two parts can both have all classes."""
    rows = [("", slide, name) for slide in ("AB", "BC", "CA") for name in slide]
    frozen = _cohort([("", "", "A")], "frozen")
    with pytest.raises(ExpectationError, match=r"class '[ABC]' \(2 cases\) has no place in"):
        assign(_cohort(rows), frozen, SplitPlan(), APART, None)


def test_mixed_slides_are_tried_until_every_class_has_a_place() -> None:
    rows = [("", f"{a}{b}{i}", n) for i in range(2) for a, b in ("AB", "BC", "CA") for n in (a, b)]
    cohort = _cohort(rows)
    frozen = _cohort([("", "", "A")], "frozen")
    for seed in range(20):
        parts = assign(cohort, frozen, SplitPlan(seed=seed, holdout=0.5), APART, None)
        counts = _by_class(cohort, parts)
        assert all(counts[n, part] for n in "ABC" for part in ("training", "holdout"))


def test_a_multi_label_case_counts_for_each_class() -> None:
    cohort = _singles(**{"A|B": 3, "A": 10, "C": 10})
    parts = assign(cohort, None, SplitPlan(), QUARTER, None)
    assert {part for label, part in _by_class(cohort, parts) if label == "A|B"} == set(USED)


def test_unlabelled_cases_of_the_cohort_are_aside() -> None:
    cohort = _cohort([("", "", "A")] * 8 + [("p", "", "A"), ("p", "", ""), ("", "", "")])
    parts = assign(cohort, None, SplitPlan(), QUARTER, None)
    assert parts["c009"] == parts["c010"] == "aside"
    assert parts["c008"] in USED


def test_a_duplicated_case_is_one_component() -> None:
    """The expectations judge duplicates; until then they must not lie on two sides."""
    cohort = _singles(A=9, B=9)
    cohort = replace(cohort, ids=("c000", "c000", *cohort.ids[2:]))
    assert [0, 1] in components(cohort)
    assert set(assign(cohort, None, SplitPlan(), QUARTER, None)) == set(cohort.ids)


@pytest.mark.parametrize(
    ("row", "said"),
    [(("p1", "", "A"), "patient 'p1'"), (("", "slide", "A"), "group 'slide'")],
)
def test_what_is_in_both_cohorts_is_named(row, said) -> None:
    cohort = _cohort([("p1", "slide", "A"), *[("", "", "A")] * 5])
    with pytest.raises(ExpectationError) as refused:
        assign(cohort, _cohort([row], "f"), SplitPlan(), APART, None)
    assert f"{said} is both in the cohort and in the frozen source" in str(refused.value)


def test_a_case_in_both_cohorts_is_named() -> None:
    with pytest.raises(ExpectationError, match=r"case 'c000' .* is both"):
        assign(_singles(A=5), _singles(A=2), SplitPlan(), APART, None)


# ---- later builds


def _first() -> tuple[Cohort, dict[str, str]]:
    cohort = _cohort([(f"p{i}", f"s{i}", "AB"[i % 2]) for i in range(20)])
    return cohort, assign(cohort, None, SplitPlan(), QUARTER, None)


def _of(parts, part: str, nth: int = 0) -> int:
    return int([case for case, p in parts.items() if p == part][nth][1:])


def _grown(cohort: Cohort, *rows) -> Cohort:
    old = list(zip(cohort.patients, cohort.groups, cohort.labels, strict=True))
    return _cohort([*old, *rows])


def test_known_cases_keep_their_part_whatever_the_seed() -> None:
    cohort, kept = _first()
    assert assign(cohort, None, SplitPlan(seed=99, holdout=0.5), QUARTER, kept) == kept


def test_new_cases_follow_their_patient_or_slide() -> None:
    cohort, kept = _first()
    t, h, f = (_of(kept, part) for part in USED)
    rows = [(f"p{t}", "", "A"), (f"p{h}", "", "A"), (f"p{f}", "", "A"), ("new", "", "A")]
    by_slide = [("n1", f"s{t}", "A"), ("n2", f"s{h}", "A"), ("n3", f"s{f}", "A")]
    grown = _grown(cohort, *rows, *by_slide, ("n4", "", ""))
    parts = assign(grown, None, SplitPlan(), QUARTER, kept)
    new = [parts[case] for case in grown.ids[20:]]
    assert new[:4] == ["training", "holdout", "aside", "training"]
    assert new[4:] == ["training", "holdout", "aside", "aside"]
    assert {case: parts[case] for case in kept} == kept


def test_a_new_case_between_two_sides_is_aside() -> None:
    cohort, kept = _first()
    t, h = _of(kept, "training"), _of(kept, "holdout")
    grown = _grown(cohort, (f"p{t}", f"s{h}", "A"))
    parts = assign(grown, None, SplitPlan(), QUARTER, kept)
    assert parts[grown.ids[20]] == "aside"
    _never_straddles(grown, parts)


def test_a_missing_frozen_case_is_for_the_pin_to_report() -> None:
    cohort, kept = _first()
    gone = _of(kept, "frozen")
    fewer = cohort.take([i for i in range(20) if i != gone])
    parts = assign(fewer, None, SplitPlan(), QUARTER, kept)
    assert parts == {case: part for case, part in kept.items() if case != f"c{gone:03d}"}


def test_kept_sides_that_come_to_share_a_slide_are_refused() -> None:
    cohort, kept = _first()
    t, f = _of(kept, "training"), _of(kept, "frozen")
    groups = ["one slide" if i in (t, f) else group for i, group in enumerate(cohort.groups)]
    with pytest.raises(ExpectationError, match="group 'one slide' has cases in"):
        assign(replace(cohort, groups=tuple(groups)), None, SplitPlan(), QUARTER, kept)


def test_a_class_that_lost_its_holdout_is_named() -> None:
    cohort, kept = _first()
    left = [
        i
        for i, case in enumerate(cohort.ids)
        if not (kept[case] == "holdout" and cohort.labels[i] == "A")
    ]
    with pytest.raises(ExpectationError, match=r"class 'A' \(\d+ cases\) has none left in holdout"):
        assign(cohort.take(left), None, SplitPlan(), QUARTER, kept)


def test_later_builds_with_a_separate_frozen_source() -> None:
    cohort, frozen = _singles(A=10, B=10), _cohort([("fp", "fs", "")], "f")
    kept = assign(cohort, frozen, SplitPlan(), APART, None)
    grown = _grown(cohort, ("fp", "", "A"), ("", "fs", "A"), ("", "", "A"))
    parts = assign(grown, frozen, SplitPlan(), APART, kept)
    assert [parts[case] for case in grown.ids[20:]] == ["aside", "aside", "training"]
    assert parts["f000"] == "frozen"
    known = replace(cohort, patients=("fp", *cohort.patients[1:]))
    with pytest.raises(ExpectationError, match="patient 'fp' is both"):
        assign(known, frozen, SplitPlan(), APART, kept)


@settings(max_examples=80, deadline=None)
@given(rows=_ROWS, more=_ROWS, seed=st.integers(0, 99))
def test_growth_never_moves_a_case_and_never_straddles(rows, more, seed) -> None:
    cohort = _cohort(rows)
    try:
        kept = assign(cohort, None, SplitPlan(seed=seed), QUARTER, None)
    except ExpectationError:
        return
    grown = _grown(cohort, *more)
    parts = assign(grown, None, SplitPlan(seed=seed), QUARTER, kept)
    assert {case: parts[case] for case in kept} == kept
    _never_straddles(grown, parts)


# ---- the file


def test_parts_are_written_in_the_order_asked_for(tmp_path: Path) -> None:
    parts = {"a": "training", 'b, "x"': "aside", "ü": "frozen"}
    write_parts(tmp_path / "parts.csv", parts, ["ü", 'b, "x"', "a"])
    text = (tmp_path / "parts.csv").read_bytes().decode("utf-8")
    assert text == 'case_id,part\nü,frozen\n"b, ""x""",aside\na,training\n'
    assert next(iter(read_parts(tmp_path / "parts.csv").items())) == ("ü", "frozen")
    assert read_parts(tmp_path / "parts.csv") == parts


@pytest.mark.parametrize("order", [["a"], ["a", "b", "c"]])
def test_an_order_of_other_cases_is_refused(tmp_path: Path, order) -> None:
    with pytest.raises(ValueError, match="different cases"):
        write_parts(tmp_path / "parts.csv", {"a": "training", "b": "holdout"}, order)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "line 1"),
        (b"case,part\na,training\n", "line 1"),
        (b"case_id,part\n", "has no cases"),
        (b"case_id,part\na,training\nb\n", "line 3"),
        (b"case_id,part\na,training\n\nb,frozen\n", "line 3"),
        (b"case_id,part\na,training,x\n", "line 2"),
        (b"case_id,part\na,test\n", "line 2: part 'test'"),
        (b"case_id,part\n,training\n", "line 2"),
        (b"case_id,part\na,training\na,training\n", "line 3: case 'a' occurs twice"),
        (b'case_id,part\n"a,training\n', "line 2"),
        (b"case_id,part\n\xff,training\n", "cannot be read"),
    ],
)
def test_malformed_parts_are_named(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "parts.csv").write_bytes(data)
    with pytest.raises(UnusableInputError) as refused:
        read_parts(tmp_path / "parts.csv")
    assert said in str(refused.value)
    assert "parts.csv" in str(refused.value)


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="run the split stage"):
        read_parts(tmp_path / "parts.csv")


def test_a_kept_split_with_an_unknown_part_is_refused() -> None:
    with pytest.raises(UnusableInputError, match="'c000' has part 'test'"):
        assign(_singles(A=5), None, SplitPlan(), QUARTER, {"c000": "test"})


# ---- published folds

NINE, TEN = SplitPlan(folds=("9",)), FrozenPlan(folds=("10",))


def _in_folds(*rows: tuple[str, str, str]) -> Cohort:
    """Rows are (patient, label, fold)."""
    cohort = _cohort([(patient, "", label) for patient, label, _ in rows])
    return replace(cohort, folds=tuple(fold for *_, fold in rows))


def test_folds_go_whole_to_their_parts() -> None:
    cohort = _in_folds(
        ("p", "A", "1"), ("p", "B", "1"), ("q", "A|B", "2"), ("r", "A", "9"), ("s", "B", "9"),
        ("t", "A", "10"), ("t", "", "10"), ("u", "", "1"), ("v", "", "9"), ("w", "A", ""),
    )  # fmt: skip
    parts = assign(cohort, None, NINE, TEN, None)
    assert list(parts.values()) == [
        "training", "training", "training", "holdout", "holdout",
        "frozen", "frozen",  # also without a label: it is judged for consistency
        "aside", "aside", "aside",  # no label, no label, no fold
    ]  # fmt: skip
    assert assign(cohort, None, replace(NINE, seed=7), TEN, None) == parts  # nothing is drawn
    assert assign(cohort, None, NINE, TEN, parts) == parts


def test_a_fold_that_the_cohort_does_not_have_is_named() -> None:
    cohort = _in_folds(("p", "A", "1"), ("q", "A", "9"), ("r", "B", ""))
    with pytest.raises(UnusableInputError, match="names fold '10'; the cohort has 1, 9"):
        assign(cohort, None, NINE, TEN, None)
    with pytest.raises(UnusableInputError, match="has no folds: draw the split by `fraction`"):
        assign(_singles(A=4, B=4), None, NINE, TEN, None)


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ([("p", "A", "9"), ("q", "B", "10")], "training"),
        ([("p", "A", "1"), ("q", "", "9"), ("r", "B", "10")], "holdout"),
    ],
)
def test_folds_that_leave_a_part_empty_are_refused(rows, part: str) -> None:
    with pytest.raises(ExpectationError, match=f"no labelled case for {part}"):
        assign(_in_folds(*rows), None, NINE, TEN, None)


@pytest.mark.parametrize(
    ("folds", "said"),
    [
        (("1", "9"), "'p' has cases in training and in holdout"),
        (("9", "10"), "'p' has cases in holdout and in frozen"),
        (("10", "2"), "'p' has cases in frozen and in training"),
    ],
)
def test_a_patient_in_folds_of_two_parts_is_named(folds: tuple[str, str], said: str) -> None:
    others = [("q", "A", "1"), ("r", "A", "2"), ("s", "A", "9"), ("t", "A", "10")]
    one, two = folds
    with pytest.raises(ExpectationError, match=said):
        assign(_in_folds(("p", "A", one), ("p", "B", two), *others), None, NINE, TEN, None)
    within = _in_folds(("p", "A", "1"), ("p", "B", "2"), *others)  # two folds of one part
    assert assign(within, None, NINE, TEN, None)["c000"] == "training"


@pytest.mark.parametrize(("column", "kind"), [(0, "patient"), (1, "group")])
def test_another_spelling_in_the_frozen_source_is_the_same(column: int, kind: str) -> None:
    row = ["p1", "slide 1", "A"]
    cohort = _cohort([tuple(row), *[("", "", "A")] * 5])
    other = ["other", "", "A"]
    other[column] = row[column].upper()
    with pytest.raises(ExpectationError) as refused:
        assign(cohort, _cohort([tuple(other)], "f"), SplitPlan(), APART, None)
    assert f"{kind} {other[column]!r} and {kind} {row[column]!r} differ only" in str(refused.value)
