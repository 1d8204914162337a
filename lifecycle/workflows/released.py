"""A released model: loaded only if its release verifies, applied as it was judged.

What a laboratory's service calls. Everything comes from what the release binds: network, recipe and
preprocessing from the build, tau from the signed case. params.yaml and the training data are not
read, so an exported bundle serves as well as the project.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.cohorts import preprocess
from lifecycle.cohorts.tables import open_table
from lifecycle.consistency.calls import call, said
from lifecycle.domain.classifier import Recipe
from lifecycle.domain.cohort import Cohort, Preprocessing
from lifecycle.domain.digests import sha256, tensors_digests
from lifecycle.domain.names import INCONCLUSIVE, fault_of_name
from lifecycle.domain.networks import Plan, network_of, plan_of
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.domain.sheets import sheet
from lifecycle.dossier import builds as kept
from lifecycle.dossier.builds import Build
from lifecycle.dossier.files import read_evidence, write_whole
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.once import reading_once
from lifecycle.dossier.weights import unpacked
from lifecycle.errors import IntegrityError, SignOffRefusedError, UnusableInputError
from lifecycle.numerics.fingerprint import changed_keys, fingerprint
from lifecycle.release.case import Case, evidence_of, kept_case
from lifecycle.release.standing import Release, Standing
from lifecycle.release.subjects import weights_file
from lifecycle.workflows.audited import SIMULATED
from lifecycle.workflows.auditing import Audit, verify
from lifecycle.workflows.boundary import say
from lifecycle.workflows.rehearsing_child import recipe_of

if TYPE_CHECKING:
    from lifecycle.models.network import Network

_AXES = ("row", "column")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which release a result comes from.

    Attributes:
        classifier, version, build: what was released.
        record: SHA-256 of the record that completed the release.
        head: SHA-256 of the chain's newest record when the model was loaded.
        weights: SHA-256 over the tensors.
        verdict: `pass`, or `inconclusive`: overridden by a second person.
        demonstration: of a simulated cohort, never for patients.
    """

    classifier: str
    version: str
    build: int
    record: str
    head: str
    weights: str
    verdict: str
    demonstration: bool


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What a released model says of some cases.

    Attributes:
        ids: of the cases, in the order given.
        calls: class of each case, `inconclusive` below tau. Of a multi-label classifier the classes
            called yes, joined by `|`; `none` where every class is ruled out.
        reportable: whether the case has a call.
        top: score of the highest class, reported or not.
        classes: in the order of the scores.
        scores: (n, C) float64.
        states: (n, C) int8: 1 yes, -1 no, 0 inconclusive.
        filled: missing values of each case that the training mean stands in for.
        provenance: which release.
    """

    ids: tuple[str, ...]
    calls: tuple[str, ...]
    reportable: tuple[bool, ...]
    top: tuple[float, ...]
    classes: tuple[str, ...]
    scores: NDArray[np.float64]
    states: NDArray[np.int8]
    filled: tuple[int, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True, eq=False)
class Released:
    """A released model. Made by `load_released` alone, after its release was verified.

    Attributes:
        provenance: which release.
        classes: in the order of the scores.
        features: what a case must have, in network order.
        cutoffs: tau as it was signed.
        task: `single` or `multi`.
    """

    provenance: Provenance
    classes: tuple[str, ...]
    features: tuple[str, ...]
    cutoffs: Cutoffs
    task: Any
    _fitted: Preprocessing
    _recipe: Recipe
    _model: Network

    def predict(
        self,
        values: NDArray[np.float64],
        ids: Sequence[str],
        features: Sequence[str] | None = None,
        *,
        fill_missing: bool = False,
    ) -> Result:
        """Calls on some cases, at the released tau, in the released arithmetic.

        Args:
            values: (n, p) as measured (beta values, not M-values); NaN is missing.
            ids: one distinct name a case.
            features: name of each column, in any order, more than are needed; those of
                `self.features` where None.
            fill_missing: put the training mean in the place of a missing value.

        Raises:
            UnusableInputError: a feature is absent, a value is missing, infinite or out of range,
                or an id is missing or there twice; names case and feature. Masked or complex
                values and what is no number are refused, not converted.
        """
        cohort = _cases(values, ids, self.features if features is None else features)
        filled = self._missing(cohort, fill_missing)
        return self._result(cohort, filled)

    def predict_file(self, path: Path, *, key: str | None = None, fill: bool = False) -> Result:
        """Calls on a table of cases in rows (CSV, TSV, Parquet, gzip too).

        Args:
            path: the table; columns that are no features of the classifier are left out.
            key: the column of ids, the first one by default.
            fill: as `fill_missing` of `predict`.

        Raises:
            UnusableInputError: names file, row and column.
        """
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UnusableInputError(f"{path} is a pipe or a device; a table file is needed")
        table = open_table(path, path.name)
        key = table.header[0] if key is None else key
        if key in self.features:
            raise UnusableInputError(
                f"{path.name}: column {key!r} is a feature of {self.provenance.classifier} and "
                "cannot name the cases; give the column of ids by --id"
            )
        lacking = [name for name in (key, *self.features) if name not in table.header]
        if lacking:
            raise UnusableInputError(
                f"{path.name} has no column {lacking[0]!r} ({len(lacking)} are missing); "
                f"{self.provenance.classifier} needs samples in rows, one column of ids and one of "
                f"each of its {len(self.features)} features"
            )
        known = {key, *self.features}
        others = [name for name in table.header if name not in known]
        if others:
            say(f"{path.name}: {len(others)} columns are not features (first: {others[0]!r})")
        cells = table.cells([key], list(self.features))
        try:
            return self.predict(cells.values, cells.text[key], fill_missing=fill)
        except UnusableInputError as error:
            raise UnusableInputError(f"{path.name}: {error}") from None

    def _missing(self, cohort: Cohort, fill: bool) -> tuple[int, ...]:
        """How many needed values each case lacks.

        Raises:
            UnusableInputError: any, unless they are to be filled.
        """
        place = {name: i for i, name in enumerate(cohort.features)}
        needed = [place[name] for name in self.features if name in place]
        absent = np.isnan(cohort.values[:, needed])
        if absent.any() and not fill:
            row, column = (int(i) for i in np.argwhere(absent)[0])
            raise UnusableInputError(
                f"row {row + 1}, case {cohort.ids[row]!r}: feature "
                f"{cohort.features[needed[column]]!r} has no value ({int(absent.sum())} such cells)"
                "; measure it, or let the training mean stand in (--fill-missing)"
            )
        if needed and absent.all(axis=1).any():
            row = int(np.flatnonzero(absent.all(axis=1))[0])
            raise UnusableInputError(f"row {row + 1}, case {cohort.ids[row]!r} has no value at all")
        return tuple(int(count) for count in absent.sum(axis=1))

    def _result(self, cohort: Cohort, filled: tuple[int, ...]) -> Result:
        from lifecycle.training.trainer import scores

        x = preprocess.apply(self._fitted, cohort)
        values = scores(self._model, x, self._recipe, self.task)
        found = call(
            Predictions(
                cohort.ids, cohort.patients, cohort.groups, None, self.classes, values, self.task
            ),
            self.cutoffs,
        )
        calls = tuple(said(found, row) for row in range(len(found.ids)))
        return Result(
            ids=cohort.ids,
            calls=calls,
            reportable=tuple(one != INCONCLUSIVE for one in calls),
            top=tuple(values.max(axis=1).tolist()),
            classes=self.classes,
            scores=values,
            states=found.state,
            filled=filled,
            provenance=self.provenance,
        )


def _cases(values: NDArray[np.float64], ids: Sequence[str], features: Sequence[str]) -> Cohort:
    """A cohort of cases that nothing else is known of."""
    values, names = _numbers(values), _names(ids)
    if values.shape != (len(names), len(features)) or not names:
        raise UnusableInputError(
            f"values of shape {values.shape} do not fit {len(names)} cases and "
            f"{len(features)} features"
        )
    count = Counter(names)
    for row, name in enumerate(names, start=1):
        fault = fault_of_name(name) if name else "it has no id"
        if fault is None and count[name] > 1:
            fault = "this id stands twice"
        if fault is not None:
            raise UnusableInputError(f"row {row}, case {name!r}: {fault}; correct it")
    blank = ("",) * len(names)
    return Cohort(names, names, blank, blank, tuple(features), values, "real")


def _numbers(values: Any) -> NDArray[np.float64]:
    """Values as float64, where that changes none of them in kind.

    Raises:
        UnusableInputError: NumPy would drop a mask or an imaginary part, or read text as numbers.
    """
    rows = values if isinstance(values, (list, tuple)) else [values]
    if any(isinstance(one, np.ma.MaskedArray) for one in rows):
        raise UnusableInputError("values are a masked array; put NaN where a value is missing")
    try:
        found = np.asarray(values)
        if found.dtype.kind == "O":
            _require_reals(found)
        elif found.dtype.kind not in "fiub":
            raise UnusableInputError(f"values of type {found.dtype} are not real numbers")
        return found.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise UnusableInputError(f"values are not a table of numbers: {error}") from None


def _require_reals(values: NDArray[Any]) -> None:
    for place, value in np.ndenumerate(values):
        if not isinstance(value, (int, float, np.integer, np.floating)):
            at = "".join(f", {what} {i + 1}" for what, i in zip(_AXES, place, strict=False))
            raise UnusableInputError(f"values{at}: {value!r} is not a number; NaN says missing")


def _names(ids: Sequence[str]) -> tuple[str, ...]:
    """Ids as text: whole numbers may name cases, what stands for nothing may not.

    Raises:
        UnusableInputError: names the row.
    """
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise UnusableInputError("ids are not a sequence; give one id a case")
    given = tuple(ids)
    for row, one in enumerate(given, start=1):
        if isinstance(one, (bool, np.bool_)) or not isinstance(one, (str, int, np.integer)):
            raise UnusableInputError(
                f"row {row}: {one!r} is no id; an id is text or a whole number"
            )
    return tuple(str(one) for one in given)


@reading_once()  # what is loaded is the very bytes that `verify` has held to the signed digests
def load_released(
    name: str,
    root: Path | None = None,
    *,
    demonstration: bool = False,
    trust: str | None = None,
    head: str | None = None,
) -> Released:
    """The newest release of a classifier that was not withdrawn, its whole chain verified first.

    Args:
        name: of the classifier.
        root: the project or an exported bundle; the current folder by default.
        demonstration: accept a release of a SIMULATED cohort, which is never for patients.
        trust: fingerprint of the first roster, known from elsewhere.
        head: digest of the newest record, known from elsewhere: without it, records cut off at the
            end (a withdrawal, say) cannot be noticed.

    Raises:
        IntegrityError: a record, file, pin, verdict or weight differs, or exact arithmetic is
            wrong on this machine.
        SignOffRefusedError: nothing is released: not yet, withdrawn, or a demonstration only.
        UnusableInputError: the release is one that cannot be applied; says why.
    """
    place = Path.cwd() if root is None else root
    audit = verify(place, name, trust=trust, head=head)
    layout = Layout(place, name)
    standing, release = release_in_force(audit, demonstration)
    case = case_of_release(layout, release)
    build = kept.read_build(layout, release.subject.build)
    fitted, recipe = _preprocessing(build), recipe_of({**build.content["recipe"], "stop": "fixed"})
    _require_arithmetic(build, recipe)
    return Released(
        provenance=_provenance(audit, standing, release, build),
        classes=tuple(build.content["classes"]),
        features=fitted.features,
        cutoffs=_cutoffs(layout, case),
        task=build.content["task"],
        _fitted=fitted,
        _recipe=recipe,
        _model=_network(layout, build, recipe, fitted),
    )


def release_in_force(audit: Audit, demonstration: bool) -> tuple[Standing, Release]:
    """The newest release over all versions that stands.

    Raises:
        SignOffRefusedError: there is none; says what there is instead.
    """
    every = [(one, release) for one in audit.standings for release in one.releases]
    standing = [pair for pair in every if pair[1].withdrawn is None]
    allowed = [p for p in standing if demonstration or not p[1].subject.demonstration]
    if allowed:
        return max(allowed, key=lambda pair: pair[1].number)
    if standing:
        said = f"only a {SIMULATED}; `--demonstration` applies it all the same"
    elif every:
        newest = max(every, key=lambda pair: pair[1].number)[1]
        said = f"nothing any more: b{newest.subject.build} was withdrawn"
        reason = newest.withdrawn.record.reason if newest.withdrawn else None
        said += f" ({reason})" if reason else ""
    else:
        parts = [p for one in audit.standings for p in one.partial]
        signed = f"; b{parts[-1].subject.build} is signed in part" if parts else ""
        said = f"nothing{signed}"
    raise SignOffRefusedError(f"{audit.classifier}: released is {said}")


def case_of_release(layout: Layout, release: Release) -> Case:
    """What the verdict on a release rests on; `verify` has held it to its digest."""
    return kept_case(layout, release.subject.case).case


def _cutoffs(layout: Layout, case: Case) -> Cutoffs:
    """Tau in force.

    Raises:
        SignOffRefusedError: there is none, so that nothing could ever be reported.
    """
    cutoffs = evidence_of(layout, case).cutoffs
    if cutoffs is None or cutoffs.status == "refused":
        raise SignOffRefusedError(f"{layout.name} b{case.build}: its tau is refused: no calls")
    return cutoffs


def _preprocessing(build: Build) -> Preprocessing:
    """What was fitted for the build.

    Raises:
        UnusableInputError: builds of its time did not keep it, it is of signals, or this version
            does not know the network.
        IntegrityError: it is not the one that the record names.
    """
    if kept.PREPROCESS not in build.files:
        raise UnusableInputError(
            f"{build.folder} does not keep its preprocessing (it is older than the command "
            "`release predict`), so it cannot be applied; build and release it again"
        )
    if network_of(_plan(build).kind).of_signals:
        raise UnusableInputError(
            f"{build.content['classifier']} classifies ECG records; a release is applied to "
            "tables of features only"
        )
    fitted = preprocess.read(build.folder)
    if fitted.digest != build.content["inputs"]["features"]:
        raise IntegrityError(
            f"{build.folder / kept.PREPROCESS} is not the preprocessing that {kept.RECORD} names"
        )
    return fitted


def _plan(build: Build) -> Plan:
    return plan_of(build.content["terms"]["model"], str(build.folder / kept.RECORD))


def _require_arithmetic(build: Build, recipe: Recipe) -> None:
    """Exact arithmetic is right on this machine, and is the version that was released.

    In other modes the surroundings decide on the last digits: what changed is said.

    Raises:
        IntegrityError: it is not.
    """
    if recipe.numerics.mode != "exact":
        changed = changed_keys(build.content["environment"], fingerprint())
        if changed:
            say(
                f"{build.name} computes in {recipe.numerics.mode} mode and was built in another "
                f"environment, so scores may differ in their last digits: {'; '.join(changed[:3])}"
            )
        return
    from lifecycle.numerics.exact.rounding import ARITHMETIC
    from lifecycle.numerics.modes import threads_of
    from lifecycle.workflows.doctoring import require_exact_arithmetic

    made = build.content["framework"].get("arithmetic")
    if made != ARITHMETIC:
        raise IntegrityError(
            f"{build.name} was released with {made}, and this program computes with {ARITHMETIC}: "
            "the bits may differ; use the program of the release"
        )
    require_exact_arithmetic(threads_of(recipe.numerics))


def _network(layout: Layout, build: Build, recipe: Recipe, fitted: Preprocessing) -> Network:
    from lifecycle.models.build import build_model, load_tensors

    path = weights_file(layout, build)
    data = read_evidence(path, follow=True)
    tensors = unpacked(data) if sha256(data) == build.content["weights"]["file"] else {}
    named = {key: build.content["weights"][key] for key in ("md5", "sha256")}
    if tensors_digests(tensors) != named:
        raise IntegrityError(f"{path} was changed; restore it with `dvc pull`")
    plan, classes = _plan(build), build.content["classes"]
    model = build_model(plan, recipe, len(fitted.features), len(classes))
    load_tensors(model, tensors)
    model.eval()
    return model


def _provenance(audit: Audit, standing: Standing, release: Release, build: Build) -> Provenance:
    made = next(k for k in release.links if k.record.number == release.number)
    return Provenance(
        classifier=audit.classifier,
        version=standing.version,
        build=build.number,
        record=made.digest,
        head=str(audit.head),
        weights=build.weights,
        verdict=release.subject.verdict,
        demonstration=release.subject.demonstration,
    )


def predict_table(model: Released, path: Path, out: Path, key: str | None, fill: bool) -> str:
    """Apply a released model to a table and write the calls; a sentence on what came out.

    Raises:
        UnusableInputError: the table cannot be used, or `out` exists already.
    """
    require_new(out)
    result = model.predict_file(path, key=key, fill=fill)
    write_whole(out, to_csv(result).encode("utf-8"))
    count = sum(result.reportable)
    return (
        f"{out}: {len(result.ids)} cases, {count} with a call, "
        f"{len(result.ids) - count} inconclusive"
    )


def require_new(out: Path) -> None:
    """Results are never written over.

    Raises:
        UnusableInputError: there is such a file already.
    """
    if out.exists():
        raise UnusableInputError(f"{out} exists already; name another file for the results")


def to_csv(result: Result) -> str:
    """A result as CSV for people and their spreadsheets."""
    head = ["id", "call", "reportable", "score", *(f"score:{name}" for name in result.classes)]
    about = result.provenance
    origin: dict[str, object] = {
        "filled": "",
        "classifier": about.classifier,
        "version": about.version,
        "build": f"b{about.build}",
        "record": about.record,
        "verdict": "passed" if about.verdict == "pass" else "WARNED: inconclusive, overridden",
        "mark": SIMULATED if about.demonstration else "",
    }
    rows: list[list[object]] = [[*head, *origin]]
    for row, case in enumerate(result.ids):
        names = [case, result.calls[row], "yes" if result.reportable[row] else "no"]
        numbers = [result.top[row], *result.scores[row].tolist()]
        rows.append([*names, *numbers, *(origin | {"filled": result.filled[row]}).values()])
    return sheet(rows)
