"""SPICE netlists of trained circuits with every cell and transistor, for a cross-check with ngspice or another simulator.

A transistor is a current source with the equation of `transistor.py`; SPICE solves everything around it (loads, dividers, Kirchhoff's laws). Signal k
is the pair of nodes `xp<k>`, `xn<k>`; outputs are `op`, `on`. Source followers in front of the first layer are ideal here.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import which

import torch
from torch import Tensor

from crossloom.errors import InputError
from crossloom.periphery.adder import BIAS_V
from crossloom.periphery.converter import PREAMPLIFIER, V_ROWS, Stage, StageParts
from crossloom.periphery.neuron import Neuron
from crossloom.periphery.pairs import HIGHEST_S, RATIO, PairNetwork, Parts
from crossloom.periphery.transistor import P_WIDTH, Process, Size

_UNIT_S = HIGHEST_S / RATIO
_SIDES = (("xp", "xn"), ("xn", "xp"))


def network_netlist(network: PairNetwork, parts: Parts, instance: int, signals: Tensor) -> str:
    """Return the netlist of one instance, solved for each column of signals (signals, points) in volts relative to mid-supply."""
    lines = ["* network of RRAM pairs and inverters", *_inputs(range(network.signals), network.neuron.process)]
    lines += _network(network, parts, instance, "")
    return _asked(lines, signals, network.neuron.process, ["op", "on"])


def stage_netlist(stage: Stage, parts: StageParts, instance: int, inputs: Tensor) -> str:
    """Return the netlist of one instance of a converter's stage, solved for each input (points,) in volts relative to mid-supply.

    Latches are steep sources at the rails; the nodes `xp<1 + m>` carry the decisions.
    """
    process = PREAMPLIFIER.process
    bias = stage.comparators + 1
    lines = ["* stage of a converter", *_inputs((0, bias), process)]
    for m in range(stage.comparators):
        lines += _comparator(parts, instance, m, bias, process)
    outputs = [f"xp{1 + m}" for m in range(stage.comparators)]
    if stage.rest and parts.rest:
        lines += _network(stage.rest, parts.rest, instance, "")
        outputs += ["op", "on"]
    signals = torch.full((bias + 1, len(inputs)), torch.nan, dtype=torch.float64)
    signals[0], signals[bias] = inputs, BIAS_V
    return _asked(lines, signals, process, outputs)


def _inputs(signals: Sequence[int] | range, process: Process) -> Iterator[str]:
    yield f"Vsupply vdd 0 {process.supply_v!r}"
    for k in signals:
        yield f"Vin{k} xp{k} 0 0"
        yield f"Bin{k} xn{k} 0 V={process.supply_v!r}-v(xp{k})"


def _network(network: PairNetwork, parts: Parts, instance: int, name: str) -> Iterator[str]:
    (upper, lower), (outer_u, outer_l) = parts.first, parts.second
    for side, (same, other) in enumerate(_SIDES):
        for h in range(network.hidden):
            node = f"{name}{side}_{h}"
            for row, signal in enumerate(network.rows):
                yield _cell(f"u{node}_{row}", f"{same}{signal}", f"h{node}", upper[instance, side, h, row])
                yield _cell(f"l{node}_{row}", f"{other}{signal}", f"h{node}", lower[instance, side, h, row])
            yield from _neuron(network.neuron, f"h{node}", f"f{node}", node, parts.deviations[instance, side, h].tolist())
            yield _cell(f"p{node}", f"f{node}", "op", (outer_u if side == 0 else outer_l)[instance, 0, h])
            yield _cell(f"q{node}", f"f{node}", "on", (outer_l if side == 0 else outer_u)[instance, 1, h])


def _comparator(parts: StageParts, instance: int, m: int, bias: int, process: Process) -> Iterator[str]:
    """Yield the cells of a comparator's two nodes, its amplifier, and a latch whose offset is referred to the nodes."""
    upper, lower = parts.cells
    for side, (same, other) in enumerate(_SIDES):
        for row in range(upper.shape[3]):
            signal = 0 if row < V_ROWS else bias
            yield _cell(f"cu{m}_{side}_{row}", f"{same}{signal}", f"c{m}_{side}", upper[instance, side, m, row])
            yield _cell(f"cl{m}_{side}_{row}", f"{other}{signal}", f"c{m}_{side}", lower[instance, side, m, row])
        sign = -0.5 if side == 0 else 0.5
        yield f"Voff{m}_{side} d{m}_{side} c{m}_{side} {2 * sign * float(parts.offset_v[instance, m])!r}"
        yield from _neuron(PREAMPLIFIER, f"d{m}_{side}", f"a{m}_{side}", f"c{m}_{side}", [0.0] * 8)
    half = process.supply_v / 2
    yield f"Blatch{m} xp{1 + m} 0 V={half!r}+{half!r}*tanh(1e5*(v(a{m}_1)-v(a{m}_0)))"
    yield f"Bmirror{m} xn{1 + m} 0 V={process.supply_v!r}-v(xp{1 + m})"


