"""Neural-PIM (cao2022): its claims on trained circuits, computed from circuits trained, sampled and measured here."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from crossloom.demo.digits import CALIBRATION, trained_digits, trained_harder_digits
from crossloom.job.data import Data
from crossloom.job.run import run
from crossloom.machines import load_machine
from crossloom.network.graph import Graph
from crossloom.network.quantize.post_training import quantize
from crossloom.papers.claim import Claim
from crossloom.periphery.adder import Errors, Sinad
from crossloom.periphery.file import load_adder, load_converters
from crossloom.periphery.linearity import Linearity
from crossloom.periphery.make import DNL, ENOB, INL, MSE
from crossloom.study.noise_tolerance import needed_db

PAPER = "cao2022"
DRAWS = 1000
CIRCUIT = (
    "transistors: EKV equations, parameters typical of 130 nm",
    "neurons: inverters with self-connected inverters as loads",
    "rows of each signal in proportion to its share of the sum, 18 instead of 10",
    "cells: 0.2 to 2 uS; samples on 50 fF, 0.1 % of the charge lost",
)
PIPELINE = (*CIRCUIT[:2], "stages: three of 7 comparators and a last one of 15, 8 hidden neurons, digital weights calibrated on each converter")
RUNS = 3


def claims() -> list[Claim]:
    """Return every claim."""
    return [*_adder(), *_converters(), *_sinad(), *_networks()]


def _claim(id: str, statement: str, published: float | None, computed: float, tolerance: float, basis: str, **more: Any) -> Claim:
    return Claim(id=id, paper=PAPER, statement=statement, published=published, computed=computed, tolerance=tolerance, basis=basis, **more)


def _adder() -> list[Claim]:
    """Return claims on the errors of the adder (H10, Table 1)."""
    found, plain = Errors.of(load_adder("nns-a-4"), DRAWS), Errors.of(load_adder("nns-a-4-plain"), DRAWS)
    below = float((found.mse < MSE).double().mean())
    note = f"mean {float(found.mse.mean()):.2g} V2; as in the paper, with one row per signal and without deviations in training, {float(plain.mse.mean()):.2g} V2"
    basis = f"{DRAWS} sampled circuits, inputs over the whole range"
    swing = "largest and smallest error of the median circuit; the tails are compression at the ends of the range, equal on both sides"
    return [
        _claim("adder-mse", "Section 4.3: NNS+A has a mean squared error below 1e-5 (share of circuits)", 1.0, below, 0.01, basis, free_parameters=CIRCUIT, note=note),
        _claim("adder-highest", "Table 1: highest error of NNS+A (mV)", 4.0, 1e3 * float(found.highest.median()), 0.1, basis, free_parameters=CIRCUIT, note=swing),
        _claim("adder-lowest", "Table 1: lowest error of NNS+A (mV)", -3.0, 1e3 * float(found.lowest.median()), 0.1, basis, free_parameters=CIRCUIT, note=swing),
    ]  # fmt: skip


def _converters() -> list[Claim]:
    """Return claims on the converters (H11, Table 1 at 1 GSps); the clock is not modelled."""
    made = []
    for range_v, design in load_converters("nnadc").items():
        found = Linearity.of(design.drawn(DRAWS, torch.Generator().manual_seed(1)))
        share = float(found.within(DNL, INL, ENOB).double().mean())
        note = f"worst of {DRAWS}: DNL {float(found.dnl.abs().max()):.2f}, INL {float(found.inl.abs().max()):.2f}, {float(found.enob.min()):.2f} bits"
        basis = f"{DRAWS} sampled converters: ramp without noise, sine with noise"
        made.append(
            _claim(
                f"converter-{range_v}",
                f"Table 1: DNL within {DNL}, INL within {INL}, {ENOB} effective bits, range of {range_v} V (share of converters)",
                1.0,
                share,
                0.01,
                basis,
                free_parameters=PIPELINE,
                note=note,
            )
        )
        made.append(
            _claim(
                f"converter-bits-{range_v}",
                f"Table 1: effective bits, range of {range_v} V (median)",
                7.85,
                float(found.enob.median()),
                0.05,
                basis,
                absolute=True,
                free_parameters=PIPELINE,
                note="higher than published: this converter has no clock",
            )
        )
    return made


def _sinad() -> list[Claim]:
    """Return claims on signal to noise and distortion, with and without the circuit techniques (H9)."""
    rows = (("with", 50.0, "nns-a-4"), ("without", 35.0, "nns-a-4-plain"))
    made = []
    for what, published, name in rows:
        found = Sinad.of(load_adder(name), DRAWS)
        made.append(
            _claim(
                f"sinad-{what}",
                f"Section 5.3: SINAD of accumulated results {what} the circuit techniques (dB)",
                published,
                float(found.with_mean.mean()),
                2.0,
                f"{DRAWS} sampled circuits, two cycles of four bits, noise of all samples",
                absolute=True,
                free_parameters=CIRCUIT if what == "with" else (*CIRCUIT[:2], CIRCUIT[3]),
                note=f"mid-range is counted as signal; without it, {float(found.without_mean.mean()):.1f} dB",
            )
        )
    return made


@cache
def _trained(name: str) -> tuple[Graph, Data, Data]:
    return trained_digits() if name == "digits" else trained_harder_digits()


def _networks() -> list[Claim]:
    """Return claims on the SINAD that networks need, and on their accuracy with trained circuits (H9)."""
    made = []
    for name in ("digits", "harder-digits"):
        graph, training, test = _trained(name)
        needed, found = needed_db(graph, test, range(20, 65, 5))
        made.append(
            _claim(
                f"sinad-needed-{name}",
                f"Section 5.3: lowest SINAD at which the accuracy equals the software accuracy, {name} (dB)",
                45.0,
                needed,
                2.5,
                "Gaussian errors added to the output of every layer (Equation 13), accuracy within half a point, five seeds, steps of 5 dB",
                absolute=True,
                note="tasks smaller than the paper's; " + ", ".join(f"{level:g} dB {share:.1%}" for level, share in found.items()),
            )
        )
        made.append(_end_to_end(name, quantize(graph, [training.first(CALIBRATION).inputs]), test))
    return made


def _end_to_end(name: str, network: Graph, test: Data) -> Claim:
    ways: dict[str, dict[str, object]] = {
        "all techniques": {},
        "not calibrated": {"calibrate": False},
        "most significant digit first": {"first_digit": "high"},
        "trained without deviations, one row per signal": {"adder": "nns-a-4-plain"},
        "none of these": {"adder": "nns-a-4-plain", "calibrate": False, "first_digit": "high"},
    }
    results = {way: run(network, load_machine("neural-pim").with_(**changes), test, runs=RUNS).accuracy for way, changes in ways.items()}
    accuracy = {way: found.machine for way, found in results.items() if found is not None}
    quantized = next(found.quantized for found in results.values() if found is not None)
    return _claim(
        f"accuracy-{name}",
        f"Section 7: accuracy with trained circuits minus accuracy of the quantised network, {name} (points)",
        0.0,
        100 * (accuracy["all techniques"] - quantized),
        0.5,
        f"computed values of neural-pim, mean over circuits of {RUNS} seeds",
        absolute=True,
        free_parameters=CIRCUIT,
        note=f"quantised {quantized:.1%}; " + ", ".join(f"{way} {share:.1%}" for way, share in accuracy.items()),
    )
