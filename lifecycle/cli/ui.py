"""`lifecycle ui`."""

from __future__ import annotations

import click


@click.command("ui")
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
@click.option(
    "--print-only", is_flag=True, help="Print the command and the address, start nothing."
)
def command(port: int, print_only: bool) -> int:
    """Start MLflow's user interface on this machine and print the address of the table of builds.

    Example: lifecycle ui --port 5000
    """
    from lifecycle.workflows.reviewing import serve

    return serve(port, print_only)
