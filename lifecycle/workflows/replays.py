"""Two builds trained again side by side: the parent's end of `lifecycle.workflows.replaying`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.dossier import arrays
from lifecycle.dossier.builds import Build
from lifecycle.dossier.files import write_json
from lifecycle.dossier.weights import tensors_in
from lifecycle.errors import ExitCode, IntegrityError, UnusableInputError
from lifecycle.workflows.project import Project

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the replays are asked for; steps are counted from 1 over all epochs.

    Attributes:
        until: the last step.
        record: steps whose operations are told.
        measure: steps after which the weights are handed over.
        weights_from: the same at the end of every epoch from this step on.
        states_from: a digest of parameters, buffers and moments after each step from this one
            to the one before the first of `record`.
    """

    until: int
    record: tuple[int, ...] = ()
    measure: tuple[int, ...] = ()
    weights_from: int = sys.maxsize
    states_from: int = sys.maxsize


class Replays:
    """Builds in training, each in a process of its own under the variables of its record.

    A context: on the way out the children are ended, whatever happened. A child whose parent was
    killed removes the folder and ends.
    """

    def __init__(
        self,
        project: Project,
        builds: Sequence[Build],
        traces: Sequence[Path | None],
        wish: Wish,
        folder: Path,
    ) -> None:
        self.project, self.builds, self.folder = project, builds, folder
        self.children: list[subprocess.Popen[str]] = []
        folder.mkdir()
        for build, trace in zip(builds, traces, strict=True):
            task = {
                **asdict(wish),
                "classifier": project.name,
                "build": build.number,
                "trace": None if trace is None else str(trace),
            }
            write_json(folder / f"{build.name}.json", task)

    def __enter__(self) -> Replays:
        for build in self.builds:
            self.children.append(self._start(build))
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children:
            child.kill()
        for child in self.children:
            child.communicate()

    def _start(self, build: Build) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "lifecycle.workflows.replaying"]
        with (self.folder / f"{build.name}.txt").open("w", encoding="utf-8") as errors:
            return subprocess.Popen(
                [*command, str(self.folder / f"{build.name}.json")],
                cwd=self.project.root, env=environment_of(build), text=True, encoding="utf-8",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip

    def events(self) -> Iterator[tuple[Event, ...]]:
        """What the builds told, one event of each; they go on when the next is asked for."""
        while True:
            events = tuple(self._event(i) for i in range(len(self.builds)))
            yield events
            if any(event["event"] == "done" for event in events):
                return
            for i, event in enumerate(events):
                if event["event"] != "start":
                    self.say(i, "go")

    def say(self, i: int, answer: str) -> None:
        """Answer a child."""
        stdin = self.children[i].stdin
        with suppress(BrokenPipeError):  # it ended: reading will say why
            if stdin is not None:
                stdin.write(answer + "\n")
                stdin.flush()

    def tensor(self, i: int, number: int) -> NDArray[Any]:
        """A tensor of the step whose operations a child has just told."""
        self.say(i, f"tensor {number}")
        return read_array(Path(self._event(i)["file"]))

    def _event(self, i: int) -> Event:
        stdout = self.children[i].stdout
        line = stdout.readline() if stdout is not None else ""
        if line:
            event: Event = json.loads(line)
            return event
        raise self._failure(i)

    def _failure(self, i: int) -> Exception:
        code = self.children[i].wait()
        said = (self.folder / f"{self.builds[i].name}.txt").read_text("utf-8", errors="replace")
        lines = [line.removeprefix("error: ") for line in said.splitlines() if line.strip()]
        last = lines[-1] if lines else f"ended with {code}"
        kind = IntegrityError if code == ExitCode.INTEGRITY else UnusableInputError
        return kind(f"the replay of {self.builds[i].name} stopped: {last}")


def environment_of(build: Build) -> dict[str, str]:
    """This environment with the variables of a build's record; those that it had not are unset."""
    stated = build.content["environment"]["variables"]
    kept = {name: value for name, value in os.environ.items() if name not in stated}
    return {**kept, **{name: value for name, value in stated.items() if value}}


def read_array(path: Path) -> NDArray[Any]:
    """An array that was handed over; its file is removed."""
    array = arrays.read_array(path, "run the command again")
    path.unlink()
    return array


def read_weights(event: Event) -> dict[str, NDArray[Any]]:
    """Weights that were handed over; their file is removed."""
    path = Path(event["file"])
    tensors = tensors_in(path.read_bytes(), path)
    path.unlink()
    return tensors


def compare(one: NDArray[Any], two: NDArray[Any]) -> dict[str, Any]:
    """How two tensors differ: how many values, and the largest difference with its place.

    Zeros of either sign are equal. A difference from NaN counts as the largest.
    """
    if one.shape != two.shape:
        return {"shapes": [list(one.shape), list(two.shape)]}
    a, b = np.atleast_1d(one), np.atleast_1d(two)
    size = np.abs(a.astype(np.float64) - b.astype(np.float64))
    at = np.unravel_index(int(np.argmax(size)), a.shape)
    return {
        "shape": list(one.shape),
        "values": int(a.size),
        "differing": int((a != b).sum()),
        "largest": float(size[at]),
        "at": [int(i) for i in at],
        "there": [float(a[at]), float(b[at])],
    }
