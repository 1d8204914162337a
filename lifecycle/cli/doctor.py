"""`lifecycle doctor`."""

from __future__ import annotations

import click


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def command(as_json: bool) -> None:
    """Show what this machine computes with, and test exact arithmetic on it.

    Every operation's bits are compared with the known ones; exit 12 where one is wrong. No project
    is needed.

    Example: lifecycle doctor
    """
    from lifecycle.workflows.doctoring import examine, show

    found = examine()
    click.echo(show(found, as_json))
    found.tested.require()
