"""Where the lives of a dossier begin: laboratories that stand ready, to be copied."""

from __future__ import annotations

import atexit
import copy
import os
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

from stateful.day import KEYS, STAFF, Day, terms
from stateful.laboratory import Shelf, new_laboratory
from stateful.rules import Books, policy

# Of patients: what is guaranteed of cases has a proof and tests of its own.
POLICIES = [
    policy(consistency_of="patients", p=0.9, holdout_recall=0.2),
    policy(consistency_of="patients", p=0.8, holdout_recall=0.2, delta=0.3),
    policy(consistency_of="patients", p=0.95, holdout_recall=0.2),
    policy(
        consistency_of="patients",
        p=0.9,
        holdout_recall=0.2,
        signatures=("author", "reviewer", "approver"),
    ),
]
STARTS = ("staffed", "built", "released", "rebuilt")
MODES = ("native", "exact")


class Yard:
    """Where the lives begin: a shelf of trained networks, and laboratories to be copied."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shelf = Shelf(folder / "shelf")
        self.shelf.folder.mkdir(parents=True, exist_ok=True)
        self.ready: dict[tuple[str, str], Day] = {}
        self.lives = 0
        self.counted: Counter[str] = Counter()

    def prepare(self, mode: str, how: str) -> None:
        """Make the laboratory that lives begin with; the one before it stands ready."""
        self.ready[mode, how] = self._made(mode, how)

    def start(self, mode: str, how: str) -> Day:
        """A fresh copy of a laboratory that stands at `how`."""
        return self._copy(self.ready[mode, how], f"life-{self.lives}")

    def _copy(self, day: Day, name: str) -> Day:
        self.lives += 1
        place = self.folder / name
        shutil.copytree(day.lab.root.parent, place)
        lab = replace(day.lab, root=place / "project", keys=place / "keys")
        return replace(day, lab=lab, books=copy.deepcopy(day.books), counted=Counter())

    def _made(self, mode: str, how: str) -> Day:
        at = STARTS.index(how)
        if at == 0:
            lab = new_laboratory(self.folder / f"{mode}-staffed", self.shelf, mode)
            day = Day(lab, Books(mode, terms, POLICIES[0]))
            with lab.stand_ins():
                self._staff(day)
            return day
        day = self._copy(self.ready[mode, STARTS[at - 1]], f"{mode}-{how}")
        with day.lab.stand_ins():
            if how == "released":
                assert day.release()
            else:  # in native mode another machine comes to another network
                machine, path = ("one", 0) if how == "built" else ("two", int(mode == "native"))
                assert day.rebuild("plain", machine, path)
            day.commit()
            day.check()
        return day

    def _staff(self, day: Day) -> None:
        for name in KEYS:
            (day.lab.keys / f"{name}.public").parent.mkdir(exist_ok=True)
            (day.lab.keys / f"{name}.public").write_text(day.lab.new_key(name))
        for user, roles in STAFF.items():
            assert day.enrol(user, user, roles)
        day.lab.write_tables("plain", "plain")
        day.write_params()
        day.commit()


@cache
def yard() -> Yard:
    """One a process; in memory where the system has room there."""
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    made = Yard(Path(tempfile.mkdtemp(prefix="lifecycle-lives-", dir=place)))
    atexit.register(_tidy, made.folder, os.getpid())
    for mode in MODES:
        for how in STARTS:
            made.prepare(mode, how)
    return made


def _tidy(folder: Path, process: int) -> None:
    if os.getpid() == process:  # and not a child's
        shutil.rmtree(folder, ignore_errors=True)
