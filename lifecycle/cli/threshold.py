"""`lifecycle threshold`."""

from __future__ import annotations

import click


@click.command("threshold")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def command(name: str, as_json: bool) -> None:
    """Show tau of NAME, its evidence on the holdout, and whether it is provisional or refused.

    Example: lifecycle threshold breast-cytology
    """
    from lifecycle.workflows.project import open_project
    from lifecycle.workflows.showing import show_threshold

    click.echo(show_threshold(open_project(name), as_json))
