"""What one source file defines, and the names that each definition uses; nothing is imported.

A file is taken apart into pieces: each function, class and assigned name of its top level, what it
runs when it is imported (`RUNS`), and what it runs as a program (`MAIN`). Comments, docstrings and
places of lines are no part of a piece. `code_graph` ties the pieces of all files together.

Where a rule below must guess, it takes too much: a stage that runs without need costs minutes, one
that does not run although its code changed would keep a wrong result.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lifecycle.domain.digests import digest_of

ROOTS = ("lifecycle", "pipelines")  # the packages whose code is ours
RUNS, MAIN = "<module>", "<main>"
PLACE = "__file__"  # among a piece's data: it looks around beside its own file
ABOVE = ".."  # and once for each step to a folder above
# A module of ours in a text: `python -m lifecycle.x.y`, `lifecycle.x:name`, `lifecycle/x/y.py`, and
# the beginning of a name that is put together, `lifecycle.x.`.
_OURS = "|".join(ROOTS)
_IN_TEXT = re.compile(
    rf"\b(?:{_OURS})(?:/\w+)+\.py\b|\b(?:{_OURS})(?:\.[A-Za-z_]\w*)+[:.]?(?:[A-Za-z_][\w.]*)?"
    rf"|\A(?:{_OURS})\.\Z"
)
# Decorators and bases that register nothing anywhere, so that defining is all that they do.
_QUIET = re.compile(
    r"(?:dataclasses|functools|contextlib|typing|enum|abc|collections|operator|itertools|re|numpy"
    r"|threading|io|builtins)\..*|torch\.(?:no_grad|autograd\.Function|nn\..*)|numbers\..*"
)
# Methods of plain values that change nothing.
_READING = {
    *("index", "count", "items", "keys", "values", "get", "lower", "upper", "split", "join"),
    *("format", "copy", "replace", "strip", "encode", "union"),
}
# What reaches code by ways that reading the source cannot follow.
_BLIND = {"run_module", "run_path", "__subclasses__"}
_BLIND_NAMES = {"eval", "exec", "globals", "__import__"}
_BLIND_MEANT = ("sys.modules", "runpy.", "importlib.util.spec_from")
_IMPORTER = "importlib.import_module"  # blind unless it is told a text
# What tells it the end of a name whose beginning, a text beside it, counts as all that it can mean.
_TELLER = "lifecycle.domain.networks.network_of"
_DATA_READERS = ("importlib.resources", "importlib_resources", "pkgutil")


@dataclass(slots=True)
class Piece:
    """One definition, or all that a module runs; names are dotted and absolute.

    `uses`: what it refers to; `imports`: modules that it imports as it runs. `kind`: function,
    class, value or module. `bases`: of a class; `plain`: making one runs no code of its own.
    `data`: names of data files that it mentions. `blind`: it may use anything.

    `loud`: it does more at import than to be defined. It does so, too, where it `calls` then what
    is no plain class, `reads` by a method what is no plain data, or `hands` a function or a class
    to others.
    """

    kind: str
    digest: str = ""
    uses: list[str] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    hands: list[str] = field(default_factory=list)
    bases: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    loud: bool = False
    plain: bool = False
    blind: bool = False


@dataclass(slots=True)
class Facts:
    """One module: its pieces by name, and what else its names stand for.

    `names`: imported names of ours and what they stand for. `inside`: names that a statement other
    than a definition gives (`try`, `if`), so that they stand for what the module runs.
    """

    pieces: dict[str, Piece] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    inside: list[str] = field(default_factory=list)


def facts_of(source: str, module: str, package: str, data: frozenset[str]) -> Facts:
    """Take a file apart.

    Args:
        source: its text.
        module: its dotted name.
        package: the package that relative imports start from.
        data: names of data files and their folders that a text of it may mention.

    Raises:
        SyntaxError: it is no Python.
    """
    tree = _Stripped().visit(ast.parse(source))
    return _File(tree, module, package, data).facts()


class _Stripped(ast.NodeTransformer):
    """The tree without docstrings, and other texts that stand alone as a statement."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)


@dataclass(slots=True)
class _Seen:
    """What a walk over a piece found: chains of names, imports, texts."""

    chains: list[list[str]] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict)
    imports: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    told: list[list[str]] = field(default_factory=list)  # what is called with a text first
    upwards: int = 0  # steps to a folder above
    blind: bool = False


