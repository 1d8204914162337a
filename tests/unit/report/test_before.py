"""The report's section on the version before and on exposure, and what masking makes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from following_site import evidence_with
from unit.report import inputs

from lifecycle.domain.classifier import Policy, PredecessorPlan
from lifecycle.domain.cohort import Pin
from lifecycle.domain.predictions import Cutoffs
from lifecycle.domain.verdict import Verdict
from lifecycle.gate.evidence import Exposure
from lifecycle.gate.following import exposure, predecessor, shown_of
from lifecycle.release.followed import Facts, Scored, followed_of
from lifecycle.report.before import before_tables
from lifecycle.report.page import render
from lifecycle.report.source import ReportInput
from lifecycle.workflows.masking import masked


@pytest.fixture
def data() -> ReportInput:
    """A first build of a version that contradicts the one before, without two of its cases."""
    made = inputs.rebuild()
    policy = Policy(predecessor=PredecessorPlan("0.9"), exposure=1)
    cut = Cutoffs((0.5,) * 3, None, "proposed", {})
    old = inputs.predictions(122, 7, noise=1.5)
    ids = made.frozen.ids
    cases = {case: f"{i:064x}" for i, case in enumerate(old.ids)}
    then = Pin("0.9", 1, cases, "0" * 64, "", "real")
    now = replace(then, version="1.0.0", cases={case: cases[case] for case in ids})
    found = followed_of(
        Facts("0.9", (1,), 2), policy, Scored("b2", made.frozen, now, cut),
        [Scored("b1", old, then, cut)],
    )  # fmt: skip
    seen = replace(
        evidence_with(found), exposure=Exposure(3, (("gbm", "0.9", 1), ("gbm", "1.0.0", 2)))
    )
    verdict: Verdict = made.verdict
    verdict = replace(
        verdict,
        findings=(*verdict.findings, *predecessor(policy, seen), *exposure(policy, seen)),
        shown={**verdict.shown, **shown_of(seen)},
    )
    classifier = replace(made.classifier, policy=policy)
    return replace(made, verdict=verdict, classifier=classifier, pin=now)


def test_the_section_says_whom_it_follows_and_how_often_the_cases_were_used(
    data: ReportInput,
) -> None:
    captions = [one.caption for one in before_tables(data)]
    assert captions == [
        "The version before", "Consistency with the version before",
        "Discordant cases, by what each build calls",
        "Networks that were judged on these frozen cases",
    ]  # fmt: skip
    page = render(data)
    assert 'id="before"' in page
    assert "case-120" in page and "case-121" in page  # gone from the frozen set, and named
    assert "3 different networks altogether. The policy allows 1." in page


def test_a_first_build_that_contradicts_the_version_before_says_so_on_the_first_page(
    data: ReportInput,
) -> None:
    shown = data.verdict.shown["predecessor"]
    assert shown["discordant"] > 0
    first = replace(data, agreement=None, frozen_before={})
    page = render(first)
    head = page[: page.index('id="criteria"')]
    assert f"{shown['discordant']} discordant case" in head
    assert shown["first"][0]["case"] in head
    quiet = {**data.verdict.shown, "predecessor": {**shown, "discordant": 0, "first": []}}
    assert 'id="alert"' not in render(replace(first, verdict=replace(first.verdict, shown=quiet)))


def test_a_verdict_by_older_rules_has_no_such_section() -> None:
    made = inputs.rebuild()
    assert before_tables(made) == []
    assert 'id="before"' not in render(made)


def test_no_case_is_named_in_a_report_without_identifiers(data: ReportInput) -> None:
    from lifecycle.workflows.known_names import Known

    every = [*data.verdict.shown["predecessor"]["only_then"]["first"]]
    known = Known.of([data.frozen, data.holdout, *data.frozen_before.values()],
                     [*data.pin.cases, *every])  # fmt: skip
    page = render(masked(data, known))
    assert "Networks that were judged" in page
    for name in (*data.pin.cases, *every):
        assert name not in page, name
