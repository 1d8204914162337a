"""Formats of a build: its record, its volatile facts, its predictions, preprocessing and trace."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import MinLen

from lifecycle.records.format import Format, Value, same
from lifecycle.records.settings import (
    FrozenRecord,
    PreprocessRecord,
    RecipeRecord,
    SearchRecord,
    SplitRecord,
    TauRecord,
)
from lifecycle.records.types import (
    Count,
    Digest,
    Facts,
    Md5,
    Moment,
    Name,
    Number,
    OnlyWhole,
    Part,
    Record,
    Size,
    Text,
)

Groups = Annotated[dict[str, dict[str, str]], MinLen(1)]  # group -> key -> value
Names = Annotated[list[Name], MinLen(2)]
TaskName = Literal["single", "multi"]


class Terms(Part):
    """What a rebuild keeps, as params.yaml stated it. `model` is the network's own to read."""

    task: TaskName
    classes: Names
    split: SplitRecord
    preprocess: PreprocessRecord
    model: Facts
    recipe: RecipeRecord
    search: SearchRecord
    tau: TauRecord
    frozen: FrozenRecord


class PinName(Part):
    """Which pin of the frozen set."""

    number: Number
    total: Digest


class Inputs(Part):
    """Digests of what went in."""

    sources: Digest
    cohort: Digest
    parts: Digest
    features: Digest
    pin: PinName


class Training(Part):
    """The kept epoch."""

    epoch: Number
    loss: float
    holdout_loss: float
    holdout_error: Size


class Weights(Part):
    """Digests over the tensors (`md5`, `sha256`), and SHA-256 of the file."""

    md5: Md5
    sha256: Digest
    file: Digest


class Scores(Part):
    """Digests of the scores."""

    frozen: Digest
    holdout: Digest


class Content(Part):
    """What makes a build what it is; its digest makes its number."""

    classifier: Name
    version: Name
    task: TaskName
    classes: Names
    origin: Literal["real", "simulated"]
    terms: Terms
    environment: Groups
    framework: Annotated[dict[str, str], MinLen(1)]
    inputs: Inputs
    recipe: RecipeRecord
    training: Training
    weights: Weights
    predictions: Scores


class BuildV1(Part):
    """Version 1, of lifecycle 0.1.0."""

    number: Number
    content: Content
    files: dict[str, Digest]


class BuildV2(BuildV1, Record):
    """Version 2: with the program."""


class RunV1(Part):
    """Version 1, of lifecycle 0.1.0."""

    run: str
    commit: str
    clean: bool | None
    built: Moment
    policy: Digest
    by: Text


class RunV2(RunV1, Record):
    """Version 2: with schema and program."""


class RunV3(RunV2):
    """Version 3: with the digest of the code that trained it, null where nobody kept it."""

    code: Digest | None


class PredictionsV1(Part):
    """Version 1, of lifecycle 0.1.0: `format: 1`."""

    format: Annotated[Literal[1], OnlyWhole]
    task: TaskName
    classes: Annotated[list[str], MinLen(2)]


class PredictionsV2(Record):
    """Version 2: with schema and program."""

    task: TaskName
    classes: Annotated[list[str], MinLen(2)]


class PreprocessingV1(Part):
    """Version 1, of lifecycle 0.1.0: `format: lifecycle-preprocessing/1`. Floats are in hex."""

    format: Literal["lifecycle-preprocessing/1"]
    convention: Literal["m-value", "standardised", "none"]
    epsilon: Text
    mean: list[str]
    sd: list[str]
    digest: Digest


class PreprocessingV2(Record):
    """Version 2: with schema and program."""

    convention: Literal["m-value", "standardised", "none"]
    epsilon: Text
    mean: list[str]
    sd: list[str]
    digest: Digest


class TraceV1(Part):
    """Version 1, of lifecycle 0.1.0."""

    input: Digest
    steps: Number
    weights: Annotated[list[Digest], MinLen(1)]


class TraceV2(TraceV1, Record):
    """Version 2: with the program."""


class CurrentV1(Part):
    """Version 1, of lifecycle 0.1.0."""

    build: Number
    version: Name


class CurrentV2(CurrentV1, Record):
    """Version 2: with schema and program."""


class AttemptV1(Part):
    """Version 1, of lifecycle 0.1.0."""

    weights: Digest
    version: Name
    k: Count


class AttemptV2(AttemptV1, Record):
    """Version 2: with the program."""


class AttemptV3(AttemptV2):
    """Version 3: with the policy that was in force, null in an older one, which did not keep it."""

    policy: Digest | None


def _attempt_of_v2(fields: Value) -> Value:
    return {**fields, "policy": None}


def _run_of_v2(fields: Value) -> Value:
    return {**fields, "code": None}


BUILD = Format("build", (BuildV1, BuildV2), BuildV2, (same,), digested=1)
RUN = Format("run", (RunV1, RunV2, RunV3), RunV3, (same, _run_of_v2), unmarked=True)
ATTEMPT = Format(
    "attempt",
    (AttemptV1, AttemptV2, AttemptV3),
    AttemptV3,
    (same, _attempt_of_v2),
    digested=1,
)
TRACE = Format("trace", (TraceV1, TraceV2), TraceV2, (same,))
CURRENT = Format(
    "current",
    (CurrentV1, CurrentV2),
    CurrentV2,
    (same,),
    unmarked=True,
    digested=2,
    cure="run `dvc repro`",
)
PREDICTIONS = Format(
    "predictions",
    (PredictionsV1, PredictionsV2),
    PredictionsV2,
    (lambda fields: {k: v for k, v in fields.items() if k != "format"},),
    unmarked=True,
    mark=("format", 1),
)
PREPROCESSING = Format(
    "preprocessing",
    (PreprocessingV1, PreprocessingV2),
    PreprocessingV2,
    (lambda fields: {k: v for k, v in fields.items() if k != "format"},),
    unmarked=True,
    mark=("format", "lifecycle-preprocessing/1"),
    cure="restore it from git, or run `dvc repro`",
)
