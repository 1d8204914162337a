"""Make `vectors/`: records that a reader must accept, and ones that it must refuse, with reasons.

    python tests/compat/make_vectors.py

For whoever writes another reader of these formats: `vectors/index.json` lists every file with its
kind, whether it is valid and, if not, why. Made from the release in 0.2.0/; the same bytes every
time. A file that was published stays; new ones are added.
"""

from __future__ import annotations

import base64
import copy
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from release_site import PASSPHRASE  # noqa: E402

from lifecycle.domain.digests import canonical_json, digest_of  # noqa: E402
from lifecycle.release.envelope import IN_TOTO, opened, seal  # noqa: E402
from lifecycle.release.keys import unlock  # noqa: E402
from lifecycle.release.roster import ROSTER  # noqa: E402

SOURCE, TARGET = HERE / "0.2.0", HERE / "vectors"
WINE = SOURCE / "dossier" / "wine"
# kind -> file, a field to take out, a field of a wrong type, its wrong value.
KINDS: dict[str, tuple[Path, str, str, object]] = {
    "build": (WINE / "builds/b1/record.json", "content/recipe/seed", "number", True),
    "run": (WINE / "builds/b1/run.json", "policy", "clean", "yes"),
    "preprocessing": (WINE / "builds/b1/preprocess.json", "epsilon", "mean", "0x1p0"),
    "attempt": (next(iter(sorted((WINE / "attempts").iterdir()))), "k", "k", -1),
    "pins": (WINE / "frozen.json", "pins/0/total", "pins/0/number", 0),
    "rehearsals": (WINE / "rehearsals/b1.json", "runs/0/bound/pin", "build", 1.0),
    "threshold": (WINE / "threshold.json", "status", "yes", []),
    "current": (WINE / "current.json", "version", "build", "b1"),
    "verdict": (WINE / "verdicts/b1.json", "rules", "status", "passed"),
    "case": (
        sorted((WINE / "releases/cases").iterdir())[0],
        "case/policy/alpha",
        "case/released",
        1,
    ),
}
DIGESTED = {"build", "attempt", "pins", "rehearsals", "threshold", "current", "verdict"}
Vector = tuple[str, str, bytes, str]  # file, kind, bytes, why it is refused ("": it is valid)


def vectors() -> Iterator[Vector]:
    """Every vector."""
    for kind, (path, hole, field, value) in KINDS.items():
        yield from _of_kind(kind, json.loads(path.read_bytes()), hole, (field, value))
    yield from _of_bytes(WINE / "threshold.json")
    yield from _of_envelopes()
    yield from _of_rosters()


def _of_kind(kind: str, good: Any, hole: str, wrong: tuple[str, object]) -> Iterator[Vector]:
    yield f"valid/{kind}.json", kind, canonical_json(good), ""

    def bad(what: str, why: str, value: Any, redo: bool = True) -> Vector:
        if kind in DIGESTED and redo:
            body = {key: item for key, item in value.items() if key != "digest"}
            value = {**body, "digest": digest_of(body)}
        return f"invalid/{kind}-{what}.json", kind, canonical_json(value), why

    stem = good["schema"].rpartition("/")[0]
    yield bad("unknown-field", "a field that the format does not have", {**good, "mood": "calm"})
    yield bad("missing-field", f"the field {hole} is missing", _without(good, hole))
    yield bad("wrong-type", f"the field {wrong[0]} has another type", _with(good, *wrong))
    yield bad("newer", "written by a newer program: say so, do not guess",
              {**good, "schema": f"{stem}/9", "program": "lifecycle 9.1.0"})  # fmt: skip
    yield bad("other-kind", "a record of another kind", {**good, "schema": "lifecycle/moods/1"})
    yield bad("no-schema", "it does not say what it is", _without(good, "schema"))
    if kind in DIGESTED:
        changed = _with(good, "program", "lifecycle 0.2.1")
        yield bad("digest", "the digest is not that of the other fields", changed, redo=False)


def _place(value: Any, path: str) -> tuple[Any, Any]:
    *steps, last = (int(step) if step.isdigit() else step for step in path.split("/"))
    for step in steps:
        value = value[step]
    return value, last


def _without(value: Any, path: str) -> Any:
    value = copy.deepcopy(value)
    place, last = _place(value, path)
    del place[last]
    return value


def _with(value: Any, path: str, item: object) -> Any:
    value = copy.deepcopy(value)
    place, last = _place(value, path)
    place[last] = item
    return value


