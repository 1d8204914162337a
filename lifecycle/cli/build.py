"""`lifecycle build`."""

from __future__ import annotations

import click


@click.command("build")
@click.argument("name")
def command(name: str) -> int:
    """Train classifier NAME where anything changed, and enrol the build under its number.

    Example: lifecycle build breast-cytology
    """
    from lifecycle.workflows.rebuild import run_until

    return run_until("enrol", name)
