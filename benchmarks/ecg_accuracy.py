"""Do the ECG networks beat a simple baseline, and do they read other hospitals' records?

    python benchmarks/ecg_accuracy.py [PROJECT NAME...] [--other SOURCE=FOLDER ...] [--smallest]

PROJECT is a folder in which `lifecycle rebuild NAME` has run for each NAME; nothing in it is
changed. Without them it is ecg-baseline on its SIMULATED records, built in a temporary project.
Prints, on the frozen set, macro and per-class AUC with 95% intervals over patients, of the latest
build's saved scores and of logistic regression on heart-rate and interval features of the same
training records; then the same networks on records of another source (`cinc2021`, `cpsc2018`),
untouched by training, for the classes that both have.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from benching import leave_with, parsed, project_of, run
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, find_peaks, sosfiltfilt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from lifecycle.cohorts import preprocess
from lifecycle.cohorts.read import import_cohort
from lifecycle.domain.classifier import ECG_SOURCES, CohortSource, SignalPlan
from lifecycle.domain.cohort import Cohort
from lifecycle.dossier.builds import FROZEN, read_builds
from lifecycle.dossier.predictions import read_parquet
from lifecycle.dossier.weights import unpacked
from lifecycle.errors import UsageError
from lifecycle.models.build import build_model, load_tensors
from lifecycle.stats.auc import AucInterval, auc_intervals
from lifecycle.training.trainer import scores
from lifecycle.workflows.building import resolved_recipe
from lifecycle.workflows.data import pinned_cohort, read_input
from lifecycle.workflows.project import Project, open_project

Floats = NDArray[np.float64]
BEFORE, AFTER = 0.30, 0.50  # seconds of a beat around its R wave
NAME = "ecg-baseline"
SMALLEST = {
    "model": {"widths": [8], "blocks": [1]},
    "recipe": {"epochs": 1, "warm_up": 0, "schedule": "constant"},
}


def beats(signal: Floats, rate: float) -> NDArray[np.intp]:
    """R waves: peaks of the energy of 5 to 20 Hz over all leads."""
    band = butter(2, [5.0, 20.0], "bandpass", fs=rate, output="sos")
    steep = np.diff(sosfiltfilt(band, signal, axis=0), axis=0, prepend=0.0)
    energy = uniform_filter1d((steep**2).sum(axis=1), max(1, int(0.08 * rate)))
    peaks, _ = find_peaks(
        energy, height=0.25 * np.quantile(energy, 0.98), distance=int(0.25 * rate)
    )
    return np.asarray(peaks, dtype=np.intp)


def rhythm(peaks: NDArray[np.intp], rate: float) -> Floats:
    """Heart rate and what the intervals between beats do."""
    gaps = np.diff(peaks) / rate
    if len(gaps) < 2:
        return np.array([60.0 * len(peaks) / 10.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    steps = np.diff(gaps)
    return np.array(
        [
            60.0 / np.median(gaps),
            gaps.std(),
            np.sqrt((steps**2).mean()),
            (np.abs(steps) > 0.05).mean(),
            gaps.max() - gaps.min(),
            gaps.min() / np.median(gaps),
        ]
    )


def intervals(signal: Floats, peaks: NDArray[np.intp], rate: float) -> Floats:
    """Of the median beat: QRS duration, P onset to R, R to the top of T, per-lead R, S, ST."""
    left, right = int(BEFORE * rate), int(AFTER * rate)
    inside = [p for p in peaks if left <= p < len(signal) - right] or [len(signal) // 2]
    beat = np.median([signal[p - left : p + right] for p in inside], axis=0)
    beat = beat - np.median(beat, axis=0)
    power = np.abs(np.diff(beat, axis=0)).sum(axis=1)
    wide = np.flatnonzero(power > 0.15 * power.max())
    size = np.abs(beat).sum(axis=1)
    gap = int(0.08 * rate)
    p_top, t_top = np.argmax(size[: left - gap]), np.argmax(size[left + gap :])
    times = [np.ptp(wide) / rate, (left - p_top) / rate, (gap + t_top) / rate]
    around = beat[left - gap : left + gap]
    level = beat[left + gap : left + gap + int(0.06 * rate)].mean(axis=0)
    return np.concatenate([times, around.max(axis=0), around.min(axis=0), level])


def features(x: Floats, rate: float) -> Floats:
    """Of standardised signals (n, samples, leads) one row a record, shape (n, 45) of 12 leads."""
    rows = []
    for signal in x:
        peaks = beats(signal, rate)
        rows.append(np.concatenate([rhythm(peaks, rate), intervals(signal, peaks, rate)]))
    return np.stack(rows)


def targets(cohort: Cohort, classes: Sequence[str]) -> NDArray[np.bool_]:
    """Which classes each record's label names."""
    return np.array([[k in label.split("|") for k in classes] for label in cohort.labels])