class _File:
    """One file while it is taken apart."""

    def __init__(self, tree: ast.Module, module: str, package: str, data: frozenset[str]) -> None:
        self.module, self.package, self.data = module, package, data
        self.groups: dict[str, list[ast.stmt]] = {}
        self.runs: list[ast.stmt] = []
        self.main: list[ast.stmt] = []
        self.imported = _Seen()
        self.import_lines: list[ast.Import | ast.ImportFrom] = []
        self.inside: set[str] = set()
        for statement in tree.body:
            self._sort(statement)
        self.late = any(
            isinstance(one, ast.ImportFrom)
            and one.module == "__future__"
            and any(name.name == "annotations" for name in one.names)
            for one in self.import_lines
        )

    def facts(self) -> Facts:
        """The pieces, once every statement of the file was sorted."""
        made = Facts(names={}, inside=sorted(self.inside))
        for name, targets in self.imported.names.items():
            ours = [one for one in targets if is_ours(one)]
            if ours:
                made.names[name] = ours
        for name, statements in self.groups.items():
            made.pieces[name] = self._piece(statements)
        made.pieces[RUNS] = self._running(made)
        if self.main:
            made.pieces[MAIN] = self._piece(self.main, "module")
        return made

    def _sort(self, statement: ast.stmt) -> None:
        """Put a statement of the top level where it belongs."""
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            self._import(statement)
        elif isinstance(statement, ast.If) and _is_type_checking(statement.test):
            for one in statement.orelse:
                self._sort(one)
        elif isinstance(statement, ast.If) and _is_main(statement.test):
            self.main.append(statement)
            for one in statement.orelse:
                self._sort(one)
        elif names := _defined(statement):
            for name in names:
                self.groups.setdefault(name, []).append(statement)
        else:
            self.runs.append(statement)
            for one in _statements(statement):
                if isinstance(one, (ast.Import, ast.ImportFrom)):
                    self._import(one)
                self.inside |= set(_defined(one) or _bound(one))

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        self.import_lines.append(statement)
        _take_import(statement, self.package, self.imported)

    def _piece(self, statements: Sequence[ast.stmt], kind: str | None = None) -> Piece:
        seen = _Seen()
        for statement in statements:
            _walk(statement, self.package, seen, late=self.late)
        last = statements[-1] if statements else None
        made = Piece(kind or _kind(last))
        made.uses = sorted({use for chain in seen.chains for use in self._ours(chain, seen)})
        made.imports, made.blind = sorted(set(seen.imports)), seen.blind or self._is_blind(seen)
        made.plain = made.kind == "class"
        made.data = sorted(set(self._data(seen))) + [ABOVE] * seen.upwards
        for text in seen.texts:
            made.uses += [f"text:{found}" for found in _IN_TEXT.findall(text)]
        if kind is None:
            for statement in statements:
                self._at_import(statement, made)
        roots = sorted({chain[0] for chain in seen.chains} & set(self.imported.names))
        known = [[name, self.imported.names[name]] for name in roots]
        made.digest = digest_of([[ast.dump(one) for one in statements], known])
        return made

    def _running(self, made: Facts) -> Piece:
        """What importing the module runs: its loose statements, and imports that nobody uses."""
        piece = self._piece(self.runs, "module")
        piece.imports = sorted({*piece.imports, *self.imported.imports})
        words = {
            node.id
            for one in [*self.runs, *self.main, *(s for g in self.groups.values() for s in g)]
            for node in ast.walk(one)
            if isinstance(node, ast.Name)
        }
        unused = [
            ast.dump(one)
            for one in self.import_lines
            if not words & set(_given(one)) and getattr(one, "module", "") != "__future__"
        ]
        stars = [name for name in self.imported.names if name.startswith("*")]
        for name in stars:
            piece.uses += [f"all:{one}" for one in self.imported.names[name] if is_ours(one)]
        if self.runs or unused or stars:
            piece.digest = digest_of([piece.digest, sorted(unused), sorted(stars)])
        else:
            piece.digest = ""  # nothing runs: whether it is imported makes no difference
        return piece

    def _meant(self, chain: Sequence[str], seen: _Seen | None = None) -> list[str]:
        """What a chain of names stands for, dotted; nothing for names of no import or module."""
        root, rest = chain[0], chain[1:]
        found = [] if seen is None else list(seen.names.get(root, []))
        found += self.imported.names.get(root, [])
        if root in self.groups or root in self.inside:
            found.append(f"{self.module}.{root}")
        return [".".join([one, *rest]) for one in found]

    def _ours(self, chain: Sequence[str], seen: _Seen | None = None) -> list[str]:
        return [one for one in self._meant(chain, seen) if is_ours(one)]

    def _is_blind(self, seen: _Seen) -> bool:
        meant = [one for chain in seen.chains for one in self._meant(chain, seen)]
        told = [one for chain in seen.told for one in self._meant(chain, seen)]
        known = told.count(_IMPORTER) + meant.count(_TELLER)
        return meant.count(_IMPORTER) > known or any(one.startswith(_BLIND_MEANT) for one in meant)

    def _data(self, seen: _Seen) -> Iterator[str]:
        reached = [one for chain in seen.chains for one in self._meant(chain, seen)]
        if any(chain[0] in (PLACE, "__path__", "__spec__") for chain in seen.chains) or any(
            one.startswith(_DATA_READERS) for one in [*reached, *seen.imports]
        ):
            yield PLACE
        if any({PLACE, "__path__"} & set(chain[1:]) for chain in seen.chains):
            yield PLACE
        for text in seen.texts:
            yield from self.data & set(re.split(r"[/\\]", text))

    # What a definition does already when its module is imported.

    def _at_import(self, statement: ast.stmt, made: Piece) -> None:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self._decorators(statement.decorator_list, made)
            defaults = [*statement.args.defaults, *filter(None, statement.args.kw_defaults)]
            for default in defaults:
                self._expression(default, made)
        elif isinstance(statement, ast.ClassDef):
            self._class(statement, made)
        elif (value := getattr(statement, "value", None)) is not None:
            self._expression(value, made)

    def _class(self, statement: ast.ClassDef, made: Piece) -> None:
        made.plain &= not statement.keywords
        made.loud |= bool(statement.keywords)
        self._decorators(statement.decorator_list, made)
        for base in statement.bases:
            chain = _chain(base.value if isinstance(base, ast.Subscript) else base)
            meant = [] if chain is None else self._meant(chain)
            made.bases += [one for one in meant if is_ours(one)]
            others = [one for one in meant if not is_ours(one)]
            made.loud |= chain is None or any(_QUIET.fullmatch(one) is None for one in others)
        for one in statement.body:
            if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self._at_import(one, made)
                if one.name in ("__init__", "__new__", "__post_init__", "__init_subclass__"):
                    made.plain = False
                made.loud |= one.name == "__init_subclass__"
            elif isinstance(one, (ast.Assign, ast.AnnAssign, ast.ClassDef)):
                self._at_import(one, made)
            elif not isinstance(one, ast.Pass):
                made.loud = True

    def _decorators(self, decorators: Sequence[ast.expr], made: Piece) -> None:
        for one in decorators:
            chain = _chain(one.func if isinstance(one, ast.Call) else one)
            meant = None if chain is None else self._meant(chain)
            made.loud |= meant is None or any(
                is_ours(name) or _QUIET.fullmatch(name) is None for name in meant
            )
            made.plain &= not made.loud

    def _expression(self, value: ast.expr, made: Piece) -> None:
        for call in _calls(value):
            chain = _chain(call.func)
            meant = [] if chain is None else self._meant(chain)
            ours = [one for one in meant if is_ours(one)]
            reads = isinstance(call.func, ast.Attribute) and call.func.attr in _READING
            if ours:
                (made.reads if reads else made.calls).extend(ours)
            elif not any(_QUIET.fullmatch(one) for one in meant):
                given = [*call.args, *(key.value for key in call.keywords)]
                chains = [found for one in given if (found := _chain(one)) is not None]
                made.hands += [one for found in chains for one in self._ours(found)]


