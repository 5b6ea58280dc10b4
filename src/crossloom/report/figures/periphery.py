"""Pictures of trained peripherals: transfer curve and errors of an adder, nonlinearity of a converter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from crossloom.errors import InputError
from crossloom.periphery.adder import Adder, Errors, inputs
from crossloom.periphery.converter import Converter
from crossloom.periphery.linearity import Linearity
from crossloom.periphery.neuron import evaluate
from crossloom.report.figures.sheet import styled
from crossloom.report.palette import HIGHLIGHT, PLAIN, PLAIN_LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CIRCUITS = 200


def draw_peripheral(found: Adder | dict[float, Converter]) -> Figure:
    """Return the picture of a peripheral. Raises InputError if matplotlib is missing."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as problem:
        raise InputError("pictures need the package matplotlib: pip install 'crossloom[report]'") from problem
    with styled():
        return _converters(found) if isinstance(found, dict) else _adder(found)


def _adder(found: Adder, circuits: int = CIRCUITS) -> Figure:
    """Return the figure of an adder: its neurons' curves, outputs of one drawn circuit over the target, and a histogram of errors."""
    from matplotlib.figure import Figure

    generator = torch.Generator().manual_seed(3)
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    curve, transfer, histogram = figure.subplots(1, 3)
    neuron = found.network.neuron
    signal = torch.linspace(-neuron.reach_v, neuron.reach_v, 200, dtype=torch.float64)
    for coefficients in neuron.of(neuron.drawn((30,), generator)):
        curve.plot(1e3 * signal, 1e3 * evaluate(coefficients, signal), color=PLAIN, alpha=0.25, linewidth=0.8)
    curve.set(xlabel="input from mid-range (mV)", ylabel="output from mid-range (mV)", title="30 hidden neurons")
    points = inputs(1000, generator)
    wanted = found.target @ points
    outputs = found.network.drawn(circuits, generator)(points)
    transfer.plot(1e3 * wanted, 1e3 * outputs[0], ".", markersize=2, color=PLAIN)
    transfer.set(xlabel="target (mV)", ylabel="output (mV)", title="one circuit, random inputs")
    errors = Errors.of(found, circuits)
    histogram.hist(1e3 * (outputs - wanted).flatten().numpy(), bins=80, color=PLAIN, density=True)
    histogram.set(
        xlabel="error (mV)", ylabel="density", title=f"{circuits} circuits, mean squared error {float(errors.mse.mean()):.2g} V²"
    )  # fmt: skip
    return figure


def _converters(found: dict[float, Converter], circuits: int = CIRCUITS) -> Figure:
    """Return the figure of the converters: DNL and INL of drawn circuits over the code, and ENOB; one row for each range."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 2.6 * len(found)), layout="constrained")
    for (range_v, converter), row in zip(found.items(), figure.subplots(len(found), 3, squeeze=False), strict=True):
        measured = Linearity.of(converter.drawn(circuits, torch.Generator().manual_seed(1)))
        for axes, values, name in ((row[0], measured.dnl, "DNL"), (row[1], measured.inl, "INL")):
            for level, colour in ((1.0, PLAIN_LIGHT), (0.9, PLAIN)):
                low, high = (values.quantile(0.5 + sign * level / 2, dim=0) for sign in (-1, 1))
                axes.fill_between(range(values.shape[1]), low, high, color=colour, linewidth=0)
            axes.plot(values[0], color=HIGHLIGHT, linewidth=0.8)
            axes.set(xlabel="code", ylabel=f"{name} (LSB)", title=f"{range_v} V: {name} of one circuit, and of 90 % and all of {circuits}")
        row[2].hist(measured.enob.numpy(), bins=40, color=PLAIN)
        row[2].set(xlabel="effective bits", ylabel="circuits", title=f"{range_v} V: median {float(measured.enob.median()):.2f} bits")
    return figure
