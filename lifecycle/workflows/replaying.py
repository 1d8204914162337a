"""The child of `lifecycle divergence`: trains a build again and hands over what it computes.

Run as `python -m lifecycle.workflows.replaying TASK`, in the environment that the build's record
states. Events are lines of JSON on standard output; after one that hands something over it waits
for a line on standard input: `go`, or `tensor N` for the Nth tensor of the step just told.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.domain.classifier import Recipe, Task
from lifecycle.domain.networks import plan_of
from lifecycle.dossier.builds import RECORD, read_build
from lifecycle.dossier.files import read_json
from lifecycle.dossier.traces import from_bytes, to_bytes
from lifecycle.dossier.weights import packed
from lifecycle.models.build import tensors_of
from lifecycle.models.network import Network
from lifecycle.numerics.fingerprint import fingerprint
from lifecycle.numerics.modes import framework_facts
from lifecycle.numerics.recording import Recorder, recording
from lifecycle.training.optimising import Optimiser
from lifecycle.training.trace import Tracer, moments, state_digest, state_tensors
from lifecycle.training.trainer import Epoch, Examples, Step, Watcher, scores, train
from lifecycle.workflows.boundary import guarded, leave
from lifecycle.workflows.building import examples
from lifecycle.workflows.project import open_project
from lifecycle.workflows.rehearsing_child import recipe_of

_TRIES = 100
BEFORE, INITIAL = "state before the step", "initial values"


class Enough(Exception):  # noqa: N818  # no error: the way out of a training that goes on
    """What was asked for is handed over."""


class Line:
    """To the parent and back; where the parent is gone, so are we and our folder."""

    def __init__(self, folder: Path) -> None:
        self.out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # whatever a library prints is no event
        self.folder = folder
        self.answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            self.answers.put(line.strip())
        for _ in range(_TRIES):  # the other child, or our training, may write in the meantime
            shutil.rmtree(self.folder, ignore_errors=True)
            if not self.folder.exists():
                break
        os._exit(1)

    def tell(self, event: str, **facts: Any) -> None:
        """An event."""
        self.out.write(json.dumps({"event": event, **facts}) + "\n")
        self.out.flush()

    def ask(self, event: str, **facts: Any) -> str:
        """An event that the parent answers."""
        self.tell(event, **facts)
        return self.answers.get()


class Replay(Watcher):
    """Watches a training that was done before, and hands over what the task asks for.

    The task's keys: `record` (steps whose operations are told), `measure` (steps after which the
    weights are handed over), `weights_from` (the same at the end of each epoch from this step on),
    `states_from` (a digest of the whole state after each step from this one to the first recorded
    one), `until` (the last step), all counted over the epochs; `trace`, the file of the trace to
    repeat, or null.
    """

    def __init__(self, task: Any, folder: Path, line: Line, recipe: Recipe) -> None:
        self.task, self.folder, self.line, self.recipe = task, folder, line, recipe
        path = task["trace"]
        self.expected = None if path is None else from_bytes(Path(path).read_bytes(), path)
        self.record, self.measure = set(task["record"]), set(task["measure"])
        self.states: list[str] = []
        self.done = self.handed = 0

    def bind(self, tracer: Tracer, holdout: Examples, kind: Task) -> None:
        """What is needed of the data."""
        self.tracer, self.holdout, self.kind = tracer, holdout, kind

    def start(self, model: Network, optimiser: Optimiser) -> None:
        """See `Watcher`."""
        self.model, self.optimiser = model, optimiser
        self.recorder = Recorder(model)
        watched = recording(model.ops, self.recorder)
        for module in model.modules():  # blocks hold the operations too
            if hasattr(module, "ops"):
                setattr(module, "ops", watched)  # noqa: B010  # no module's type tells of it
        self.tracer.start(model, optimiser)
        facts = framework_facts(self.recipe.numerics)
        self.line.tell("start", environment=fingerprint(), framework=facts)
        self._require_same("weights", self.tracer.weights[0], 0)

    def before(self, epoch: int, step: int) -> None:
        """See `Watcher`."""
        if self.done + 1 in self.record:
            self.recorder.begin()
            place = BEFORE if self.done else INITIAL
            for name, value in state_tensors(self.optimiser, self.model):
                self.recorder.note(place, name, value)

    def after(self, step: Step) -> None:
        """See `Watcher`."""
        self.done += 1
        self.tracer.after(step)
        self._require_same("step", self.tracer.trace_digest(self.done), self.done)
        if self.recorder.on:
            self._operations()
        elif self.task["states_from"] <= self.done < min(self.record, default=self.done + 1):
            self.states.append(state_digest(self.optimiser, self.model))
        if self.done in self.measure:
            self._weights("state")
        if self.done == self.task["until"] and not self._epoch_ends():
            raise Enough

    def _epoch_ends(self) -> bool:
        return self.done % int(self.task["steps"]) == 0

    def _operations(self) -> None:
        """Tell the step's tensors and hand over those that the parent wants."""
        for name, which, value in moments(self.optimiser, self.model):
            self.recorder.note(f"{self.recipe.optimiser} {name}", which, value)
        for name, value in self.model.named_parameters():
            self.recorder.note(f"{self.recipe.optimiser} {name}", "updated value", value)
        self.recorder.end()
        found = self.recorder.entries
        told = [[entry.operation, entry.tensor, entry.digest] for entry in found]
        answer = self.line.ask("operations", step=self.done, entries=told, states=self.states)
        while answer.startswith("tensor "):
            path = self.folder / f"{self.task['build']}-tensor.npy"
            np.save(path, found[int(answer.split()[1])].value.cpu().numpy(), allow_pickle=False)
            answer = self.line.ask("tensor", file=str(path))
        self.recorder.entries = []

    def _require_same(self, where: str, digest: str, step: int) -> None:
        """Stop where the build's own trace is not repeated."""
        if self.expected is None:
            return
        own = self.expected.weights[step // self.expected.steps] if where == "weights" else (
            self.expected.digest(step).hex()
        )  # fmt: skip
        if digest != own:
            self.line.ask("strayed", where=where, step=step, digest=digest)
            raise Enough

    def _weights(self, event: str, **facts: Any) -> None:
        self.handed += 1
        path = self.folder / f"{self.task['build']}-{self.handed}.safetensors"
        path.write_bytes(packed(tensors_of(self.model)))
        self.line.ask(event, step=self.done, file=str(path), **facts)

    def epoch(self, epoch: Epoch, model: Network) -> None:
        """An epoch ended (an observer)."""
        self.tracer.epoch(epoch, model)
        self._require_same("weights", self.tracer.weights[-1], self.done)
        called = _called(scores(model, self.holdout.x, self.recipe, self.kind), self.kind)
        if self.done >= self.task["weights_from"]:
            self._weights("epoch", called=called)
        else:
            self.line.ask("epoch", step=self.done, file=None, called=called)
        if self.done >= self.task["until"]:
            raise Enough


