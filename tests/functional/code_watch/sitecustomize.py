"""Notes every function of ours that this process runs, once modules are imported.

Python imports this first wherever the folder is on PYTHONPATH, in child processes too. A line for
each function: its file, its first line, and the names of its module and of those globals that it
loads, where they are functions or classes of ours or belong to its own module.
"""

import dis
import json
import os
import sys
import threading
from pathlib import Path

_ROOT = os.environ["CODE_WATCH_ROOT"] + os.sep
_OURS = tuple(f"{_ROOT}{name}{os.sep}" for name in ("lifecycle", "pipelines"))
_seen = set()
_FUNCTION = 1  # CO_OPTIMIZED: not the body of a module or class


def _opened():
    return (Path(os.environ["CODE_WATCH"]) / f"{os.getpid()}.jsonl").open("a")


_out = _opened()


def _importing(frame):
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if frame.f_code.co_name == "<module>" and name.startswith(("lifecycle.", "pipelines.")):
            return True
        frame = frame.f_back
    return False


def _loaded(frame):
    for step in dis.get_instructions(frame.f_code):
        if step.opname == "LOAD_GLOBAL" and step.argval in frame.f_globals:
            value = frame.f_globals[step.argval]
            module = getattr(value, "__module__", None) or ""
            name = getattr(value, "__qualname__", None)
            if isinstance(module, str) and isinstance(name, str):
                yield [module, name.split(".")[0]]
            else:
                yield [frame.f_globals.get("__name__", ""), step.argval]


def _watch(frame, event, argument):
    code = frame.f_code
    if event != "call" or code in _seen:
        return
    if not code.co_filename.startswith(_OURS):
        _seen.add(code)
        return
    if not code.co_flags & _FUNCTION:
        _seen.add(code)
        return
    if _importing(frame):
        return
    _seen.add(code)
    line = [code.co_filename[len(_ROOT) :], code.co_firstlineno, list(_loaded(frame))]
    _out.write(json.dumps(line) + "\n")
    _out.flush()


def _again_in_a_fork():
    global _out  # noqa: PLW0603
    _out = _opened()


os.register_at_fork(after_in_child=_again_in_a_fork)
threading.setprofile(_watch)
sys.setprofile(_watch)
