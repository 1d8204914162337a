"""What became of every case: the counts are those of the agreement, cell by cell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lifecycle.domain.predictions import Cutoffs
from lifecycle.report.conversions import conversion_tables, conversions_figure, moves
from lifecycle.report.faced import face

WIDE = {"single": Cutoffs((0.6,) * 3, None, "given", {}),
        "multi": Cutoffs((0.5,) * 3, (0.3,) * 3, "given", {})}  # fmt: skip


def noisy(make: SimpleNamespace, task: Any, **more: Any) -> Any:
    """Builds that contradict each other often."""
    return make.rebuild(n=400, task=task, builds=3, cutoffs=WIDE[task], noise=1.5, **more)


def test_moves_of_single_label_builds_are_those_of_the_agreement(make: SimpleNamespace) -> None:
    data = noisy(make, "single")
    found = {one.reference: one for one in moves(face(data))}
    assert list(found) == ["b2", "b1"]
    for pair in data.agreement.candidate_pairs():
        one = found[pair.reference]
        assert one.parts() == (pair.figures.D, pair.lost.cases, pair.gained.cases)
        assert pair.figures.D > 0
        assert one.counts.sum() == len(data.frozen.ids)
        said = {f"{a} -> {b}": n for a, b, sign, n in one.moved() if sign == "✕"}
        assert said == dict(pair.directions)


def test_moves_of_multi_label_builds_are_counted_by_class(make: SimpleNamespace) -> None:
    data = noisy(make, "multi")
    faced = face(data)
    old, new = (calls.state for calls in faced.calls[-2:])
    one = moves(faced, 1)[0]
    assert one.counts.sum() == old.size
    both = (old != 0) & (new != 0)
    assert one.parts() == (
        np.count_nonzero(both & (old != new)),
        np.count_nonzero((old != 0) & (new == 0)),
        np.count_nonzero((old == 0) & (new != 0)),
    )
    assert one.parts()[0] == data.agreement.candidate_pairs()[-1].figures.cells_discordant > 0


@pytest.mark.parametrize("task", ["single", "multi"])
def test_every_move_stands_in_table_and_figure(make: SimpleNamespace, task: Any) -> None:
    faced = face(noisy(make, task))
    one, table, svg = moves(faced, 1)[0], conversion_tables(faced)[0], conversions_figure(faced)
    texts = [cell.text for row in table.rows for cell in row]
    for _, _, sign, n in one.moved():
        assert f"{sign} {n:,}" in svg
        assert (f"{n:,}" if task == "multi" else f"{sign} {n:,}") in texts
    marked = [cell for row in table.rows for cell in row if cell.kind == "fail"]
    assert len(marked) == sum(sign == "✕" for _, _, sign, _ in one.moved()) > 0


def test_many_classes_are_listed_the_contradictions_first(make: SimpleNamespace) -> None:
    classes = [f"class {i:02d}" for i in range(14)]
    cutoffs = Cutoffs((0.4,) * 14, None, "given", {})
    faced = face(make.rebuild(classes=classes, n=500, cutoffs=cutoffs, noise=2.0))
    assert conversions_figure(faced) is None
    table = conversion_tables(faced)[0]
    signs = [row[2].text[0] for row in table.rows]
    assert signs[0] == "✕"
    assert "✕" not in signs[signs.count("✕") :]
    assert "more moves are not listed" in table.note


def test_a_first_build_has_no_moves(make: SimpleNamespace) -> None:
    faced = face(make.first_build())
    assert conversions_figure(faced) is None
    assert conversion_tables(faced) == []
