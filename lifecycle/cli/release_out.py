"""`lifecycle release export` and `sync`: what leaves the dossier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifecycle.cli.numbers import Whole

if TYPE_CHECKING:
    from lifecycle.workflows.openssf import WeightsKey
    from lifecycle.workflows.signing import Proposal


@click.command("export")
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True,
    help="A folder, or a file whose name ends in .zip; it must not exist.",
)  # fmt: skip
@click.option(
    "--model-signing-key", "key", type=click.Path(path_type=Path),
    help="Sign the weights as OpenSSF model-signing does: an elliptic-curve key, PEM.",
)  # fmt: skip
@click.option("--passphrase-fd", type=Whole(), help="Read that key's passphrase from here.")
def export(name: str, out: Path, key: Path | None, passphrase_fd: int | None) -> None:
    """Export the newest release of NAME: one folder or zip that verifies alone.

    Records, evidence, weights, report, model card, bill of materials, and VERIFY.md, which says
    how to check them without us. Example: lifecycle release export gbm-methylation --out gbm.zip
    """
    from lifecycle.workflows.exporting import export as make
    from lifecycle.workflows.exporting import export_said
    from lifecycle.workflows.project import open_project

    click.echo(export_said(make(open_project(name), out, _weights_key(key, passphrase_fd))))


def _weights_key(path: Path | None, handle: int | None) -> WeightsKey | None:
    from lifecycle.cli.release import passphrase
    from lifecycle.workflows.openssf import WeightsKey, is_encrypted

    if path is None:
        return None
    return WeightsKey(path, passphrase(handle) if is_encrypted(path) else None)


@click.command("sync")
@click.argument("name")
@click.option("--check", is_flag=True, help="Only report; exit 12 where something differs.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def sync(name: str, check: bool, as_json: bool) -> None:
    """Hold MLflow's registry to the signed chain of NAME: report what differs, and repair it.

    The signed files are the truth, MLflow is the view. Example: lifecycle release sync
    gbm-methylation --check
    """
    from lifecycle.workflows.mirroring import show_sync
    from lifecycle.workflows.project import open_project

    click.echo(show_sync(open_project(name), check, as_json))


def mirror_after(proposal: Proposal) -> None:
    """Bring MLflow up to date after a record; a store that is down never fails the signature."""
    from lifecycle.workflows.mirroring import mirror_signed

    mirror_signed(proposal.project)
