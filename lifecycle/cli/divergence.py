"""`lifecycle divergence`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("divergence")
@click.argument("name")
@click.argument("build_a")
@click.argument("build_b")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, with every point.")
@click.option("--plot", type=click.Path(path_type=Path), help="Write the growth as .svg or .png.")
def command(name: str, build_a: str, build_b: str, as_json: bool, plot: Path | None) -> int:
    """Find the first step, layer and operation at which two builds of NAME differ.

    Trains both again, each under the variables of its record, and shows how the difference grows.
    Exit 12 where a build is not repeated though it should be.

    Example: lifecycle divergence breast-cytology b1 b2 --plot divergence.svg
    """
    from lifecycle.workflows.diverged import require_plot, show, write_plot
    from lifecycle.workflows.divergences import keep_divergence
    from lifecycle.workflows.diverging import diverge
    from lifecycle.workflows.project import open_project

    require_plot(plot)

    project = open_project(name)
    report, code = diverge(project, (build_a, build_b))
    keep_divergence(project, report)
    click.echo(show(report, as_json))
    if plot is not None:
        write_plot(plot, report)
    return code
