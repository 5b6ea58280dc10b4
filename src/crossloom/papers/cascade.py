"""CASCADE (Chou et al., MICRO-52, 2019): its claims, computed from the machine files."""

from __future__ import annotations

import math
from functools import cache
from statistics import fmean, geometric_mean
from typing import Any

from crossloom.engine.crossbar.dataflow import lines
from crossloom.engine.crossbar.mapping.encode import Digits, Slices
from crossloom.engine.crossbar.peak import peak
from crossloom.engine.crossbar.settings import lossless_bits
from crossloom.machines import load_machine
from crossloom.papers.claim import Claim
from crossloom.papers.workloads import Run, network, ratio, side_by_side, with_bits

PAPER = "chou2019"
NETWORKS = ("alexnet", "vgg11", "vgg16", "vgg19", "msra-a", "msra-b", "msra-c", "googlenet", "resnet50", "deepface", "neuraltalk")
PARTS = "power and area of all parts: ISAAC's at 65 nm or assumed; the TIA's energy is calibrated on Figure 12"
CHOSEN = (
    PARTS,
    "networks larger than a chip: on twice the chips needed for one copy on the machine that needs most; weight programming excluded",
    "the baseline has as many tiles as fit into the same area",
    "the sum of the inputs, which biased weights require, comes from a unit column converted digit by digit, in both machines",
    "the paper's ResNet: ResNet-50; NeuralTalk: an image and eight words",
    "pooling, merging of partial sums and buses: never the bottleneck",
)
FAST = {"max_pool.rate": "1 THz", "tile_shift_add.rate": "1 THz", "bus.transfer.latency": "1 ps", "compile.overflow": "chips", "compile.chips": 0}


def claims() -> list[Claim]:
    """Return every claim."""
    return [*_dataflow(), *_interface(), _density(), *_systems(), *_not_computed()]


def _claim(id: str, statement: str, published: float | None, computed: float | None, tolerance: float, basis: str, **more: Any) -> Claim:
    return Claim(id=id, paper=PAPER, statement=statement, published=published, computed=computed, tolerance=tolerance, basis=basis, **more)


def _dataflow() -> list[Claim]:
    """Return claims on bit lines, buffer columns and conversions of a 16-bit dot product (Sections 3.1 to 3.4, Tables 1 and 2)."""
    slices, basis = Slices.of(16, "offset", 1), "lines of the dataflow"
    plain, positive = Digits.of(16, False, 1), Digits.of(15, False, 1)
    buffered = lines("buffered", positive, slices)
    most = max(line.span(64, positive, slices)[1] for line in buffered)
    apu = load_machine("cascade")
    tiles = apu.count_of("tile")
    sums = 80 * apu.part("array").parameters["columns"] // 16
    adc = apu.part("adc")
    conversions = sums * 10 + 80 * 16
    busy = conversions * adc.actions["convert"].latency_s.value / (adc.total / tiles)
    assert apu.cycle_s is not None
    return [
        _claim("bit-line-bits", "Table 1: resolution of a bit line (bits)", 7, lossless_bits(64, 1, 1), 0.0, "largest sum of 64 cells"),
        _claim("bit-line-bits-encoded", "Table 1: the same with ISAAC's encoding", 6, lossless_bits(64, 1, 1, flip=True), 0.0, "half of it"),
        _claim("columns-unsigned", "Section 3.2: columns of a buffer, 16-bit inputs and weights", 31, len(lines("buffered", plain, slices)), 0.0, basis),
        _claim("columns-signed", "Section 3.2: columns of a buffer, 15 bits of input", 30, len(buffered), 0.0, basis),
        _claim("converter-bits", "Section 3.4: bits of the widest converter", 10, math.ceil(math.log2(most + 1)), 0.0, "widest column, 15 entries"),
        _claim(
            "conversions", "Table 2: conversions for one dot product of CASCADE", 10, len(lines("buffered", positive, slices, separate=9)), 0.0, basis
        ),
        _claim("conversions-adc", "Table 2: conversions for one dot product if every partial sum is converted", 256, len(lines("digital", plain, slices)), 0.0, basis),
        _claim(
            "converters-keep-up",
            "Table 2: seven converters serve 80 arrays (share of an operation for which they are busy)",
            None,
            busy / (16 * apu.cycle_s.value),
            0.0,
            "conversions of 80 arrays, including those of their unit columns in each cycle, over the rate of seven converters, in 16 cycles",
            note="less than 1: they keep up",
        ),
    ]  # fmt: skip


