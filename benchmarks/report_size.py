"""How long a report of a huge series takes, how much memory and how large it is.

    python benchmarks/report_size.py [--cases 1000000] [--classes 12] [--builds 10]
                                     [--discordant 100000] [--task single] [--output FILE]
                                     [--smallest]

Everything is SIMULATED: scores are drawn, no classifier is trained and no patient stands behind
them. The series is compared by `lifecycle.consistency.agree`, in a process of its own as in the
product, where the stages `compare` and `report` are two processes; then figures and page are made.
Prints seconds, peak memory of either process and bytes, and ends with 1 where the report takes more
than 60 s, 2 GiB or 10 MB.
"""

from __future__ import annotations

import argparse
import pickle
import resource
import tempfile
import time
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from benching import at_least, leave_with, parsed
from numpy.typing import NDArray

from lifecycle.consistency.agree import Agreement, Series, agree
from lifecycle.consistency.calls import call
from lifecycle.consistency.tau import curve
from lifecycle.domain.classifier import (
    Classifier,
    CohortSource,
    FrozenPlan,
    Policy,
    PreprocessPlan,
    Recipe,
    SearchPlan,
    SplitPlan,
    TauPlan,
)
from lifecycle.domain.cohort import Pin
from lifecycle.domain.networks import ModelPlan
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.domain.verdict import Finding, Verdict
from lifecycle.report.faced import face
from lifecycle.report.page import figures, render
from lifecycle.report.source import Changes, ReportInput, Validation

SECONDS, BYTES, MEMORY = 60.0, 10_000_000, 2 << 30
TAU = {"single": 0.9, "multi": 0.8}
NOISE = 0.001  # between builds, in logits: few cases convert
BLOCK = 100_000  # cases drawn at a time
Scores = NDArray[np.float64]


def scores_of(truth: NDArray[np.intp], C: int, task: str, seed: int, swapped: set[int]) -> Scores:
    """Scores of one build: mostly sure and right; the swapped cases are surely another class."""
    found = np.empty((len(truth), C))
    same, rng = np.random.default_rng(0), np.random.default_rng(seed)
    for start in range(0, len(truth), BLOCK):
        part = truth[start : start + BLOCK]
        logits = same.normal(0.0, 1.0, (len(part), C))
        logits[np.arange(len(part)), part] += same.gamma(4.0, 2.0, len(part))
        logits += rng.normal(0.0, NOISE, logits.shape)
        if task == "multi":
            found[start : start + BLOCK] = 1 / (1 + np.exp(3 - logits))
        else:
            np.exp(logits, out=logits)
            found[start : start + BLOCK] = logits / logits.sum(axis=1, keepdims=True)
    at = np.fromiter(swapped, np.intp)
    found[at] = np.roll(found[at], 1, axis=1)
    return found


