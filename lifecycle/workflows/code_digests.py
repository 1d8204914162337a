"""What each stage's code is: a digest of all that it can reach, so that DVC sees an edit of it."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lifecycle.domain.digests import digest_of, sha256
from lifecycle.dossier.files import read_fields, read_json, write_json
from lifecycle.errors import IntegrityError, UnusableInputError
from lifecycle.workflows import code_facts
from lifecycle.workflows.code_facts import MAIN, ROOTS, RUNS, Facts, Piece, facts_of
from lifecycle.workflows.code_graph import FILE, Code, Node

FOLDER = Path("work") / "code"
_REMEMBERED = Path("work") / "code-by-digest.json"
_PACKAGE = "__init__.py"
_IMPORTED = (".py", *EXTENSION_SUFFIXES)
_STAGES = "pipelines"
# It always runs, and so needs no digest.
_ALWAYS = f"{_STAGES}.surroundings"
_SHOWN = 16  # characters of a definition's digest in the file; the whole digest is above them
_NAMED = 3  # changed definitions that are named
# No data of ours: what Python and DVC leave.
_NO_DATA = {"dvc.lock", "dvc.yaml"}


def write_codes(root: Path) -> None:
    """Write `work/code/<stage>.json` for every stage, a program of `pipelines`."""
    memory = _Memory(root / _REMEMBERED)
    found = stage_codes(root, memory)
    for stage, code in found.items():
        write_json(root / FOLDER / f"{stage}.json", code)
    for path in (root / FOLDER).glob("*.json"):
        if path.stem not in found:
            path.unlink()
    memory.keep()


def changed_codes(root: Path) -> dict[str, list[str]]:
    """Stages whose code is not what `dvc repro` last saw, each with the definitions that changed.

    The source files themselves are read, and nothing that is remembered of them.
    """
    changed = {}
    for stage, now in stage_codes(root).items():
        try:
            before = read_json(root / FOLDER / f"{stage}.json")
        except (UnusableInputError, IntegrityError):
            before = {}
        if before != now:
            changed[stage] = _differing(before if isinstance(before, dict) else {}, now)
    return changed


def noted_code(root: Path, stage: str) -> str | None:
    """Digest of a stage's code as the surroundings noted it before the stage ran, if they did."""
    try:
        return str(read_fields(root / FOLDER / f"{stage}.json", {"digest": str})["digest"])
    except UnusableInputError:
        return None


def other_program(root: Path) -> str | None:
    """Where this command's own code lies, where the project has other code: its stages run that.

    A copied project beside an environment that was installed from elsewhere has two programs.
    """
    here = Path(code_facts.__file__).resolve().parents[2]
    own = root / ROOTS[0]
    if not own.is_dir() or own.resolve().parent == here:
        return None
    return None if stage_codes(root) == stage_codes(here) else str(here)


def said_of(changed: Mapping[str, list[str]]) -> str:
    """`gate, report (lifecycle.stats.auc: auc)`: the stages, and some of the definitions."""
    found = sorted({one for names in changed.values() for one in names})
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    which = f" ({', '.join(found[:_NAMED])}{more})" if found else ""
    return f"{', '.join(changed)}{which}"


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    one, two = (
        {
            f"{module}: {piece}": digest
            for module, pieces in code.get("definitions", {}).items()
            for piece, digest in pieces.items()
        }
        for code in (before, now)
    )
    return sorted(name for name in set(one) | set(two) if one.get(name) != two.get(name))


def stage_codes(root: Path, memory: _Memory | None = None) -> dict[str, dict[str, Any]]:
    """What `work/code/<stage>.json` says, for every stage.

    Args:
        root: the project's root; a package that is not there is the installed one.
        memory: of files that were taken apart before; nothing is remembered where None.
    """
    code, stages = read_code(root, memory)
    found = {}
    for module in stages:
        digests = code.digests(module)
        short = {
            place: {name: digest[:_SHOWN] for name, digest in pieces.items()}
            for place, pieces in digests.items()
        }
        stage = module.removeprefix(f"{_STAGES}.")
        found[stage] = {"definitions": short, "digest": digest_of(digests)}
    return found


