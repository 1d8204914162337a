"""`lifecycle rebuild`."""

from __future__ import annotations

import click


@click.command("rebuild")
@click.argument("names", nargs=-1)
@click.option("--force", is_flag=True, help="Run every stage, also those that have nothing to do.")
def command(names: tuple[str, ...], force: bool) -> int:
    """Rebuild, compare and judge the classifiers NAMES (all of them where none is named).

    Does the work of `dvc repro`, says beforehand what a rebuild of each would be, and ends with
    the verdicts.

    Example: lifecycle rebuild gbm-methylation
    """
    from lifecycle.workflows.rebuild import rebuild

    return rebuild(names, force)
