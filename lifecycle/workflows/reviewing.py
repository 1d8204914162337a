"""MLflow's user interface, opened at the table of builds."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from lifecycle.errors import UnusableInputError
from lifecycle.tracking.store import tracking_uri
from lifecycle.workflows.boundary import say
from lifecycle.workflows.project import require_root

_VIEW = "workflowType=machine_learning"  # without it a fresh profile opens in another mode


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
    say(f"{shlex.join(command)}\nopen http://127.0.0.1:{port}/#/experiments?{_VIEW}")
    if print_only:
        return 0
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return subprocess.run(command, cwd=place, env={**os.environ, **quiet}, check=False).returncode
