"""The pictures of docs/how-to/review-in-mlflow.md, made anew.

    python tests/screenshots.py demo FOLDER       a project to be photographed: some minutes
    python tests/screenshots.py take FOLDER OUT   the pictures of it, into OUT

The project is the shipped, SIMULATED `gbm-methylation` in native arithmetic: b1, released by two
people, then b2 under processor instructions of an older machine, whose calls are not all the same.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from pathlib import Path

from mlflow_walk import Walk, browser, user_interface
from release_site import PASSPHRASE
from releasing import PEOPLE, commit, key_of
from ruamel.yaml import YAML
from support import ROOT, new_project, run_in

from lifecycle.release.keys import create
from lifecycle.workflows.rostering import enrol

NAME = "gbm-methylation"
ONE = {"OMP_NUM_THREADS": "1"}
# an x86 machine without AVX, as far as these two libraries are concerned
OLDER = {**ONE, "ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}


def demo(folder: Path) -> None:
    """The project, in `folder/project`."""
    root = new_project(folder / "project", _params())
    _run(root, "lifecycle", "rebuild", **ONE)
    (folder / "keys").mkdir()
    for user, roles in PEOPLE.items():
        info = create(key_of(root, user), PASSPHRASE)
        enrol(root, user, f"Dr {user}", roles, info.public, key_of(root, "ada"), PASSPHRASE)
    commit(root, "b1")
    for user, meaning in (("rev", "review"), ("app", "approval")):
        _run(root, "lifecycle", "release", "sign-off", NAME, "--meaning", meaning, "--key",
             str(key_of(root, user)), "--yes", "--demonstration",
             LIFECYCLE_PASSPHRASE=PASSPHRASE)  # fmt: skip
    commit(root, "b1 released")
    _run(root, "lifecycle", "rebuild", **OLDER)
    commit(root, "b2")


def _params() -> str:
    yaml, text = YAML(), io.StringIO()
    document = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    section = document["classifiers"][NAME]
    section["recipe"]["numerics"] = {"mode": "native"}
    document["classifiers"] = {NAME: section}
    yaml.dump(document, text)
    return text.getvalue()


def _run(root: Path, *command: str, **changes: str) -> None:
    done = run_in(root, *command, **changes)
    sys.stderr.write(done.stderr)
    assert done.returncode == 0, f"{command} ended with {done.returncode}"


def take(folder: Path, pictures: Path) -> None:
    """Walk through the project as a reviewer does."""
    root = folder / "project"
    with (
        tempfile.TemporaryDirectory() as said,
        user_interface(root, NAME, folder=Path(said)) as (server, text),
        browser() as page,
    ):
        walk = Walk(page, server, NAME, pictures, root)
        found = re.search(r": open (\S+)", text)
        assert found is not None, text
        photograph(walk, found[1])


def photograph(walk: Walk, address: str) -> None:
    """All pictures, in the order of the page."""
    walk.table(address)
    walk.picture("mlflow-builds")
    walk.run("b2")
    walk.page.get_by_text("Show more").first.click()
    walk.picture("mlflow-run")
    walk.artifact("b2", "tables/discordant_cases.json")
    walk.see("reference class")
    walk.picture("mlflow-discordant")
    walk.artifact("b2", "report.html")
    walk.see(re.compile("FAIL"), walk.page.frame_locator("iframe"))
    walk.picture("mlflow-report")
    walk.artifact("b2", "figures/scores.svg")
    walk.page.wait_for_timeout(1500)
    walk.picture("mlflow-figure")
    walk.compare("b2", "b1")
    walk.page.get_by_text("frozen_discordant", exact=True).first.scroll_into_view_if_needed()
    walk.picture("mlflow-compare")
    walk.charts(address)
    walk.search("frozen")
    walk.picture("mlflow-charts")
    walk.charts(address, "ARTIFACT")
    walk.see("criterion")
    walk.picture("mlflow-criteria")
    walk.model("b2")
    walk.see(re.compile("frozen_accuracy"))
    walk.picture("mlflow-logged-model")
    walk.run("b2", "system-metrics")
    walk.search("percentage")
    walk.picture("mlflow-system")
    walk.registered()
    walk.see(re.compile("^In force"))
    walk.picture("mlflow-registered")
    walk.registered("1")
    walk.see("Dr app")
    walk.picture("mlflow-version")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["demo", place]:
            demo(Path(place).resolve())
        case ["take", place, out]:
            take(Path(place).resolve(), Path(out))
        case _:
            sys.exit(__doc__)
