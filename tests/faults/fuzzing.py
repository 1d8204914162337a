"""Mutated files for every reader: each answers with the right exit code and names the file.

Run as a program, `python fuzzing.py COUNT SEED` makes COUNT mutations over all readers and prints
what went wrong; `test_fuzz.py` runs it in a process of bounded memory.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))

from ecg_files import wave, write_record

from lifecycle.cohorts import preprocess, split, store
from lifecycle.cohorts.ecg.cpsc2018 import read_fields as read_mat
from lifecycle.cohorts.ecg.headers import read_header
from lifecycle.cohorts.ecg.ptbxl import codes_of, read_table
from lifecycle.cohorts.ecg.records import read_signal
from lifecycle.cohorts.ecg.rhythm_atr import changes_of
from lifecycle.cohorts.simulate_settings import read_settings
from lifecycle.cohorts.tables import open_table
from lifecycle.domain.classifier import Policy
from lifecycle.domain.cohort import Cohort, Pin
from lifecycle.domain.digests import canonical_json
from lifecycle.dossier import pins, traces
from lifecycle.dossier.arrays import read_array
from lifecycle.dossier.files import read_fields, read_json, read_record, write_json
from lifecycle.dossier.predictions import read_csv, read_parquet
from lifecycle.dossier.weights import packed, tensors_in
from lifecycle.errors import LifecycleError
from lifecycle.params.reader import load
from lifecycle.release.keys import create, unlock
from lifecycle.workflows import dvc_state

PUBLISHED = Path(__file__).parents[1] / "compat" / "0.2.0"
INPUT, OURS, KEY = {10}, {12}, {12, 22, 10}
SPECIAL = [b"\0", b"\xff", b"nan", b"1e999", b"-1", b'"', b"\n", b",", b"\r", b"{", b"[", b"(",
           b"9" * 40, b"[" * 3000, b"\xef\xbb\xbf", b"\xd9\xa0", b"\x1f\x8b", b"PK\x03\x04", b"*a",
           b"&a", b"<<: ", b"!!python/object:os.system ", b": ", b"- ", b"A" * 140_000]  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """A reader and a file that it can read.

    Attributes:
        name: for reports.
        file: name of the file, as messages must have it.
        data: a good file.
        read: given the file's path.
        codes: exit codes that a mutated file may end in.
        share: how often it is drawn.
    """

    name: str
    file: str
    data: bytes
    read: Callable[[Path], object]
    codes: set[int]
    share: int = 4


def mutated(data: bytes, draws: random.Random) -> bytes:
    """Some bytes flipped, cut, doubled, put in or taken over from elsewhere."""
    out = bytearray(data)
    for _ in range(draws.choice((1, 1, 1, 2, 4))):
        at = draws.randrange(len(out) + 1)
        end = min(len(out), at + draws.choice((1, 1, 2, 4, 16, 200)))
        what = draws.randrange(8)
        if what == 0 and at < len(out):
            out[at] ^= 1 << draws.randrange(8)
        elif what == 1 and at < len(out):
            out[at] = draws.randrange(256)
        elif what == 2:
            del out[at:end]
        elif what == 3:
            del out[at:]
        elif what == 4:
            out[at:at] = out[at:end]
        elif what == 5:
            out[at:end] = draws.choice(SPECIAL)
        elif what == 6:
            out[at:at] = draws.randbytes(draws.choice((1, 4, 30)))
        elif at < len(out):  # a number made large, where it is one of several bytes
            out[at : at + 4] = draws.choice((b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"9999"))
    return bytes(out)


def readers(room: Path) -> list[Reader]:
    """Every reader with a good file; what a file needs beside it is made in `room`."""
    return [*_arrays(room), *_predictions(room), *_tables(), *_settings(), *_records(room),
            *_signals(room), *_dvc(room)]  # fmt: skip


def _cohort() -> Cohort:
    names = tuple(f"c{i}" for i in range(6))
    values = np.random.default_rng(1).random((6, 4))
    return Cohort(names, names, ("g",) * 6, ("A", "B") * 3, ("f1", "f2", "f3", "f4"), values,
                  "real", subgroups={"sex": ("m", "f") * 3})  # fmt: skip


def _arrays(room: Path) -> list[Reader]:
    store.write(room / "cohort", _cohort())
    folder = room / "cohort"

    def cohort(path: Path) -> object:
        place = folder / path.name
        good = place.read_bytes()
        try:
            place.write_bytes(path.read_bytes())
            return store.read(folder, check=True)
        finally:
            place.write_bytes(good)

    names = (store.MEASUREMENTS, store.CASES, store.FEATURES, store.FACTS)
    codes = {store.FACTS: {10, 12}}  # a changed name of the format is told as one
    found = [
        Reader(f"cohort {name}", name, (folder / name).read_bytes(), cohort, codes.get(name, OURS))
        for name in names
    ]
    np.save(room / "x.npy", np.random.default_rng(2).random((5, 3)))
    array = (room / "x.npy").read_bytes()
    tensors = packed({"a": np.ones((2, 3)), "b": np.arange(4)})
    return [
        *found,
        Reader("array", "x.npy", array, read_array, OURS, 12),
        Reader("array mapped", "x.npy", array, lambda p: read_array(p, mapped=True).sum(), OURS, 6),
        Reader("weights", "w.safetensors", tensors, lambda p: tensors_in(p.read_bytes(), p), OURS),
    ]


CSV = b"case_id,patient_id,label,A,B\nc0,p0,A,0.75,0.25\nc1,p1,B,0.125,0.875\nc2,p1,A,0.5,0.5\n"
TABLE = b'sample,label,cg1,cg2\na,A,0.5,0.25\n"b",B,0.75,0.125\nc,A,0.1,NA\n'


def _predictions(room: Path) -> list[Reader]:
    del room
    place = PUBLISHED / "dossier" / "wine" / "builds" / "b1" / "frozen.parquet"
    zipped = gzip.compress(CSV, mtime=0)
    return [
        Reader("predictions parquet", "p.parquet", place.read_bytes(), read_parquet, INPUT, 12),
        Reader("predictions csv", "p.csv", CSV, read_csv, INPUT, 8),
        Reader("predictions gzip", "p.csv.gz", zipped, read_csv, INPUT, 8),
    ]


def _tables() -> list[Reader]:
    def cells(path: Path) -> object:
        table = open_table(path, path.name)
        names = [name for name in table.header if name.startswith("cg")]
        table.first_column(), table.rows(frozenset({"a"}))
        return table.cells(list(table.header[:2]), names)

    sink = pa.BufferOutputStream()
    columns = {"sample": ["a", "b"], "label": ["A", "B"], "cg1": [0.5, 0.25], "cg2": ["0.5", "1"]}
    pq.write_table(pa.table(columns), sink)
    parquet = sink.getvalue().to_pybytes()
    tabs = TABLE.replace(b",", b"\t")
    return [
        Reader("table csv", "m.csv", TABLE, cells, INPUT, 8),
        Reader("table tsv", "m.tsv", tabs, cells, INPUT),
        Reader("table gzip", "m.csv.gz", gzip.compress(TABLE, mtime=0), cells, INPUT, 8),
        Reader("table parquet", "m.parquet", parquet, cells, INPUT, 12),
        Reader("table of ecgs", "t.csv", TABLE, lambda p: read_table(p, p.name), INPUT),
    ]


def _settings() -> list[Reader]:
    params = (PUBLISHED / "params.yaml").read_bytes()
    policy = b"p: 0.95\nalpha: 0.05\nunit: patient\nactions: {a: [A, B]}\n"
    return [
        Reader("params", "params.yaml", params[:1500], lambda p: load(p.parent), INPUT, 2),
        Reader("settings", "s.yaml", policy, lambda p: read_settings(p, Policy), INPUT),
    ]


def _records(room: Path) -> list[Reader]:
    pins.append_pin(room / "pins.json", Pin("1", 1, {"c0": "0" * 64}, "1" * 64, "", "real"))
    fitted = preprocess._fitted("standardised", 0.0, ("f1", "f2"), np.ones(2), np.ones(2))
    preprocess.write(room, fitted)
    split.write_parts(room / "parts.csv", {"c0": "training", "c1": "holdout"}, ["c0", "c1"])
    trace = traces.Trace("0" * 64, 2, ("1" * 64, "2" * 64), bytes(16))
    write_json(room / "facts.json", {"weights": {"sha256": "0" * 64}, "code": 1})
    create(room / "key.pem", "correct horse battery")

    def kept(path: Path) -> object:
        (room / path.name).write_bytes(path.read_bytes())
        return preprocess.read(room)

    either = {10, 12}
    pairs: list[tuple[str, bytes, Callable[[Path], object], set[int]]] = [
        ("pins.json", (room / "pins.json").read_bytes(), pins.read_pins, either),
        ("record.json", canonical_json({"a": [1, 2.5, "x"], "b": None}), read_record, OURS),
        ("work.json", b'{"a": [1, 2.5, "x"], "b": null}\n', read_json, OURS),
        ("facts.json", (room / "facts.json").read_bytes(),
         lambda p: read_fields(p, {"weights.sha256": str, "code": int}), OURS),
        ("parts.csv", (room / "parts.csv").read_bytes(), split.read_parts, INPUT),
        ("trace.bin", traces.to_bytes(trace),
         lambda p: traces.from_bytes(p.read_bytes(), str(p)), either),
        ("preprocess.json", (room / "preprocess.json").read_bytes(), kept, either),
    ]  # fmt: skip
    made = [Reader(name, name, data, read, codes) for name, data, read, codes in pairs]

    def opened(path: Path) -> object:
        path.chmod(0o600)
        return unlock(path, "x")

    return [*made, Reader("key", "key.pem", (room / "key.pem").read_bytes(), opened, KEY, 1)]


def _signals(room: Path) -> list[Reader]:
    folder = room / "signals"
    folder.mkdir()
    write_record(folder / "r", wave(200))
    leads = ("I", "II")

    def signal(path: Path) -> object:
        place = folder / path.name
        good = place.read_bytes()
        try:
            place.write_bytes(path.read_bytes())
            return read_signal(read_header(folder / "r.hea", "r"), leads)
        finally:
            place.write_bytes(good)

    def codes(path: Path) -> object:
        return codes_of(path.read_bytes().decode("latin-1"), path.name)

    atr = bytes([0, 0x70, 2, 0xFC]) + b"(N" + bytes([10, 0x70, 6, 0xFC]) + b"(AFIB\0" + b"\0\0"
    found = [
        Reader(f"signal {path.suffix}", path.name, path.read_bytes(), signal, INPUT)
        for path in sorted(folder.iterdir())
    ]
    return [
        *found,
        Reader("rhythms", "r.atr", atr, lambda p: changes_of(p, "r.atr", Fraction(100)), INPUT),
        Reader("codes", "codes", b"{'NORM': 100.0, 'SR': 0.0}", codes, INPUT),
        Reader("mat", "A1.mat", _mat(), lambda p: read_mat(p, p.name), INPUT, 8),
    ]


def _mat() -> bytes:
    import io

    from scipy.io import savemat

    sink = io.BytesIO()
    fields = {"sex": "Male", "age": 50.0, "data": np.ones((12, 30))}
    savemat(sink, {"ECG": fields}, do_compression=True)
    return sink.getvalue()


def _dvc(room: Path) -> list[Reader]:
    project = room / "dvc"
    (project / ".dvc" / "tmp").mkdir(parents=True)
    lock = b"schema: '2.0'\nstages:\n  a@b:\n    cmd: x\n    deps:\n    - path: y\n      md5: z\n"

    def looked(path: Path) -> object:
        place = project / (".dvc/tmp/rwlock" if path.name == "rwlock" else "dvc.lock")
        place.write_bytes(path.read_bytes())
        try:
            return dvc_state.require_whole(project)
        finally:
            place.unlink(missing_ok=True)

    notes = json.dumps({"write": {"/a": {"pid": 1, "cmd": "x"}}, "read": {}}).encode()
    return [
        Reader("dvc.lock", "dvc.lock", lock, looked, INPUT, 2),
        Reader("rwlock", "rwlock", notes, looked, set(), 2),
    ]


def fault_of(reader: Reader, data: bytes, folder: Path) -> str | None:
    """What is wrong with a reader's answer to a mutated file; None for nothing."""
    path = folder / reader.file
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    try:
        reader.read(path)
    except LifecycleError as error:
        if int(error.exit_code) not in reader.codes:
            return f"exit {int(error.exit_code)}: {error}"
        if reader.file not in str(error) and reader.file.split(".")[0] not in str(error):
            return f"the file is not named: {error}"
    except Exception:  # noqa: BLE001  # whatever it is, a command would end in 70
        return traceback.format_exc(limit=-3)
    return None


def run(count: int, seed: int, only: str = "") -> list[str]:
    """Faults of `count` mutations over all readers."""
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        room, files = Path(folder) / "room", Path(folder) / "files"
        room.mkdir()
        files.mkdir()
        every = [one for one in readers(room) if only in one.name]
        for one in every:
            good = fault_of(one, one.data, files)
            if good and one.name != "key":
                faults.append(f"{one.name}: its good file: {good}")
        shares = [one.share for one in every]
        for number in range(count):
            draws = random.Random(f"{seed}/{number}")
            one = draws.choices(every, shares)[0]
            data = mutated(one.data, draws)
            found = fault_of(one, data, files)
            if found:
                faults.append(f"{one.name}, {seed}/{number}, {data[:200]!r}: {found}")
    return faults


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("error")
    failures = run(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
    sys.stdout.write("\n\n".join([*failures[:20], f"{len(failures)} faults\n"]))
    sys.exit(bool(failures))
