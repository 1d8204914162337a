"""A project through two versions, and the page that tells how: docs/how-to/new-version.md."""

from __future__ import annotations

import json
import re
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from following_site import evidence_with, set_params
from release_site import PASSPHRASE, Site, new_site, release
from ruamel.yaml import YAML
from support import ROOT, SMALL, new_project, run_in

from lifecycle.domain.classifier import Policy, PredecessorPlan
from lifecycle.domain.predictions import Cutoffs
from lifecycle.dossier import builds as kept
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.pins import pin_of
from lifecycle.gate.following import predecessor
from lifecycle.release.followed import Facts, Scored, followed_of
from lifecycle.workflows.showing import MARKS

PAGE = (ROOT / "docs/how-to/new-version.md").read_text(encoding="utf-8")


def _section(name: str) -> str:
    found = re.search(rf"<!-- section: {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, name
    return found[1]


def _wine(built: Path) -> Scored:
    """Wine b1 of the test project, with scores that say the label: the same on every machine."""
    layout = Layout(built, "wine")
    pin = pin_of(layout.pins, "1")
    assert pin is not None
    frozen = kept.frozen_predictions(kept.read_build(layout, 1))
    assert frozen.labels is not None
    scores = [[0.8 if name == label else 0.1 for name in frozen.classes] for label in frozen.labels]
    tau = Cutoffs((0.5,) * 3, None, "proposed", {})
    return Scored("b1", replace(frozen, scores=np.array(scores)), pin, tau)


def test_the_example_of_the_page_says_what_the_gate_says(built: Path) -> None:
    old = _wine(built)
    plan = YAML(typ="safe").load(_section("policy"))["predecessor"]
    policy = Policy(p=0.9, predecessor=PredecessorPlan(**plan))
    now = replace(old.frozen, classes=("class_0", "class_B", "class_N"))
    # the label of a case has its class's new name, so the case has another digest; not its values
    pin = replace(
        old.pin, version="2", cases=dict.fromkeys(old.pin.cases, "0" * 64), total="1" * 64
    )
    new = Scored("b2", now, pin, old.tau)
    found = followed_of(Facts("1", (1,), 1), policy, new, [old])
    assert found.common == len(old.pin.cases)
    said = {f.criterion: f for f in predecessor(policy, evidence_with(found))}
    lines = _section("said").splitlines()
    assert len(lines) == 2
    for line in lines:
        name = line.split()[1]
        one = said[name]
        assert line == f"  {MARKS[one.status]} {name:<28} {one.said}"
    assert said["predecessor.pair:b1"].figure == 0.0
    assert found.unmatched["b2"]["class_N"] == found.unmatched["b1"]["class_2"]
    # without digests of the values the same cases count as changed
    bare = [replace(one, pin=replace(one.pin, values={})) for one in (new, old)]
    without = followed_of(Facts("1", (1,), 1), policy, bare[0], bare[1:])
    assert (without.common, len(without.changed)) == (0, len(old.pin.cases))


def test_what_the_page_says_of_refusals(built: Path) -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "|" in line[2:]]
    text = "\n".join(rows)
    for criterion in ("predecessor", "predecessor.classes", "predecessor.coverage",
                      "predecessor.frozen"):  # fmt: skip
        assert f"`{criterion}`" in text


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_whole_project_through_two_versions(tmp_path: Path) -> None:
    """dvc repro, sign-off of both, verify, report, export: nothing by hand."""
    section = SMALL[: SMALL.index("  tiny-beta:")]
    built = new_project(tmp_path / "built", section)
    done = run_in(built, "lifecycle", "rebuild")
    assert done.returncode == 0, done.stderr
    site = release(new_site(built, tmp_path / "site", ("ada", "rev", "app", "two")))
    recipe = {
        "lr": 0.02,
        "l2": 0.001,
        "epochs": 12,
        "seed": 1,
        "minibatch": 8,
        "stop": "best-holdout",
    }
    set_params(site, "2", {"predecessor": {"version": "1"}, "exposure": 5}, recipe=recipe)
    site.commit()
    done = run_in(site.root, "lifecycle", "rebuild", "wine")
    assert done.returncode == 0, done.stderr
    site.commit()
    verdict = json.loads(site.run("gate", "wine", "--json").out)
    shown = verdict["shown"]
    assert (verdict["build"], verdict["basis"]) == (2, "first build")
    assert shown["predecessor"]["builds"] == [1]
    assert shown["predecessor"]["common"] > 30
    assert shown["exposure"]["networks"] == 2
    page = (site.root / "work/wine/report/report.html").read_text(encoding="utf-8")
    assert "Networks that were judged on these frozen cases" in page
    assert "Consistency with the version before" in page
    _released_as_far_as_the_verdict_lets(site, verdict["status"])
    # again: nothing changes, and nothing runs but the surroundings
    done = run_in(site.root, "dvc", "repro", "--dry")
    assert done.returncode == 0, done.stderr
    assert "Stage 'gate@wine' didn't change, skipping" in done.stdout


def _released_as_far_as_the_verdict_lets(site: Site, status: str) -> None:
    steps = [("rev", "review", ()), ("app", "approval", ())]
    if status == "inconclusive":
        steps.insert(0, ("two", "override", ("--reason", "few patients; discussed")))
    for user, meaning, more in steps:
        done = site.sign(user, meaning, *more)
        assert done.code == (22 if status == "fail" else 0), done.said
    assert site.verify().code == 0
    if status == "fail":
        return
    site.commit()
    with chdir(site.root):
        done = site.run("release", "export", "wine", "--out", str(site.root.parent / "bundle"))
    assert done.code == 0, done.said
    bundle = Site(site.root.parent / "bundle", site.keys)
    assert bundle.run("release", "verify", "wine").code == 0
    assert (bundle.root / "dossier/wine/builds/b1/frozen.parquet").is_file()
    assert PASSPHRASE not in done.said
