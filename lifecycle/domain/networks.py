"""Every kind of network: its settings, what builds it, and what it can learn from.

`NETWORKS` is the one table of them; whoever asks what a kind is or can do asks it. A further
network is its settings here, a class in `lifecycle.models` and an entry of the table
(docs/how-to/add-a-network.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_type_hints

from annotated_types import Ge, MinLen

from lifecycle.domain.limits import STRICT, Dropout, Measures, NotNegative, Size
from lifecycle.errors import UnusableInputError


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """The settings of a network, the section `model` of a classifier.

    Each network has a subclass with `kind: Literal["its-name"]`, and a default for every other
    field. A build's record keeps the fields as they are: a field that is taken away, renamed or
    given another default changes what old records say.
    """

    kind: str


@dataclass(frozen=True, slots=True)
class ModelPlan(NetworkPlan):
    """The network: `mlp` of linear, LayerNorm (affine), softshrink (seed 002, IV.C)."""

    __pydantic_config__ = STRICT
    kind: Literal["mlp"] = "mlp"
    hidden: tuple[Size, ...] = (128, 32)
    softshrink: NotNegative = 0.5


@dataclass(frozen=True, slots=True)
class ResidualPlan(NetworkPlan):
    """The ECG Baseline: a residual network of convolutions with BatchNorm (seed 000, methods).

    Attributes:
        widths: channels of each stage.
        blocks: residual blocks of each stage.
        stem_stride: stride of the first convolution.
        dropout: rates before the last two linear maps.
    """

    __pydantic_config__ = STRICT
    kind: Literal["ecg-baseline"]
    widths: Annotated[tuple[Size, ...], MinLen(1)] = (64, 128, 256)
    blocks: Annotated[tuple[Size, ...], MinLen(1)] = (3, 4, 3)
    stem_stride: Size = 2
    dropout: tuple[Dropout, Dropout] = (0.5, 0.25)

    def __post_init__(self) -> None:
        """A number of blocks for every stage."""
        if len(self.widths) != len(self.blocks):
            raise ValueError("`widths` and `blocks` must be of one length")


@dataclass(frozen=True, slots=True)
class ConformerPlan(NetworkPlan):
    """The ECG Conformer: bottleneck residual stages, then Conformer blocks (seeds 000, 001).

    Attributes:
        base: channels of the bottleneck and of the stem.
        width: channels of the stages' output and of the Conformer blocks.
        stages: bottleneck blocks of each stage.
        kernel: length of the convolutions in the stages and of the depthwise ones.
        stem_stride: stride of the first convolution (average pooling by 2 follows).
        conformers: Conformer blocks.
        heads: attention heads.
        expansion: feed-forward width over `width`.
        features: outputs of the map before the head.
        dropout: rate in the Conformer blocks.
        penalty: weight of the activation penalty in the loss, the mean square of the features
            beyond the number of classes (the reference has 0.01).
    """

    __pydantic_config__ = STRICT
    kind: Literal["ecg-conformer"]
    base: Size = 40
    width: Size = 160
    stages: Annotated[tuple[Size, ...], MinLen(1)] = (3, 4, 23)
    kernel: Size = 5
    stem_stride: Size = 2
    conformers: Annotated[int, Ge(0)] = 3
    heads: Size = 4
    expansion: Size = 2
    features: Size = 14
    dropout: Dropout = 0.0
    penalty: NotNegative = 0.0

    def __post_init__(self) -> None:
        """What the layers ask of their sizes."""
        if self.width % self.heads:
            raise ValueError("`width` must be a multiple of `heads`")
        if self.kernel % 2 == 0:
            raise ValueError("`kernel` must be odd")


@dataclass(frozen=True, slots=True)
class LogisticPlan(NetworkPlan):
    """Logistic regression: one linear map, nothing to set."""

    __pydantic_config__ = STRICT
    kind: Literal["logistic"]


@dataclass(frozen=True, slots=True)
class NetworkKind:
    """What is known of a kind of network.

    Attributes:
        settings: the value of a section `model` of this kind.
        builder: `module:class` in `lifecycle.models`, imported where a network is built and nowhere
            else: who reads params.yaml or verifies a release needs no torch. It takes features (or
            leads), classes, settings and operations.
        measures: the values of `cohort.measures` that it can learn from: `ecg` alone, or others.
    """

    settings: type[NetworkPlan]
    builder: str
    measures: tuple[Measures, ...]

    @property
    def kind(self) -> str:
        """Its name, `model.kind`."""
        return str(get_args(get_type_hints(self.settings)["kind"])[0])

    @property
    def of_signals(self) -> bool:
        """Whether a case is a signal (samples, leads), not a row of features."""
        return self.measures == ("ecg",)


# params.yaml may leave the kind out; it was so before there was a second one.
DEFAULT = "mlp"

NETWORKS: Mapping[str, NetworkKind] = {
    network.kind: network
    for network in (
        NetworkKind(ModelPlan, "mlp:MLP", ("beta", "table")),
        NetworkKind(ResidualPlan, "ecg_baseline:EcgBaseline", ("ecg",)),
        NetworkKind(ConformerPlan, "ecg_conformer:EcgConformer", ("ecg",)),
        NetworkKind(LogisticPlan, "logistic:Logistic", ("beta", "table")),
    )
}

if TYPE_CHECKING:
    Plan = NetworkPlan
else:
    # params reads a section `model` as one of these; the table alone says which there are.
    Plan = reduce(or_, (network.settings for network in NETWORKS.values()))


def network_of(kind: object) -> NetworkKind:
    """What is known of a kind.

    Raises:
        UnusableInputError: there is no such kind; names those that there are.
    """
    found = NETWORKS.get(kind) if isinstance(kind, str) else None
    if found is None:
        raise UnusableInputError(f"no network is of kind {kind!r}; known: {', '.join(NETWORKS)}")
    return found


def plan_of(entry: Mapping[str, Any], where: str) -> Plan:
    """The settings that a build's record has in `terms.model`.

    Args:
        entry: what `dataclasses.asdict` gave, with lists where it had tuples.
        where: the record, for errors.

    Raises:
        UnusableInputError: this version knows no such network, or not with these settings.
    """
    cure = "use the version of lifecycle that made the build"
    try:
        settings: Any = network_of(entry.get("kind")).settings
        plan: Plan = settings(**{key: _frozen(value) for key, value in entry.items()})
    except (UnusableInputError, TypeError, ValueError) as error:
        raise UnusableInputError(f"{where}: terms.model: {error}; {cure}") from None
    return plan


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
