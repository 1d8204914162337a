"""`lifecycle consistency`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lifecycle.cli.numbers import Number, WholeRange


@click.group("consistency")
def command() -> None:
    """Longitudinal consistency: do all builds say the same whenever all of them report?

    Example: lifecycle consistency builds gbm-methylation
    """


@command.command("predictions")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--tau", type=Number(), required=True, help="Critical value: scores at or above it report."
)
@click.option("--p", type=Number(), default=0.95, show_default=True, help="Consistency to show.")
@click.option("--alpha", type=Number(), default=0.05, show_default=True, help="Level of the bound.")
@click.option("--tolerance", type=Number(), default=1e-6, show_default=True, help="Of rows' sums.")
@click.option("--unit", type=click.Choice(["patient", "component"]), default="patient")
@click.option(
    "--of",
    "consistency_of",
    type=click.Choice(["patients", "cases", "both"]),
    default="both",
    show_default=True,
    help="What p is guaranteed of.",
)
@click.option(
    "--most-cases",
    type=WholeRange(min=1),
    default=1,
    show_default=True,
    help="Cases that one patient can have.",
)
@click.option("--discordant", type=click.Path(path_type=Path), help="Write the cases to this CSV.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def predictions(files: tuple[Path, ...], as_json: bool, **asked: Any) -> int:
    """Compare predictions from anywhere: CSV or Parquet, oldest build first, no project needed.

    Columns: case_id, optional patient_id, one column per class. Exit 0 where consistency p is
    shown, 20 where it is not kept, 21 where the cases are too few to tell.

    Example: lifecycle consistency predictions b1.csv b2.csv --tau 0.3 --p 0.95
    """
    from lifecycle.workflows.anywhere import Question, compare_files

    text, code = compare_files(Question(files, **asked), as_json)
    click.echo(text)
    return code


@command.command("builds")
@click.argument("name")
@click.argument("builds", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def builds(name: str, builds: tuple[str, ...], as_json: bool) -> None:
    """Compare the kept builds of NAME at its tau: all of its version, or those named (b1 b3).

    Example: lifecycle consistency builds gbm-methylation b1 b2
    """
    from lifecycle.workflows.anywhere import compare_builds
    from lifecycle.workflows.project import open_project

    click.echo(compare_builds(open_project(name), builds, as_json))
