"""What can be wrong with one record: a reason of a fixed vocabulary, the record, and the cure."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from lifecycle.errors import UnusableInputError

Reason = Literal[
    "missing file",
    "unreadable file",
    "file too large",
    "path outside the folder",
    "header",
    "length",
    "checksum",
    "rate",
    "missing lead",
    "unit",
    "gain",
    "amplitude",
    "missing samples",
    "too short",
    "statements",
    "not annotated",
    "fold",
    "patient",
    "name",
    "duplicate id",
    "repeated signal",
]


class BadRecordError(UnusableInputError):
    """A record that cannot be used: an error, or counted by its reason (`bad_records: skip`).

    Attributes:
        record: what the data set calls it.
        reason: one of `Reason`; `about["left_out"]` counts by it.
    """

    def __init__(self, record: str, reason: Reason, found: str, cure: str) -> None:
        super().__init__(
            f"record {record}: {reason}: {found}; {cure}, or set `signal.bad_records: skip` to "
            "leave such records out and count them"
        )
        self.record = record
        self.reason: Reason = reason


@contextmanager
def foreign(record: str, what: str) -> Iterator[None]:
    """A library that reads foreign bytes: whatever it raises, the record is what is at fault.

    Its warnings are left out: wfdb 4.3 warns of its own deprecated calls of pandas at import.

    Raises:
        BadRecordError: anything but our own errors was raised inside.
        UnusableInputError: the library is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UnusableInputError:
        raise
    except ImportError:
        raise UnusableInputError("wfdb reads this format; install lifecycle[build]") from None
    except Exception as error:  # noqa: BLE001  # parsers of damaged bytes raise nearly anything
        raise BadRecordError(
            record,
            "unreadable file",
            f"{what} cannot be read ({type(error).__name__}: {str(error)[:120]})",
            "fetch the file again",
        ) from None
