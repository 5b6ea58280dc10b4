"""Pictures of a solved crossbar: IR drop across the cells, and output currents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from crossloom.errors import InputError
from crossloom.report.figures.sheet import styled
from crossloom.report.palette import HIGHLIGHT, MUTED, PLAIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from crossloom.circuit import Solution, Stack


def draw_state(stack: Stack, solution: Solution, voltages: Tensor) -> Figure:
    """Return heat maps of a solved stack, with one row of pictures for each layer of cells, and its output currents.

    Left: the voltage across each cell. Middle: the cell current as a share of the current with ideal wires. Right: the output
    currents beside the ideal ones. Raises InputError if matplotlib is missing.

    Args:
        stack: the crossbars.
        solution: the result of `solve` or `solve_curved`.
        voltages: the inputs (V), (word planes, rows) or (rows,).
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as problem:
        raise InputError("pictures need the package matplotlib: pip install 'crossloom[report]'") from problem
    from crossloom.circuit.solve import inputs_of
    from crossloom.circuit.stack import bit_plane, word_plane

    given = torch.from_numpy(inputs_of(stack, voltages))
    ideal = torch.stack([stack.cells_s[layer] * given[word_plane(layer)][:, None] for layer in range(stack.layers)])
    with styled():
        figure = Figure(figsize=(9.5, 3.0 * stack.layers), layout="constrained")
        grid = figure.subplots(stack.layers, 3, squeeze=False, width_ratios=(1, 1, 1.1))
        for layer, axes in enumerate(grid):
            name = f"layer {layer}: " if stack.layers > 1 else ""
            _map(figure, axes[0], solution.cell_v[layer], f"{name}voltage across each cell (V)", None)
            share = torch.where(ideal[layer] > 0, solution.cell_a[layer] / ideal[layer].clamp(min=1e-300), torch.nan)
            _map(figure, axes[1], share, "current, share of ideal", 1.0)
            if layer % 2 == 0:
                plane = bit_plane(layer)
                wanted = torch.stack([ideal[k] for k in range(stack.layers) if bit_plane(k) == plane]).sum((0, 1))
                _outputs(axes[2], solution.output_a[plane], wanted)
            else:
                axes[2].set_axis_off()
    return figure


def _map(figure, axes, values: Tensor, title: str, most: float | None) -> None:  # type: ignore[no-untyped-def]
    drawn = np.ma.masked_invalid(values.numpy())
    image = axes.imshow(drawn, aspect="auto", cmap="viridis", vmax=most, interpolation="nearest")
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_xlabel("column")
    axes.set_ylabel("row")
    figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)


def _outputs(axes, found: Tensor, ideal: Tensor) -> None:  # type: ignore[no-untyped-def]
    scale = 1e6
    axes.plot((ideal * scale).numpy(), color=MUTED, linewidth=1, label="ideal wires")
    axes.plot((found * scale).numpy(), color=PLAIN, linewidth=1.2, label="with wire resistance")
    total = float(ideal.sum())
    if total > 0:
        axes.plot([], [], " ", label=f"{1 - float(found.sum()) / total:.1%} lost", color=HIGHLIGHT)
    axes.set_ylim(bottom=0)
    axes.set_title("output currents (µA)", loc="left", fontsize=9)
    axes.set_xlabel("column")
    axes.legend(frameon=False, fontsize=8)
