"""Class by class and subgroup by subgroup, counted again by plain loops."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from lifecycle.report.faced import face
from lifecycle.report.strata import LISTED, class_table, share_cell, subgroup_table
from lifecycle.report.text import NOTHING, percent
from lifecycle.stats.auc import macro_auc
from lifecycle.stats.intervals import wilson


def told(cell: object) -> str:
    return cell.small.split(";")[0]  # type: ignore[attr-defined]


def test_single_label_classes(make: SimpleNamespace) -> None:
    data = make.rebuild(n=300)
    faced = face(data)
    calls = [
        faced.frozen.classes[j] if state.any() else None
        for state, j in zip(faced.now.state, faced.now.argmax, strict=True)
    ]
    pairs = list(zip(calls, faced.frozen.labels, strict=True))
    for row in class_table(data, faced).rows:
        name = row[0].text
        whole = [call for call, label in pairs if label == name]
        hits = sum(call == name for call in whole)
        assert told(row[2]) == f"{hits} of {len(whole)}"
        assert told(row[3]) == f"{hits} of {sum(call == name for call, _ in pairs)}"
        assert told(row[4]) == f"{sum(call is not None for call in whole)} of {len(whole)}"


def test_multi_label_classes(make: SimpleNamespace) -> None:
    data = make.rebuild(task="multi", n=200)
    faced = face(data)
    for j, row in enumerate(class_table(data, faced).rows):
        state, has = faced.now.state[:, j].tolist(), faced.truth[:, j].tolist()
        pairs = list(zip(state, has, strict=True))
        present = sum(s == 1 for s in state)
        assert told(row[2]) == f"{sum(s == 1 and h for s, h in pairs)} of {sum(has)}"
        if present:
            assert told(row[3]) == f"{sum(s == 1 and h for s, h in pairs)} of {present}"
        assert told(row[4]) == f"{sum(s == -1 and not h for s, h in pairs)} of {200 - sum(has)}"
        assert told(row[5]) == f"{sum(s != 0 for s in state)} of 200"


def test_the_gate_s_area_is_printed_where_it_took_one(make: SimpleNamespace) -> None:
    data = make.rebuild()
    area = {"area": 0.75, "low": 0.7, "high": 0.8, "positives": 9, "resamples": 1000}
    none = {"area": None, "low": None, "high": None, "positives": 0, "resamples": 0}
    shown = {"areas": {"per_class": {"RTK I": area, "RTK II": none}}}
    rows = class_table(replace(data, verdict=replace(data.verdict, shown=shown)), face(data)).rows
    assert (rows[0][5].text, rows[0][5].small) == ("0.7500", "0.7000 to 0.8000")
    assert rows[1][5].text == NOTHING
    _, areas = macro_auc(data.frozen.scores, data.frozen.labels, data.frozen.classes)
    assert float(rows[2][5].text) == pytest.approx(areas["mesenchymal"], abs=1e-4)


def test_without_labels_only_calls_are_counted(make: SimpleNamespace) -> None:
    data = make.rebuild(labelled=False)
    rows = class_table(data, face(data)).rows
    assert {row[2].text for row in rows} == {NOTHING}
    assert {row[5].text for row in rows} == {NOTHING}


def test_shares_have_wilson_s_interval() -> None:
    low, high = wilson(3, 7, 0.05)
    cell = share_cell(3, 7)
    assert cell.text == percent(3 / 7)
    assert cell.small == f"3 of 7; {percent(low)} to {percent(high)}"
    assert share_cell(0, 0).text == NOTHING


def test_subgroups(make: SimpleNamespace) -> None:
    data = make.rebuild(n=200, builds=3)
    sex = data.frozen.subgroups["sex"]
    columns = {"sex": sex, "site": tuple("x" if i < 7 else "y" for i in range(200))}
    before = {k: replace(p, subgroups=columns) for k, p in data.frozen_before.items()}
    data = replace(data, frozen=replace(data.frozen, subgroups=columns), frozen_before=before)
    faced = face(data)
    rows = {row[0].text: row for row in subgroup_table(data, faced).rows}
    assert list(rows) == ["sex=f", "sex=m", "site=x", "site=y"]
    assert (rows["site=x"][1].text, rows["site=x"][1].small) == ("7", "small")
    assert rows["site=y"][1].small == ""
    for figures in data.agreement.by_subgroup:
        assert told(rows[figures.name][4]) == f"{figures.D} of {figures.R}"
    mine = [i for i, value in enumerate(sex) if value == "f"]
    reported = [i for i in mine if faced.now.state[i].any()]
    right = sum(faced.truth[i, faced.now.argmax[i]] for i in reported)
    assert told(rows["sex=f"][2]) == f"{len(reported)} of {len(mine)}"
    assert told(rows["sex=f"][3]) == f"{right} of {len(reported)}"


def test_subgroups_of_multi_label_results_have_no_interval(make: SimpleNamespace) -> None:
    data = make.rebuild(task="multi")
    row = subgroup_table(data, face(data)).rows[0]
    assert "to" not in row[2].small
    assert "of" in row[2].small


def test_a_discordant_subgroup_is_marked(make: SimpleNamespace) -> None:
    data = make.rebuild()
    first = data.agreement.by_subgroup[0]
    marked = replace(first, D=2, R=50)
    agreement = replace(data.agreement, by_subgroup=(marked, *data.agreement.by_subgroup[1:]))
    cell = subgroup_table(replace(data, agreement=agreement), face(data)).rows[0][4]
    assert cell.text == "✕ 4.00%"
    assert cell.kind == "fail"


def test_many_subgroups_are_cut_with_a_count(make: SimpleNamespace) -> None:
    data = make.rebuild(n=200, builds=1)
    column = tuple(f"site {i // 2:03d}" for i in range(200))
    data = replace(data, frozen=replace(data.frozen, subgroups={"site": column}), agreement=None)
    table = subgroup_table(data, face(data))
    assert len(table.rows) == LISTED
    assert f"{100 - LISTED} more are not listed" in table.note


def test_no_subgroups_no_table(make: SimpleNamespace) -> None:
    data = make.rebuild(builds=1)
    bare = replace(data, frozen=replace(data.frozen, subgroups={}), agreement=None)
    assert subgroup_table(bare, face(bare)) is None
