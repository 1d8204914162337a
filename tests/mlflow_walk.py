"""A reviewer's way through MLflow's pages in a headless Chromium, with a picture of each."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from support import environment

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
# MLflow opens an assistant over its pages in a fresh profile.
_QUIET = (
    "localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');"
    "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');"
)
# The folder of the project stands on pages of artifacts; a picture is for any reader.
_ANONYMOUS = """folder => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.nodeValue;
    if (text.includes(folder)) walk.currentNode.nodeValue = text.replaceAll(folder, '…');
  }
}"""
WAIT = 60_000  # milliseconds for something to be seen
_MODE = "workflowType=machine_learning"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def user_interface(root: Path, *words: str, folder: Path) -> Iterator[tuple[str, str]]:
    """`lifecycle ui` in a project: the server's address and what the command has said."""
    port, said = free_port(), folder / "ui.txt"
    command = ["lifecycle", "ui", *words, "--port", str(port), "--no-open"]
    with said.open("wb") as sink:
        process = subprocess.Popen(command, cwd=root, env=environment(), stdout=sink, stderr=sink)
        try:
            deadline = time.monotonic() + 90
            while b"Ctrl-C ends it" not in said.read_bytes():
                assert process.poll() is None and time.monotonic() < deadline, said.read_text()
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}", said.read_text()
        finally:
            process.send_signal(signal.SIGINT)
            try:
                code = process.wait(timeout=120)
            finally:
                process.kill()
    assert code == 0, said.read_text()


@contextmanager
def browser() -> Iterator[Any]:
    """A page of a headless Chromium with a fresh profile, at a laptop's size."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=list(ARGUMENTS), timeout=60_000
        )
        context = chromium.new_context(viewport={"width": 1440, "height": 900})
        context.add_init_script(_QUIET)
        context.set_default_timeout(WAIT)
        try:
            yield context.new_page()
        finally:
            chromium.close()


class Walk:
    """Pages of one experiment; every method opens one and waits until it shows what it is for."""

    def __init__(self, page: Any, server: str, name: str, pictures: Path, root: Path) -> None:
        """Where to walk.

        Args:
            page: of the browser.
            server: its address.
            name: of the classifier.
            pictures: folder for them.
            root: of the project, whose place is left out of the pictures.
        """
        self.page, self.server, self.name, self.pictures = page, server, name, pictures
        self.root = root
        self.foreign: list[str] = []
        page.on("request", self._note)
        found = self._ask("experiments/get-by-name", experiment_name=name)["experiment"]
        self.experiment = found["experiment_id"]
        runs = self._post("runs/search", experiment_ids=[self.experiment], max_results=100)["runs"]
        tagged = {_tags(run).get("build"): run for run in runs}
        self.runs = {build: run["info"]["run_id"] for build, run in tagged.items() if build}
        outputs = {build: run.get("outputs", {}) for build, run in tagged.items() if build}
        self.models = {
            build: one["model_outputs"][0]["model_id"] for build, one in outputs.items() if one
        }

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.server, "data:", "blob:", "about:")):
            self.foreign.append(request.url)

    def _ask(self, path: str, **query: str) -> Any:
        return requests.get(f"{self.server}/api/2.0/mlflow/{path}", params=query, timeout=20).json()

    def _post(self, path: str, **body: Any) -> Any:
        place = f"{self.server}/api/2.0/mlflow/{path}"
        return requests.post(place, json=body, timeout=20).json()

    def open(self, address: str) -> None:
        """Go there; a changed hash alone would keep the old artifact on the page."""
        self.page.goto("about:blank")
        self.page.goto(address if "://" in address else f"{self.server}/#/{address}")

    def see(self, text: str | re.Pattern[str], inside: Any = None) -> None:
        """Wait until a text is visible."""
        place = self.page if inside is None else inside
        place.get_by_text(text).filter(visible=True).first.wait_for(state="visible")

    def picture(self, name: str) -> None:
        """Keep what is seen now."""
        self.page.evaluate(_ANONYMOUS, str(self.root))
        self.pictures.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self.pictures / f"{name}.png")

    def table(self, address: str) -> None:
        """The table of builds, at the address that `lifecycle ui` says."""
        self.open(address)
        for build in self.runs:
            self.see(re.compile(rf"^{re.escape(self.name)} \S+ {build}$"))

    def run(self, build: str, tab: str = "") -> None:
        """The page of a build's run, or one of its tabs (`model-metrics`, `system-metrics`)."""
        self.open(
            f"experiments/{self.experiment}/runs/{self.runs[build]}{tab and '/' + tab}?{_MODE}"
        )
        self.see(re.compile(rf"^{re.escape(self.name)} \S+ {build}$"))

    def artifact(self, build: str, path: str) -> None:
        """An artifact of a build's run."""
        self.run(build, f"artifacts/{path}")
        self.see(path)

    def search(self, text: str) -> None:
        """Only the charts with this in their name; those below the page's end are not drawn."""
        self.page.get_by_placeholder("Search metric charts").fill(text)
        self.page.locator(".js-plotly-plot .main-svg").first.wait_for(state="visible")

    def compare(self, *builds: str) -> None:
        """Builds beside each other."""
        runs = quote(json.dumps([self.runs[build] for build in builds]))
        self.open(
            f"compare-runs?runs={runs}&experiments={quote(json.dumps([self.experiment]))}&{_MODE}"
        )
        self.see(f"Comparing {len(builds)} Runs")

    def charts(self, address: str, mode: str = "CHART") -> None:
        """The table's chart mode, or its artifact mode."""
        self.open(f"{address}&compareRunsMode={mode}")
        self.see(re.compile(rf"^{re.escape(self.name)} "))

    def model(self, build: str) -> None:
        """The logged model of a build."""
        self.open(f"experiments/{self.experiment}/models/{self.models[build]}?{_MODE}")
        self.see("About this logged model")

    def registered(self, version: str = "") -> None:
        """The registered model, or one of its versions."""
        self.open(f"models/{self.name}{version and '/versions/' + version}?{_MODE}")
        self.see(self.name)


def _tags(run: Any) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["data"].get("tags", [])}
