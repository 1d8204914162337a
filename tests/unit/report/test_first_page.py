"""The first page: nobody may overlook a discordant patient, nor who signed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lifecycle.domain.predictions import Cutoffs
from lifecycle.domain.verdict import Finding
from lifecycle.gate.criteria import CRITERIA as GATE
from lifecycle.report import first_page, words
from lifecycle.report.first_page import (
    BRIEF,
    CRITERIA,
    NAMED,
    RECORDS,
    alert,
    brief_criteria,
    changes_table,
    overflow,
    signature_table,
)
from lifecycle.report.lists import divergence_table, features_table
from lifecycle.report.page import render
from lifecycle.report.source import Changes, Features, Signature

WIDE = Cutoffs((0.6,) * 3, None, "given", {})
SIGNED = Signature(3, "sign-off", "review", "Rosa <b>Beispiel</b>", "reviewer",
                   "2026-11-21T10:00:00+01:00", "b2", "=cmd|'/c calc'!A1", "ab" * 32)  # fmt: skip


def noisy(make: SimpleNamespace, **more: Any) -> Any:
    return make.rebuild(n=400, cutoffs=WIDE, noise=1.5, **more)


def test_discordant_cases_are_named_the_firmest_first(make: SimpleNamespace) -> None:
    data = noisy(make)
    found, ever = alert(data), data.agreement.ever
    assert found.kind == "fail"
    assert found.head.startswith(f"✖ {ever.D} discordant cases of {ever.R} ({ever.units_any} ")
    assert len(found.cases) == NAMED
    assert found.rest == ever.D - NAMED > 0
    html = render(data, {}).split("</section>")[0]
    assert all(one in html for one in found.cases)
    assert f"And {found.rest} more." in html
    by_name = {one.case: one for one in data.agreement.discordant}
    for line in found.cases:
        one = by_name[line.split()[1]]
        assert len(set(one.calls.values())) > 1
        assert all(f"{build}: {call}" in line for build, call in one.calls.items())


def test_builds_that_say_the_same_stand_together(make: SimpleNamespace) -> None:
    data = noisy(make, builds=3)
    one = replace(data.agreement.discordant[0], case="x" * 99, patient="p",
                  calls={"b1": "RTK I", "b2": "RTK II", "b3": "RTK I"})  # fmt: skip
    agreement = replace(data.agreement, discordant=(one,))
    (line,) = alert(replace(data, agreement=agreement)).cases
    assert line == f"case {'x' * 59}… (patient p): b1 and b3: RTK I; b2: RTK II"
    several = replace(agreement, task="multi", discordant=(replace(one, classes=("RTK I",)),))
    assert " on RTK I: b1 and b3" in alert(replace(data, agreement=several)).cases[0]


def test_a_pass_with_a_discordant_case_shows_it_all_the_same(make: SimpleNamespace) -> None:
    passed = make.verdict(tuple(f for f in make.findings if f.status == "pass"))
    html = render(replace(noisy(make), verdict=passed), {})
    assert html.index("PASS ✓") < html.index('class="alert fail"') < html.index('id="criteria"')


def test_no_discordant_case_is_said_with_its_bound(make: SimpleNamespace) -> None:
    data = make.rebuild(n=60)
    assert data.agreement.ever.D == 0, "the input must agree"
    found = alert(data)
    assert found.kind == "pass"
    assert found.head.startswith("✓ No discordant case among ")
    assert "With 97.5% confidence at most" in found.lines[0]


def test_nothing_reported_is_no_agreement(make: SimpleNamespace) -> None:
    never = Cutoffs((1.0,) * 3, None, "refused", {"said": "too few"})
    found = alert(make.rebuild(cutoffs=never))
    assert found.kind == "inconclusive"
    assert "Nothing can be said" in found.lines[0]
    assert alert(make.first_build()) is None


def test_what_is_not_met_stands_first_with_its_reason(make: SimpleNamespace) -> None:
    table = brief_criteria(make.rebuild())
    assert [row[1].text for row in table.rows] == ["✖ FAIL", "? INCONCLUSIVE", "✓ PASS"]
    assert "14 of 285" in table.rows[0][0].small
    assert table.rows[2][0].small == ""
    assert [cell.text for cell in table.rows[0][2:5]] == ["0.0491", "0.0500", "0.0684"]


def test_a_long_list_goes_on_further_down(make: SimpleNamespace) -> None:
    many = tuple(Finding(f"lost:b1:class {i}", "fail" if i < 3 else "pass", 0.0, 0.1, 0.05, f"s{i}")
                 for i in range(30))  # fmt: skip
    data = replace(make.rebuild(), verdict=make.verdict(many))
    table = brief_criteria(data)
    assert len(table.rows) == CRITERIA
    assert f"{30 - CRITERIA} more criteria, all passed" in table.note
    html = render(data, {})
    assert all(f"s{i}" in html for i in range(30))
    failing = tuple(replace(one, status="fail") for one in many)
    assert "16 of them not passed" in brief_criteria(
        replace(data, verdict=make.verdict(failing))
    ).note  # fmt: skip


def test_every_criterion_of_the_gate_has_words() -> None:
    """Names may be followed by a build or a class; what is unknown stands by its own name."""
    groups = {"holdout": "holdout.recall", "critical": None, "margins": None}
    for name in GATE:
        known = groups.get(name, name)
        if known is not None:
            assert words.criterion_words(known) != known
    assert words.criterion_words("consistency.pair:b1") == "Discordant patients, against b1"
    assert words.criterion_words("lost:b1:K1") == (
        "Patients who lose their report, against b1, class K1"
    )
    assert words.criterion_words("critical.K1.series") == "critical.K1.series"


def test_changes_are_cut_on_the_first_page_and_whole_below(make: SimpleNamespace) -> None:
    lines = [f"parameter.{i}: {i} -> {i + 1}" for i in range(BRIEF + 3)]
    changes = Changes("b1", parameters=lines)
    table = changes_table(changes)
    shown = {row[0].text: row[1].lines for row in table.rows}
    assert shown["Code"] == ("no change",)
    assert shown["Parameters"][0] == "parameter.0: 0 → 1"
    assert shown["Parameters"][-1] == f"parameter.{BRIEF - 1}: {BRIEF - 1} → {BRIEF} … and 3 more"
    assert overflow(changes)
    assert not overflow(Changes("b1", *[["a"] * 2] * 4))
    assert overflow(Changes("b1", *[["a"] * 3] * 4))
    assert changes_table(Changes("b1", *[["a"] * 3] * 4)).rows[0][1].lines == (
        "a",
        "a … and 1 more",
    )
    assert not overflow(Changes("b1", parameters=lines[:BRIEF]))
    html = render(replace(make.rebuild(), changes=changes), {})
    assert f"parameter.{BRIEF + 2}: " in html
    assert "… and 3 more" in html
    assert "There is no build before" not in html


def test_a_first_build_changed_nothing(make: SimpleNamespace) -> None:
    assert "This is the first build of its version" in render(make.first_build(), {})


def test_signatures_are_text_and_stand_on_the_first_page(make: SimpleNamespace) -> None:
    data = replace(make.rebuild(), signatures=[SIGNED], standing="waits for approval")
    html = render(data, {})
    first = html.split('class="page"')[0]
    assert "Who signed: waits for approval" in first
    assert "Rosa &lt;b&gt;Beispiel&lt;/b&gt;" in first
    assert "2026-11-21T10:00:00+01:00" in first
    assert "=cmd|&#39;/c calc&#39;!A1" in first
    assert f"no. 3 {'ab' * 5}…" in first
    assert "ab" * 32 in html
    assert "Nobody had signed" not in html


def test_the_latest_signatures_stand_on_the_first_page(make: SimpleNamespace) -> None:
    signed = [replace(SIGNED, number=i, digest=f"{i:064d}") for i in range(1, RECORDS + 3)]
    table = signature_table(signed)
    assert [row[5].text.split()[1] for row in table.rows] == [str(i) for i in range(3, RECORDS + 3)]
    html = render(replace(make.rebuild(), signatures=signed), {})
    assert f"The latest of {RECORDS + 2} records." in html
    assert f"{1:064d}" in html


def test_unsigned_says_where_signatures_will_be(make: SimpleNamespace) -> None:
    html = render(make.rebuild(), {})
    assert "Nobody had signed when this page was written" in html
    assert "<code>lifecycle release history gbm-methylation</code>" in html
    assert "Who signed: not signed" in html


def test_features_that_came_and_went(make: SimpleNamespace) -> None:
    table = features_table(Features("b1", 1200, ["cg1", "cg2"], ["cg\u202e3"]))
    assert [row[1].text for row in table.rows] == ["1,200", "2", "1"]
    assert table.rows[1][2].text == "cg1 and cg2"
    html = render(replace(make.rebuild(), features=Features("b1", 1, (), ["cg\u202e3"])), {})
    assert "cg\\u202e3" in html
    assert features_table(None) is None
    assert "The list is the same" in features_table(Features("b1", 5)).note


DIVERGED: dict[str, Any] = {
    "classifier": "gbm", "version": "1.0.0", "builds": ["b1", "b2"], "same": False,
    "traced": [True, True], "epochs": 4, "steps": 10, "environment": [],
    "trace": {"step": 7, "epoch": 1, "in_epoch": 7, "where": "step"}, "replays": [],
    "first": {"step": 7, "epoch": 1, "in_epoch": 7, "operation": "matmul", "tensor": "<b>0</b>"},
    "growth": [{"step": 0, "sine": 0.0, "changed": 0}, {"step": 40, "sine": 1e-9, "changed": 2}],
    "cases": 50,
}  # fmt: skip


def test_a_divergence_is_drawn_and_told(make: SimpleNamespace) -> None:
    facts = {row[0].text: row[1].text for row in divergence_table(DIVERGED).rows}
    assert facts["traces part"] == "in step, step 7"
    assert facts["first differing operation"] == "step 7: matmul, <b>0</b>"
    assert facts["holdout calls changed at the end"] == "2 of 50"
    html = render(replace(make.rebuild(), divergence=DIVERGED))
    assert 'id="divergence-title"' in html
    assert "matmul, &lt;b&gt;0&lt;/b&gt;" in html
    same = {**DIVERGED, "same": True, "trace": None, "first": None, "growth": []}
    assert {row[0].text: row[1].text for row in divergence_table(same).rows}["weights"] == (
        "the same"
    )


@pytest.mark.parametrize("units", ["patient", "component"])
def test_the_alert_counts_what_the_policy_counts(make: SimpleNamespace, units: Any) -> None:
    data = noisy(make)
    said = alert(replace(data, agreement=replace(data.agreement, unit=units))).head
    assert f" {units}s)" in said
    assert first_page.ORDER["fail"] < first_page.ORDER["pass"]
