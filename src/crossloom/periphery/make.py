"""Production of a trained peripheral: training, measurement on drawn circuits, and the file text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from crossloom.periphery.adder import PLAIN_ROWS, ROWS, Adder, Errors, Sinad, shift_and_add
from crossloom.periphery.converter import Converter, trained
from crossloom.periphery.file import adder_text, converters_text
from crossloom.periphery.linearity import Linearity
from crossloom.periphery.pairs import PairNetwork
from crossloom.periphery.task import FitTask
from crossloom.periphery.training import TrainingSchedule, train

DNL, INL, ENOB = 0.55, 0.62, 7.85
"""Figures reported by cao2022 for its converter (Table 1), in steps and bits."""
MSE = 1e-5
"""Mean squared error reported by cao2022 for its adder (Section 4.3), in V²."""
USUAL = {"nns-a": 12, "nnadc": 8}
"""Default number of hidden neurons."""


@dataclass(frozen=True)
class Made:
    """A peripheral, its measurements by title and figure, and its file text."""

    peripheral: Adder | dict[float, Converter]
    measured: dict[str, dict[str, Any]]
    text: str


def make(
    kind: Literal["nns-a", "nnadc"], command: str = "", *, digit_bits: int = 4, hidden: int = 0, steps: int = 2000, seed: int = 0,
    plain: bool = False, aware: bool = True, draws: int = 1000,
) -> Made:  # fmt: skip
    """Return a trained peripheral with its measurements on a number of drawn circuits.

    Args:
        kind: "nns-a", shift-and-add, or "nnadc", the converter for three ranges.
        command: command that reproduces it, recorded in the file.
        digit_bits: digit width of an adder, 1, 2 or 4.
        hidden: number of hidden neurons, 0 for the default.
        steps: number of Adam steps.
        seed: seed of weights, inputs and drawn circuits.
        plain: one row for each signal of an adder.
        aware: whether cells, transistors and samples deviate during training.
        draws: number of circuits to measure.
    """
    recipe = TrainingSchedule(hidden=hidden or USUAL[kind], aware=aware, steps=steps)
    if kind == "nns-a":
        task = shift_and_add(digit_bits, PLAIN_ROWS if plain else ROWS[digit_bits])
        adder = Adder(train(task, recipe, seed), digit_bits)
        return Made(adder, {"errors over the range of inputs": errors(adder, draws)}, adder_text(adder, command))

    def each(task: FitTask) -> PairNetwork:
        return train(task, recipe, seed)

    converters = trained(each)
    measured = {f"range of {range_v} V": linearity(converter, draws) for range_v, converter in converters.items()}
    return Made(converters, measured, converters_text(converters, command))


def errors(adder: Adder, draws: int) -> dict[str, Any]:
    """Return the figures that cao2022 reports for an adder (Sections 4.3 and 5.3, Table 1), over drawn circuits."""
    found, ratio = Errors.of(adder, draws), Sinad.of(adder, draws)
    return {
        "mean squared error as designed (V2)": found.nominal_mse,
        "mean squared error, mean over circuits (V2)": float(found.mse.mean()),
        "mean squared error, 95 % of circuits below (V2)": float(found.mse.quantile(0.95)),
        "circuits below 1e-5 V2 (share)": float((found.mse < MSE).double().mean()),
        "highest error of the median circuit (mV)": 1e3 * float(found.highest.median()),
        "lowest error of the median circuit (mV)": 1e3 * float(found.lowest.median()),
        "offset, one standard deviation (mV)": 1e3 * float(found.offset.std()),
        "SINAD of an accumulated result, mid-range counted as signal (dB)": float(ratio.with_mean.mean()),
        "SINAD without mid-range (dB)": float(ratio.without_mean.mean()),
        "SINAD without mid-range and offset (dB)": float(ratio.without_offset.mean()),
    }


def linearity(converter: Converter, draws: int) -> dict[str, Any]:
    """Return the figures that cao2022 reports for a converter (Table 1), over drawn circuits."""
    found = Linearity.of(converter.drawn(draws, torch.Generator().manual_seed(1)))
    return {
        "largest |DNL| of any circuit (steps)": float(found.dnl.abs().max()),
        "largest |INL| of any circuit (steps)": float(found.inl.abs().max()),
        "effective bits, worst circuit": float(found.enob.min()),
        "effective bits, median circuit": float(found.enob.median()),
        f"circuits within {DNL}, {INL} and {ENOB} bits (share)": float(found.within(DNL, INL, ENOB).double().mean()),
    }