def is_ours(name: str) -> bool:
    """Whether a dotted name is one of our packages'."""
    return name.split(".", 1)[0] in ROOTS


def _kind(statement: ast.stmt | None) -> str:
    if isinstance(statement, ast.ClassDef):
        return "class"
    is_function = isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef))
    return "function" if is_function else "value"


def _is_type_checking(test: ast.expr) -> bool:
    chain = _chain(test)
    return chain is not None and chain[-1] == "TYPE_CHECKING"


def _is_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and ast.dump(test) == _MAIN_TEST


_MAIN_TEST = ast.dump(ast.parse('__name__ == "__main__"', mode="eval").body)


def _defined(statement: ast.stmt) -> list[str]:
    """The names that a statement defines, where defining is all that it does."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign)):
        targets = [statement.target]
    else:
        return []
    flat = [leaf for target in targets for leaf in _leaves(target)]
    return [one.id for one in flat if isinstance(one, ast.Name)] if _all_names(flat) else []


def _all_names(targets: Sequence[ast.expr]) -> bool:
    return all(isinstance(one, ast.Name) for one in targets)


def _leaves(target: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, (ast.Tuple, ast.List)):
        for one in target.elts:
            yield from _leaves(one)
    elif isinstance(target, ast.Starred):
        yield from _leaves(target.value)
    else:
        yield target


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement gives in passing: loop variables, targets, `with ... as`."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _statements(statement: ast.stmt) -> Iterator[ast.stmt]:
    """A statement and those nested in it, but none of a function or class."""
    yield statement
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return
    for node in ast.iter_child_nodes(statement):
        for inner in [node] if isinstance(node, ast.stmt) else ast.iter_child_nodes(node):
            if isinstance(inner, ast.stmt):
                yield from _statements(inner)


def _chain(node: ast.AST) -> list[str] | None:
    """`a.b.c` as names; None for whatever does not start with a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else None


