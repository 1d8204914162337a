"""What the report says that a pass guarantees, and what was lost of which side."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from lifecycle.domain.predictions import Cutoffs
from lifecycle.report import words
from lifecycle.report.comparison import agreement_tables
from lifecycle.report.faced import face
from lifecycle.report.first_page import alert
from lifecycle.report.source import ReportInput
from lifecycle.report.text import number, percent

OPEN = Cutoffs((0.6,) * 3, (0.4,) * 3, "given", {})


def test_the_summary_has_the_sentence_of_the_verdict(make: SimpleNamespace) -> None:
    data = make.rebuild()
    said = "A pass guarantees with confidence 97.5%: at most 5% is something."
    with_it = replace(data, verdict=replace(data.verdict, shown={"guaranteed": said}))
    assert said in words.summary(with_it, face(with_it))
    assert said not in words.summary(data, face(data))


def test_the_bound_is_of_what_it_bounds(make: SimpleNamespace) -> None:
    agreement = make.rebuild().agreement
    assert agreement.largest == 2
    bound = percent(agreement.series.upper)
    assert words.at_most(agreement).startswith(f"at most {bound} of a patient's reported cases")
    single = replace(agreement, largest=1)
    like = "patients like these would meet a contradiction"
    assert words.at_most(single) == f"at most {bound} of {like}"
    assert "a component's" in words.at_most(replace(agreement, unit="component"))


def test_calls_and_exclusions_are_shown_apart(make: SimpleNamespace) -> None:
    data = make.rebuild(n=300, task="multi", cutoffs=OPEN, noise=0.8)
    (pair,) = data.agreement.pairs
    assert pair.lost.units > pair.lost_yes.units > 0
    rows = lost_rows(data)
    yes, no = pair.lost_yes, pair.lost_no
    assert rows["calls lost against b1"][:4] == [
        f"{yes.cases:,}", f"{yes.reported_cases:,}", f"{yes.units:,}", f"{yes.reported_units:,}"
    ]  # fmt: skip
    assert rows["exclusions left open against b1"] == [
        f"{no.cells:,}", f"{no.excluded_cells:,}", number(no.Z), f"{no.m:,}", percent(no.rate),
        percent(no.upper),
    ]  # fmt: skip
    assert not any("exclusions" in name for name in lost_rows(make.rebuild(n=300)))


def lost_rows(data: ReportInput) -> dict[str, list[str]]:
    """Rows of the table of lost reports, by their first cell."""
    tables = agreement_tables(data.agreement)
    (table,) = [one for one in tables if one.caption.startswith("Reports lost")]
    return {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}


def test_the_first_page_counts_lost_calls_of_several_labels(make: SimpleNamespace) -> None:
    data = make.rebuild(n=300, task="multi", cutoffs=OPEN, noise=0.8)
    (pair,) = data.agreement.pairs
    text = " ".join([alert(data).head, *alert(data).lines])
    assert f"{pair.lost_yes.units} patients lost a call that b1 gave." in text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("consistency.cases.series", "Discordant cases, all builds together"),
        ("consistency.cases.pair:b1", "Discordant cases, against b1"),
        ("lost.yes:b1:AFIB", "Patients who lose a call, against b1, class AFIB"),
        ("lost.no:b1", "Share of a patient's exclusions that are lost, against b1"),
    ],
)
def test_the_new_criteria_have_words(name: str, said: str) -> None:
    assert words.criterion_words(name) == said
