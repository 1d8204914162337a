"""`lifecycle ui`, as a reviewer sees it: Chromium opens MLflow's pages of a judged project.

The pictures go to the folder that LIFECYCLE_SCREENSHOTS names, else among pytest's own files.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow_walk import CHROMIUM, Walk, browser, user_interface
from reviewing_site import reviewed_site

from lifecycle.tracking.notes import table
from lifecycle.tracking.runs import Addition, add_to_run

pytestmark = [
    pytest.mark.timeout(900),  # with the build of the small project, on a busy machine
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"no Chromium at {CHROMIUM}"),
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None, reason="playwright is not installed"
    ),
]


@pytest.fixture(scope="module")
def root(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reviewed_site(_built, tmp_path_factory.mktemp("reviewed")).root


@pytest.fixture(scope="module")
def served(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with user_interface(root, "wine", folder=tmp_path_factory.mktemp("ui")) as found:
        yield found


@pytest.fixture(scope="module")
def walk(
    root: Path, served: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Walk]:
    named = os.environ.get("LIFECYCLE_SCREENSHOTS")
    pictures = Path(named) if named else tmp_path_factory.mktemp("pictures")
    with browser() as page:
        walk = Walk(page, served[0], "wine", pictures, root)
        yield walk
        assert not walk.foreign, "a page asked for something outside of this machine"


def _address(served: tuple[str, str]) -> str:
    found = re.search(r"wine: open (\S+)", served[1])
    assert found is not None, served[1]
    return found[1]


def _verdict(root: Path, build: str) -> Any:
    return json.loads((root / f"dossier/wine/verdicts/{build}.json").read_bytes())


def _agreement(root: Path) -> Any:
    """What b2 was compared to say; the kept verdict has what decides alone."""
    path = root / "work/wine/comparison/agreement.json"
    return json.loads(path.read_bytes())["agreement"]


def _first_line(root: Path) -> str:
    series = _agreement(root)["series"]
    assert series["D"] > 0, "without a discordant case this file shows nothing"
    return f"FAIL ✖ {series['D']} of {series['R']} cases reported by all builds discordant"


def test_the_table_of_builds_says_the_verdict_although_the_tick_is_green(
    walk: Walk, root: Path, served: tuple[str, str]
) -> None:
    assert _verdict(root, "b2")["status"] == "fail"
    assert served[1].count("open http") == 1  # wine was named: no other experiment is offered
    walk.table(_address(served))
    for text in ("verdict", "FAIL ✖", "PASS ✓", "frozen_discordant", "released"):
        walk.see(text)
    walk.picture("table-of-builds")


def test_a_run_begins_with_the_verdict_and_its_reasons(walk: Walk, root: Path) -> None:
    walk.run("b2")
    walk.see(_first_line(root))
    for tag in ("parent.build", "verdict.code", "data.origin"):
        walk.see(tag)
    walk.page.get_by_text("Show more").first.click()
    case = _agreement(root)["discordant"][0]["case"]
    walk.see(re.compile(rf"^{case}\s*$"))
    walk.see("consistency.series")
    walk.picture("run")


HOSTILE = (
    "<img src=http://198.51.100.7/a.png onerror=alert(1)>",
    "![seen](http://198.51.100.7/b.png)",
    "<script>alert(2)</script>",
    "[press](javascript:alert(3))",
    "round\u202etxt.exe",
)


def test_hostile_names_are_text(walk: Walk, root: Path) -> None:
    """MLflow's own pages, with names that MLflow would act on if they came as they are."""
    lines = ["FAIL ✖ hostile", "", *table(("case",), [(text,) for text in HOSTILE])]
    rows = [{"case": text} for text in HOSTILE]
    addition = Addition(
        tags={"odd": HOSTILE[0]}, note="\n".join(lines), tables={"tables/hostile.json": rows}
    )
    assert add_to_run(root, walk.runs["b1"], addition)
    dialogs: list[Any] = []
    walk.page.on("dialog", lambda dialog: (dialogs.append(dialog), dialog.dismiss()))
    walk.run("b1")
    walk.see("FAIL ✖ hostile")
    walk.page.get_by_text("Show more").first.click()
    for text in (*HOSTILE[:4], "round\\u202etxt.exe"):
        walk.see(text)
    walk.artifact("b1", "tables/hostile.json")
    for text in (*HOSTILE[:4], "round\\u202etxt.exe"):
        walk.see(text)
    walk.page.wait_for_timeout(500)
    assert not dialogs and not walk.foreign


def test_the_report_and_a_figure_are_among_the_artifacts(walk: Walk) -> None:
    walk.artifact("b2", "report.html")
    frame = walk.page.frame_locator("iframe")
    walk.see(re.compile("FAIL"), frame)
    walk.see(re.compile("wine 1 b2"), frame)
    walk.picture("report")
    figures = walk.root / "work/wine/report/figures"
    walk.artifact("b2", f"figures/{sorted(figures.iterdir())[0].name}")
    image = walk.page.locator("img[src^='blob:'], img[src^='data:'], .image-outer-container img")
    image.first.wait_for(state="visible")
    assert image.first.evaluate("one => one.naturalWidth") > 100
    walk.picture("figure")


def test_the_discordant_cases_are_a_table(walk: Walk, root: Path) -> None:
    walk.artifact("b2", "tables/discordant_cases.json")
    for found in _agreement(root)["discordant"]:
        walk.see(re.compile(rf"^{found['case']}$"))
    for column in ("reference class", "b1", "b2"):
        walk.see(re.compile(rf"^{column}$"))
    walk.picture("discordant-cases")


def test_two_builds_beside_each_other(walk: Walk) -> None:
    walk.compare("b2", "b1")
    for text in ("frozen_discordant", "verdict", "FAIL ✖", "PASS ✓", "digest.weights"):
        walk.page.get_by_text(text, exact=True).first.scroll_into_view_if_needed()
        walk.see(text)
    walk.picture("two-builds")


def test_the_logged_model_has_metrics_by_dataset(walk: Walk) -> None:
    walk.model("b2")
    for text in ("holdout_accuracy", "frozen_accuracy", "wine/holdout", "wine/frozen"):
        walk.see(re.compile(text))
    walk.picture("logged-model")


def test_curves_and_system_metrics(walk: Walk) -> None:
    walk.run("b2", "model-metrics")
    walk.search("loss")
    walk.see("holdout_loss")
    walk.picture("curves")
    walk.run("b2", "system-metrics")
    walk.search("percentage")
    walk.see(re.compile("cpu_utilization_percentage"))
    walk.picture("system-metrics")


def test_the_registered_model_shows_the_record(walk: Walk, root: Path) -> None:
    walk.registered()
    walk.see(re.compile("^In force: 1 b1, released at"))
    walk.see("released")
    walk.picture("registered-model")
    walk.registered("1")
    records = sorted((root / "dossier/wine/releases").glob("0*.json"))
    assert len(records) == 2
    walk.see("Anyone can edit this page")
    walk.see("Dr app")
    walk.picture("registered-version")