def read_code(root: Path, memory: _Memory | None = None) -> tuple[Code, list[str]]:
    """All code of the project, and the programs that are its stages; arguments as above."""
    memory = _Memory(None) if memory is None else memory
    folders = {package: _folder(root, package) for package in ROOTS}
    sources = dict(_sources(folders))
    data = _data(folders)
    words = frozenset(word for place, name in data for word in _words(place, name))
    modules = {name: memory.facts(path, name, words) for name, path in sources.items()}
    packages = {name for name, path in sources.items() if path.name == _PACKAGE}
    for name in sources:  # folders without __init__.py are packages too
        for package in _above(name):
            packages.add(package)
            modules.setdefault(package, _opaque(b""))
    stages = sorted(
        name
        for name, facts in modules.items()
        if name.startswith(f"{_STAGES}.") and name != _ALWAYS and MAIN in facts.pieces
    )
    return Code(modules, packages, data), stages


def _above(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _words(place: str, name: str) -> list[str]:
    return [*place.split("."), name.removeprefix(FILE)]


class _Memory:
    """Files that were taken apart before, by digests of their contents, so that none is stale.

    Only a cache: one that is spoilt, or of another program or Python, is forgotten.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._by = sha256(_analyser() + platform.python_version().encode())
        self._known: dict[str, Any] = {}
        self._used: dict[str, Any] = {"by": self._by}
        if path is not None:
            with suppress(UnusableInputError, IntegrityError):
                known = read_json(path)
                is_ours = isinstance(known, dict) and known.get("by") == self._by
                self._known = known if is_ours else {}

    def facts(self, path: Path, name: str, data: frozenset[str]) -> Facts:
        """One file taken apart, now or before."""
        content = path.read_bytes()
        key = sha256(content + repr((name, path.name, sorted(data))).encode())
        if key in self._known:
            entry = self._used[key] = self._known[key]
            pieces = {piece: Piece(**one) for piece, one in entry["pieces"].items()}
            return Facts(pieces, entry["names"], entry["inside"])
        package = name if path.name == _PACKAGE else name.rpartition(".")[0]
        try:
            found = facts_of(content.decode(), name, package, data)
        except (SyntaxError, ValueError, RecursionError):
            found = _opaque(content)  # compiled, or no Python: then whoever imports it will say so
        self._used[key] = asdict(found)
        return found

    def keep(self) -> None:
        """Write what this time was of use."""
        if self._path is not None and self._used != self._known:
            write_json(self._path, self._used)


def _analyser() -> bytes:
    return Path(code_facts.__file__).read_bytes()


def _opaque(content: bytes) -> Facts:
    """A file of which only its bytes are known."""
    return Facts({RUNS: Piece("module", sha256(content) if content else "")})


def _folder(root: Path, package: str) -> Path | None:
    """Where `python -m` in the project's root finds a package."""
    if (root / package).is_dir():
        return root / package
    spec = find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) if places else None


def _sources(folders: Mapping[str, Path | None]) -> Iterator[tuple[str, Path]]:
    """Files that can be imported, by the names of their modules."""
    for package, folder in folders.items():
        if folder is None:
            continue
        # a package comes after a module of its name, whose place it takes
        for path in sorted(folder.rglob("*"), key=lambda path: (path.name == _PACKAGE, path)):
            suffix = next((one for one in _IMPORTED if path.name.endswith(one)), None)
            if suffix is None or not path.is_file():
                continue
            names = (*path.relative_to(folder).parts[:-1], path.name.removesuffix(suffix))
            if all(name.isidentifier() for name in names):
                inner = names[:-1] if path.name == _PACKAGE else names
                yield ".".join((package, *inner)), path


def _data(folders: Mapping[str, Path | None]) -> dict[Node, str]:
    """Digests of files that are no source, by the dotted names of their folders."""
    found = {}
    for package, folder in folders.items():
        for path in sorted(folder.rglob("*")) if folder is not None else ():
            is_left = path.suffix == ".pyc" or path.name.startswith(".") or path.name in _NO_DATA
            if not is_left and not path.name.endswith(_IMPORTED) and path.is_file():
                inner = path.relative_to(folder or path).parts[:-1]
                place = ".".join((package, *inner))
                found[(place, f"{FILE}{path.name}")] = sha256(path.read_bytes())
    return found
