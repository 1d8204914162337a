"""What the report's tests share."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from unit.report import inputs


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The builders above, for tests."""
    return SimpleNamespace(
        rebuild=inputs.rebuild,
        first_build=inputs.first_build,
        verdict=inputs.verdict,
        content=inputs.CONTENT,
        findings=inputs.FINDINGS,
        predictions=inputs.predictions,
    )
