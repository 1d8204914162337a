"""Report, MLflow, verdict.json and `lifecycle gate` say the same numbers of the same build."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from release_site import Site
from reviewing_site import reviewed_site

from lifecycle.report.text import number
from lifecycle.tracking.store import mlflow_at

FIGURES = ("figure", "limit", "bound")


@pytest.fixture(scope="module")
def site(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Wine b1 released, b2 contradicts it."""
    return reviewed_site(_built, tmp_path_factory.mktemp("figures"))


class _Rows(HTMLParser):
    """Every row of every table, its cells' texts."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data


def _kept(site: Site) -> dict[str, Any]:
    return json.loads((site.root / "dossier/wine/verdicts/b2.json").read_bytes())


def _shown(site: Site) -> dict[str, Any]:
    """What is not kept of it: figures that follow whenever it is judged."""
    return json.loads(site.run("gate", "wine", "--json").out)["shown"]


def _run(site: Site) -> tuple[Any, Any]:
    """MLflow's run of b2, and its artifact store."""
    facts = json.loads((site.root / "work/wine/build/run.json").read_bytes())
    with mlflow_at(site.root) as mlflow:
        return mlflow.get_run(facts["run"]), mlflow.artifacts.load_dict(
            f"runs:/{facts['run']}/tables/criteria.json"
        )


def test_the_gate_prints_the_kept_verdict(site: Site) -> None:
    kept = _kept(site)
    done = site.run("gate", "wine", "--json")
    printed = json.loads(done.out)
    sentences = [finding.pop("said") for finding in printed["findings"]]
    assert printed.pop("shown")["series"]["D"] > 0
    of_the_file = ("schema", "program", "digest", "classifier", "weights")
    assert printed == {k: v for k, v in kept.items() if k not in of_the_file}
    assert done.code == {"pass": 0, "fail": 20, "inconclusive": 21}[kept["status"]]
    text = site.run("gate", "wine").out
    assert all(len(sentence) > 9 and sentence in text for sentence in sentences)


def test_mlflow_has_the_kept_figures(site: Site) -> None:
    kept = _kept(site)
    run, table = _run(site)
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert len(rows) == len(kept["findings"])
    by_name = {row["criterion"]: row for row in rows}
    for finding in kept["findings"]:
        row = by_name[finding["criterion"]]
        assert [row[key] for key in FIGURES] == [finding[key] for key in FIGURES]
    series = _shown(site)["series"]
    assert series["D"] > 0, "the site has contradictions"
    metrics = run.data.metrics
    assert metrics["frozen_discordant"] == series["D"]
    assert metrics["frozen_conversions"] == series["conversions"]
    assert metrics["frozen_consistency"] == pytest.approx(series["consistency"], abs=0, rel=0)
    assert run.data.tags["verdict.code"] == kept["status"]
    note = run.data.tags["mlflow.note.content"]
    assert re.search(rf"\b{series['D']} of {series['R']} cases\b", note.splitlines()[0])


def test_the_report_prints_the_kept_figures(site: Site) -> None:
    kept, rows = _kept(site), _Rows()
    page = (site.root / "work/wine/report/report.html").read_text(encoding="utf-8")
    rows.feed(page)
    for finding in kept["findings"]:
        found = [row for row in rows.rows if finding["criterion"] in [cell.strip() for cell in row]]
        assert found, finding["criterion"]
        limits = () if finding["limit"] is None else (finding["limit"],)
        shown = {cell.strip() for cell in found[0]}
        for key, against in (("figure", limits), ("limit", ()), ("bound", limits)):
            assert number(finding[key], against) in shown, (finding["criterion"], key)
    series = _shown(site)["series"]
    agreed = [row for row in rows.rows if str(series["D"]) in row and str(series["R"]) in row]
    assert agreed, "the table of the agreement"
