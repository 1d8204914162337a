"""Errors that a user can cause or meet, one class per exit code (the contract of the command line).

An error's message is one or two sentences for a person: which file, row or field, what is wrong,
what to do. A verdict is never an error: `fail` and `inconclusive` are values (see `gate`).
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every `lifecycle` command."""

    DONE = 0
    USAGE = 2
    UNUSABLE_INPUT = 10
    EXPECTATION = 11
    INTEGRITY = 12
    VERDICT_FAIL = 20
    VERDICT_INCONCLUSIVE = 21
    SIGN_OFF_REFUSED = 22
    OUR_FAULT = 70


class LifecycleError(Exception):
    """Base of all errors that end a command with a message instead of a traceback."""

    exit_code: ExitCode = ExitCode.OUR_FAULT


class UsageError(LifecycleError):
    """The command was used wrongly: an option or a name that does not exist."""

    exit_code = ExitCode.USAGE


class UnusableInputError(LifecycleError):
    """Input is missing, unreadable or malformed; the message names file, row or field."""

    exit_code = ExitCode.UNUSABLE_INPUT


class ExpectationError(LifecycleError):
    """Data can be read but do not meet their expectations."""

    exit_code = ExitCode.EXPECTATION


class IntegrityError(LifecycleError):
    """A digest, pin, chain or signature does not match."""

    exit_code = ExitCode.INTEGRITY


class SignOffRefusedError(LifecycleError):
    """A signature is not given: wrong person, role, key, passphrase, evidence or moment."""

    exit_code = ExitCode.SIGN_OFF_REFUSED