def _called(values: NDArray[np.float64], kind: Task) -> list[int]:
    """What each case is called: its highest class, or the classes at 0.5 or above as bits."""
    if kind == "single":
        found: list[int] = values.argmax(axis=1).tolist()
        return found
    return [sum(1 << j for j, one in enumerate(row) if one >= 0.5) for row in values.tolist()]


def main() -> None:
    """Do the task named on the command line, and exit with its code."""
    path = Path(sys.argv[1])
    line = Line(path.parents[1])
    leave(guarded(lambda: _work(read_json(path), path.parent, line)))


def _work(task: Any, folder: Path, line: Line) -> None:
    project = open_project(task["classifier"])
    build = read_build(project.layout, task["build"])
    recipe = recipe_of({**build.content["recipe"], "stop": "fixed"})
    replay = Replay(task, folder, line, recipe)
    training, holdout = examples(project, "training"), examples(project, "holdout")
    tracer = Tracer(training)
    replay.bind(tracer, holdout, build.content["task"])
    plan = plan_of(build.content["terms"]["model"], str(build.folder / RECORD))
    task["steps"] = -(-len(training.y) // recipe.minibatch)
    try:
        classes = len(build.content["classes"])
        train(plan, recipe, training, holdout, classes, (replay.epoch,), replay, fused=False)
    except Enough:
        pass
    path = folder / f"{build.name}.trace"
    if task["trace"] is None:
        path.write_bytes(to_bytes(tracer.trace()))
    line.ask("done", states=replay.states, file=str(path))


if __name__ == "__main__":
    main()
