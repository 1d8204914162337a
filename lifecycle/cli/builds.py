"""`lifecycle builds`."""

from __future__ import annotations

import click


@click.command("builds")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def command(name: str, as_json: bool) -> None:
    """List the builds of NAME: number, version, weights, environment, verdict.

    Every record is verified to the last bit on the way (exit 12 where one was changed).

    Example: lifecycle builds breast-cytology
    """
    from lifecycle.workflows.project import open_project
    from lifecycle.workflows.showing import list_builds

    click.echo(list_builds(open_project(name), as_json))
