"""`lifecycle report`: the page as it stands now, refused where the build is not what it was."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest
from release_site import Done, Site, quiet_dvc
from reviewing_site import own_store, reviewed_site

from lifecycle.cohorts.split import read_parts
from lifecycle.dossier import builds as kept
from lifecycle.dossier.layout import Layout
from lifecycle.report import words
from lifecycle.tracking.store import mlflow_at
from lifecycle.workflows.changes import changes_between
from lifecycle.workflows.divergences import keep_divergence
from lifecycle.workflows.project import open_project

UNUSABLE, INTEGRITY = 10, 12
PAGE = "work/wine/review/report.html"


@pytest.fixture(scope="module")
def _reviewed(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Wine b1 released, b2 contradicts it and is judged."""
    return reviewed_site(_built, tmp_path_factory.mktemp("reporting"))


@pytest.fixture
def site(_reviewed: Site, tmp_path: Path) -> Site:
    return _reviewed.copy(tmp_path / "project")


def _origin(site: Site) -> Path:
    """The folder that MLflow's records of a copied project still name."""
    with closing(sqlite3.connect(site.root / "mlflow.db")) as store:
        (uri,) = store.execute("SELECT artifact_uri FROM runs LIMIT 1").fetchone()
    return Path(uri.removeprefix("file://").partition("/mlartifacts/")[0])


def report(site: Site, *more: str) -> Done:
    with quiet_dvc():
        return site.run("report", "wine", *more)


def test_it_says_who_signed(site: Site) -> None:
    before = (site.root / "work/wine/report/report.html").read_bytes()
    with quiet_dvc():
        signed = site.act("refuse", "app", "--reason", "contradicts b1 <b>too often</b>")
    assert signed.code == 0, signed.said
    done = report(site)
    assert done.code == 0, done.said
    assert done.out.strip().endswith(PAGE)
    page = (site.root / PAGE).read_text(encoding="utf-8")
    assert "Dr app" in page and "refused" in page
    assert "contradicts b1 &lt;b&gt;too often&lt;/b&gt;" in page
    # the pipeline's own report is an output of DVC and is left alone
    assert (site.root / "work/wine/report/report.html").read_bytes() == before
    assert "Dr app" not in before.decode()
    assert "released is b1" in page


def test_mlflow_shows_a_refusal(site: Site) -> None:
    own_store(site.root, _origin(site))
    with quiet_dvc():
        done = site.act("refuse", "app", "--reason", "contradicts b1")
    assert done.code == 0 and "MLflow's registry shows it" in done.err, done.said
    run = json.loads((site.root / "work/wine/build/run.json").read_bytes())["run"]
    with mlflow_at(site.root) as mlflow:
        tags = mlflow.get_run(run).data.tags
        names = [one.path for one in mlflow.MlflowClient().list_artifacts(run, "release")]
    assert tags["signed"].startswith("refused ") and tags["refused.because"] == "contradicts b1"
    assert "release/00003-refusal.json" in names


def test_discordant_cases_are_named_with_every_build(site: Site) -> None:
    assert report(site).code == 0
    page = (site.root / PAGE).read_text(encoding="utf-8")
    agreement = json.loads((site.root / "work/wine/comparison/agreement.json").read_bytes())
    discordant = agreement["agreement"]["discordant"]
    assert discordant, "the site has contradictions"
    assert all(one["case"] in page for one in discordant)
    lines = (site.root / "work/wine/review/cases.csv").read_text().splitlines()
    assert sum(",discordant," in line for line in lines) == len(discordant)


def test_identifiers_can_be_masked(site: Site) -> None:
    out = site.root.parent / "masked"
    done = report(site, "--deidentify", "--output", str(out))
    assert done.code == 0, done.said
    build = kept.read_build(Layout(site.root, "wine"), 2)
    names = {*kept.frozen_predictions(build).ids, *kept.holdout_predictions(build).ids}
    assert all(len(name) > 3 for name in names)
    for path in (out / "report.html", out / "cases.csv", *(out / "figures").iterdir()):
        text = path.read_text(encoding="utf-8")
        assert not [name for name in names if name in text], path.name
    # neither the file's order nor that of the figures' points tells who is who
    kinds: dict[str, list[str]] = {}
    for row in csv.DictReader((out / "cases.csv").read_text(encoding="utf-8").splitlines()):
        kinds.setdefault(row["kind"], []).append(row["case"])
    assert kinds and all(found == sorted(found) for found in kinds.values())
    assert all(name.startswith("case ") for found in kinds.values() for name in found)


