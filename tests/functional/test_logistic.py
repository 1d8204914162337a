"""The simplest network the whole way, from params.yaml to an export that verifies.

One classifier gives a case one class, the other any number of them.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from release_site import Site, new_site, quiet_dvc
from support import new_project, run_in

from lifecycle.cohorts import store
from lifecycle.dossier.builds import frozen_predictions, read_build
from lifecycle.dossier.layout import Layout
from lifecycle.released import load_released
from lifecycle.workflows.auditing import verify

# Two pipelines of its own, a rehearsal and eight signatures: some three minutes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NAMES = ("wine", "signs")
PARAMS = """\
classifiers:
  wine:
    version: "1"
    title: Italian wines by cultivar
    task: single
    classes: [class_0, class_1, class_2]
    cohort: {source: bundled, path: requirements.lock, dataset: wine, measures: table}
    frozen: {fraction: 0.4}
    split: {holdout: 0.3, seed: 0}
    preprocess: {convention: standardised}
    model: {kind: logistic}
    recipe: {lr: 0.02, l2: 0.001, epochs: 12, minibatch: 8, stop: best-holdout}
    search: {}
    tau: {positive: class_1, refuse_below: 0.6}
    policy: {p: 0.9, holdout_recall: 0.2, rehearsals: 1}
  signs:
    version: "1"
    title: Signs that a case can have at the same time
    task: multi
    classes: [A, B, C]
    cohort:
      source: beta_matrix
      path: data/signs.csv
      id: case
      label: label
      measures: table
    frozen: {fraction: 0.4}
    split: {holdout: 0.4, seed: 0}
    preprocess: {convention: standardised}
    model: {kind: logistic}
    recipe: {lr: 0.05, l2: 0.0001, epochs: 20, minibatch: 8}
    search: {}
    tau: {mode: per-class, refuse_below: 0.5}
    policy: {p: 0.9, holdout_recall: 0.2}
"""


def _write_signs(path: Path) -> None:
    """Cases whose signs are three features, beside three that mean nothing."""
    rng = np.random.default_rng(3)
    has = rng.random((300, 3)) < 0.4
    has = has[has.any(axis=1)]
    x = np.hstack([np.where(has, 1.0, -1.0) + rng.normal(0, 0.4, has.shape),
                   rng.normal(size=has.shape)])  # fmt: skip
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "label", *(f"f{j}" for j in range(6))])
        for i, (signs, values) in enumerate(zip(has.tolist(), x.tolist(), strict=True)):
            label = "|".join(name for name, one in zip("ABC", signs, strict=True) if one)
            writer.writerow([f"s{i:03d}", label, *map(repr, values)])


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Both classifiers built by the pipeline, rehearsed, and released by two people."""
    folder = tmp_path_factory.mktemp("logistic")
    project = new_project(folder / "built", PARAMS)
    _write_signs(project / "data/signs.csv")
    for command in (
        ("lifecycle", "rebuild"),
        ("lifecycle", "rehearse", "wine", "--profiles", "old-blas-2"),
        ("dvc", "repro", "-q", "gate@wine"),
    ):
        done = run_in(project, *command)
        assert done.returncode == 0, done.stdout + done.stderr
    site = new_site(project, folder, ("ada", "rev", "app"))
    with quiet_dvc():
        for name in NAMES:
            for user, meaning in (("rev", "review"), ("app", "approval")):
                done = site.sign(user, meaning, name=name)
                assert done.code == 0, done.said
    site.commit()
    return site


@pytest.mark.parametrize("name", NAMES)
def test_what_was_signed_is_a_linear_map_that_passed(signed: Site, name: str) -> None:
    layout = Layout(signed.root, name)
    build = read_build(layout, 1)
    assert build.content["terms"]["model"] == {"kind": "logistic"}
    assert build.content["recipe"]["numerics"]["mode"] == "exact"
    assert json.loads((layout.verdicts / "b1.json").read_bytes())["status"] == "pass"
    assert signed.verify(name=name).code == 0


@pytest.mark.parametrize("name", NAMES)
def test_it_is_applied_with_the_bits_of_the_build(signed: Site, name: str, tmp_path: Path) -> None:
    scores = frozen_predictions(read_build(Layout(signed.root, name), 1))
    cohort = store.read(signed.root / "work" / name / "cohort/main")
    place = {case: i for i, case in enumerate(cohort.ids)}
    values = cohort.rows([place[case] for case in scores.ids])
    with (tmp_path / "new.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *cohort.features])
        for case, row in zip(scores.ids, values.tolist(), strict=True):
            writer.writerow([case, *map(repr, row)])
    done = signed.run("release", "predict", name, str(tmp_path / "new.csv"),
                      "--out", str(tmp_path / "calls.csv"))  # fmt: skip
    assert done.code == 0, done.said
    with (tmp_path / "calls.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = np.array([[float(row[f"score:{k}"]) for k in scores.classes] for row in rows])
    assert found.tobytes() == scores.scores.tobytes()
    assert len({row["call"] for row in rows}) > 2


@pytest.mark.parametrize("name", NAMES)
def test_the_export_verifies_and_is_applied(signed: Site, name: str, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    done = signed.run("release", "export", name, "--out", str(out))
    assert done.code == 0, done.said
    assert verify(out, name).classifier == name
    card = json.loads((out / "model-card.json").read_bytes())
    assert card["model"]["architecture"] == {"kind": "logistic"}
    bom = json.loads((out / "ml-bom.cdx.json").read_bytes())
    about = bom["metadata"]["component"]["modelCard"]["modelParameters"]
    assert about["architectureFamily"] == "logistic"

    model = load_released(name, out)
    scores = frozen_predictions(read_build(Layout(out, name), 1))
    cohort = store.read(signed.root / "work" / name / "cohort/main")
    place = {case: i for i, case in enumerate(cohort.ids)}
    values = cohort.rows([place[case] for case in scores.ids])
    result = model.predict(values, scores.ids, cohort.features)
    assert result.scores.tobytes() == scores.scores.tobytes()
