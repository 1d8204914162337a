"""Verify: train a build again in processes of their own, on this machine, and compare all bits."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lifecycle.domain.digests import tensors_digests
from lifecycle.dossier.builds import Build
from lifecycle.dossier.files import write_json
from lifecycle.errors import ExitCode, UnusableInputError
from lifecycle.workflows.building import WEIGHTS, examples
from lifecycle.workflows.children import Task, run_children
from lifecycle.workflows.deciding import current_build
from lifecycle.workflows.progress import bar
from lifecycle.workflows.project import Project
from lifecycle.workflows.rehearsing import TRAINED_ON, recipe_carried_out, require_input, tensors_in
from lifecycle.workflows.rehearsing_child import CLASSES, TASK
from lifecycle.workflows.stage import alone


def verify(project: Project, times: int) -> tuple[dict[str, Any], int]:
    """Train the current build's recipe `times` times and compare MD5 and SHA-256 with the build's.

    Every training is a process of its own, in this environment; digests are over parameters AND
    buffers. Nothing is kept.

    Returns:
        Digests of the build and of every run, and an exit code: 12 where any differ, else 0.

    Raises:
        UnusableInputError: there is no build, its input is not at hand, or a run failed.
    """
    with alone(project):
        if not project.layout.current.exists():
            raise UnusableInputError(
                f"{project.name} has no build yet; `lifecycle rebuild {project.name}` makes one"
            )
        build, _ = current_build(project)
        require_input(project, build)
        # the name is one that a later command sweeps, should this one be killed
        with TemporaryDirectory(
            prefix=".verify.", dir=project.layout.work, ignore_cleanup_errors=True
        ) as folder:
            runs = _runs(project, build, times, Path(folder))
    own = {key: build.content["weights"][key] for key in ("md5", "sha256")}
    same = all(run == own for run in runs)
    found = {
        "classifier": project.name,
        "build": build.name,
        "mode": build.content["recipe"]["numerics"]["mode"],
        "weights": own,
        "runs": runs,
        "same": same,
    }
    return found, int(ExitCode.DONE if same else ExitCode.INTEGRITY)


def _runs(project: Project, build: Build, times: int, folder: Path) -> list[dict[str, str]]:
    labels = {part: examples(project, part).y for part in TRAINED_ON}
    recipe = recipe_carried_out(project, build)
    places = [folder / f"run-{number}" for number in range(1, times + 1)]
    tasks = []
    for place in places:
        place.mkdir()
        for part, y in labels.items():
            np.save(place / CLASSES.format(part), y, allow_pickle=False)
        write_json(place / TASK, {"classifier": project.name, "recipe": asdict(recipe)})
        command = (sys.executable, "-m", "lifecycle.workflows.rehearsing_child", str(place))
        tasks.append(Task(place.name, command, dict(os.environ), project.root))
    failed = _carried_out(project, tasks, recipe.epochs * times)
    if failed:
        name, why = next(iter(failed.items()))
        raise UnusableInputError(f"{project.name}: {name} of {times} failed: {why}")
    return [dict(tensors_digests(tensors_in(place / WEIGHTS)())) for place in places]


def _carried_out(project: Project, tasks: list[Task], total: int) -> Mapping[str, str]:
    done = 0
    with bar(f"{project.name}: verifying") as advance:
        advance(0, total)

        def hear(name: str, entry: Mapping[str, Any]) -> None:
            nonlocal done
            if "epoch" in entry:
                done += 1
                advance(done, total)

        return run_children(tasks, 1, hear)


def show_verification(found: Mapping[str, Any]) -> str:
    """The digests as a table for the terminal."""
    rows = [(found["build"], found["weights"])]
    rows += [(f"run {i}", run) for i, run in enumerate(found["runs"], start=1)]
    lines = [f"{'':8}{'MD5':34}SHA-256"]
    lines += [f"{name:8}{digests['md5']:34}{digests['sha256']}" for name, digests in rows]
    distinct = len({digests["sha256"] for _, digests in rows})
    verdict = "one digest: bit-identical" if found["same"] else f"{distinct} different digests"
    said = f"{found['classifier']}, mode {found['mode']}: {len(rows)} trainings, {verdict}"
    return "\n".join([*lines, said])
