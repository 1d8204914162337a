"""`lifecycle data`."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("data")
def command() -> None:
    """Import, validate or simulate a cohort.

    Example: lifecycle data validate gbm-methylation
    """


@command.command("import")
@click.argument("name")
def import_(name: str) -> None:
    """Read the sources of classifier NAME into work/NAME/cohort.

    Example: lifecycle data import gbm-methylation
    """
    from lifecycle.workflows.data import import_data
    from lifecycle.workflows.project import open_project

    import_data(open_project(name))


@command.command("validate")
@click.argument("name")
def validate(name: str) -> None:
    """Split the imported cohort of NAME and hold it against its expectations (exit 11 if not met).

    Example: lifecycle data validate gbm-methylation
    """
    from lifecycle.workflows.data import split_data, validate_data
    from lifecycle.workflows.project import open_project

    project = open_project(name)
    split_data(project)
    validate_data(project)
    click.echo(f"{name}: all critical expectations hold; {project.validation}/data_docs/index.html")


@command.command("simulate")
@click.argument("settings", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--part", type=click.Choice(["training", "frozen"]), default="training")
def simulate(settings: Path, output: Path, part: str) -> None:
    """Write a SIMULATED cohort as a table (samples in rows) to OUTPUT (.csv, .csv.gz or .parquet).

    Example: lifecycle data simulate pipelines/cohorts/gbm-methylation.yaml simulated.csv
    """
    from lifecycle.workflows.simulation import write_simulated

    click.echo(write_simulated(settings, part, output))
