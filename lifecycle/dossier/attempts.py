"""Attempts: every weight digest that was judged on the frozen set, recorded before it is scored.

Rebuilding until it passes is a test repeated, so attempt k is tested at alpha / 2^k (design:
consistency and gate). A bit-identical rebuild and a crash before prediction are no attempt.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lifecycle.dossier.files import read_record, write_json
from lifecycle.dossier.layout import Layout
from lifecycle.errors import IntegrityError
from lifecycle.records.builds import ATTEMPT


@dataclass(frozen=True, slots=True)
class Attempt:
    """One judged network.

    Attributes:
        weights: SHA-256 over parameters and buffers.
        version: version of the classifier.
        k: 0 for a version's first build (it uses no alpha), then 1, 2, …
        policy: digest of the policy that was in force; None where an older program kept none.
    """

    weights: str
    version: str
    k: int
    policy: str | None


def read_attempts(layout: Layout) -> tuple[Attempt, ...]:
    """All attempts.

    Raises:
        IntegrityError: one was changed, or lies under another digest's name.
    """
    if not layout.attempts.exists():
        return ()
    paths = sorted(p for p in layout.attempts.iterdir() if not p.name.startswith("."))
    return tuple(_read(path) for path in paths)


def _read(path: Path) -> Attempt:
    entry = ATTEMPT.model(read_record(path), str(path))
    if path.name != name_of(entry.version, entry.weights):
        raise IntegrityError(f"{path} was changed; restore it from git")
    return Attempt(entry.weights, entry.version, entry.k, entry.policy)


def record_attempt(
    layout: Layout,
    version: str,
    weights: str,
    judged: tuple[str, ...],
    settled: Collection[str] = (),
    *,
    policy: str,
) -> Attempt:
    """Record that a network is about to be judged; a known network keeps its k.

    Args:
        layout: the classifier's folders.
        version: version of the classifier.
        weights: SHA-256 over parameters and buffers.
        judged: weight digests of the version's builds so far, the first build first.
        settled: those of the builds up to the newest release: a release begins the count anew.
        policy: digest of the policy in force.

    Raises:
        IntegrityError: the attempt of an enrolled build is missing; nothing is written, because
            recording it anew would give it an easier level.
    """
    attempts = [a for a in read_attempts(layout) if a.version == version]
    require_attempts(layout, version, attempts, judged)
    known = next((a for a in attempts if a.weights == weights), None)
    if known is not None:
        return known
    is_first = not judged or judged[0] == weights
    # counted, not the highest k plus one: two branches may each have made an attempt 1
    k = 0 if is_first else sum(a.k > 0 and a.weights not in settled for a in attempts) + 1
    attempt = Attempt(weights, version, k, policy)
    path = layout.attempts / name_of(version, weights)
    write_json(path, ATTEMPT.write(asdict(attempt), str(path)))
    return attempt


def require_attempts(
    layout: Layout, version: str, attempts: Sequence[Attempt], judged: Sequence[str]
) -> None:
    """Every enrolled network was an attempt, and none was counted higher than there are.

    Raises:
        IntegrityError: names the folder and the cure.
    """
    there = {a.weights for a in attempts}
    missing = [weights for weights in judged if weights not in there]
    counted = [a.k for a in attempts if a.k > 0]
    if missing or max(counted, default=0) > len(counted):
        what = f"the weights {missing[0][:12]}…" if missing else f"attempt {max(counted) - 1}"
        raise IntegrityError(
            f"{layout.attempts}: version {version}: no attempt is recorded for {what}; restore the "
            "whole folder from git"
        )


def file_of(attempt: Attempt) -> str:
    """The name of an attempt's file."""
    return name_of(attempt.version, attempt.weights)


def name_of(version: str, weights: str) -> str:
    """The name of the file of a version's attempt with these weights."""
    return f"{version}-{weights[:32]}.json"
