"""`lifecycle gate`."""

from __future__ import annotations

import click


@click.command("gate")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="The verdict as JSON.")
def command(name: str, as_json: bool) -> int:
    """Judge the current build of NAME again: exit 0 pass, 20 fail, 21 inconclusive.

    Example: lifecycle gate gbm-methylation
    """
    from lifecycle.workflows.judging import judge_now
    from lifecycle.workflows.project import open_project
    from lifecycle.workflows.showing import exit_code, show_verdict

    verdict = judge_now(open_project(name))
    click.echo(show_verdict(name, verdict, as_json))
    return exit_code(verdict)
