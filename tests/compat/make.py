"""Make what `test_published.py` keeps for ever: a signed release in the formats of today.

    python tests/compat/make.py tests/compat/0.2.0

Run once for each published version of the formats, by the program of that version, and committed.
Nothing is ever made anew: a release that a laboratory signed years ago is not made anew either.
A small classifier is built by `lifecycle rebuild`, once in exact and once in native arithmetic; the
second build of the native one is the first with weights and scores changed by a hair, as another
machine would give them.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parent.parent))

from release_site import Done, Site, new_site, quiet_dvc, second_build  # noqa: E402
from support import new_project, run_in  # noqa: E402

PEOPLE = ("ada", "rev", "app", "two")
KEPT = ("dossier", "weights")
BESIDE = ("params.yaml", "ecg.yaml")
# `wine`: the same bits everywhere, so its second build is the first one by proof. `wine-native`:
# its second build is compared with the first by counting.
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
    model: {hidden: [8, 4], softshrink: 0.1}
    recipe: {lr: 0.02, l2: 0.001, epochs: 12, minibatch: 8, stop: best-holdout}
    search: {}
    tau: {positive: class_1, refuse_below: 0.6}
    policy: {p: 0.9, holdout_recall: 0.2}
"""
NATIVE = PARAMS.replace("classifiers:\n", "").replace("  wine:", "  wine-native:")
NATIVE = NATIVE.replace("stop: best-holdout", "numerics: {mode: native}")
PARAMS += NATIVE
# Multi-label, of simulated records, and inconclusive: a second person overrides it.
PARAMS += """\
  rhythm:
    version: 1.0.0
    title: 12-lead ECG rhythm, a very small network
    task: multi
    classes: [SR, AFIB, STACH, SARRH, SBRAD, PACE, SVARR, BIGU, AFLT, SVTAC, PSVT, TRIGU]
    cohort: {source: simulated_ecg, path: ecg.yaml, measures: ecg, signal: {rate: 50, seconds: 5}}
    frozen: {folds: ["10"]}
    split: {folds: ["9"]}
    preprocess: {convention: standardised}
    model: {kind: ecg-baseline, widths: [4, 8], blocks: [1, 1], dropout: [0.0, 0.0]}
    recipe: {lr: 0.01, l2: 0.0001, epochs: 8, minibatch: 16, optimiser: adam}
    search: {}
    tau: {mode: per-class, refuse_below: 0.0, target: 0.1, precision: 0.9}
    policy:
      holdout_precision: 0.0
      holdout_recall: 0.0
      min_cases_per_class: 0
      reportable_floor: 0.0
      rehearsals: 1
"""
ECG = "seed: 7\nrecords: 800\nseconds: 5\nrate: 50\n"


def main(target: Path) -> None:
    with TemporaryDirectory() as folder:
        place = Path(folder)
        built = new_project(place / "built", PARAMS)
        (built / "ecg.yaml").write_text(ECG, encoding="utf-8")
        for command in (["rebuild"], ["rehearse", "wine", "--profiles", "sse-1"], ["rebuild"]):
            made = run_in(built, "lifecycle", *command)
            assert made.returncode == 0, made.stdout + made.stderr
        site = new_site(built, place / "site", PEOPLE)
        signed(site)
        keep(site, target)


def signed(site: Site) -> None:
    """Every kind of record but a drill; the newest release of each is its second build."""
    for name in ("wine", "wine-native"):
        released(site, name)
        second_build(site, name, weights=name == "wine-native")
    reason = ("--reason", "its discordant cases are looked at first")
    done(site.act("refuse", "rev", "--meaning", "review", *reason, name="wine-native"))
    for name in ("wine", "wine-native"):
        released(site, name)
    done(site.act("amend", "two", "--reason", "a spelling in the title", name="wine-native"))
    reason = ("--reason", "b2 takes its place")
    with quiet_dvc():
        why = ("--reason", "a demonstration needs no rehearsal")
        done(site.sign("two", "override", "--demonstration", *why, name="rhythm"))
        for user, meaning in (("rev", "review"), ("app", "approval")):
            done(site.sign(user, meaning, "--demonstration", name="rhythm"))
    done(site.act("withdraw", "app", "--build", "1", *reason, name="wine-native"))
    site.commit()


def released(site: Site, name: str) -> None:
    with quiet_dvc():
        for user, meaning in (("rev", "review"), ("app", "approval")):
            done(site.sign(user, meaning, name=name))
    site.commit()


def done(what: Done) -> Done:
    assert what.code == 0, what.said
    return what


def keep(site: Site, target: Path) -> None:
    target.mkdir(parents=True)
    for name in KEPT:
        shutil.copytree(site.root / name, target / name)
    for name in BESIDE:
        shutil.copy(site.root / name, target / name)
    shutil.copytree(site.keys, target / "keys")
    wines(target / "cases.csv")
    said = {}
    for name in ("wine", "wine-native", "rhythm"):
        out = ("--out", str(target / f"{name}-calls.csv"))
        if name != "rhythm":  # a release of ECGs cannot be applied to a table
            done(site.run("release", "predict", name, str(target / "cases.csv"), *out))
        rows, audit = (
            done(site.run("release", what, name, "--json")) for what in ("history", "verify")
        )
        said[name] = {"history": json.loads(rows.out), "audit": json.loads(audit.out)}
    (target / "said.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    done(site.run("release", "export", "wine", "--out", str(target / "bundle.zip")))
    for left in (*target.rglob(".lock"), *target.rglob(".gitignore")):
        left.unlink()


def wines(path: Path) -> None:
    """The bundled wines as a laboratory would hand them in: ids in the first column."""
    from sklearn.datasets import load_wine

    frame = load_wine(as_frame=True).frame.drop(columns="target")
    frame.insert(0, "sample", [f"W{row:03d}" for row in range(len(frame))])
    frame.to_csv(path, index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