def one_class() -> Pipeline:
    """Logistic regression as a person would try it first."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))


def simple_scores(project: Project, frozen: Cohort) -> Floats:
    """Scores of logistic regression, a model a class, on training and holdout records."""
    classes = project.classifier.classes
    signal = project.classifier.cohort.signal
    rate = float(signal.rate) if signal else 100.0
    parts = [read_input(project, part) for part in ("training", "holdout")]
    x = np.concatenate([features(signals, rate) for signals, _ in parts])
    y = np.concatenate([targets(cases, classes) for _, cases in parts])
    tested = features(preprocess.apply(preprocess.read(project.prepared), frozen), rate)
    return np.stack([fitted_scores(x, y[:, j], tested) for j in range(len(classes))], 1)


def fitted_scores(x: Floats, y: NDArray[np.bool_], tested: Floats) -> Floats:
    """Scores of one class; its share where all records have it, or none: that teaches nothing."""
    if y.all() or not y.any():
        return np.full(len(tested), float(y.mean()))
    return np.asarray(one_class().fit(x, y).predict_proba(tested)[:, 1])


def network_scores(project: Project, cohort: Cohort) -> Floats:
    """Scores of the latest build for records that it has never seen."""
    build, recipe = read_builds(project.layout)[-1], resolved_recipe(project)
    path = project.layout.weights / f"{build.content['weights']['file']}.safetensors"
    fitted = preprocess.read(project.prepared)
    x = preprocess.apply(fitted, cohort)
    count = len(project.classifier.classes)
    model = build_model(project.classifier.model, recipe, x.shape[2], count)
    load_tensors(model, unpacked(path.read_bytes()))
    return scores(model, x, recipe, project.classifier.task)


def show(title: str, values: Floats, cases: Cohort, classes: Sequence[str]) -> None:
    """Macro AUC and each class with its interval and positives."""
    macro, each = auc_intervals(values, cases.labels, tuple(classes), cases.patients)
    said = "none" if macro is None or macro.area is None else _span(macro)
    print(f"{title:<34} macro AUC {said}")
    for name, found in each.items():
        if found.area is not None:
            print(f"{'':<34}   {name:<6} {_span(found)}  {found.positives} positive")


def _span(found: AucInterval) -> str:
    if found.low is None or found.high is None:
        return f"{found.area:.3f}"
    return f"{found.area:.3f} ({found.low:.3f}-{found.high:.3f})"


def other_cohort(project: Project, stated: str) -> Cohort:
    """Records of another source, with the labels that the classifier knows."""
    kind, _, folder = stated.partition("=")
    signal = replace(project.classifier.cohort.signal or SignalPlan(), bad_records="skip")
    source = CohortSource(
        source=kind,  # type: ignore[arg-type]  # the reader refuses a kind that it does not know
        path=str(Path(folder).resolve()), measures="ecg", signal=signal,
        keep_unlabelled=True,
    )  # fmt: skip
    classifier = project.classifier
    return import_cohort(source, classifier.classes, classifier.task, project.root, lambda *_: None)


def other(text: str) -> str:
    """The type of `--other`: a known source and a folder."""
    kind, _, folder = text.partition("=")
    if kind not in ECG_SOURCES or not Path(folder).is_dir():
        known = ", ".join(ECG_SOURCES)
        raise argparse.ArgumentTypeError(f"{text!r} is no SOURCE=FOLDER; sources: {known}")
    return text


def compare(project: Project, others: Sequence[str]) -> None:
    """One table."""
    classes, build = project.classifier.classes, read_builds(project.layout)[-1]
    frozen, pin = pinned_cohort(project)
    print(f"{project.name} {build.name}: {len(frozen.ids)} frozen cases, {pin.origin}")
    saved = read_parquet(build.folder / FROZEN)
    place = {case: i for i, case in enumerate(saved.ids)}
    show("network", saved.scores[[place[c] for c in frozen.ids]], frozen, classes)
    show("logistic regression", simple_scores(project, frozen), frozen, classes)
    for stated in others:
        cohort = other_cohort(project, stated)
        show(f"network on {stated.partition('=')[0]}, {len(cohort.ids)} records",
             network_scores(project, cohort), cohort, classes)  # fmt: skip


def main() -> None:
    """Take the project that is named, or make one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path, nargs="?")
    parser.add_argument("names", nargs="*", default=[NAME])
    parser.add_argument("--other", type=other, action="append", default=[], metavar="SOURCE=FOLDER")
    options = parsed(parser)
    if options.project is None:
        changes = (SMALLEST, {"records": 300}) if options.smallest else ()
        with project_of(NAME, *changes) as folder:
            run(folder, "dvc", "repro", "-q", f"enrol@{NAME}")
            compare(open_project(NAME, folder), options.other)
        return
    for name in options.names:
        project = open_project(name, options.project.resolve())
        if project.classifier.cohort.measures != "ecg" or not read_builds(project.layout):
            raise UsageError(
                f"{name} is no ECG classifier with a build; `lifecycle rebuild {name}`"
            )
        compare(project, options.other)


if __name__ == "__main__":
    leave_with(main)
