"""A page as PDF, by a headless Chromium: tagged, its colours kept, the same bytes every time."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from lifecycle.records.types import time_of

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NAMED = "LIFECYCLE_BROWSER"  # the environment's word for another one; "none" for no printing
WAIT = 120.0  # seconds; printing takes 2 to 3
_PART = re.compile(rb"node[0-9]{8}")
_MOMENT = re.compile(rb"(/(?:CreationDate|ModDate) \(D:)\d{14}[+-]\d\d'\d\d'\)")


def print_page(page: Path, target: Path, at: str) -> str | None:
    """Print an HTML file.

    Args:
        page: self-contained HTML.
        target: the PDF to write.
        at: the moment that the PDF names as its creation, as records write it.

    Returns:
        None, or why there is no PDF.
    """
    wanted = os.environ.get(NAMED, "")
    if wanted == "none":
        return f"{NAMED} is none"
    names = (wanted,) if wanted else BROWSERS
    browser = next((found for name in names if (found := shutil.which(name))), None)
    if browser is None:
        return (
            f"{NAMED} names no program here: {wanted}"
            if wanted
            else "no Chromium is installed here"
        )
    with tempfile.TemporaryDirectory(prefix="lifecycle-print-") as profile:
        made = Path(profile) / "page.pdf"
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu",
            "--disable-background-networking", f"--user-data-dir={profile}/profile",
            "--no-pdf-header-footer", f"--print-to-pdf={made}", page.resolve().as_uri(),
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, timeout=WAIT, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return "Chromium did not answer"
        if done.returncode != 0 or not made.is_file():
            return f"Chromium ended with {done.returncode}"
        target.write_bytes(_timeless(made.read_bytes(), at))
    return None


def _timeless(data: bytes, at: str) -> bytes:
    """The moment of printing replaced by another; nothing moves, so offsets in the file hold."""
    moment = time_of(at)
    digits, zone = moment.strftime("%Y%m%d%H%M%S").encode(), moment.strftime("%z")
    offset = f"{zone[:3]}'{zone[3:5]}'".encode()
    return _numbered(_MOMENT.sub(lambda found: found[1] + digits + offset + b")", data))


def _numbered(data: bytes) -> bytes:
    """Chromium's counts of a page's parts differ by load; their order, which is kept, does not."""
    ranks = {name: k for k, name in enumerate(sorted(set(_PART.findall(data))))}
    return _PART.sub(lambda found: b"node%08d" % ranks[found[0]], data)
