"""How far the simulated glioblastoma cohort resembles the real one, and what it costs.

    python benchmarks/simulated_cohort.py [--probes 20000] [--kept 5000] [--splits 18] [--seed N]
                                         [--smallest]

Prints time and memory, the digest of the values with numpy's dispatch on and off, quantiles of the
probes' standard deviation beside those of 430 real TCGA tumours (where LIFECYCLE_REAL_DATA or
../shared/data holds them), and the holdout error of logistic regression over slide-wise splits.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from benching import at_least, count, leave_with, parsed
from numpy.typing import NDArray

from lifecycle.cohorts import preprocess
from lifecycle.cohorts.simulate import SimulatorSettings, load_settings, simulate
from lifecycle.domain.classifier import PreprocessPlan
from lifecycle.domain.cohort import Cohort
from lifecycle.domain.digests import canonical_array, sha256

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ROOT / "pipelines" / "cohorts" / "gbm-methylation.yaml"
TCGA = Path("methylation") / "tcga_idhwt_glioma_430x843_beta.csv"
LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]
TRIO = {"GBM, RTK I", "GBM, RTK II", "GBM, MES"}


def digest(*cohorts: Cohort) -> str:
    return sha256(b"".join(canonical_array(cohort.values) for cohort in cohorts))


def without_dispatch(probes: int, seed: int) -> str:
    """The digest that a child process finds with every dispatched extension off."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    on = " ".join(name for name in __cpu_dispatch__ if __cpu_features__.get(name))
    command = [sys.executable, __file__, "--digest", "--probes", str(probes), "--seed", str(seed)]
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": on}
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return f"{child.stdout.strip()} (off: {on})"


def real_values() -> NDArray[np.float64] | None:
    import pandas as pd

    for folder in (os.environ.get("LIFECYCLE_REAL_DATA"), ROOT.parent / "shared" / "data"):
        if folder and (Path(folder) / TCGA).exists():
            table = pd.read_csv(Path(folder) / TCGA)
            return table.filter(regex="^cg").to_numpy(float)
    return None


def show(name: str, values: NDArray[np.float64]) -> None:
    print(f"  {name:34}", *(f"{q:7.3f}" for q in np.quantile(values, LEVELS)))


def quantiles(training: Cohort, kept: int) -> None:
    beta = training.rows(range(len(training.ids)))
    plan = PreprocessPlan(features=min(kept, beta.shape[1]))
    chosen = set(preprocess.fit(training, plan, ROOT).features)
    columns = [i for i, name in enumerate(training.features) if name in chosen]
    real = real_values()
    print("quantiles 5 25 50 75 95%")
    show("probe sd, simulated, all", beta.std(axis=0))
    show(f"probe sd, simulated, {len(columns)} kept", beta[:, columns].std(axis=0))
    if real is not None:
        show(f"probe sd, TCGA, {real.shape[1]}", real.std(axis=0))
    show("beta, simulated, all", beta)
    show(f"beta, simulated, {len(columns)} kept", beta[:, columns])
    if real is not None:
        show(f"beta, TCGA, {real.shape[1]}", real)


def logistic(
    fit_on: Cohort, judged_on: Cohort, kept: int
) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Labels and calls of logistic regression (C = 1e-3) on the M-values.

    The weights of a ridge-penalised model lie in the span of the samples, so the problem is solved
    in that span: exact, and minutes faster.
    """
    from sklearn.linear_model import LogisticRegression

    plan = PreprocessPlan(features=min(kept, len(fit_on.features)))
    fitted = preprocess.fit(fit_on, plan, ROOT)
    x = preprocess.apply(fitted, fit_on) - fitted.mean
    _, _, basis = np.linalg.svd(x, full_matrices=False)
    model = LogisticRegression(C=1e-3, max_iter=5000).fit(x @ basis.T, np.array(fit_on.labels))
    y = (preprocess.apply(fitted, judged_on) - fitted.mean) @ basis.T
    return np.array(judged_on.labels), model.predict(y)


def holdouts(training: Cohort, kept: int, splits: int) -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    errors, recalls, wrong = [], [], Counter[bool]()
    for state in range(splits):
        folds = StratifiedGroupKFold(n_splits=4, shuffle=True, random_state=state)
        fit_on, judged_on = next(folds.split(training.ids, training.labels, training.groups))
        labels, calls = logistic(training.take(fit_on), training.take(judged_on), kept)
        errors.append(float(np.mean(labels != calls)))
        recalls.append(float(np.mean(calls[labels == "GBM, RTK I"] == "GBM, RTK I")))
        pairs = zip(labels[labels != calls], calls[labels != calls], strict=True)
        wrong.update(a in TRIO and b in TRIO for a, b in pairs)
    print(
        f"logistic regression, {splits} slide-wise splits: holdout error "
        f"{min(errors):.3f}-{max(errors):.3f}, mean {np.mean(errors):.3f}; RTK I recall "
        f"{min(recalls):.2f}-{max(recalls):.2f}, mean {np.mean(recalls):.2f}; "
        f"{wrong[True]} of {wrong.total()} errors among RTK I, RTK II, MES"
    )


def run(settings: SimulatorSettings, kept: int, splits: int) -> None:
    start = time.perf_counter()
    training, frozen = simulate(settings, "training"), simulate(settings, "frozen")
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cases = len(training.ids) + len(frozen.ids)
    print(f"{cases} cases x {settings.probes} probes: {seconds:.2f} s, peak {memory:.0f} MB")
    print("digest               ", digest(training, frozen))
    print("digest, dispatch off ", without_dispatch(settings.probes, settings.seed))
    start = time.perf_counter()
    plan = PreprocessPlan(features=min(kept, settings.probes))
    preprocess.apply(preprocess.fit(training, plan, ROOT), frozen)
    print(f"preprocess fit and apply: {time.perf_counter() - start:.2f} s")
    for name, cohort in (("training", training), ("frozen", frozen)):
        print(
            f"{name}: {len(set(cohort.patients))} patients, {len(set(cohort.groups))} slides, "
            f"{dict(Counter(cohort.subgroups['material']))}"
        )
    quantiles(training, kept)
    holdouts(training, kept, splits)
    labels, calls = logistic(training, frozen, kept)
    recall = np.mean(calls[labels == "GBM, RTK I"] == "GBM, RTK I")
    print(
        f"frozen set, model of the whole training part: error {np.mean(labels != calls):.3f}, "
        f"RTK I recall {recall:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probes", type=count, default=20_000)
    parser.add_argument("--kept", type=count, default=5_000)
    parser.add_argument("--splits", type=count, default=18)
    parser.add_argument(
        "--seed", type=at_least(0), default=None, help="the settings file's unless given"
    )
    parser.add_argument("--digest", action="store_true", help="print the digest and nothing else")
    asked = parsed(parser, probes=400, kept=100, splits=2)
    settings = replace(load_settings(SETTINGS), probes=asked.probes)
    if asked.seed is not None:
        settings = replace(settings, seed=asked.seed)
    if asked.digest:
        print(digest(simulate(settings, "training"), simulate(settings, "frozen")))
    else:
        run(settings, asked.kept, asked.splits)


if __name__ == "__main__":
    leave_with(main)