def _calls(value: ast.AST) -> Iterator[ast.Call]:
    """Calls in an expression that are made when it is evaluated."""
    if isinstance(value, ast.Lambda):
        return
    if isinstance(value, ast.Call):
        yield value
    for one in ast.iter_child_nodes(value):
        yield from _calls(one)


def _given(statement: ast.Import | ast.ImportFrom) -> list[str]:
    """The names that an import gives."""
    short = isinstance(statement, ast.Import)
    return [
        one.asname or (one.name.split(".")[0] if short else one.name) for one in statement.names
    ]


def _take_import(statement: ast.Import | ast.ImportFrom, package: str, seen: _Seen) -> None:
    """Note what an import binds, and the modules of ours that it runs."""
    if isinstance(statement, ast.Import):
        for one in statement.names:
            target = one.name if one.asname else one.name.split(".")[0]
            seen.names.setdefault(one.asname or target, []).append(target)
            seen.imports += [one.name] if is_ours(one.name) else []
        return
    base = statement.module or ""
    if statement.level:
        parents = package.split(".")
        stem = parents[: len(parents) - statement.level + 1]
        base = ".".join([*stem, *([base] if base else [])])
    for one in statement.names:
        name = f"*{base}" if one.name == "*" else one.asname or one.name
        seen.names.setdefault(name, []).append(base if one.name == "*" else f"{base}.{one.name}")
        seen.imports += [base, f"{base}.{one.name}"] if is_ours(base) else []


def _walk(node: ast.AST, package: str, seen: _Seen, *, late: bool) -> None:
    """Note what a piece refers to.

    `late`: annotations of functions are no code here (`from __future__ import annotations`). In a
    class and where there is a decorator they count all the same: dataclasses and readers of our own
    look at them.
    """
    if isinstance(node, ast.Attribute):
        seen.upwards += {"parent": 1, "parents": 2}.get(node.attr, 0)
        seen.blind |= node.attr in _BLIND
    chain = _chain(node)
    if chain is not None:
        seen.chains.append(chain)
        seen.upwards += chain[1:-1].count("parent") + 2 * chain[1:-1].count("parents")
        seen.blind |= chain[0] in _BLIND_NAMES or bool(_BLIND & set(chain))
        return
    _note(node, package, seen)
    if isinstance(node, ast.If) and _is_type_checking(node.test):
        parts: Iterator[ast.AST] = iter(node.orelse)
    else:
        parts = _parts(node, late)
    is_read = isinstance(node, ast.ClassDef) or bool(getattr(node, "decorator_list", []))
    for one in parts:
        _walk(one, package, seen, late=late and not is_read)
    annotation = getattr(node, "annotation", None)
    if not late and annotation is not None:
        _walk_texts(annotation, package, seen)


def _note(node: ast.AST, package: str, seen: _Seen) -> None:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        _take_import(node, package, seen)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        seen.texts.append(node.value)
        seen.upwards += 2 * (".." in node.value)
    elif isinstance(node, ast.Call) and node.args:
        chain, first = _chain(node.func), node.args[0]
        if chain is not None and isinstance(first, ast.Constant):
            seen.told.append(chain)


def _parts(node: ast.AST, late: bool) -> Iterator[ast.AST]:
    """What a node is made of, without annotations that are no code."""
    is_read = bool(getattr(node, "decorator_list", []))
    for name, value in ast.iter_fields(node):
        if late and not is_read and name in ("annotation", "returns"):
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.AST):
                yield one


def _walk_texts(annotation: ast.expr, package: str, seen: _Seen) -> None:
    """Annotations that are written as texts."""
    for node in ast.walk(annotation):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                _walk(ast.parse(node.value, mode="eval"), package, seen, late=False)
            except SyntaxError:
                continue  # a text of `Literal`, or of `Annotated`