def _cell(name: str, a: str, b: str, units: Tensor) -> str:
    return f"R{name} {a} {b} {1 / (float(units) * _UNIT_S)!r}"


def _neuron(neuron: Neuron, gate: str, output: str, name: str, deviations: list[float]) -> Iterator[str]:
    """Yield the four transistors of a neuron: a driver, and a load whose gate is its output."""
    yield from _inverter(neuron.process, neuron.driver, gate, output, f"{name}d", deviations[:4])
    yield from _inverter(neuron.process, neuron.load, output, output, f"{name}l", deviations[4:])


def _inverter(process: Process, size: Size, gate: str, output: str, name: str, deviations: list[float]) -> Iterator[str]:
    (n_threshold, p_threshold), (n_beta, p_beta) = process.thresholds_v, process.betas_a_v2
    strength, modulation = size.width_um / size.length_um, process.modulation_um_v / size.length_um
    supply = repr(process.supply_v)
    n = _current(process, f"v({gate})", f"v({output})", n_threshold + deviations[0], n_beta * strength * (1 + deviations[2]), modulation)
    up, across = f"({supply}-v({gate}))", f"({supply}-v({output}))"
    p = _current(process, up, across, p_threshold + deviations[1], p_beta * P_WIDTH * strength * (1 + deviations[3]), modulation)
    yield f"Bn{name} {output} 0 I={n}"
    yield f"Bp{name} vdd {output} I={p}"


def _current(process: Process, gate: str, drain: str, threshold: float, beta: float, modulation: float) -> str:
    twice = 2 * process.thermal_v
    pinch = f"(({gate}-{threshold!r})/{process.slope!r})"
    forward, reverse = f"ln(1+exp({pinch}/{twice!r}))", f"ln(1+exp(({pinch}-{drain})/{twice!r}))"
    factor = 2 * process.slope * beta * process.thermal_v**2
    return f"{factor!r}*({forward}*{forward}-{reverse}*{reverse})*(1+{modulation!r}*abs({drain}))"


def _asked(lines: list[str], signals: Tensor, process: Process, outputs: list[str]) -> str:
    """Return the netlist with an operating point for each column of signals; rows of NaN are not inputs."""
    lines = [*lines, ".options reltol=1e-7 abstol=1e-15 vntol=1e-10 gmin=1e-15", ".control", "set numdgt=12"]
    for point in range(signals.shape[1]):
        given = [(k, float(value)) for k, value in enumerate(signals[:, point]) if not torch.isnan(value)]
        lines += [f"alter vin{k} dc={process.supply_v / 2 + value!r}" for k, value in given]
        lines += ["op", *(f"print v({output})" for output in outputs)]
    return "\n".join([*lines, "quit", ".endc", ".end", ""])


def ngspice_voltages(netlist: str, outputs: int, seconds: float = 600.0) -> Tensor:
    """Return the voltages (points, outputs) computed by ngspice. Raises InputError if ngspice is missing or fails."""
    program = which("ngspice")
    if program is None:
        raise InputError("ngspice is not installed; install the system package ngspice")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "circuit.cir"
        path.write_text(netlist, encoding="ascii")
        done = subprocess.run([program, "-b", str(path)], capture_output=True, text=True, timeout=seconds, check=False)
    seen = [float(value) for value in re.findall(r"^v\(\w+\) = (\S+)$", done.stdout, re.MULTILINE)]
    if not seen or len(seen) % outputs:
        complaint = next((line for line in (done.stdout + done.stderr).splitlines() if "rror" in line), "no result")
        raise InputError(f"ngspice could not solve the netlist ({complaint.strip()[:120]})")
    return torch.tensor(seen, dtype=torch.float64).reshape(-1, outputs)
