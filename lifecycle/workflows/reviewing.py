"""MLflow's user interface, opened at the table of builds."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path

from lifecycle.errors import UnusableInputError, UsageError
from lifecycle.params.reader import load
from lifecycle.system.stopping import stopped_like_interrupt
from lifecycle.tracking.server import HOST, require_free, running_server, server_command
from lifecycle.tracking.store import addresses, list_address, strayed, tracking_uri
from lifecycle.workflows.boundary import say
from lifecycle.workflows.project import require_root


def serve(
    name: str | None,
    port: int,
    print_only: bool,
    show: bool | None,
    root: Path | None = None,
) -> int:
    """Serve the project's tracking store on this machine until interrupted.

    Args:
        name: classifier whose builds are opened; None for the only one, or the list of all.
        port: to listen on.
        print_only: say the command and the addresses, start nothing.
        show: open the browser; None: where there is a desktop and a person at the terminal.
        root: the project's root, None for the current folder.

    Raises:
        UnusableInputError: nothing is tracked yet, or the server cannot start.
        UsageError: there is no such classifier.
    """
    place = require_root(root)
    _require_known(place, name)
    uri = tracking_uri(place)
    wanted = desktop() if show is None else show
    if not uri.startswith("sqlite:"):
        return _name_server(place, uri, name, wanted and not print_only)
    if not Path(uri.removeprefix("sqlite:///")).exists():
        raise UnusableInputError("there is no mlflow.db yet; `lifecycle rebuild` makes it")
    if not print_only:
        require_free(port)
    found = _chosen(addresses(place, f"http://{HOST}:{port}"), name)
    _say_strayed(place)
    if print_only:
        say(shlex.join(server_command(uri, port)))
        _say_addresses(found)
        return 0
    return _serve(place, uri, port, found, wanted)


def _name_server(root: Path, uri: str, name: str | None, show: bool) -> int:
    """A server that others started: there is nothing to start, only to open."""
    found = _chosen(addresses(root, uri), name)
    say(f"the builds are tracked by the server {uri}")
    _say_addresses(found)
    _open(found, uri, show)
    return 0


def _say_strayed(root: Path) -> None:
    for name, place in strayed(root).items():
        say(
            f"{name}: its artifacts lie in {place}, not in this project: it was moved or copied, "
            "and MLflow goes on reading and writing there"
        )


def _require_known(root: Path, name: str | None) -> None:
    if name is None:
        return
    known = load(root)
    if name not in known:
        raise UsageError(f"there is no classifier {name!r}; params.yaml has {', '.join(known)}")


def _chosen(found: Mapping[str, str], name: str | None) -> dict[str, str]:
    if name is None:
        return dict(found)
    if name not in found:
        raise UnusableInputError(
            f"no build of {name} is tracked yet; `lifecycle rebuild {name}` makes one"
        )
    return {name: found[name]}


def _say_addresses(found: Mapping[str, str]) -> None:
    for name, address in found.items():
        say(f"{name}: open {address}")


def _serve(root: Path, uri: str, port: int, found: Mapping[str, str], show: bool) -> int:
    say("MLflow is starting…")
    try:
        with (
            # a closed terminal too: no server is left behind
            stopped_like_interrupt(signal.SIGTERM, signal.SIGHUP),
            running_server(root, uri, port) as server,
        ):
            _say_addresses(found)
            say(f"MLflow serves {server.address} for this machine alone; Ctrl-C ends it")
            _open(found, server.address, show)
            raise UnusableInputError(f"MLflow's server ended by itself, with {server.wait()}")
    except KeyboardInterrupt:
        say("MLflow has ended")
        return 0


def _open(found: Mapping[str, str], server: str, show: bool) -> None:
    """The view of the classifier that was named, or of the only one; else the list of all."""
    if show:
        webbrowser.open(next(iter(found.values())) if len(found) == 1 else list_address(server))


def desktop() -> bool:
    """Whether a person at a desktop is here to see a browser."""
    screen = any(os.environ.get(key) for key in ("DISPLAY", "WAYLAND_DISPLAY"))
    return sys.stderr.isatty() and (screen or sys.platform == "darwin")