def _interface() -> list[Claim]:
    """Return claims on the interface between the arrays and the converters (Figures 6 and 12)."""
    ours, theirs = load_machine("cascade"), load_machine("cascade-adc")
    conversion = theirs.part("adc").actions["convert"].energy_j.value
    sense, write = ours.part("tia").actions["sense"].energy_j.value, ours.part("buffer_array").actions["write"].energy_j.value
    digital = theirs.part("shift_add").actions["add"].energy_j.value + theirs.part("output_register").actions["access"].energy_j.value
    return [
        _claim(
            "interface-adc",
            "Figure 12: energy of the ADC interface over the energy of the TIA interface",
            None,
            conversion / sense,
            0.05,
            "energy of a 6-bit conversion over the energy of a TIA",
            note="the published 77.5 is the calibration target",
        ),
        _claim(
            "accumulation",
            "Figure 6: energy of digital accumulation over the energy of accumulation in cells",
            7.59,
            digital / write,
            0.1,
            "shift-and-add and register access over a write to a buffer cell",
            free_parameters=(PARTS, "energy to write a buffer cell: 0.2 pJ"),
            note="the paper's digital partial sums go through SRAM, for which it prints no energy; 1.4 pJ would reproduce the ratio",
        ),
    ]


def _density() -> Claim:
    chip = load_machine("cascade")
    computed = peak(chip, 16, 16).operations_per_s / 1e9 / chip.area_mm2
    return _claim(
        "efficiency",
        "Figure 10: H64-T32-A7 with 80 arrays does 101 GOPS/(s·mm2)",
        101.0,
        computed,
        0.05,
        "peak of the machine file at 16 bits",
        free_parameters=(PARTS, "memory, bus and router: ISAAC's at 32 nm"),
        note="areas of TIAs, buffers and memory are not printed",
    )


@cache
def _runs(name: str, boards: int) -> dict[str, Run]:
    machines = {each: load_machine(each).with_(**FAST) for each in ("cascade-adc", "cascade")}
    return side_by_side(with_bits(network(name), 16, signed=False), machines, boards)


def _systems() -> list[Claim]:
    made = []
    for what, value in (("energy", 3.5), ("throughput", 1.86)):
        ratios = {name: ratio(_runs(name, 2), "cascade", "cascade-adc", what) for name in NETWORKS}
        boards = {times: fmean(ratio(_runs(name, times), "cascade", "cascade-adc", what) for name in NETWORKS) for times in (1, 4)}
        note = ", ".join(f"{name} {each:.2f}" for name, each in ratios.items())
        note += f"; geometric average {geometric_mean(ratios.values()):.2f}; on the minimum number of chips {boards[1]:.2f}, on four times as many {boards[4]:.2f}"
        if what == "throughput":
            note += (
                "; both take 16 cycles per operation, so the ratio equals the ratio of the tiles that fit into an area: it depends on assumed areas"
            )
        made.append(
            _claim(
                f"{what}-adc",
                f"Figure 11: {what} of CASCADE against the ADC-based baseline, mean of eleven networks",
                value,
                fmean(ratios.values()),
                0.1,
                "compiled at 16 bits, timeline and ledger",
                free_parameters=CHOSEN,
                note=note,
            )
        )
    return made


def _not_computed() -> list[Claim]:
    why = "the sense amplifiers' energy and time are not printed, and their source is not available to us"
    rows = (
        ("energy-sa", "Figure 11: energy of the SA-based baseline over CASCADE's", 11.0, why),
        ("throughput-sa", "Figure 11: throughput of CASCADE over the SA-based baseline's", 17.83, why),
        ("interface-sa", "Figure 12: energy of the SA interface over the energy of the TIA interface", 325.4, why),
        ("snr-6", "Figure 9: minimum SNR for 90 % accuracy of an MLP on 6-bit bit lines (dB)", 25.0, "the MLP and its data are not described"),
    )
    return [_claim(id, statement, published, None, 0.1, "not computed", note=note) for id, statement, published, note in rows]
