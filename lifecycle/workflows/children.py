"""Child processes that tell their progress in lines of JSON, some at a time; none outlives us."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LAST = 400  # characters of a failed child's last words

Hear = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Task:
    """A child to run.

    Attributes:
        name: for messages.
        command: program and arguments.
        environment: the whole of it.
        place: working directory.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    place: Path


def run_children(tasks: Sequence[Task], jobs: int, hear: Hear) -> dict[str, str]:
    """Run all tasks, at most `jobs` at a time.

    Args:
        tasks: with distinct names.
        jobs: how many at a time.
        hear: called with a task's name and each JSON object that it prints, never by two threads
            at once.

    Returns:
        Name -> what the child said last, of the tasks that failed.
    """
    crew = _Crew(hear)
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        waiting = {pool.submit(crew.run, task): task.name for task in tasks}
        try:
            said = {waiting[done]: done.result() for done in as_completed(waiting)}
        except BaseException:
            crew.stop()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return {task.name: said[task.name] for task in tasks if said[task.name]}


class _Crew:
    """The children that are running."""

    def __init__(self, hear: Hear) -> None:
        self.hear, self.lock, self.stopped = hear, threading.Lock(), False
        self.running: set[subprocess.Popen[str]] = set()

    def run(self, task: Task) -> str:
        """Run a task to its end; "" where it did its work, else what it said."""
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
            with self.lock:
                if self.stopped:
                    return "stopped"
                child = self._start(task, errors)
            with child:  # closes its output and waits for its end
                self._listen(task.name, child)
            with self.lock:
                self.running.discard(child)
            errors.seek(0)
            return _last_words(child.returncode, errors.read())

    def _start(self, task: Task, errors: Any) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            task.command, cwd=task.place, env=dict(task.environment), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip
        self.running.add(child)
        return child

    def _listen(self, name: str, child: subprocess.Popen[str]) -> None:
        try:
            for line in child.stdout or ():
                entry = _parsed(line)
                if entry is not None:
                    with self.lock:
                        self.hear(name, entry)
        except BaseException:
            child.kill()
            raise

    def stop(self) -> None:
        """End every child; their folders are for the caller to remove."""
        with self.lock:
            self.stopped = True
            for child in self.running:
                child.kill()


def _parsed(line: str) -> Mapping[str, Any] | None:
    """A JSON object, or None for whatever a library prints."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _last_words(code: int, errors: str) -> str:
    if code == 0:
        return ""
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    last = lines[-1].removeprefix("error: ") if lines else ""
    return (last or f"ended with exit code {code}")[-_LAST:]
