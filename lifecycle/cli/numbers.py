"""Numbers on the command line: plain ASCII digits, as in every file that we read."""

from __future__ import annotations

from typing import Any

import click

from lifecycle.domain.numbers import is_plain


class _Plain:
    """Before click reads a number: it is written in plain ASCII."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number that a text says; it ends the command where it says none."""
        if isinstance(value, str) and not is_plain(value):
            raise click.BadParameter(f"{value!r} is no number in plain ASCII digits", ctx, param)
        return super().convert(value, param, ctx)  # type: ignore[misc]


class Number(_Plain, click.types.FloatParamType):
    """A number with decimals."""


class Whole(_Plain, click.types.IntParamType):
    """A whole number."""


class WholeRange(_Plain, click.IntRange):
    """A whole number within limits."""
