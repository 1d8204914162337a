"""The passphrase that automation gives in the environment: taken out of it before anything else.

Every program that we start (git, DVC, trainings, a browser for pages) would inherit it otherwise,
and some write their environment into logs.
"""

from __future__ import annotations

import os

PASSPHRASE = "LIFECYCLE_PASSPHRASE"  # noqa: S105  # the variable's name
_taken: list[str] = []


def take() -> None:
    """Take the passphrase out of this process's environment, and keep it for `given`."""
    _taken.clear()
    if PASSPHRASE in os.environ:
        _taken.append(os.environ.pop(PASSPHRASE))


def given() -> str | None:
    """The passphrase that was in the environment; None where none was."""
    if PASSPHRASE in os.environ:
        take()
    return _taken[-1] if _taken else None
