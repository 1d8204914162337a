"""`lifecycle ui`."""

from __future__ import annotations

import click

from lifecycle.cli.numbers import WholeRange


@click.command("ui")
@click.argument("name", required=False)
@click.option("--port", type=WholeRange(1, 65535), default=5000, show_default=True)
@click.option(
    "--print-only", is_flag=True, help="Print the command and the address, start nothing."
)
@click.option(
    "--open/--no-open",
    "show",
    default=None,
    help="Open the browser; by default where there is a desktop and a person at the terminal.",
)
def command(name: str | None, port: int, print_only: bool, show: bool | None) -> int:
    """Review the builds (of NAME) in MLflow, served to this machine alone until Ctrl-C.

    Example: lifecycle ui gbm-methylation
    """
    from lifecycle.workflows.reviewing import serve

    return serve(name, port, print_only, show)