def _of_bytes(path: Path) -> Iterator[Vector]:
    """The same record in bytes that are not canonical."""
    good = path.read_bytes()
    value = json.loads(good)
    first = good.replace(b"{", b'{"build":"b1",', 1)
    for what, why, data in (
        ("spaces", "white space between the tokens", json.dumps(value, sort_keys=True).encode()),
        ("no-newline", "the newline at the end is missing", good[:-1]),
        ("two-newlines", "two newlines at the end", good + b"\n"),
        ("byte-order-mark", "a byte order mark before the JSON", b"\xef\xbb\xbf" + good),
        ("unsorted", "keys are not sorted",
         json.dumps(dict(reversed(value.items())), separators=(",", ":")).encode() + b"\n"),
        ("twice", "a key stands twice", first),
        ("escape", "a letter is written as an escape", good.replace(b'"b1"', b'"\\u00621"', 1)),
        ("nan", "NaN is no JSON", good.replace(b'"yes":[', b'"yes":[NaN,', 1)),
        ("torn", "the file ends in the middle", good[: len(good) // 2]),
        ("empty", "nothing is there", b""),
    ):  # fmt: skip
        yield f"invalid/bytes-{what}.json", "threshold", data, why


def _key(user: str) -> Any:
    return unlock(SOURCE / "keys" / f"{user}.pem", PASSPHRASE)


def _of_envelopes() -> Iterator[Vector]:
    path = WINE / "releases/00001-sign-off.json"
    good = path.read_bytes()
    statement = json.loads(opened(good, path.name).payload)
    envelope = json.loads(good)
    signed = envelope["signatures"][0]
    yield "valid/release.json", "release", good, ""

    def sealed(what: str, why: str, changed: Any) -> Vector:
        return f"invalid/release-{what}.json", "release", seal(changed, _key("rev")), why

    ours = "predicate/lifecycle/"
    yield sealed("unknown-field", "a field that the format does not have",
                 _with(statement, f"{ours}mood", "calm"))  # fmt: skip
    yield sealed("missing-field", "the field demonstration is missing",
                 _without(statement, f"{ours}demonstration"))  # fmt: skip
    yield sealed("no-offset", "the moment has no offset",
                 _with(statement, f"{ours}signature/signedAt", "2026-11-30T14:05:09"))  # fmt: skip
    yield sealed("path", "a subject outside the project",
                 _with(statement, "subject/0/name", "../secret"))  # fmt: skip
    yield sealed("newer", "written by a newer program: say so, do not guess",
                 _with(_with(statement, f"{ours}schema", "lifecycle/release/9"),
                       f"{ours}program", "lifecycle 9.1.0"))  # fmt: skip
    yield sealed("result", "passed, with a criterion that failed",
                 _with(statement, "predicate/failedTests", ["pin.other"]))  # fmt: skip
    raw = bytearray(base64.b64decode(signed["sig"]))
    raw[0] ^= 1
    for what, why, changed in (
        ("signature", "a bit of the signature is another",
         _with(envelope, "signatures/0/sig", base64.b64encode(raw).decode())),
        ("two-signatures", "two signatures", {**envelope, "signatures": [signed, signed]}),
        ("payload-type", "another type of payload", {**envelope, "payloadType": ROSTER}),
        ("trailing-bits", "base64 whose last letter says the same in another way",
         _with(envelope, "signatures/0/sig", signed["sig"][:-3] + "B==" if signed["sig"][-3] == "A"
               else signed["sig"][:-3] + chr(ord(signed["sig"][-3]) + 1) + "==")),
        ("other-key", "the key of somebody else",
         _with(envelope, "signatures/0/keyid", "0" * 64)),
    ):  # fmt: skip
        yield f"invalid/release-{what}.json", "release", canonical_json(changed), why


def _of_rosters() -> Iterator[Vector]:
    path = SOURCE / "dossier/_signers/00001.json"
    good = path.read_bytes()
    payload = json.loads(opened(good, path.name, ROSTER).payload)
    yield "valid/roster.json", "roster", good, ""
    person = payload["people"][0]
    for what, why, changed in (
        ("unknown-field", "a field that the format does not have", {**payload, "mood": "calm"}),
        ("no-admin", "nobody is left who could sign the next one",
         _with(payload, "people/0/active", False)),
        ("twice", "one person twice", {**payload, "people": [person, person]}),
        ("keyid", "not the digest of the public key", _with(payload, "people/0/keyid", "0" * 64)),
        ("newer", "written by a newer program: say so, do not guess",
         {**payload, "schema": "lifecycle/roster/9", "program": "lifecycle 9.1.0"}),
    ):  # fmt: skip
        yield f"invalid/roster-{what}.json", "roster", seal(changed, _key("ada"), ROSTER), why


def main() -> None:
    index = []
    for name, kind, data, why in vectors():
        path = TARGET / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        index.append({"file": name, "kind": kind, "valid": not why, "reason": why})
    text = json.dumps(index, indent=1) + "\n"
    (TARGET / "index.json").write_text(text, encoding="utf-8")
    assert IN_TOTO


if __name__ == "__main__":
    main()
