"""Processor, memory, disk and network while a build runs, as MLflow's system metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import Event
from typing import Any

_FIRST, _GROWTH, _LAST = 0.5, 1.5, 30.0  # seconds between two samples: first, factor, at most
_PRIMED = 0.1  # seconds before the first sample, over which the processor's load is taken


@contextmanager
def system_metrics(run_id: str) -> Iterator[None]:
    """Sample this machine until the block ends; without psutil nothing is sampled.

    A build of seconds has some points, and one of a night not many thousands: each sample waits
    half as long again as the one before it, up to 30 s.
    """
    monitor = _monitor(run_id)
    if monitor is None:
        yield
        return
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def _monitor(run_id: str) -> Any:
    try:
        psutil = import_module("psutil")  # MLflow samples with it, and does not require it
    except ImportError:
        return None
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    class Slowing(SystemMetricsMonitor):  # type: ignore[misc]  # MLflow ships no types
        sampling_interval: float
        _logging_step: int
        _shutdown_event: Event

        def monitor(self) -> None:
            psutil.cpu_percent()  # the first answer in a thread is always 0
            self._shutdown_event.wait(_PRIMED)
            super().monitor()

        def publish_metrics(self, metrics: dict[str, float]) -> None:
            # MLflow ties what a run measures at step 0 to the model that is logged at step 0
            self._logging_step = max(self._logging_step, 1)
            super().publish_metrics(metrics)
            self.sampling_interval = min(self.sampling_interval * _GROWTH, _LAST)

    return Slowing(run_id, sampling_interval=_FIRST)
