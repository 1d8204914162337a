"""A matrix drawn as cells with their numbers: the ground repeats what the number says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from lifecycle.report import palette
from lifecycle.report.drawing import Grid
from lifecycle.report.text import short

DISCORDANT, LOST, GAINED = "✕", "▼", "▲"  # the same signs in every figure and table
_FITS = 8  # characters that stand level under a column
_NAME = 22  # characters of a row's or column's name


@dataclass(frozen=True, slots=True)
class Square:
    """One cell of a drawn matrix.

    Attributes:
        text: what stands in it.
        ground: colour, of the palette.
        ringed: a heavy red edge: a contradiction stands here.
    """

    text: str = ""
    ground: str = palette.PAPER
    ringed: bool = False


Rows = Sequence[Sequence[Square]]


def grid_of(rows: int, columns: int, wide: float = 0.62, tall: float = 0.36) -> Grid:
    """Room for the cells, of a size in inches, and for the names beside them."""
    return Grid(1, 1.9 + wide * columns, 1.2 + tall * rows)


def paint_matrix(axes: Axes, cells: Rows, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Draw the cells, the first row on top; names are shortened here."""
    ringed = [(i, j) for i, row in enumerate(cells) for j, cell in enumerate(row) if cell.ringed]
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            _square(axes, i, j, cell)
    for i, j in ringed:
        axes.add_patch(Rectangle((j, i), 1, 1, fill=False, edgecolor=palette.RED, linewidth=1.8))
    axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
    _name(axes, rows, columns)


def _name(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    across, down = ([short(name, _NAME) for name in names] for names in (columns, rows))
    axes.set_xticks([j + 0.5 for j in range(len(across))], across, fontsize=8.0)
    axes.set_yticks([i + 0.5 for i in range(len(down))], down)
    axes.tick_params(length=0, labelcolor=palette.INK)
    if max(len(name) for name in across) > _FITS:
        for label in axes.get_xticklabels():
            label.set(rotation=40, horizontalalignment="right", rotation_mode="anchor")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _square(axes: Axes, i: int, j: int, cell: Square) -> None:
    axes.add_patch(
        Rectangle((j, i), 1, 1, facecolor=cell.ground, edgecolor=palette.RULE, linewidth=0.6)
    )
    if cell.text:
        weight = "bold" if cell.ringed else "normal"
        axes.text(j + 0.5, i + 0.5, cell.text, ha="center", va="center", fontsize=8.0,
                  fontweight=weight, color=palette.INK)  # fmt: skip


def step(share: float, ramp: Sequence[str]) -> str:
    """The ground of a share within [0, 1]: nothing is white, anything is not."""
    if share <= 0:
        return ramp[0]
    return ramp[min(len(ramp) - 1, 1 + int(share * (len(ramp) - 1)))]