def test_a_name_in_a_reason_is_masked_and_one_elsewhere_is_refused(site: Site) -> None:
    build = kept.read_build(Layout(site.root, "wine"), 1)
    parts = read_parts(build.folder / kept.PARTS)
    name = next(case for case, part in parts.items() if part == "training")
    with quiet_dvc():
        assert site.act("refuse", "app", "--reason", f"see {name.upper()}/x.").code == 0
    out = site.root.parent / "named"
    done = report(site, "--deidentify", "--output", str(out))
    assert done.code == 0, done.said
    page = (out / "report.html").read_text(encoding="utf-8")
    assert name.upper() not in page and re.search(r"see case \d+/x\.", page)
    shutil.rmtree(out)
    with mock.patch.object(words, "MASKED", f"No name such as {name}."):
        done = report(site, "--deidentify", "--output", str(out))
    assert done.code == UNUSABLE and f"'No name such as {name}.' names {name!r}" in done.err
    assert not out.exists()


def _flip_verdict(root: Path) -> None:
    path = root / "dossier/wine/verdicts/b2.json"
    path.write_text(path.read_text().replace('"fail"', '"pass"'), encoding="utf-8")


def _flip_scores(root: Path) -> None:
    path = root / "dossier/wine/builds/b2/frozen.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "harm",
    [
        _flip_verdict,
        _flip_scores,
        lambda root: (root / "dossier/wine/verdicts/b2.json").unlink(),
        lambda root: shutil.rmtree(root / "work/wine/comparison"),
        lambda root: (root / "work/wine/validation/result.json").unlink(),
        lambda root: (root / "dossier/wine/frozen.json").write_text("{}"),
    ],
    ids=["verdict", "scores", "no verdict", "no comparison", "no validation", "pin"],
)
def test_an_unfinished_or_tampered_build_has_no_report(site: Site, harm) -> None:
    harm(site.root)
    done = report(site)
    assert done.code == INTEGRITY, done.said
    assert done.err.startswith("error: ") and not (site.root / PAGE).exists()


def test_what_dvc_calls_changed_is_named(site: Site) -> None:
    (site.root / "work/wine/curves.csv").write_text("epoch\n", encoding="utf-8")
    done = site.run("report", "wine")
    assert done.code == INTEGRITY and "work/wine/curves.csv" in done.err


def test_a_strangers_folder_is_not_replaced(site: Site, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    done = report(site, "--output", str(out))
    assert done.code == UNUSABLE and "name another" in done.err
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_without_a_browser_nothing_is_half_made(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lifecycle.workflows.printing.shutil.which", lambda name: None)
    done = report(site, "--pdf")
    assert done.code == UNUSABLE and "Chromium" in done.err
    assert not (site.root / "work/wine/review").exists()


@pytest.mark.parametrize("wanted", ["none", "no-such-browser"])
def test_another_browser_can_be_named_or_none(
    site: Site, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setenv("LIFECYCLE_BROWSER", wanted)
    done = report(site, "--pdf")
    assert done.code == UNUSABLE and "LIFECYCLE_BROWSER" in done.err and wanted in done.err


def test_a_divergence_that_was_looked_for_is_in_it(site: Site) -> None:
    project = open_project("wine", site.root)
    point = {"step": 1, "epoch": 1, "in_epoch": 1, "sine": 1e-9, "changed": 3, "argmax": 0}
    keep_divergence(project, {**_found(), "growth": [point, {**point, "step": 2, "sine": 1e-6}]})
    assert report(site).code == 0
    assert "iverge" in (site.root / PAGE).read_text(encoding="utf-8")
    path = site.root / "work/wine/divergence/b2.json"
    path.write_text(path.read_text().replace("1e-09", "1e-08"), encoding="utf-8")
    assert report(site).code == INTEGRITY


def _found() -> dict[str, object]:
    return {
        "classifier": "wine", "version": "1", "builds": ["b1", "b2"], "same": False,
        "traced": [True, True], "epochs": 2, "steps": 2, "environment": [],
        "trace": {"step": 1, "epoch": 1, "in_epoch": 1, "where": "state"},
        "replays": [], "first": None, "cases": 10,
    }  # fmt: skip


def test_what_changed_between_two_builds(site: Site) -> None:
    layout = Layout(site.root, "wine")
    one, two = (kept.read_build(layout, number) for number in (1, 2))
    changes = changes_between(site.root, one, two)
    assert changes.before == "b1"
    assert not changes.data and not changes.parameters
    assert any("commit" in line or "without git" in line for line in changes.code)
