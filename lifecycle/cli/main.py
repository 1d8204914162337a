"""The command `lifecycle`: a group whose parts are imported only when they are used."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from lifecycle.errors import ExitCode
from lifecycle.version import VERSION
from lifecycle.workflows import secret
from lifecycle.workflows.boundary import guarded, open_outlets

# name -> (module, help line); the line stands here so that `--help` imports nothing else.
COMMANDS = {
    "rebuild": ("rebuild", "Rebuild, compare and judge classifiers (dvc repro for people)."),
    "data": ("data", "Import, validate or simulate a cohort."),
    "frozen": ("frozen", "The frozen clinical test set: lock, verify, show, amend."),
    "build": ("build", "Train and enrol one classifier."),
    "builds": ("builds", "List a classifier's builds."),
    "threshold": ("threshold", "Show tau, the critical value, and how it was chosen."),
    "consistency": ("consistency", "Longitudinal consistency of builds or of any predictions."),
    "rehearse": ("rehearse", "Train a build's recipe under other numerics profiles."),
    "divergence": ("divergence", "The first operation at which two builds differ."),
    "gate": ("gate", "The verdict on the current build, as an exit code."),
    "release": ("release", "Sign off, refuse, verify: signed decisions in a chain."),
    "report": ("report", "Where the report of the current build lies."),
    "ui": ("ui", "Review the builds in MLflow."),
    "doctor": ("doctor", "What this machine computes with; test exact arithmetic on it."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the way through."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"lifecycle.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="lifecycle")
def root() -> None:
    """Rebuild, track, compare and judge clinical classifiers.

    A rebuild never silently contradicts the build before it. Example: lifecycle rebuild
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code (docs/reference/exit-codes.md)."""
    sys.exit(guarded(lambda: _invoke(arguments)))


def entry() -> None:
    """Entry point of the installed command.

    Ends the process at once: threads of native libraries have been seen to abort it on the way out
    (exit code 134), which would break the contract of exit codes.
    """
    code = int(ExitCode.OUR_FAULT)
    try:
        open_outlets()
        code = guarded(lambda: _invoke(None))
        code = code or guarded(_flush)
    finally:
        with suppress(OSError):
            _flush()
        os._exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _invoke(arguments: Sequence[str] | None) -> int:
    secret.take()  # before any program is started that would inherit it
    try:
        outcome = root.main(args=arguments, prog_name="lifecycle", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return int(ExitCode.USAGE)
    except click.Abort:
        raise KeyboardInterrupt from None
    except (
        SystemExit
    ):  # how click ends at any broken pipe; that of a reader of ours never gets here
        raise OSError(errno.EPIPE, "a program or server that was needed went away") from None
    return outcome if isinstance(outcome, int) else 0
