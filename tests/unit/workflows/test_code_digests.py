"""What counts as a stage's code, rule by rule, on made-up packages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from lifecycle.workflows.code_digests import (
    FOLDER,
    changed_codes,
    said_of,
    stage_codes,
    write_codes,
)

MAIN = 'from lifecycle.work import work\n\nif __name__ == "__main__":\n    work()\n'
WORK = "from lifecycle.help import helped\n\n\ndef work():\n    return helped()\n"
HELP = "def helped():\n    return 1\n\n\ndef unused():\n    return 2\n"
BASE = {
    "lifecycle/__init__.py": "",
    "lifecycle/work.py": WORK,
    "lifecycle/help.py": HELP,
    "pipelines/__init__.py": "",
    "pipelines/build.py": MAIN,
}


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _digest(root: Path) -> str:
    return str(stage_codes(root)["build"]["digest"])


class Case(NamedTuple):
    """A project, and one edit of it."""

    files: dict[str, str]
    file: str
    old: str
    new: str


def _work(text: str, **others: str) -> dict[str, str]:
    """`work.py` with this text, and other modules (`a__b` for a/b.py)."""
    files = {
        f"lifecycle/{name.replace('____init__', '/INIT').replace('__', '/')}.py": text
        for name, text in others.items()
    }
    named = {name.replace("INIT", "__init__"): text for name, text in files.items()}
    return {"lifecycle/work.py": text, **named}


CALLED = "def f():\n    return 1\n"
USING_F = "def work():\n    return f()\n"

COUNTS = {
    "a function that is called": Case({}, "help.py", "return 1", "return 11"),
    "the stage's own program": Case({}, "../pipelines/build.py", "work()\n", "work() or 1\n"),
    "an import inside a function": Case(
        _work("def work():\n    from lifecycle.help import helped\n    return helped()\n"),
        "help.py", "return 1", "return 11",
    ),
    "a module that is renamed": Case(
        _work("import lifecycle.help as h\n\n\ndef work():\n    return h.helped()\n"),
        "help.py", "return 1", "return 11",
    ),
    "a module by its full name": Case(
        _work("import lifecycle.help\n\n\ndef work():\n    return lifecycle.help.helped()\n"),
        "help.py", "return 1", "return 11",
    ),
    "a relative import": Case(
        _work("from . import help\n\n\ndef work():\n    return help.helped()\n"),
        "help.py", "return 1", "return 11",
    ),
    "a name that a package passes on": Case(
        _work(f"from lifecycle.room import f\n\n\n{USING_F}",
              room____init__="from lifecycle.room.inner import f\n", room__inner=CALLED),
        "room/inner.py", "return 1", "return 11",
    ),
    "what a passed-on name stands for": Case(
        _work(f"from lifecycle.room import f\n\n\n{USING_F}",
              room____init__="from lifecycle.room.inner import f\n",
              room__inner="def f():\n    return 1\n\n\ndef g():\n    return 2\n"),
        "room/__init__.py", "import f", "import g as f",
    ),
    "two names that change places": Case(
        _work("from lifecycle.two import f as a, g as b\n\n\ndef work():\n    return a(), b()\n",
              two="def f():\n    return 1\n\n\ndef g():\n    return 2\n"),
        "work.py", "f as a, g as b", "g as a, f as b",
    ),
    "a library's name that stands for another": Case(
        _work("from math import floor as near\n\n\ndef work():\n    return near(1.5)\n"),
        "work.py", "floor", "ceil",
    ),
    "a folder without __init__.py": Case(
        _work(f"from lifecycle.bare.inner import f\n\n\n{USING_F}", bare__inner=CALLED),
        "bare/inner.py", "return 1", "return 11",
    ),
    "everything by a star": Case(
        _work(f"from lifecycle.other import *\n\n\n{USING_F}", other=CALLED),
        "other.py", "return 1", "return 11",
    ),
    "a constant": Case(
        _work("from lifecycle.other import N\n\n\ndef work():\n    return N\n", other="N = 1\n"),
        "other.py", "N = 1", "N = 11",
    ),
    "a constant of a constant": Case(
        _work("from lifecycle.other import N\n\n\ndef work():\n    return N\n",
              other="_M = 1\nN = (_M, 2)\n"),
        "other.py", "_M = 1", "_M = 11",
    ),
    "one of several names that are given at once": Case(
        _work("A, (B, *C) = 1, (2, 3)\n\n\ndef work():\n    return C\n"),
        "work.py", "2, 3", "2, 4",
    ),
    "a value that is added to": Case(
        _work("N = [1]\nN += [2]\n\n\ndef work():\n    return N\n"), "work.py", "[2]", "[3]",
    ),
    "a value that is put into": Case(
        _work("N = {}\nN['a'] = 2\n\n\ndef work():\n    return N\n"), "work.py", "= 2", "= 3",
    ),
    "a default": Case(
        _work("_N = 1\n\n\ndef work(n=_N):\n    return n\n"), "work.py", "_N = 1", "_N = 11",
    ),
    "a method of a class that is used": Case(
        _work("class A:\n    def m(self):\n        return 1\n\n\ndef work():\n    return A()\n"),
        "work.py", "return 1", "return 11",
    ),
    "what a method uses": Case(
        _work("from lifecycle.help import helped\n\n\nclass A:\n    def m(self):\n"
              "        return helped()\n\n\ndef work():\n    return A()\n"),
        "help.py", "return 1", "return 11",
    ),
    "a base class": Case(
        _work("class B:\n    n = 1\n\n\nclass A(B):\n    pass\n\n\ndef work():\n    return A()\n"),
        "work.py", "n = 1", "n = 11",
    ),
    "a decorator": Case(
        _work("def twice(f):\n    return f, 1\n\n\n@twice\ndef work():\n    return 1\n"),
        "work.py", "return f, 1", "return f, 2",
    ),
    "a class that only a field's annotation names": Case(
        _work("from __future__ import annotations\n\n\nclass B:\n    n = 1\n\n\nclass A:\n"
              "    b: B\n\n\ndef work():\n    return A()\n"),
        "work.py", "n = 1", "n = 11",
    ),
    "a class that only an annotation's text names": Case(
        _work("class B:\n    n = 1\n\n\nclass A:\n    b: 'list[B]'\n\n\n"
              "def work():\n    return A()\n"),
        "work.py", "n = 1", "n = 11",
    ),
    "an annotation of a function that is decorated": Case(
        _work("from __future__ import annotations\nimport click\n\n\nclass B:\n    n = 1\n\n\n"
              "@click.command()\ndef work(b: B):\n    return 1\n"),
        "work.py", "n = 1", "n = 11",
    ),
    "a registry that a decorator fills": Case(
        _work("import lifecycle.entries\nfrom lifecycle.registry import KNOWN\n\n\ndef work():\n"
              "    return KNOWN\n",
              registry="KNOWN = []\n\n\ndef known(f):\n    KNOWN.append(f)\n    return f\n",
              entries="from lifecycle.registry import known\n\n\n@known\ndef f():\n    return 1\n"),
        "entries.py", "return 1", "return 11",
    ),
    "a registry that a call fills": Case(
        _work("import lifecycle.entries\nfrom lifecycle.registry import KNOWN\n\n\ndef work():\n"
              "    return KNOWN\n",
              registry="KNOWN = []\n\n\ndef known(f):\n    KNOWN.append(f)\n    return f\n",
              entries="from lifecycle.registry import known\n\n\ndef f():\n    return 1\n\n\n"
                      "F = known(f)\n"),
        "entries.py", "return 1", "return 11",
    ),
    "a class that another's hook registers": Case(
        _work("import lifecycle.entries\nfrom lifecycle.registry import KNOWN\n\n\ndef work():\n"
              "    return KNOWN\n",
              registry="KNOWN = []\n\n\nclass B:\n    def __init_subclass__(cls):\n"
                       "        KNOWN.append(cls)\n",
              entries="from lifecycle.registry import B\n\n\nclass A(B):\n    n = 1\n"),
        "entries.py", "n = 1", "n = 11",
    ),
    "a registry that is asked at import": Case(
        _work("import lifecycle.entries\n\n\ndef work():\n    return 1\n",
              registry="class R:\n    def get(self, n):\n        return print(n)\n\n\nR1 = R()\n",
              entries="from lifecycle.registry import R1\n\nF = R1.get(1)\n"),
        "entries.py", "get(1)", "get(2)",
    ),
    "a class that takes the name of its base": Case(
        _work("from lifecycle.other import A\n\n\nclass A(A):\n    pass\n\n\n"
              "def work():\n    return A()\n", other="class A:\n    n = 1\n"),
        "other.py", "n = 1", "n = 11",
    ),
    "a function that is handed to a library at import": Case(
        _work("import atexit\n\n\ndef f():\n    return 1\n\n\nF = atexit.register(f)\n\n\n"
              "def work():\n    return 1\n"),
        "work.py", "    return 1\n\n\nF", "    return 11\n\n\nF",
    ),
    "what a module runs that is imported": Case(
        _work(f"import lifecycle.noisy\n\n\n{CALLED}\n\n{USING_F}",
              noisy="import os\n\nos.environ['A'] = '1'\n"),
        "noisy.py", "'1'", "'2'",
    ),
    "what a package runs": Case(
        {"lifecycle/__init__.py": "import os\n\nos.environ['A'] = '1'\n"},
        "__init__.py", "'1'", "'2'",
    ),
    "what a module runs that an imported one imports": Case(
        _work(f"from lifecycle.other import f\n\n\n{USING_F}",
              other=f"import lifecycle.noisy\n\n\n{CALLED}", noisy="print(1)\n"),
        "noisy.py", "print(1)", "print(2)",
    ),
    "an import that is there for what it runs": Case(
        _work(f"import this\n\n\n{CALLED}\n\n{USING_F}"), "work.py", "import this", "import that",
    ),
    "a name that an `if` gives": Case(
        _work("import sys\n\nif sys.platform == 'linux':\n    N = 1\nelse:\n    N = 2\n\n\n"
              "def work():\n    return N\n"),
        "work.py", "N = 2", "N = 3",
    ),
    "what a `try` imports": Case(
        _work("try:\n    from lifecycle.other import f\nexcept ImportError:\n    f = None\n\n\n"
              f"{USING_F}",
              other=CALLED),
        "other.py", "return 1", "return 11",
    ),
    "a program that a text names": Case(
        _work("def work():\n    return ['python', '-m', 'lifecycle.child']\n",
              child="def f():\n    return 1\n\n\nif __name__ == '__main__':\n    f()\n"),
        "child.py", "return 1", "return 11",
    ),
    "a definition that a text names": Case(
        _work("def work():\n    return 'lifecycle.child:f'\n", child=CALLED),
        "child.py", "return 1", "return 11",
    ),
    "a program that a text names by its path": Case(
        _work("def work():\n    return ['python', 'lifecycle/child.py']\n", child=CALLED),
        "child.py", "return 1", "return 11",
    ),
    "a program in a text of code": Case(
        _work("def work():\n    return 'from lifecycle.child import f; f()'\n", child=CALLED),
        "child.py", "return 1", "return 11",
    ),
    "a module whose name is put together": Case(
        _work("def work(n):\n    return f'lifecycle.room.{n}'\n", room____init__="",
              room__inner=CALLED),
        "room/inner.py", "return 1", "return 11",
    ),
    "a module that is looked into by `getattr`": Case(
        _work("from lifecycle import other\n\n\ndef work(n):\n    return getattr(other, n)\n",
              other=CALLED),
        "other.py", "return 1", "return 11",
    ),
    "a name that a module does not have": Case(
        _work("from lifecycle import other\n\n\ndef work():\n    return other.made_late\n",
              other=CALLED),
        "other.py", "return 1", "return 11",
    ),
    "any module, where a name comes at run time": Case(
        _work("import importlib\n\n\ndef work(n):\n    return importlib.import_module(n)\n",
              other=CALLED),
        "other.py", "return 1", "return 11",
    ),
    "any module, by another name of the importer": Case(
        _work("from importlib import import_module as im\n\n\ndef work(n):\n    return im(n)\n",
              other=CALLED),
        "other.py", "return 1", "return 11",
    ),
    "any module, by sys.modules": Case(
        _work("import sys\n\n\ndef work(n):\n    return sys.modules[n]\n", other=CALLED),
        "other.py", "return 1", "return 11",
    ),
    "any class, by __subclasses__": Case(
        _work("class B:\n    pass\n\n\ndef work():\n    return B.__subclasses__()\n",
              other="class A:\n    n = 1\n"),
        "other.py", "n = 1", "n = 11",
    ),
    "a module that is missing": Case(
        _work("def work():\n    import lifecycle.gone\n"),
        "gone.py", "", "",
    ),
    "a file that is no Python": Case(
        _work(f"from lifecycle.other import f\n\n\n{USING_F}", other="def f(:\n"),
        "other.py", "f(:", "f(::",
    ),
    "a data file beside": Case(
        _work("from pathlib import Path\n\n\ndef work():\n    return Path(__file__).parent\n")
        | {"lifecycle/deep/t.csv": "a"},
        "deep/t.csv", "a", "b",
    ),
    "a data file above": Case(
        _work(f"from lifecycle.room.inner import f\n\n\n{USING_F}", room____init__="",
              room__inner="from pathlib import Path\n\n_ROOM = Path(__file__).parent\n\n\n"
                          "def f():\n    return _ROOM.parent.glob('*')\n")
        | {"lifecycle/t.csv": "a"},
        "t.csv", "a", "b",
    ),
    "a data file that is named": Case(
        _work("def work(place):\n    return place / 'deep/t.csv'\n")
        | {"lifecycle/deep/t.csv": "a"},
        "deep/t.csv", "a", "b",
    ),
    "a data file whose folder is named": Case(
        _work("def work(place):\n    return place / 'deep'\n") | {"lifecycle/deep/t.csv": "a"},
        "deep/t.csv", "a", "b",
    ),
    "a data file by importlib.resources": Case(
        _work("from importlib import resources\n\n\ndef work(n):\n    return resources.files(n)\n")
        | {"lifecycle/t.csv": "a"},
        "t.csv", "a", "b",
    ),
    "data of a package that a text names": Case(
        _work("def work(load):\n    return load('lifecycle.room')\n", room____init__="")
        | {"lifecycle/room/templates/t.html": "a"},
        "room/templates/t.html", "a", "b",
    ),
}  # fmt: skip

IS_NOTHING = {
    "a comment": Case({}, "help.py", "return 1\n", "# why\n    return 1  # so\n"),
    "a docstring": Case({}, "help.py", "def helped():\n", 'def helped():\n    """One."""\n'),
    "a module's docstring": Case({}, "help.py", "def helped", '"""Help."""\n\n\ndef helped'),
    "lines and places": Case(
        {}, "help.py", HELP,
        "\n\ndef unused(): return 2\n\n\ndef helped(): return 1\n",
    ),
    "a function that is not called": Case({}, "help.py", "return 2", "return 22"),
    "a function that is new": Case({}, "help.py", HELP, f"{HELP}\n\ndef new():\n    return 3\n"),
    "a constant that is not used": Case({}, "help.py", HELP, f"{HELP}\n\nN = 3\n"),
    "an import for types": Case(
        _work("from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n"
              "    from lifecycle.help import helped\n\n\ndef work():\n    return 1\n"),
        "help.py", "return 1", "return 11",
    ),
    "an annotation that is no code": Case(
        _work("from __future__ import annotations\n\n\nclass A:\n    n = 1\n\n\n"
              "def work(a: A) -> A:\n    b: A = a\n    return b\n"),
        "work.py", "n = 1", "n = 11",
    ),
    "a program's own part, where its module is imported": Case(
        {"lifecycle/help.py": f'{HELP}\n\nif __name__ == "__main__":\n    unused()\n'},
        "help.py", "    unused()", "    helped()",
    ),
    "a value of a plain class": Case(
        _work("from dataclasses import dataclass\n\n\n@dataclass\nclass A:\n    n: int\n\n\n"
              "N = A(1)\n\n\ndef work():\n    return 1\n"),
        "work.py", "A(1)", "A(2)",
    ),
    "a value taken from plain data": Case(
        _work("N = (1, 2)\nM = N.index(1)\n\n\ndef work():\n    return 1\n"),
        "work.py", "index(1)", "index(2)",
    ),
    "data of another room": Case(
        _work(f"from lifecycle.room.inner import f\n\n\n{USING_F}", room____init__="",
              room__inner="def f():\n    return __file__\n")
        | {"lifecycle/other/t.csv": "a"},
        "other/t.csv", "a", "b",
    ),
    "a library that is imported by a text": Case(
        _work("import importlib\n\n\ndef work():\n    return importlib.import_module('psutil')\n",
              other=CALLED),
        "other.py", "return 1", "return 11",
    ),
}  # fmt: skip


def _edited(tmp_path: Path, case: Case) -> tuple[str, str]:
    _write(tmp_path, {**BASE, **case.files})
    before = _digest(tmp_path)
    path = tmp_path / "lifecycle" / case.file
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    assert case.old in text
    path.write_text(text.replace(case.old, case.new, 1), encoding="utf-8")
    return before, _digest(tmp_path)


@pytest.mark.parametrize("case", COUNTS.values(), ids=COUNTS)
def test_it_counts(tmp_path: Path, case: Case) -> None:
    before, after = _edited(tmp_path, case)
    assert before != after


@pytest.mark.parametrize("case", IS_NOTHING.values(), ids=IS_NOTHING)
def test_it_is_nothing(tmp_path: Path, case: Case) -> None:
    before, after = _edited(tmp_path, case)
    assert before == after


def test_a_moved_file_that_nothing_uses(tmp_path: Path) -> None:
    _write(tmp_path, {**BASE, "lifecycle/alone.py": "print(1)\n"})
    before = _digest(tmp_path)
    (tmp_path / "lifecycle/alone.py").rename(tmp_path / "lifecycle/elsewhere.py")
    assert _digest(tmp_path) == before


def test_names_that_stand_for_each_other(tmp_path: Path) -> None:
    two = (
        "try:\n    from lifecycle.one import f\nexcept Exception:\n    def f():\n        return 1\n"
    )
    circle = {"lifecycle/one.py": "from lifecycle.two import f\n", "lifecycle/two.py": two}
    case = Case(
        _work(f"from lifecycle.one import f\n\n\n{USING_F}") | circle,
        "two.py",
        "return 1",
        "return 11",
    )
    before, after = _edited(tmp_path, case)
    assert before != after


def test_a_package_takes_the_place_of_a_module_of_its_name(tmp_path: Path) -> None:
    files = _work(
        f"from lifecycle.room import f\n\n\n{USING_F}", room=CALLED, room____init__=CALLED
    )
    before, after = _edited(tmp_path, Case(files, "room/__init__.py", "return 1", "return 11"))
    assert before != after


# ---- what is written, and what is remembered


def test_the_file_names_each_definition(tmp_path: Path) -> None:
    _write(tmp_path, BASE)
    write_codes(tmp_path)
    kept = json.loads((tmp_path / FOLDER / "build.json").read_text(encoding="utf-8"))
    named = {module: sorted(pieces) for module, pieces in kept["definitions"].items()}
    assert named == {
        "lifecycle.help": ["helped"],
        "lifecycle.work": ["work"],
        "pipelines.build": ["<main>"],
    }


def test_a_change_is_named(tmp_path: Path) -> None:
    _write(tmp_path, BASE)
    write_codes(tmp_path)
    assert changed_codes(tmp_path) == {}
    _write(tmp_path, {"lifecycle/help.py": HELP.replace("return 1", "return 11")})
    assert changed_codes(tmp_path) == {"build": ["lifecycle.help: helped"]}
    assert said_of(changed_codes(tmp_path)) == "build (lifecycle.help: helped)"


@pytest.mark.parametrize("spoilt", ["", "[]", "{", '{"definitions": {}}', None])
def test_a_note_that_is_spoilt_or_gone_is_a_change(tmp_path: Path, spoilt: str | None) -> None:
    _write(tmp_path, BASE)
    write_codes(tmp_path)
    path = tmp_path / FOLDER / "build.json"
    path.unlink() if spoilt is None else path.write_text(spoilt, encoding="utf-8")
    assert list(changed_codes(tmp_path)) == ["build"]


def test_a_stage_that_went_leaves_no_note(tmp_path: Path) -> None:
    _write(tmp_path, {**BASE, "pipelines/gate.py": MAIN})
    write_codes(tmp_path)
    (tmp_path / "pipelines/gate.py").unlink()
    write_codes(tmp_path)
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["build.json"]


def test_what_is_remembered_hides_no_change(tmp_path: Path) -> None:
    """An edit of the same length, with the old times put back."""
    _write(tmp_path, BASE)
    write_codes(tmp_path)
    first = (tmp_path / FOLDER / "build.json").read_bytes()
    path = tmp_path / "lifecycle/help.py"
    copy = shutil.copy2(path, tmp_path / "aside.py")
    path.write_text(HELP.replace("return 1", "return 3"), encoding="utf-8")
    shutil.copystat(copy, path)
    write_codes(tmp_path)
    assert (tmp_path / FOLDER / "build.json").read_bytes() != first
    path.write_text(HELP, encoding="utf-8")
    write_codes(tmp_path)
    assert (tmp_path / FOLDER / "build.json").read_bytes() == first


@pytest.mark.parametrize("spoilt", ["", "[]", "{", '{"by": 1}'])
def test_a_spoilt_memory_is_forgotten(tmp_path: Path, spoilt: str) -> None:
    _write(tmp_path, BASE)
    write_codes(tmp_path)
    first = (tmp_path / FOLDER / "build.json").read_bytes()
    (tmp_path / "work/code-by-digest.json").write_text(spoilt, encoding="utf-8")
    write_codes(tmp_path)
    assert (tmp_path / FOLDER / "build.json").read_bytes() == first