def series_of(args: argparse.Namespace) -> dict[str, Predictions]:
    """Builds of which about `discordant` cases contradict each other somewhere."""
    n, C = args.cases, args.classes
    rng = np.random.default_rng(7)
    truth = rng.integers(C, size=n)
    classes, sites = (tuple(f"{what} {j:02d}" for j in range(k))
                      for what, k in (("class", C), ("site", 8)))  # fmt: skip
    facts = {
        "ids": tuple(f"SIM-{i:07d}" for i in range(n)),
        "patients": tuple(p for i in range(0, n, 2) for p in [f"patient-{i:07d}"] * 2)[:n],
        "groups": ("",) * n,
        "labels": tuple(classes[j] for j in truth.tolist()),
        "classes": classes,
        "task": args.task,
        "subgroups": {"site": tuple(sites[k] for k in rng.integers(8, size=n).tolist())},
    }
    chosen = rng.choice(n, min(n, args.discordant), replace=False).tolist()
    each = -(-len(chosen) // max(1, args.builds - 1))
    found = {}
    for k in range(args.builds):
        swapped = set(chosen[(k - 1) * each : k * each]) if k else set()
        scores = scores_of(truth, C, args.task, k + 1, swapped)
        found[f"b{k + 1}"] = Predictions(scores=scores, **facts)
    return found


def cutoffs_of(args: argparse.Namespace) -> Cutoffs:
    tau = TAU[args.task]
    no = (1 - tau,) * args.classes if args.task == "multi" else None
    return Cutoffs((tau,) * args.classes, no, "given", {})


def agreement_of(members: dict[str, Predictions], cutoffs: Cutoffs) -> Agreement:
    calls = tuple(call(one, cutoffs) for one in members.values())
    last = next(reversed(members.values()))
    return agree(
        Series(tuple(members), calls),
        0.025,
        subgroups=last.subgroups,
        scores=[one.scores for one in members.values()],
    )


def compare(members: dict[str, Predictions], cutoffs: Cutoffs, path: str) -> None:
    """In a child: the agreement into a file, with its time and memory."""
    start = time.perf_counter()
    agreement = agreement_of(members, cutoffs)
    taken = time.perf_counter() - start
    with Path(path).open("wb") as file:
        pickle.dump((agreement, taken, peak()), file)


def peak() -> int:
    """Largest resident set so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def compared(members: dict[str, Predictions], cutoffs: Cutoffs) -> tuple[Agreement, float, int]:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/agreement"
        child = get_context("fork").Process(target=compare, args=(members, cutoffs, path))
        child.start()
        child.join()
        if child.exitcode:
            raise SystemExit(f"the comparison ended with {child.exitcode}")
        with Path(path).open("rb") as file:
            found: tuple[Agreement, float, int] = pickle.load(file)
        return found


def input_of(
    args: argparse.Namespace, members: dict[str, Predictions], agreement: Agreement
) -> ReportInput:
    last = members[f"b{args.builds}"]
    held = replace(
        last,
        **{key: getattr(last, key)[:BLOCK] for key in ("ids", "patients", "groups", "labels")},
        scores=last.scores[:BLOCK],
        subgroups={},
    )
    series = agreement.series
    finding = Finding("consistency.series", "fail", series.rate, 0.05, series.upper, "SIMULATED.")
    plan: dict[str, Any] = {"mode": "per-class"} if args.task == "multi" else {}
    return ReportInput(
        name="simulated-huge",
        classifier=Classifier(
            version="1.0.0",
            title="SIMULATED scores, no classifier",
            classes=last.classes,
            task=args.task,
            cohort=CohortSource(source="simulated", path="none"),
            frozen=FrozenPlan(fraction=0.5),
            split=SplitPlan(),
            preprocess=PreprocessPlan(),
            model=ModelPlan(),
            recipe=Recipe(lr=1e-3, l2=1e-2, epochs=3),
            search=SearchPlan(),
            tau=TauPlan(positive=last.classes[0], **plan),
            policy=Policy(),
        ),
        verdict=Verdict("fail", "statistical", args.builds, (finding,), "0" * 64, "gate/2", ()),
        agreement=agreement,
        cutoffs=cutoffs_of(args),
        holdout=held,
        frozen=last,
        frozen_before={name: one for name, one in members.items() if one is not last},
        holdout_curve=curve(held, last.classes[0]),
        epochs=[{"epoch": e, "training_loss": 1 / e, "holdout_loss": 1 / e, "holdout_error": 0.1}
                for e in (1.0, 2.0, 3.0)],
        number=args.builds,
        content={"origin": "simulated"},
        run={},
        pin=Pin("1.0.0", 1, dict.fromkeys(last.ids, ""), "0" * 64, "", "simulated"),
        validation=Validation(True, 0),
        changes=Changes(f"b{args.builds - 1}"),
        attempts=1,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value, least in (("cases", 1_000_000, 2), ("classes", 12, 2), ("builds", 10, 2),
                               ("discordant", 100_000, 0)):  # fmt: skip
        parser.add_argument(f"--{name}", type=at_least(least), default=value)
    parser.add_argument("--task", choices=sorted(TAU), default="single")
    parser.add_argument("--output", type=Path, help="write the page here")
    args = parsed(parser, cases=400, classes=3, builds=2, discordant=20)
    members, cutoffs = series_of(args), cutoffs_of(args)
    held = peak()
    agreement, agreeing, child = compared(members, cutoffs)
    data = input_of(args, members, agreement)
    before = peak()
    start = time.perf_counter()
    faced = face(data)
    called = time.perf_counter()
    drawn = figures(data, faced)
    pictured = time.perf_counter()
    page = render(data, drawn, faced)
    done = time.perf_counter()
    if args.output:
        args.output.write_text(page, encoding="utf-8")
    report, size, memory = done - start, len(page.encode()), peak()
    found = f"{len(agreement.discordant):,} discordant, {len(agreement.conversions):,} converted"
    print(f"SIMULATED: {args.cases:,} cases, {args.classes} classes, {args.builds} builds, {found}")
    print(f"agree:  {agreeing:6.1f} s ({agreeing / (agreeing + report):.0%} of both), "
          f"peak {child / 2**30:.2f} GiB")  # fmt: skip
    print(f"report: {report:6.1f} s (calls {called - start:.1f}, figures {pictured - called:.1f}, "
          f"page {done - pictured:.1f}), peak {memory / 2**30:.2f} GiB "
          f"(scores alone {held / 2**30:.2f}, with the agreement {before / 2**30:.2f}), "
          f"{size:,} bytes, of them figures {sum(map(len, drawn.values())):,}")  # fmt: skip
    return 1 if report > SECONDS or memory > MEMORY or size > BYTES else 0


if __name__ == "__main__":
    leave_with(main)
