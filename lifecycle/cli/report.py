"""`lifecycle report`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.argument("name")
@click.option("--pdf", is_flag=True, help="Print it, too: report.pdf, by Chromium.")
@click.option("--deidentify", is_flag=True, help="Numbers for cases, patients and slides.")
@click.option(
    "--output",
    "out",
    type=click.Path(path_type=Path),
    help="The folder to write. [work/NAME/review]",
)
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
def command(name: str, pdf: bool, deidentify: bool, out: Path | None, show: bool) -> None:
    """Write the report of NAME's current build as it stands now, and print where it lies.

    Signatures, and a divergence that was looked for, are in it; the pipeline's own report comes
    before them. A build that is not finished or was changed has none (exit 12).

    Example: lifecycle report gbm-methylation --pdf
    """
    from lifecycle.workflows.project import open_project
    from lifecycle.workflows.reporting import report_now

    path = report_now(open_project(name), out, pdf, deidentify)
    click.echo(str(path))
    if show:
        click.launch(path.resolve().as_uri())
