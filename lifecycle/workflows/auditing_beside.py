"""What stands beside a chain and no record names: it must be whole, and must not gainsay a case.

Attempts, rehearsals, kept verdicts, tau, builds that nobody signed, and DVC's pointers to signed
weights. What is not there is not asked for: a signed case has said already what was drawn from it,
and an exported bundle leaves it out. `current.json` and `metrics.json` are the pipeline's own
notes, not evidence: `dvc status` watches over them, and so does every sign-off.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lifecycle.consistency.tau import choose
from lifecycle.domain.digests import sha256
from lifecycle.domain.verdict import Verdict
from lifecycle.dossier import builds as kept
from lifecycle.dossier import rehearsals
from lifecycle.dossier.attempts import read_attempts
from lifecycle.dossier.files import evidence_digests, read_evidence, read_record
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.pipeline import follows, read_threshold
from lifecycle.errors import IntegrityError
from lifecycle.gate import judge as judging
from lifecycle.records.release import BUNDLE
from lifecycle.release.case import Case, Judged
from lifecycle.release.chain import Chain

BUNDLE_FILE = "bundle.json"  # in the root of an exported bundle, and nowhere else
_NUMBERED = re.compile(r"b([1-9][0-9]*)")
# As DVC writes it; a name that is long stands in a line of its own.
_POINTER = re.compile(
    r"outs:\n- md5: (?P<md5>[0-9a-f]{32})\n  size: (?P<size>[0-9]+)\n  hash: md5\n"
    r"  path:(?: |\s?\n    )(?P<name>[^\s]+)\n"
)


def verify_beside(
    layout: Layout, judged: Sequence[Judged], weights: Sequence[Path], chain: Chain
) -> int:
    """Check everything that stands beside the chain.

    Args:
        layout: the classifier's folders.
        judged: all signed cases with their verdicts.
        weights: weights files that records name.
        chain: verified.

    Returns:
        How many files were checked.

    Raises:
        IntegrityError: names the file.
    """
    cases = [one.case for one in judged]
    return (
        _each(layout.builds, "", lambda number: kept.read_build(layout, number))
        + _each(layout.verdicts, ".json", lambda number: _verify_verdict(layout, number, judged))
        + _each(
            rehearsals.folder(layout), ".json", lambda number: rehearsals.read_runs(layout, number)
        )
        + _verify_attempts(layout, cases)
        + _verify_threshold(layout, cases)
        + sum(_verify_pointer(path) for path in weights)
        + _verify_bundle(layout, chain)
    )


def _each(folder: Path, suffix: str, check: Callable[[int], object]) -> int:
    """Check what stands under every bN of a folder."""
    numbers = [number for path in _visible(folder) if (number := _number(path, suffix))]
    for number in numbers:
        check(number)
    return len(numbers)


def _visible(folder: Path) -> Iterator[Path]:
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return (path for path in paths if not path.name.startswith("."))


def _number(path: Path, suffix: str) -> int:
    """N of bN.

    Raises:
        IntegrityError: something else stands there.
    """
    match = _NUMBERED.fullmatch(path.name.removesuffix(suffix))
    if match is None or not path.name.endswith(suffix):
        raise IntegrityError(f"{path} does not belong here; take it away, or restore from git")
    return int(match[1])


def _verify_verdict(layout: Layout, number: int, judged: Sequence[Judged]) -> None:
    """A kept verdict is of a build, whole, and draws from its figures what was drawn and signed."""
    path = layout.verdicts / f"b{number}.json"
    if not layout.build(number).is_dir():
        raise IntegrityError(f"{path}: there is no build b{number}; remove it or restore from git")
    weights = kept.read_build(layout, number).weights
    verdict = judging.from_record(read_record(path), str(path), number, layout.name, weights)
    for one in judged:
        same = one.case.build == number and _figures(one.verdict) == _figures(verdict)
        if same and one.verdict.findings != verdict.findings:
            raise IntegrityError(f"{path}: field findings: not what was signed of these figures")


def _figures(verdict: Verdict) -> tuple[object, ...]:
    """What a verdict is drawn from: the policy, and figure, limit and bound of each criterion."""
    findings = ((f.criterion, f.figure, f.limit, f.bound) for f in verdict.findings)
    return (verdict.policy, verdict.basis, *findings)


def _verify_attempts(layout: Layout, cases: Sequence[Case]) -> int:
    """The k that a signed case was judged at is the one that was counted."""
    attempts = read_attempts(layout)
    counted = {(one.version, one.weights): one.k for one in attempts}
    for case in cases if attempts else ():
        build = kept.read_build(layout, case.build)
        if counted.get((case.version, build.weights)) != case.attempt:
            raise IntegrityError(
                f"{layout.attempts}: b{case.build} was signed as attempt {case.attempt}, and no "
                "file here says so; restore the folder from git"
            )
    return len(attempts)


def _verify_threshold(layout: Layout, cases: Sequence[Case]) -> int:
    """The kept tau of a version that was signed is the one that follows from its first build."""
    path = layout.threshold
    if not path.exists():
        return 0
    entry = read_threshold(layout)
    version = entry.version
    known = {case.version: case for case in cases}
    if version not in known:
        # a version that nobody has signed yet may stand there, but only if it was built
        if not any(build.version == version for build in kept.builds_here(layout)):
            raise IntegrityError(f"{path} was changed: no build is of version {version!r}")
        return 1
    case = known[version]
    first = kept.read_build(layout, case.first)
    cutoffs = choose(kept.holdout_predictions(first), case.tau)
    if not follows(entry, version, first.name, cutoffs):
        raise IntegrityError(
            f"{path} was changed: tau does not follow from the holdout of {first.name}; restore it "
            "from git"
        )
    return 1


def _verify_bundle(layout: Layout, chain: Chain) -> int:
    """What an exported bundle holds beside the signed files is what was exported."""
    path = layout.root / BUNDLE_FILE
    if not os.path.lexists(path):
        return 0
    bundle = BUNDLE.model(read_record(path), str(path))
    facts = {
        "classifier": (bundle.classifier, layout.name),
        "head": (bundle.head, chain.head),
        "fingerprint": (bundle.fingerprint, chain.rosters[0].digest),
    }
    for field, (said, there) in facts.items():
        if said != there:
            raise IntegrityError(
                f"{path}: field {field}: {said}, and here it is {there}: records were cut off or "
                "added since the export; unpack the bundle anew"
            )
    for name, digest in sorted(bundle.files.items()):
        place = layout.root / name
        if sha256(read_evidence(place)) != digest:
            raise IntegrityError(f"{place} was changed since the export: unpack the bundle anew")
    return len(bundle.files)


def _verify_pointer(path: Path) -> int:
    """DVC brings the file that was signed.

    Raises:
        IntegrityError: it would bring another one.
    """
    pointer = path.with_name(f"{path.name}.dvc")
    if not pointer.exists():
        return 0
    match = _POINTER.fullmatch(read_evidence(pointer).decode("utf-8", "replace"))
    if match is None or match["name"] != path.name or not _points_at(match, path):
        raise IntegrityError(f"{pointer} was changed; restore it from git")
    return 1


def _points_at(match: re.Match[str], path: Path) -> bool:
    if not path.exists():  # an audit without weights
        return True
    # MD5 is DVC's own digest, not a protection: the record has the file's SHA-256
    found = evidence_digests(path, follow=True)
    return (match["md5"], int(match["size"])) == (found.md5, found.size)
