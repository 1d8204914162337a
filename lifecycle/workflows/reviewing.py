"""MLflow's user interface, opened at the table of builds."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from lifecycle.errors import UnusableInputError
from lifecycle.tracking.store import addresses, tracking_uri
from lifecycle.workflows.boundary import say
from lifecycle.workflows.project import require_root


def serve(port: int, print_only: bool, root: Path | None = None) -> int:
    """Serve the project's tracking store on this machine until interrupted."""
    place = require_root(root)
    uri = tracking_uri(place)
    if uri.startswith("sqlite:") and not Path(uri.removeprefix("sqlite:///")).exists():
        raise UnusableInputError("there is no mlflow.db yet; `lifecycle rebuild` makes it")
    if not uri.startswith("sqlite:"):
        say(f"the builds are tracked by the server {uri}; open its own address: {uri}")
        return 0
    command = [
        "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", uri,
    ]  # fmt: skip
    say(shlex.join(command))
    for name, address in addresses(place, f"http://127.0.0.1:{port}").items():
        say(f"{name}: open {address}")
    if print_only:
        return 0
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    os.chdir(place)
    os.execvpe(command[0], command, {**os.environ, **quiet})  # noqa: S606  # fixed arguments
