"""The report for people, and the view in MLflow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from lifecycle.dossier.files import folder_whole
from lifecycle.errors import IntegrityError, UnusableInputError
from lifecycle.report.figures import figures
from lifecycle.report.page import render
from lifecycle.workflows import readiness
from lifecycle.workflows.boundary import say
from lifecycle.workflows.deciding import cases_csv, current_build
from lifecycle.workflows.judging import kept_verdict
from lifecycle.workflows.known_names import known_names
from lifecycle.workflows.masking import mask_of, masked
from lifecycle.workflows.material import decided, gather
from lifecycle.workflows.printing import print_page
from lifecycle.workflows.project import Project
from lifecycle.workflows.tracking_report import tell_tracking
from lifecycle.workflows.unnamed import require_unnamed

PAGE, PDF, CASES = "report.html", "report.pdf", "cases.csv"
REVIEW = "review"  # folder below work/<c>: what `lifecycle report` writes


def write_report(project: Project) -> None:
    """The pipeline's stage: write the report of the current build, and complete its MLflow run."""
    material = gather(project)
    drawn = figures(material)
    with folder_whole(project.report) as folder:
        _write(folder, render(material, drawn), drawn)
    tell_tracking(project, material, project.report / PAGE)
    say(f"{project.name}: report {(project.report / PAGE).relative_to(project.root)}")


def report_now(
    project: Project, out: Path | None = None, pdf: bool = False, deidentify: bool = False
) -> Path:
    """Write the report of the current build as it stands now, signatures included.

    Args:
        project: whose classifier.
        out: the folder to write, whole or not at all; None for `work/<c>/review`.
        pdf: print it, too.
        deidentify: numbers for cases, patients and slides.

    Returns:
        The page.

    Raises:
        IntegrityError: the build is not finished, or something of it was changed since.
        UnusableInputError: nothing is built, there is no Chromium to print, the folder cannot be
            written, or a report without identifiers would name somebody.
    """
    _require_finished(project)
    data = dataclasses.replace(gather(project), **decided(project))
    known = known_names(project) if deidentify else None
    shown = data if known is None else masked(data, known)
    drawn = figures(shown)
    page, cases = render(shown, drawn), cases_csv(shown.agreement)
    if known is not None:
        require_unnamed(project.name, mask_of(data, known).telling, page, drawn, cases)
    target = project.layout.work / REVIEW if out is None else out
    _require_ours(target)
    with folder_whole(target) as folder:
        _write(folder, page, drawn)
        (folder / CASES).write_text(cases, encoding="utf-8")
        if pdf:
            _print(folder, str(data.run["built"]))
    return target / PAGE


def _write(folder: Path, page: str, drawn: Mapping[str, str]) -> None:
    (folder / PAGE).write_text(page, encoding="utf-8")
    (folder / "figures").mkdir()
    for name, svg in drawn.items():
        (folder / "figures" / f"{name}.svg").write_text(svg, encoding="utf-8")


def _print(folder: Path, built: str) -> None:
    missing = print_page(folder / PAGE, folder / PDF, built)
    if missing is not None:
        raise UnusableInputError(
            f"the report was not printed: {missing}; install Chromium, or leave --pdf out and "
            "print the page from a browser"
        )


def _require_finished(project: Project) -> None:
    """The current build has been judged, and everything that its report shows is what it was.

    Raises:
        IntegrityError: otherwise; a report must not give a tampered build a good look.
    """
    build, _ = current_build(project)
    again = f"; run `lifecycle rebuild {project.name}`"
    if not (project.layout.verdicts / f"{build.name}.json").is_file():
        raise IntegrityError(f"{project.name} {build.name} is not finished: no verdict{again}")
    changed = readiness.changed_since(project)
    if changed:
        raise IntegrityError(f"{project.name} {build.name}: {changed}")
    try:
        kept_verdict(project, build)
    except UnusableInputError as error:
        raise IntegrityError(
            f"{project.name} {build.name} is not finished: {error}{again}"
        ) from None


def _require_ours(target: Path) -> None:
    """An existing folder is replaced only where it holds a report of ours and nothing else."""
    if not target.exists():
        return
    known = {PAGE, PDF, CASES, "figures"}
    if not target.is_dir() or {path.name for path in target.iterdir()} - known:
        raise UnusableInputError(
            f"{target} is there and is no folder of a report; name another with --output"
        )
