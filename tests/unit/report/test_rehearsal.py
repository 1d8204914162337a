from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from lifecycle.report.page import render
from lifecycle.report.rehearsal import rehearsal_tables


def _profile(name: str, weights: str, **figures: Any) -> dict[str, Any]:
    against = {
        "first_epoch": None, "sine": 0.0, "frozen_difference": 0.0, "discordant": 0,
        "reported": 9, "conversions": 0, "any_tau": 0,
    }  # fmt: skip
    return {"name": name, "weights": {"sha256": weights}, "against": {**against, **figures}}


RUN = {
    "mode": "exact", "made": "2026-11-21T10:00:00+01:00", "machine": {"cpu": "Example <CPU>"},
    "bound": {"weights": "w" * 64}, "note": "They stand in.", "failed": {"avx2-1": "no luck"},
    "profiles": [
        _profile("sse-1", "w" * 64),
        _profile("sse-2", "v" * 64, sine=None, first_epoch=3, frozen_difference=0.25),
    ],
}  # fmt: skip


def test_a_report_shows_its_rehearsals_profile_by_profile(make: SimpleNamespace) -> None:
    data = replace(make.rebuild(), rehearsals=[RUN])
    (table,) = rehearsal_tables(data)
    first, second = table.rows
    assert (first[1].text, first[3].text) == ("AGREES", "none")
    assert (second[1].text, second[3].text, second[5].text) == ("DIFFERS", "3", "0.25")
    page = render(data)
    assert 'id="rehearsals"' in page and "They stand in." in page
    assert "Example &lt;CPU&gt;" in page and "Example <CPU>" not in page
    assert "avx2-1 could not be carried out: no luck" in page


def test_without_a_rehearsal_there_is_no_section(make: SimpleNamespace) -> None:
    assert "rehearsals" not in render(make.rebuild()).split("<footer>")[0].split("<main>")[1]
