"""Traces: a digest of every training step, kept beside the build that they led to.

A file is one line of canonical JSON followed by 8 bytes a step. What the digests are taken over is
stated in docs/reference/records.md; a change of it is a new schema.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.domain.digests import canonical_array, canonical_json, sha256
from lifecycle.dossier.builds import Build, file_of
from lifecycle.errors import IntegrityError
from lifecycle.records.builds import TRACE as FORMAT

TRACE = "trace.bin"
WIDTH = 8  # bytes of a step's digest


@dataclass(frozen=True, slots=True)
class Trace:
    """What a training computed, step by step.

    Attributes:
        input: SHA-256 over the network input of the training part and its class indices.
        steps: steps of an epoch.
        weights: SHA-256 over parameters and buffers: first the initial values, then at the end of
            each epoch.
        digests: WIDTH bytes for each step of all epochs.
    """

    input: str
    steps: int
    weights: tuple[str, ...]
    digests: bytes

    @property
    def epochs(self) -> int:
        """Epochs that were trained."""
        return len(self.weights) - 1

    def digest(self, step: int) -> bytes:
        """Digest of a step, counted from 1 over all epochs."""
        return self.digests[(step - 1) * WIDTH : step * WIDTH]

    def upto(self, epochs: int) -> Trace:
        """The first epochs alone: a rebuild trains no more than those that were kept."""
        end = epochs * self.steps * WIDTH
        return Trace(self.input, self.steps, self.weights[: epochs + 1], self.digests[:end])


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two traces part.

    Attributes:
        where: `input`, `initial values`, `step`, or `weights` (the digests of an epoch's weights
            differ though those of its steps do not).
        step: steps that were done when it was seen, over all epochs; 0 before the first.
    """

    where: str
    step: int


def first_difference(one: Trace, two: Trace) -> Difference | None:
    """Where two traces first differ; None where they agree as far as both go."""
    if one.input != two.input:
        return Difference("input", 0)
    if one.weights[0] != two.weights[0]:
        return Difference("initial values", 0)
    epochs = min(one.epochs, two.epochs)
    step = next(
        (s for s in range(1, epochs * one.steps + 1) if one.digest(s) != two.digest(s)), None
    )
    epoch = next((e for e in range(1, epochs + 1) if one.weights[e] != two.weights[e]), None)
    if epoch is not None and (step is None or epoch * one.steps < step):
        return Difference("weights", epoch * one.steps)
    return None if step is None else Difference("step", step)


def input_digest(x: NDArray[np.float64], y: NDArray[np.int64] | NDArray[np.float64]) -> str:
    """SHA-256 over the network input of the training part and its targets (`Examples`)."""
    return sha256(canonical_array(x) + canonical_array(y))


def to_bytes(trace: Trace) -> bytes:
    """The one byte string of a trace."""
    fields = {"input": trace.input, "steps": trace.steps, "weights": list(trace.weights)}
    return canonical_json(FORMAT.write(fields)) + trace.digests


def from_bytes(data: bytes, place: str) -> Trace:
    """A trace from its bytes.

    Raises:
        IntegrityError: it is not a whole trace; `place` is named.
    """
    line, end, digests = data.partition(b"\n")
    head = _head(line + end, place)
    trace = Trace(head["input"], head["steps"], tuple(head["weights"]), digests)
    if len(digests) != trace.epochs * trace.steps * WIDTH:
        raise IntegrityError(f"{place} was changed: its length is not that of its epochs")
    return trace


def _head(line: bytes, place: str) -> dict[str, Any]:
    try:
        head = json.loads(line)
        whole = canonical_json(head) == line
    except (ValueError, RecursionError):
        whole = False
    if not whole:
        raise IntegrityError(f"{place} was changed: it is not a trace")
    return FORMAT.read(head, place)


def trace_of(build: Build) -> Trace | None:
    """A build's trace; None where it was enrolled before traces were kept."""
    if TRACE not in build.files:
        return None
    return from_bytes(file_of(build, TRACE), str(build.folder / TRACE))
