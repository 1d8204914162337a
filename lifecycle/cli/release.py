"""`lifecycle release`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lifecycle.cli.numbers import Whole
from lifecycle.cli.release_out import export, mirror_after, sync
from lifecycle.workflows import secret

if TYPE_CHECKING:
    from lifecycle.release.chain import Link
    from lifecycle.workflows.signing import Proposal

MEANINGS = click.Choice(["review", "approval", "override", "authorship", "responsibility"])
_Command = TypeVar("_Command", bound=Callable[..., object])


class BuildNumber(click.ParamType[int]):
    """The number of a build, with or without its b."""

    name = "build"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """N of `bN` or `N`."""
        text = str(value).removeprefix("b")
        if not (text.isascii() and text.isdecimal()) or int(text) < 1:
            self.fail(f"{value!r} is no build's name, such as b2", param, ctx)
        return int(text)


def signer(work: _Command) -> _Command:
    """The options of every command that signs."""
    for option in (
        click.option("--yes", is_flag=True, help="Do not ask (automation)."),
        click.option(
            "--passphrase-fd", type=Whole(), help="Read the passphrase from this descriptor."
        ),
        click.option(
            "--key", type=click.Path(path_type=Path, dir_okay=False), required=True,
            help="The signer's key file.",
        ),
    ):  # fmt: skip
        work = option(work)
    return work


@click.group("release")
def command() -> None:
    """Signed decisions on builds, in a chain that proves itself.

    Example: lifecycle release sign-off gbm-methylation --meaning approval --key anna.pem
    """


@command.group("keys")
def keys() -> None:
    """Signers' keys, and the roster of who may sign as what.

    Example: lifecycle release keys list
    """


@keys.command("create")
@click.option(
    "--key", type=click.Path(path_type=Path, dir_okay=False), required=True,
    help="The file to make; keep it out of the repository.",
)  # fmt: skip
@click.option("--passphrase-fd", type=Whole(), help="Read the passphrase from this descriptor.")
def create(key: Path, passphrase_fd: int | None) -> None:
    """Make an Ed25519 key, encrypted with a passphrase.

    Asks for the passphrase twice. LIFECYCLE_PASSPHRASE or --passphrase-fd give it to automation.
    Example: lifecycle release keys create --key ~/anna.pem
    """
    from lifecycle.release.keys import create as make

    info = make(key, passphrase(passphrase_fd, confirm=True))
    click.echo(f"key file: {key} (mode 600)")
    click.echo(f"keyid:    {info.keyid}")
    click.echo(f"public:   {info.public}")


@keys.command("enrol")
@click.argument("user")
@click.option("--name", "printed", required=True, help="The name as printed in records.")
@click.option(
    "--role", "roles", multiple=True, required=True,
    type=click.Choice(["author", "reviewer", "approver", "admin"]), help="May be given again.",
)  # fmt: skip
@click.option("--public", required=True, help="The public key that `keys create` printed.")
@signer
def enrol(
    user: str, printed: str, roles: tuple[str, ...], public: str, key: Path,
    passphrase_fd: int | None, yes: bool,
) -> None:  # fmt: skip
    """Enter USER in a new version of the roster, signed with an admin's key.

    The first roster is signed by its own first admin. A USER who is in it already gets the name,
    roles and key given here. Example: lifecycle release keys enrol anna --name "Anna Meyer"
    --role approver --public MCowBQYDK2VwAyEA... --key admin.pem
    """
    from lifecycle.workflows.project import require_root
    from lifecycle.workflows.rostering import enrol as enter

    _ask(f"{user} = {printed}, {', '.join(sorted(roles))}. Sign the new roster?", yes)
    secret = passphrase(passphrase_fd)
    roster, bound = enter(require_root(), user, printed, roles, public, key, secret)
    people = "1 person" if len(roster.people) == 1 else f"{len(roster.people)} people"
    click.echo(f"roster {roster.version}: {people}, sha256 {roster.digest}")
    _say_bound(bound)


@keys.command("revoke")
@click.argument("user")
@signer
def revoke(user: str, key: Path, passphrase_fd: int | None, yes: bool) -> None:
    """Take USER's signature out of force from now on; what was signed before stays valid.

    Example: lifecycle release keys revoke anna --key admin.pem
    """
    from lifecycle.workflows.project import require_root
    from lifecycle.workflows.rostering import revoke as take_out

    _ask(f"{user} will not be able to sign any more. Sign the new roster?", yes)
    roster, bound = take_out(require_root(), user, key, passphrase(passphrase_fd))
    click.echo(f"roster {roster.version}: sha256 {roster.digest}")
    _say_bound(bound)


def _say_bound(bound: Sequence[Link]) -> None:
    for link in bound:
        click.echo(f"{link.record.classifier}: {link.path.name} names it; head {link.digest}")


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def list_keys(as_json: bool) -> None:
    """Show the roster in force, and the fingerprint that `verify --trust` is held to.

    Example: lifecycle release keys list
    """
    from lifecycle.workflows.project import require_root
    from lifecycle.workflows.rostering import show

    click.echo(show(require_root(), as_json))


@command.command("sign-off")
@click.argument("name")
@click.option("--meaning", type=MEANINGS, required=True, help="What the signature means.")
@click.option("--demonstration", is_flag=True, help="Sign a SIMULATED cohort, marked for ever.")
@click.option("--reason", default="", help="Needed for an override.")
@signer
def sign_off(
    name: str, meaning: str, demonstration: bool, reason: str, key: Path,
    passphrase_fd: int | None, yes: bool,
) -> None:  # fmt: skip
    """Sign the current build of NAME: shows what is signed, asks, signs.

    A release needs every role of `policy.signatures`, each another person. Exit 22 with every
    reason where the build cannot be signed. Example: lifecycle release sign-off gbm-methylation
    --meaning approval --key anna.pem
    """
    from lifecycle.workflows.project import open_project
    from lifecycle.workflows.signing import propose_sign_off

    _signed(propose_sign_off(open_project(name), meaning, demonstration, reason), key,
            passphrase_fd, yes)  # fmt: skip


@command.command("refuse")
@click.argument("name")
@click.option("--meaning", type=click.Choice(["review", "approval"]), default="approval",
              show_default=True, help="What the signature means.")  # fmt: skip
@click.option("--reason", required=True, help="Why it is refused.")
@signer
def refuse(
    name: str, meaning: str, reason: str, key: Path, passphrase_fd: int | None, yes: bool
) -> None:
    """Record that the current build of NAME is refused, and why.

    Example: lifecycle release refuse gbm-methylation --reason "14 discordant cases" --key anna.pem
    """
    from lifecycle.workflows.project import open_project
    from lifecycle.workflows.signing import propose_refusal

    _signed(propose_refusal(open_project(name), meaning, reason), key, passphrase_fd, yes)


@command.command("withdraw")
@click.argument("name")
@click.option("--build", type=BuildNumber(), required=True, help="bN, or N.")
@click.option("--reason", required=True, help="Why it is withdrawn.")
@signer
def withdraw(
    name: str, build: int, reason: str, key: Path, passphrase_fd: int | None, yes: bool
) -> None:
    """End a release of NAME: `predict` refuses it from then on.

    Example: lifecycle release withdraw gbm-methylation --build 2 --reason "wrong probe list"
    --key anna.pem
    """
    from lifecycle.workflows.project import open_project
    from lifecycle.workflows.signing import propose_about

    proposal = propose_about(open_project(name), "withdrawal", "approval", reason, build)
    _signed(proposal, key, passphrase_fd, yes)


@command.command("amend")
@click.argument("name")
@click.option("--build", type=BuildNumber(), help="bN, or N; the newest release by default.")
@click.option("--reason", required=True, help="What is added to the record.")
@signer
def amend(
    name: str, build: int | None, reason: str, key: Path, passphrase_fd: int | None, yes: bool
) -> None:
    """Add a signed remark to a release of NAME; nothing that was signed changes.

    Example: lifecycle release amend gbm-methylation --reason "typing error in the title"
    --key anna.pem
    """
    from lifecycle.workflows.project import open_project
    from lifecycle.workflows.signing import propose_about

    proposal = propose_about(open_project(name), "amendment", "responsibility", reason, build)
    _signed(proposal, key, passphrase_fd, yes)


@command.command("history")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def history(name: str, as_json: bool) -> None:
    """Show every signed record of NAME, the oldest first.

    Example: lifecycle release history gbm-methylation
    """
    from lifecycle.workflows.audited import show_history

    click.echo(show_history(Path.cwd(), name, as_json))


@command.command("verify")
@click.argument("name", required=False)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Every classifier that has a chain; a fault of one does not hide the others.",
)
@click.option("--trust", help="Fingerprint of the first roster, known from elsewhere.")
@click.option("--head", help="Digest of the newest record, known from elsewhere.")
@click.option("--without-weights", is_flag=True, help="Weights files may be missing.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def verify(
    name: str | None, every: bool, trust: str | None, head: str | None,
    without_weights: bool, as_json: bool,
) -> int:  # fmt: skip
    """Verify chain, signatures, files, pins and verdicts of NAME, offline (exit 12 names the file).

    Verdicts are computed anew from the saved predictions; neither torch nor MLflow nor DVC is
    needed. Without --head, records cut off at the end cannot be noticed.
    Example: lifecycle release verify gbm-methylation
    """
    from lifecycle.workflows.audited import show_audit

    if (name is None) == (not every):
        raise click.UsageError("name a classifier, or give --all")
    if every and head is not None:
        raise click.UsageError("--head is of one chain: name its classifier")
    done = show_audit(Path.cwd(), name, trust, head, not without_weights, as_json)
    if done.text:
        click.echo(done.text)
    for fault in done.faults:
        click.echo(f"error: {fault}", err=True)
    return done.code


@command.command("drill")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.option(
    "--key", type=click.Path(path_type=Path, dir_okay=False),
    help="The signer's key file; without it nothing is signed.",
)  # fmt: skip
@click.option("--passphrase-fd", type=Whole(), help="Read the passphrase from this descriptor.")
@click.option("--yes", is_flag=True, help="Do not ask (automation).")
def drill(name: str, as_json: bool, key: Path | None, passphrase_fd: int | None, yes: bool) -> int:
    """Rehearse the recovery of the released build of NAME, and sign what came of it.

    A new checkout of the commit that holds the release, new processes, data from DVC or their
    source; every stage runs. Exit 0: same bits or consistent, 12: an exact build with other bits,
    20 or 21: not consistent. Example: lifecycle release drill gbm-methylation --key anna.pem
    """
    import json

    from lifecycle.workflows.drilling import drill as recover
    from lifecycle.workflows.drilling import propose_drill, require_signer
    from lifecycle.workflows.project import open_project

    project = open_project(name)
    if key is not None:
        require_signer(project, key)
    done = recover(project)
    click.echo(json.dumps(done.facts, indent=2) if as_json else f"{name} {done.said}")
    if key is None:
        click.echo("nothing was signed: --key signs the drill", err=True)
    else:
        _signed(propose_drill(project, done), key, passphrase_fd, yes, as_json)
    return int(done.code)


@command.command("predict")
@click.argument("name")
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True,
    help="The CSV to write; it must not exist.",
)  # fmt: skip
@click.option("--id", "key", help="Column of case ids; the first one by default.")
@click.option("--fill-missing", is_flag=True, help="Training mean in the place of missing values.")
@click.option("--demonstration", is_flag=True, help="Apply a release of a SIMULATED cohort.")
@click.option("--trust", help="Fingerprint of the first roster, known from elsewhere.")
@click.option("--head", help="Digest of the newest record, known from elsewhere.")
def predict(
    name: str, table: Path, out: Path, key: str | None, fill_missing: bool,
    demonstration: bool, trust: str | None, head: str | None,
) -> None:  # fmt: skip
    """Apply the released model of NAME to a TABLE, samples in rows.

    The whole release is verified first; what is withdrawn or changed by a bit is not applied (exit
    22, 12). Calls at the released tau. Example: lifecycle release predict gbm-methylation new.csv
    --out calls.csv
    """
    from lifecycle.workflows.audited import SIMULATED
    from lifecycle.workflows.released import load_released, predict_table, require_new

    require_new(out)
    model = load_released(name, demonstration=demonstration, trust=trust, head=head)
    said, about = predict_table(model, table, out, key, fill_missing), model.provenance
    click.echo(f"{name} {about.version} b{about.build}, record {about.record}")
    if about.demonstration:
        click.echo(SIMULATED)
    click.echo(said)


command.add_command(export)
command.add_command(sync)


def _signed(
    proposal: Proposal, key: Path, passphrase_fd: int | None, yes: bool, aside: bool = False
) -> None:
    """Show, ask, sign, and say where the record stands."""
    from lifecycle.release.keys import read_private
    from lifecycle.workflows.audited import described
    from lifecycle.workflows.signing import sign

    read_private(key)  # a key that cannot be used is said before anything is asked
    click.echo(described(proposal), err=aside)
    _ask("Sign this?", yes)
    link = sign(proposal, key, passphrase(passphrase_fd))
    signed = link.record.signature
    click.echo(
        f"signed by {signed.printed_name} ({signed.meaning}) at {signed.signed_at}", err=aside
    )
    click.echo(f"record: {link.path}", err=aside)
    click.echo(f"head:   {link.digest}", err=aside)
    click.echo(
        "Keep the record: git add dossier && git commit. Note the head where it is safe.", err=aside
    )
    mirror_after(proposal)


def _ask(question: str, yes: bool) -> None:
    if not yes:
        click.confirm(question, abort=True, err=True)


def passphrase(handle: int | None, confirm: bool = False) -> str:
    """From a file descriptor, the environment or a prompt; never from the command line."""
    if handle is not None:
        from lifecycle.errors import UsageError

        try:
            with os.fdopen(handle, encoding="utf-8") as stream:
                return stream.readline().rstrip("\n")
        except (OSError, ValueError, TypeError, OverflowError) as error:
            raise UsageError(f"--passphrase-fd {handle} cannot be read: {error}") from None
    known = secret.given()
    if known is not None:
        return known
    return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True))
