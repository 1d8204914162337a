"""Initial values of every parameter of a network, from one source for all machines."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lifecycle.domain.classifier import Init
from lifecycle.errors import UnusableInputError
from lifecycle.models.initialisation import frames, sampled, structured
from lifecycle.models.initialisation.bases import BASES, Basis
from lifecycle.models.network import Network, Stages, Weighted, weighted_layers
from lifecycle.numerics.streams import uniform_fan_in

END_SCALE = 0.01  # of the last map of a residual branch (reference of arXiv 2603.28040)
NORMS = (nn.LayerNorm, nn.BatchNorm1d, nn.BatchNorm2d)


@torch.no_grad()
def initialise(model: nn.Module, init: Init, seed: int) -> None:
    """Give every parameter its initial value.

    Norms are 1 and 0. Biases are 0 but for `uniform`, where they are drawn as the weights are
    (within +-1 / sqrt(fan_in) of their layer, the framework's own law). The structured kinds do not
    look at the seed; with them the attribute `head` of a network, if it has one with a feature for
    each class, is an equiangular simplex frame. `torch` leaves the framework's values.

    Args:
        model: linear maps, convolutions and norms; a `Network` tells its stages and the ends of
            its residual branches.
        init: the kind.
        seed: seed of the recipe.

    Raises:
        UnusableInputError: a parameter belongs to no layer of a known kind.
    """
    if init == "torch":
        return
    _require_known(model)
    layers = weighted_layers(model)
    if init in ("uniform", "kaiming"):
        for number, layer in enumerate(layers):
            _draw(layer, init, seed, number)
    else:
        kinds = bases_of(model, init)
        for layer in layers:
            _structure(model, layer, kinds.get(id(layer), BASES[0]))
    for module in model.modules():
        if isinstance(module, NORMS) and module.weight is not None:
            module.weight.fill_(1.0)
            module.bias.zero_()


def bases_of(model: nn.Module, init: Init) -> dict[int, Basis]:
    """The basis of each layer, by the layer's id; `mixed` takes them in turn, stage by stage."""
    chosen = {id(layer): number for number, layer in _numbered(stages_of(model))}
    if init in BASES:
        return {id(layer): init for layer in weighted_layers(model)}
    return {layer: BASES[number % len(BASES)] for layer, number in chosen.items()}


def stages_of(model: nn.Module) -> Stages:
    """A network's stages; every layer by itself where a model is no `Network`."""
    if isinstance(model, Network):
        return model.stages()
    return tuple((layer,) for layer in weighted_layers(model))


def _numbered(stages: Stages) -> list[tuple[int, Weighted]]:
    return [
        (number, layer)
        for number, stage in enumerate(stages)
        for module in stage
        for layer in weighted_layers(module)
    ]


def _draw(layer: Weighted, init: Init, seed: int, number: int) -> None:
    shape = tuple(layer.weight.shape)
    fan_in = math.prod(shape[1:])
    if init == "kaiming":
        _put(layer.weight, sampled.kaiming(seed, 2 * number, shape, getattr(layer, "groups", 1)))
    else:
        _put(layer.weight, uniform_fan_in(seed, 2 * number, shape, fan_in))
    if layer.bias is not None and init == "uniform":
        _put(layer.bias, uniform_fan_in(seed, 2 * number + 1, (shape[0],), fan_in))
    elif layer.bias is not None:
        layer.bias.zero_()


def _structure(model: nn.Module, layer: Weighted, kind: Basis) -> None:
    ends = model.residual_ends() if isinstance(model, Network) else ()
    shape = tuple(layer.weight.shape)
    if layer is getattr(model, "head", None) and frames.fits(shape[0], shape[1]):
        values = frames.simplex(shape[0], shape[1])
    else:
        values = structured.weight(kind, shape)
    if any(layer is end for end in ends):
        values = values * END_SCALE
    _put(layer.weight, values)
    if layer.bias is not None:
        layer.bias.zero_()


def _put(parameter: Tensor, values: NDArray[np.float64]) -> None:
    parameter.copy_(torch.from_numpy(values))


def _require_known(model: nn.Module) -> None:
    """Every parameter must be a weight or bias that is given a value."""
    known = (*weighted_layers(model), *(one for one in model.modules() if isinstance(one, NORMS)))
    given = {id(value) for layer in known for value in layer.parameters(recurse=False)}
    for name, value in model.named_parameters():
        if id(value) not in given:
            raise UnusableInputError(
                f"initial values: parameter {name} belongs to no linear map, convolution or norm; "
                f"build the network of those, or use `init: torch`"
            )
