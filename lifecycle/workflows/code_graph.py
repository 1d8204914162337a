"""Which pieces of the code a stage can reach: those it names, those these name, and so on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from lifecycle.workflows.code_facts import ABOVE, MAIN, PLACE, ROOTS, RUNS, Facts, Piece

Node = tuple[str, str]  # a module and a piece of it; or a package and a data file of it
MISSING = "<missing>"  # the piece of a module that is imported, and not there
FILE = "file:"  # before the name of a data file


class Code:
    """The pieces of all modules, tied together by the names that they use.

    Args:
        modules: every module by its dotted name; packages are modules too.
        packages: those that are packages.
        data: digests of data files by the dotted name of their folder and by their name.
    """

    def __init__(
        self,
        modules: Mapping[str, Facts],
        packages: Iterable[str],
        data: Mapping[Node, str],
    ) -> None:
        self._modules, self._packages, self._data = modules, set(packages), data
        self._meant: dict[str, frozenset[Node]] = {}
        self._next: dict[Node, frozenset[Node]] = {}
        self._loud: dict[str, frozenset[Node]] = {}

    def reached(self, module: str) -> set[Node]:
        """All that running a module (`python -m module`) can reach."""
        found: set[Node] = set()
        waiting = list(self._program(module))
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                waiting += self._after(node) - found
        return found

    def digests(self, module: str) -> dict[str, dict[str, str]]:
        """Digests of all that running a module can reach, by module and piece."""
        found: dict[str, dict[str, str]] = {}
        for place, name in self.reached(module):
            digest = self._digest((place, name))
            if digest:
                found.setdefault(place, {})[name] = digest
        return found

    def _digest(self, node: Node) -> str:
        if node[1] == MISSING:
            return MISSING
        return self._data[node] if node[1].startswith(FILE) else self._piece(node).digest

    def _piece(self, node: Node) -> Piece:
        return self._modules[node[0]].pieces[node[1]]

    # The step from one piece to those that it names.

    def _after(self, node: Node) -> frozenset[Node]:
        if node not in self._next:
            self._next[node] = frozenset(self._steps(node))
        return self._next[node]

    def _steps(self, node: Node) -> Iterator[Node]:
        place, name = node
        if name == MISSING or name.startswith(FILE):
            return
        piece = self._piece(node)
        yield from self._running([place, *piece.imports])
        if name == RUNS:
            yield from self._loud_of(place)
        if piece.blind:
            yield from self._everything
        for use in piece.uses:
            yield from self._named(use)
        yield from self._files(place, piece)

    def _running(self, modules: Iterable[str]) -> Iterator[Node]:
        """What importing modules runs, their packages' included."""
        for module in modules:
            names = module.split(".")
            for count in range(1, len(names) + 1):
                one = ".".join(names[:count])
                if one in self._modules:
                    yield (one, RUNS)
                elif count < len(names) or not self._known(one, ".".join(names[:-1])):
                    yield (one, MISSING)
                    break

    @cached_property
    def _everything(self) -> frozenset[Node]:
        pieces = {(name, piece) for name, facts in self._modules.items() for piece in facts.pieces}
        return frozenset(pieces | set(self._data))

    # Names.

    def _named(self, use: str) -> frozenset[Node]:
        if use not in self._meant:
            if use.startswith("text:"):
                found = set(self._of_text(use.removeprefix("text:")))
            elif use.startswith("all:"):
                found = set(self._whole(use.removeprefix("all:")))
            else:
                found = set(self._find(use))
            self._meant[use] = frozenset(found)
        return self._meant[use]

    def _find(self, name: str, trail: frozenset[str] = frozenset()) -> Iterator[Node]:
        """What a dotted name stands for; the whole module where nobody can say.

        `trail`: names that led here, for those that stand for each other in a circle.
        """
        if name in trail:
            return
        module, *rest = name.split(".")
        while module in self._modules and rest:
            hits = list(self._held(module, rest, trail | {name}))
            yield from hits
            inner = f"{module}.{rest[0]}"
            if inner not in self._modules:
                if not hits:
                    yield from self._whole(module, trail | {name})
                return
            module, rest = inner, rest[1:]
        yield from self._whole(module, trail | {name})

    def _held(self, module: str, rest: list[str], trail: frozenset[str]) -> Iterator[Node]:
        facts, head = self._modules[module], rest[0]
        if head in facts.pieces:
            yield (module, head)
        if head in facts.inside:
            yield (module, RUNS)
        for target in facts.names.get(head, []):
            yield from self._find(".".join([target, *rest[1:]]), trail)

    def _whole(self, module: str, trail: frozenset[str] = frozenset()) -> Iterator[Node]:
        """A module in whose names somebody may look: all that it defines or imports of ours."""
        if module not in self._modules:
            yield (module, MISSING)
            return
        facts = self._modules[module]
        yield from ((module, piece) for piece in facts.pieces if piece != MAIN)
        for targets in facts.names.values():
            for target in targets:
                if f"all:{module}" not in trail:
                    yield from self._find(target, trail | {f"all:{module}"})

    def _program(self, module: str) -> Iterator[Node]:
        if module not in self._modules:
            yield (module, MISSING)
            return
        yield from ((module, piece) for piece in self._modules[module].pieces)

    def _of_text(self, text: str) -> Iterator[Node]:
        """What a text means that names a module: all of it, run as a program, with its data."""
        name = text.removesuffix(".py").replace("/", ".").replace(":", ".") if text else ""
        stem = name.rstrip(".")
        module = self._longest(stem)
        if module in ROOTS and stem != module and not self._known(stem, module):
            return  # a word such as `lifecycle.predictions`, which is no module
        if stem != module and self._known(stem, module):
            yield from self._find(stem)
            return
        below = [one for one in self._modules if one.startswith(f"{module}.")]
        for one in [module, *(below if name.endswith(".") else [])]:
            yield from self._program(one)
        yield from (node for node in self._data if _below(node[0], module))

    def _longest(self, name: str) -> str:
        while name not in self._modules and "." in name:
            name = name.rsplit(".", 1)[0]
        return name

    def _known(self, name: str, module: str) -> bool:
        head = name.removeprefix(f"{module}.").split(".")[0]
        facts = self._modules.get(module, Facts())
        return head in facts.pieces or head in facts.names or head in facts.inside

    # What importing a module runs besides its loose statements.

    def _loud_of(self, module: str) -> frozenset[Node]:
        """Definitions that do more at import than to be defined, such as to register themselves."""
        if module not in self._loud:
            pieces = self._modules[module].pieces
            loud = {(module, name) for name, piece in pieces.items() if self._is_loud(piece)}
            self._loud[module] = frozenset(loud)
        return self._loud[module]

    def _is_loud(self, piece: Piece, trail: tuple[Piece, ...] = ()) -> bool:
        """`trail`: the classes that this one is a base of; a class may take its base's name."""
        bases = [one for one in self._pieces(piece.bases) if one not in (piece, *trail)]
        return (
            piece.loud
            or any(self._is_loud(base, (piece, *trail)) for base in bases)
            or any(not self._makes_only(one) for one in self._pieces(piece.calls))
            or any(one.kind != "value" or bool(one.calls) for one in self._pieces(piece.reads))
            or any(one.kind in ("function", "class") for one in self._pieces(piece.hands))
        )

    def _makes_only(self, piece: Piece, trail: tuple[Piece, ...] = ()) -> bool:
        """Whether it is a class, and making one of it runs no code of ours."""
        bases = [one for one in self._pieces(piece.bases) if one not in (piece, *trail)]
        return piece.plain and all(self._makes_only(base, (piece, *trail)) for base in bases)

    def _pieces(self, names: Iterable[str]) -> list[Piece]:
        nodes = {node for name in names for node in self._named(name)}
        return [self._piece(node) for node in nodes if self._is_piece(node)]

    def _is_piece(self, node: Node) -> bool:
        return node[0] in self._modules and node[1] in self._modules[node[0]].pieces

    # Data files.

    def _files(self, module: str, piece: Piece) -> Iterator[Node]:
        """Data files that a piece can read, by where it looks and by what it mentions."""
        if not piece.data:
            return
        package = module if module in self._packages else module.rpartition(".")[0]
        looks = PLACE in piece.data
        others = self._modules[module].pieces.values()
        climbs = looks and sum(one.data.count(ABOVE) for one in others) > 1
        mentioned = {
            place
            for place, name in self._data
            if name.removeprefix(FILE) in piece.data
            or (_below(place, package) and set(_inner(place, package)) & set(piece.data))
        }
        for node in self._data:
            if climbs or (looks and _below(node[0], package)) or node[0] in mentioned:
                yield node


def _below(place: str, package: str) -> bool:
    return f"{place}.".startswith(f"{package}.")


def _inner(place: str, package: str) -> list[str]:
    """The folders from a package down to a place; of the package itself, its own name."""
    return [*place.removeprefix(package).strip(".").split("."), place.rpartition(".")[2]]
