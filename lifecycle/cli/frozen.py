"""`lifecycle frozen`."""

from __future__ import annotations

import click


@click.group("frozen")
def command() -> None:
    """The frozen clinical test set, pinned case by case.

    Example: lifecycle frozen verify gbm-methylation
    """


@command.command("lock")
@click.argument("name")
def lock(name: str) -> None:
    """Pin the frozen set of NAME's version for the first time.

    Example: lifecycle frozen lock gbm-methylation
    """
    from lifecycle.workflows.frozen import lock_first
    from lifecycle.workflows.project import open_project

    lock_first(open_project(name))


@command.command("verify")
@click.argument("name")
def verify(name: str) -> None:
    """Check every case of the frozen set against the pin (exit 12 names the case that differs).

    Example: lifecycle frozen verify gbm-methylation
    """
    from lifecycle.workflows.data import pinned_cohort
    from lifecycle.workflows.project import open_project

    cohort, pin = pinned_cohort(open_project(name))
    click.echo(f"{name}: pin {pin.number} of version {pin.version} holds, {len(cohort.ids)} cases")


@command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="The pins as JSON.")
def show(name: str, as_json: bool) -> None:
    """Show all pins of NAME, with the reason of every amendment.

    Example: lifecycle frozen show gbm-methylation
    """
    from lifecycle.workflows.frozen import shown
    from lifecycle.workflows.project import open_project

    click.echo(shown(open_project(name), as_json))


@command.command("amend")
@click.argument("name")
@click.option("--reason", required=True, help="Why the frozen set changes; it is kept for ever.")
def amend(name: str, reason: str) -> None:
    """Pin a changed frozen set under a new number; a reason is demanded.

    Example: lifecycle frozen amend gbm-methylation --reason "case 12 withdrew consent"
    """
    from lifecycle.workflows.frozen import amend as amend_pin
    from lifecycle.workflows.project import open_project

    amend_pin(open_project(name), reason)
