"""`lifecycle rehearse`."""

from __future__ import annotations

from typing import Literal

import click

from lifecycle.cli.numbers import WholeRange


@click.command("rehearse")
@click.argument("name")
@click.option(
    "--profiles",
    default="standard",
    show_default=True,
    help="Names with commas, `all`, or `standard`: the first eight that this machine can run.",
)
@click.option(
    "--mode",
    type=click.Choice(["native", "deterministic", "exact"]),
    help="Another numerics mode than the recipe's: a look, no evidence.",
)
@click.option("--slices", type=WholeRange(1, 4), help="Of exact products: a look, no evidence.")
@click.option("--jobs", type=WholeRange(1), default=1, show_default=True, help="At a time.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def command(
    name: str,
    profiles: str,
    mode: Literal["native", "deterministic", "exact"] | None,
    slices: int | None,
    jobs: int,
    as_json: bool,
) -> int:
    """Train the current build's recipe of NAME anew under other instruction sets, BLAS and threads.

    Says whether the bits, the scores and the calls are the same, and keeps that as evidence for
    the gate. Exit 12 where an exact profile has other bits, 10 where a profile could not be
    carried out.

    Example: lifecycle rehearse gbm-methylation --profiles native-1,sse-1,avx2-2
    """
    from lifecycle.workflows.project import open_project
    from lifecycle.workflows.rehearsing import Asked, rehearse
    from lifecycle.workflows.rehearsing_table import show_rehearsal

    run, code = rehearse(open_project(name), Asked(profiles, mode, slices, jobs))
    click.echo(show_rehearsal(name, run, as_json))
    return code
