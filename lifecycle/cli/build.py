"""`lifecycle build`."""

from __future__ import annotations

import click

from lifecycle.cli.numbers import WholeRange


@click.command("build")
@click.argument("name")
@click.option(
    "--verify",
    type=WholeRange(1),
    metavar="N",
    help="Then train it N times more, each in a process of its own, and compare all bits.",
)
@click.option("--json", "as_json", is_flag=True, help="The verification, machine-readable.")
def command(name: str, verify: int | None, as_json: bool) -> int:
    """Train classifier NAME where anything changed, and enrol the build under its number.

    With --verify the digests (MD5 and SHA-256 over parameters and buffers) of N further trainings
    are compared with the build's; exit 12 where one differs. Nothing of them is kept.

    Example: lifecycle build breast-cytology --verify 3
    """
    from lifecycle.workflows.rebuild import run_until

    code = run_until("enrol", name, aside=as_json)
    return code if code or verify is None else _verified(name, verify, as_json)


def _verified(name: str, times: int, as_json: bool) -> int:
    import json

    from lifecycle.workflows.project import open_project
    from lifecycle.workflows.verifying import show_verification, verify

    found, code = verify(open_project(name), times)
    click.echo(json.dumps(found, indent=2) if as_json else show_verification(found))
    return code
