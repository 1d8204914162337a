"""`lifecycle report`."""

from __future__ import annotations

import click


@click.command("report")
@click.argument("name")
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
def command(name: str, show: bool) -> None:
    """Print where the report of NAME's current build lies.

    Example: lifecycle report gbm-methylation --open
    """
    from lifecycle.workflows.project import open_project
    from lifecycle.workflows.reporting import report_path

    path = report_path(open_project(name))
    click.echo(str(path))
    if show:
        click.launch(path.resolve().as_uri())
