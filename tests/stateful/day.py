"""What a laboratory does, step by step: each action is done, foretold by the model, and compared.

`Day` holds the laboratory (the program) and the books (the model). An action says beforehand
whether it may succeed; afterwards the books are brought up to date by what the documentation says
has happened, and `check` holds the whole dossier to them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from stateful import tables
from stateful.counting import Scored, Scores
from stateful.laboratory import Done, Laboratory
from stateful.rules import CLASSES, Books, Build, Group, Person, Policy, of

SEEDS = {"1": 0, "2": 5, "3": 0}  # versions; the third has the first one's recipe
STAFF = {
    "ada": ("admin",),
    "rev": ("reviewer",),
    "app": ("approver",),
    "two": ("approver", "reviewer"),
    "bob": ("author", "reviewer"),
    "aut": ("approver", "author"),
}
KEYS = (*STAFF, "eve", "rev2", "app2")
FAULT = 70


def terms(version: str) -> tuple[Any, ...]:
    """What a version is trained by."""
    return (SEEDS[version],)


def rows_of(variant: str) -> dict[str, str]:
    """Case -> its line, of a frozen table."""
    return {row.case: row.line for row in tables.frozen(variant)}


def read_scores(path: Path) -> Scores:
    """Scores as docs/reference/records.md says that they are kept."""
    table = pq.read_table(path).to_pydict()
    columns = zip(*(table[name] for name in CLASSES), strict=True)
    rows = zip(table["case_id"], table["patient_id"], table["label"], columns, strict=True)
    return {case: Scored(patient, label, tuple(x)) for case, patient, label, x in rows}


def _move(place: Path, to: Path) -> None:
    if to.is_dir():
        shutil.rmtree(to)
    shutil.move(place, to)


def _die_before(at: int) -> None:
    """Have this process kill itself before its n-th change of a folder."""
    left = [at]

    def deadly(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return wrapped

    for name in ("replace", "rename", "link", "mkdir"):
        setattr(os, name, deadly(getattr(os, name)))


@dataclass
class Day:
    """The laboratory, its books, and what was counted."""

    lab: Laboratory
    books: Books
    training: str = "plain"
    frozen: str = "plain"
    counted: Counter[str] = field(default_factory=Counter)

    # ---- help

    def _expect(self, what: str, done: Done, reasons: Sequence[str]) -> bool:
        """An action may succeed where the model has no reason against it, and must then."""
        assert done.code != FAULT, (what, done.said)
        self.counted[f"{what}: {'done' if done.code == 0 else 'refused'}"] += 1
        if reasons:
            assert done.code != 0, f"{what} was done, and must not: {reasons}"
        else:
            assert done.code == 0, f"{what} may be done, and was not: {done.code} {done.said}"
        return done.code == 0

    def _json(self, path: Path) -> Any:
        return json.loads(path.read_bytes())

    # ---- edits

    def set_policy(self, stated: Policy) -> None:
        """Another policy in params.yaml."""
        if stated != self.books.policy:
            self.books.policy = stated
            self.write_params()

    def set_version(self, version: str) -> None:
        """Another version in params.yaml, with its recipe."""
        if version != self.books.version:
            self.books.version = version
            self.write_params()

    def write_params(self) -> None:
        """`params.yaml` as the books have it."""
        books = self.books
        stated = {k: list(v) if isinstance(v, tuple) else v for k, v in books.policy}
        self.lab.write_params(books.version, SEEDS[books.version], stated)
        books.seen = self.lab.status() == ""

    def commit(self) -> None:
        """Everything into git."""
        books = self.books
        self.lab.commit()
        books.remembered |= {("build", one.number) for one in books.builds}
        books.remembered |= {("attempt", (v, w)) for v, ks in books.attempts.items() for w in ks}

    # ---- the pipeline

    def rebuild(self, training: str, machine: str, path: int, builder: str = "bob") -> bool:
        """`lifecycle rebuild` on some data and some machine."""
        books, lab = self.books, self.lab
        self.training, lab.builder = training, builder
        lab.write_tables(training, self.frozen)
        rows, version = rows_of(self.frozen), books.version
        pins = books.pins.setdefault(version, [])
        reasons = [] if not pins or pins[-1] == rows else ["the frozen set is not the pinned one"]
        reasons += [] if books.whole() else ["something is gone"]
        before = self._attempts()
        done = lab.rebuild(machine, path)
        self._expect("rebuild", done, reasons)
        facts = lab.project().build / "facts.json"
        books.running = self._json(facts)["weights"]["sha256"] if facts.exists() else ""
        books.imported = rows if books.no_gap() else books.imported
        if done.code != 0:
            assert self._attempts() == before or not books.whole()
            books.seen = False
            self._take_over_attempts(before)
            if lab.layout.current.exists():
                books.current = self._json(lab.layout.current)["build"]
            return False
        if not pins:
            pins.append(rows)
        self._enrolled(training, machine, path, builder)
        self._judged()
        books.seen = True
        return True

    def _attempts(self) -> dict[tuple[str, str], int]:
        found = (self._json(path) for path in self.lab.layout.attempts.glob("*.json"))
        return {(one["version"], one["weights"]): one["k"] for one in found}

    def _take_over_attempts(self, before: dict[tuple[str, str], int]) -> None:
        """A run that stopped after the attempt was recorded leaves it."""
        for (version, weights), k in self._attempts().items():
            if (version, weights) not in before:
                self.books.attempts.setdefault(version, {})[weights] = k
                self.books.judged_under[version, weights] = self.books.policy

    def _enrolled(self, training: str, machine: str, path: int, builder: str) -> None:
        """The books after a run: number, attempt, scores."""
        books, version = self.books, self.books.version
        pin = len(books.pins[version])
        content = (version, training, self.frozen, pin, machine, path)
        number = books.number_for(content)
        folder = self.lab.layout.build(number)
        record = self._json(folder / "record.json")
        weights = record["content"]["weights"]["sha256"]
        k = books.attempt_for(version, weights)
        if weights not in books.attempts.setdefault(version, {}):
            books.judged_under[version, weights] = books.policy
        books.attempts[version][weights] = k
        found = self._attempts()
        told = {(v, w): k for v, ks in books.attempts.items() for w, k in ks.items()}
        assert found == told, f"attempts are {found}, and must be {told}"
        books.current = number
        assert self._json(self.lab.layout.current)["build"] == number
        if number > len(books.builds):
            first = books.first(version)
            learnt = (version, first.content[1] if first else training, training)
            books.builds.append(
                Build(
                    number, version, content, learnt, weights, pin,
                    read_scores(folder / "frozen.parquet"), read_scores(folder / "holdout.parquet"),
                    books.policy, builder,
                )
            )  # fmt: skip
            books.gone.pop(("build", number), None)
        names = {path.name for path in self.lab.layout.builds.iterdir()}
        assert names == {one.name for one in books.builds}, names

    def judge(self) -> bool:
        """The stages `compare` and `gate` alone, as after an edit of the policy."""
        reasons = [] if self.books.works() else ["the current build cannot be judged"]
        done = self.lab.judge()
        if not self._expect("judge", done, reasons):
            return False
        self._judged()
        self.books.seen = True
        return True

    def _judged(self) -> None:
        """The kept verdict is the model's, criterion by criterion."""
        books = self.books
        verdict = books.verdict(books.current, books.policy)
        kept = self._json(self.lab.layout.verdicts / f"b{books.current}.json")
        found = {one["criterion"]: one["status"] for one in kept["findings"]}
        told = dict(verdict.findings)
        rest = set(found) - set(told)
        odd = {name: found[name] for name in rest if found[name] != "pass"}
        assert not odd, f"b{books.current}: the model knows nothing of {odd}"
        differ = {k: (found.get(k), told[k]) for k in told if found.get(k) != told[k]}
        assert not differ, f"b{books.current}: program and model differ: {differ}"
        assert (kept["status"], kept["basis"]) == (verdict.status, verdict.basis)
        books.judged[books.current] = (books.policy, verdict)
        self.counted[f"verdict {verdict.status} ({verdict.basis})"] += 1
        for name in ("frozen.amended", "recipe.blind", "policy.age", "arithmetic"):
            if told.get(name, "pass") != "pass":
                self.counted[f"{name} {told[name]}"] += 1

    # ---- the frozen set

    def amend(self, variant: str) -> bool:
        """Other frozen cases, imported and pinned with a reason."""
        books = self.books
        rows, pins = rows_of(variant), books.pins.get(books.version, [])
        reasons = [] if pins else ["there is no pin"]
        reasons += ["nothing changed"] if pins and pins[-1] == rows else []
        reasons += [] if books.no_gap() else ["a build is missing"]
        self.frozen = variant
        self.lab.write_tables(self.training, variant)
        done = self.lab.amend("a reason")
        books.imported = rows if books.no_gap() else books.imported
        books.seen = self.lab.status() == ""
        if not self._expect("amend", done, reasons):
            return False
        pins.append(rows)
        return True

    # ---- people

    def enrol(self, user: str, key: str, roles: tuple[str, ...], by: str = "ada") -> bool:
        """A person, a new key, or other roles."""
        books = self.books
        now = books.rosters[-1] if books.rosters else {}
        reasons = [] if books.holder(by) == "ada" or not books.rosters else ["no admin"]
        others = {u for roster in books.rosters for u, one in roster.items() if one.key == key}
        reasons += ["a key belongs to one person for ever"] if others - {user} else []
        reasons += ["no admin is left"] if user == "ada" and "admin" not in roles else []
        person = Person(frozenset(roles), key)
        same = now.get(user) == person
        reasons += ["it says so already"] if same and self._roster_is_bound() else []
        public = self._public(key)
        done = self.lab.enrol(user, roles, public, by)
        if self._expect("enrol", done, reasons):
            if not same:
                books.rosters.append({**now, user: person})
            if user in now:
                self._bind_roster()
            return True
        return False

    def _public(self, key: str) -> str:
        return (self.lab.keys / f"{key}.public").read_text()

    def revoke(self, user: str) -> bool:
        """A person leaves."""
        books = self.books
        now = books.rosters[-1]
        active = user in now and now[user].active
        bound = self._roster_is_bound()
        reasons = [] if active or (user in now and not bound) else ["nobody active of that name"]
        reasons += ["an admin is always left"] if user == "ada" else []
        done = self.lab.revoke(user, "ada")
        if not self._expect("revoke", done, reasons):
            return False
        if active:
            person = now[user]
            books.rosters.append({**now, user: Person(person.roles, person.key, active=False)})
        self._bind_roster()
        return True

    def _signed(self) -> bool:
        return any(kind == "sign-off" for kind, _, _ in self.books.records)

    def _roster_is_bound(self) -> bool:
        books = self.books
        return not self._signed() or books.records[-1][1] == len(books.rosters)

    def _bind_roster(self) -> None:
        """An amendment to every chain names the new roster."""
        books = self.books
        if not self._roster_is_bound():
            build = [one for one in books.records if one[0] == "sign-off"][-1][2]
            books.records.append(("amendment", len(books.rosters), build))

    # ---- decisions

    def sign(self, key: str, meaning: str) -> bool:
        """`release sign-off`."""
        self.books.clean = self.lab.is_clean()
        reasons = self.books.may_sign(key, meaning)
        done = self.lab.sign(key, meaning, "a reason" if meaning == "override" else "")
        if self._expect(f"sign {meaning}", done, reasons):
            self.books.add_signature(key, meaning)
            return True
        return False

    def release(self) -> bool:
        """All signatures that the current build needs, by those who may."""
        books = self.books
        needs = of(books.policy, "signatures")
        if books.current in books.judged and books.judged[books.current][1].status != "pass":
            self.sign("two", "override")
        wanted = {"author": ("aut", "authorship"), "reviewer": ("rev", "review"),
                  "approver": ("app", "approval")}  # fmt: skip
        for need in needs:
            self.sign(*wanted[need])
        released = books.current in books.in_force(books.version)
        self.counted["release"] += released
        return released

    def refuse(self, key: str) -> bool:
        """`release refuse`."""
        books = self.books
        reasons = [] if books.verifies() else ["the chain does not verify"]
        user = books.holder(key)
        if user is None or "approver" not in books.rosters[-1][user].roles:
            reasons.append("the role does not allow it")
        known = books.judged.get(books.current) if books.works() else None
        if known is None or known != (books.policy, books.verdict(books.current, books.policy)):
            reasons.append("the current build is not judged as it stands")
        elif books.current in books.in_force(books.version):
            reasons.append("a release is withdrawn, not refused")
        done = self.lab.refuse(key)
        if not self._expect("refuse", done, reasons):
            return False
        books.records.append(("refusal", len(books.rosters), books.current))
        books.bind(books.subject())
        books.refused(books.current, books.version)
        return True

    def withdraw(self, key: str, number: int) -> bool:
        """`release withdraw` of a build that is released, or of one that nobody has signed."""
        books = self.books
        reasons = [] if books.verifies() else ["the chain does not verify"]
        user = books.holder(key)
        if user is None or "approver" not in books.rosters[-1][user].roles:
            reasons.append("the role does not allow it")
        groups = [g for g in books.groups if g.subject.build == number and not g.withdrawn]
        if not groups:
            reasons.append("no signature in force")
        done = self.lab.about("withdrawal", key, number)
        if not self._expect("withdraw", done, reasons):
            return False
        books.records.append(("withdrawal", len(books.rosters), number))
        if any(group.released for group in groups):
            books.withdrawn(number)
        else:
            self._take_last(groups)
        return True

    def _take_last(self, groups: Sequence[Group]) -> None:
        """The newest signature of a build that is no release."""
        group = max(groups, key=lambda one: one.signatures[-1].record)
        group.signatures.pop()
        self.books.groups = [one for one in self.books.groups if one.signatures]

    def remark(self, key: str, number: int) -> bool:
        """`release amend`: a remark changes nothing."""
        books = self.books
        reasons = [] if books.verifies() else ["the chain does not verify"]
        reasons += [] if books.holder(key) else ["not an active signer"]
        if not any(g.subject.build == number and not g.withdrawn for g in books.groups):
            reasons.append("no signature in force")
        done = self.lab.about("amendment", key, number)
        if self._expect("remark", done, reasons):
            books.records.append(("amendment", len(books.rosters), number))
            return True
        return False

    # ---- by hand

    def delete_build(self, number: int) -> None:
        """A build's folder is taken away."""
        books = self.books
        place = self.lab.layout.build(number)
        self._aside(place, ("build", number))
        if number == len(books.builds):
            books.gone[("build", number)] = books.builds.pop()
        else:
            books.gone[("build", number)] = None
        books.seen = False

    def delete_attempt(self, version: str, weights: str) -> None:
        """An attempt's file is taken away."""
        books = self.books
        place = self.lab.layout.attempts / f"{version}-{weights[:32]}.json"
        self._aside(place, ("attempt", (version, weights)))
        under = books.judged_under.pop((version, weights))
        books.gone[("attempt", (version, weights))] = books.attempts[version].pop(weights), under
        books.seen = False

    def _aside(self, place: Path, what: tuple[str, Any]) -> None:
        aside = self.lab.root.parent / "aside"
        aside.mkdir(exist_ok=True)
        _move(place, aside / place.name)
        self.counted[f"taken away: {what[0]}"] += 1

    def restore(self) -> None:
        """Everything that was taken away comes back as it was."""
        books, aside = self.books, self.lab.root.parent / "aside"
        for (what, name), held in sorted(books.gone.items(), key=str):
            if what == "build":
                _move(aside / f"b{name}", self.lab.layout.build(name))
                if held is not None:
                    books.builds.append(held)
            else:
                file = f"{name[0]}-{name[1][:32]}.json"
                _move(aside / file, self.lab.layout.attempts / file)
                books.attempts[name[0]][name[1]], books.judged_under[name] = held
        books.gone.clear()
        books.seen = self.lab.status() == ""

    def lose_roster(self) -> None:
        """The newest roster is taken away for a while: found where a record names it."""
        newest = sorted(self.lab.layout.signers.glob("*.json"))[-1]
        held = newest.read_bytes()
        newest.unlink()
        done = self.lab.verify()
        newest.write_bytes(held)
        named = any(roster == len(self.books.rosters) for _, roster, _ in self.books.records)
        faults = self.books.verify_faults() or named
        assert (done.code != 0) == bool(faults), (done, named)
        self.counted[f"taken away: roster {'named' if named else 'not named'}"] += 1

    def delete_verdict(self, number: int) -> None:
        """A kept verdict is taken away: it can be made again, and no signature names it."""
        (self.lab.layout.verdicts / f"b{number}.json").unlink()
        del self.books.judged[number]
        self.books.seen = False
        self.counted["taken away: verdict"] += 1

    # ---- killed in the middle

    def killed(self, what: str, at: int, work: Callable[[], Done]) -> int | None:
        """An action in a process that kills itself before its n-th change of a folder.

        Returns:
            The exit code, or None where it was killed.
        """
        pid = os.fork()
        if pid == 0:
            code = FAULT
            try:
                _die_before(at)
                code = work().code
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        died = code == -signal.SIGKILL
        self.counted[f"{what}: {'killed' if died else 'not killed'}"] += 1
        assert died or code != FAULT
        return None if died else code

    def sign_killed(self, key: str, meaning: str, at: int) -> None:
        """A record is there whole or not at all."""
        self.books.clean = self.lab.is_clean()
        reasons = self.books.may_sign(key, meaning)
        before = self._records()
        reason = "a reason" if meaning == "override" else ""
        code = self.killed("sign", at, lambda: self.lab.sign(key, meaning, reason))
        made = self._records() - before
        assert made in (0, 1)
        assert code is None or made == (code == 0)
        assert not made or not reasons, f"signed, and must not: {reasons}"
        assert code is None or (code == 0) == (not reasons), (code, reasons)
        if made:
            self.books.add_signature(key, meaning)

    def _records(self) -> int:
        return len(list(self.lab.layout.releases.glob("*.json")))

    def revoke_killed(self, user: str, at: int) -> None:
        """Killed between roster and amendment, it leaves the roster; run again it does the rest."""
        books = self.books
        now = books.rosters[-1]
        if user not in now or not now[user].active or user == "ada":
            return
        rosters, before = self._rosters(), self._records()
        self.killed("revoke", at, lambda: self.lab.revoke(user, "ada"))
        if self._rosters() > rosters:
            person = now[user]
            books.rosters.append({**now, user: Person(person.roles, person.key, active=False)})
        if self._records() > before:
            self._bind_roster()
        assert self._records() == len(books.records)

    def _rosters(self) -> int:
        return len(list(self.lab.layout.signers.glob("*.json")))

    def rebuild_killed(self, training: str, path: int, at: int) -> bool:
        """A run that is killed leaves what was whole by then, and the next one carries on.

        Returns:
            Whether the run after it was whole.
        """
        books, lab = self.books, self.lab
        if books.pins.get(books.version, [])[-1:] in ([], [rows_of(self.frozen)]):
            lab.write_tables(training, self.frozen)
            lab.builder = "bob"
            self.killed("rebuild", at, lambda: lab.rebuild("one", path))
        return self.rebuild(training, "one", path)

    # ---- what must hold after every step

    def check(self) -> None:
        """`release verify` says what the model says, and so does the standing of each version."""
        books = self.books
        faults = books.verify_faults()
        if not self.lab.layout.dossier.is_dir():
            return
        done = self.lab.verify()
        assert done.code != FAULT, done.said
        if faults:
            assert done.code in (10, 12), f"verify holds, and must not: {faults}"
            return
        assert done.code == 0, f"verify must hold: {done.code} {done.said}"
        audit = done.value
        assert audit.records == len(books.records), (audit.records, books.records)
        for standing in audit.standings:
            found = {r.subject.build for r in standing.releases if r.withdrawn is None}
            told = books.in_force(standing.version)
            assert found == told, f"{standing.version}: released {found}, and must be {told}"
        versions = {one.version for one in audit.standings}
        assert all(not books.in_force(v) for v in books.pins if v not in versions)
