"""What each stage's code is: a digest of all that it can reach, so that DVC sees an edit of it."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lifecycle.domain.digests import digest_of, sha256
from lifecycle.dossier.files import read_json, write_json
from lifecycle.errors import UnusableInputError
from lifecycle.workflows import code_facts
from lifecycle.workflows.code_facts import MAIN, ROOTS, Facts, Piece, facts_of
from lifecycle.workflows.code_graph import FILE, Code, Node

FOLDER = Path("work") / "code"
_REMEMBERED = Path("work") / "code-by-digest.json"
_STAGES = "pipelines"
# It always runs, and so needs no digest.
_ALWAYS = f"{_STAGES}.surroundings"
_SHOWN = 16  # characters of a definition's digest in the file; the whole digest is above them
_NAMED = 3  # changed definitions that are named
# No data of ours: what Python and DVC leave.
_NO_DATA = {"dvc.lock", "dvc.yaml"}


def write_codes(root: Path) -> None:
    """Write `work/code/<stage>.json` for every stage, a program of `pipelines`.

    Raises:
        UnusableInputError: a source file is no Python.
    """
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
        except UnusableInputError:
            before = {}
        if before != now:
            changed[stage] = _differing(before, now)
    return changed


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

    Raises:
        UnusableInputError: a source file is no Python.
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
    sources = dict(_sources(root))
    packages = {name for name, path in sources.items() if path.name == "__init__.py"}
    data = _data(sources, packages)
    words = {word for _, name in data for word in name.removeprefix(FILE).split("/")}
    mentioned = frozenset(words | {place.rpartition(".")[2] for place, _ in data})
    modules = {}
    for name, path in sources.items():
        package = name if name in packages else name.rpartition(".")[0]
        modules[name] = memory.facts(path, name, package, mentioned)
    stages = sorted(
        name
        for name, facts in modules.items()
        if name.startswith(f"{_STAGES}.") and name != _ALWAYS and MAIN in facts.pieces
    )
    return Code(modules, packages, data), stages


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
            with suppress(UnusableInputError):
                known = read_json(path)
                is_ours = isinstance(known, dict) and known.get("by") == self._by
                self._known = known if is_ours else {}

    def facts(self, path: Path, name: str, package: str, data: frozenset[str]) -> Facts:
        """One file taken apart, now or before.

        Raises:
            UnusableInputError: it is no Python.
        """
        content = path.read_bytes()
        key = sha256(content + repr((name, package, sorted(data))).encode())
        if key in self._known:
            entry = self._used[key] = self._known[key]
            pieces = {piece: Piece(**one) for piece, one in entry["pieces"].items()}
            return Facts(pieces, entry["names"], entry["inside"])
        try:
            found = facts_of(content.decode(), name, package, data)
        except (SyntaxError, ValueError) as error:
            raise UnusableInputError(f"{path} is no Python: {error}") from None
        self._used[key] = asdict(found)
        return found

    def keep(self) -> None:
        """Write what this time was of use."""
        if self._path is not None and self._used != self._known:
            write_json(self._path, self._used)


def _analyser() -> bytes:
    return Path(code_facts.__file__).read_bytes()


def _sources(root: Path) -> Iterator[tuple[str, Path]]:
    """Source files by the name of their module."""
    for package in ROOTS:
        folder = _folder(root, package)
        if folder is None:
            continue
        for path in sorted(folder.rglob("*.py")):
            names = path.relative_to(folder).with_suffix("").parts
            inner = names[:-1] if names[-1] == "__init__" else names
            yield ".".join((package, *inner)), path


def _folder(root: Path, package: str) -> Path | None:
    """Where `python -m` in the project's root finds a package."""
    if (root / package).is_dir():
        return root / package
    spec = find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) if places else None


def _data(sources: Mapping[str, Path], packages: set[str]) -> dict[Node, str]:
    """Digests of files that are no source, by the package that they belong to."""
    folders = {sources[name].parent: name for name in packages}
    found = {}
    for path in sorted({one for folder in folders for one in folder.rglob("*") if one.is_file()}):
        if path.suffix in (".py", ".pyc") or path.name.startswith(".") or path.name in _NO_DATA:
            continue
        owner = next(folder for folder in path.parents if folder in folders)
        inside = path.relative_to(owner).as_posix()
        found[(folders[owner], f"{FILE}{inside}")] = sha256(path.read_bytes())
    return found
