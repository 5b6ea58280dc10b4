"""SPICE netlists of stacks, for a cross-check with ngspice or another simulator.

Nodes are `w0_3_7` (word plane 0, row 3, column 7) and `b0_3_7`. Outputs are the currents of the sources `Vsense...`, which stand for the
sense amplifiers; these sources have 0 V, or the voltages at which bit lines are held. Resistances of 0 ohms are written as 0 V sources,
and cells without conductance are left out.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import torch
from torch import Tensor

from crossloom.circuit.curved import CellLaw
from crossloom.circuit.solve import held_of, inputs_of
from crossloom.circuit.stack import Stack, bit_plane, word_plane
from crossloom.errors import InputError


def netlist(stack: Stack, voltages: Tensor, law: CellLaw | None = None, title: str = "crossbar", held: Tensor | None = None) -> str:
    """Return the netlist of one tile with input voltages of shape (word planes, rows), with an operating-point analysis.

    Cells are resistors, or follow a law; bit lines are held at `held` volts (bit planes, columns), or at ground.
    Output j of bit plane b is `-i(vsense_b_j)`; if both ends are sensed, `-i(vtop_b_j)` is added. `.print` lists them all.
    """
    given, feet = inputs_of(stack, voltages), held_of(stack, held)
    names = _Names(stack)
    lines = [f"* {title}: {stack.layers} layers of {stack.rows} x {stack.columns} cells"]
    for plane in range(stack.word_planes):
        for row in range(stack.rows):
            lines += names.word_line(plane, row, float(given[plane, row]))
    for plane in range(stack.bit_planes):
        for column in range(stack.columns):
            lines += names.bit_line(plane, column, float(feet[plane, column]))
    lines += names.cells() if law is None else names.curved(law)
    lines += [".options reltol=1e-12 abstol=1e-18 vntol=1e-15 gmin=1e-18", ".op", ".control", "set numdgt=15", "op"]
    lines += [f"print {name}" for name in names.outputs()]
    return "\n".join([*lines, ".endc", ".end", ""])


class _Names:
    """Writer of a stack's netlist elements."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.wires = stack, stack.wires

    @staticmethod
    def resistor(name: str, a: str, b: str, ohm: float) -> str:
        """Return a resistor, or a short for a resistance of zero."""
        return f"R{name} {a} {b} {ohm!r}" if ohm else f"Vshort{name} {a} {b} 0"

    def word_line(self, plane: int, row: int, volts: float) -> Iterator[str]:
        """Yield a word line's source, leads and segments."""
        place, last = f"{plane}_{row}", self.stack.columns - 1
        yield f"Vin{place} in{place} 0 {volts!r}"
        yield self.resistor(f"lead{place}", f"in{place}", f"w{place}_0", self.wires.lead_ohm)
        if self.wires.word_ends == "both":
            yield self.resistor(f"tail{place}", f"in{place}", f"w{place}_{last}", self.wires.lead_ohm)
        for column in range(last):
            yield self.resistor(f"w{place}_{column}", f"w{place}_{column}", f"w{place}_{column + 1}", self.wires.word_ohm)

    def bit_line(self, plane: int, column: int, volts: float) -> Iterator[str]:
        """Yield a bit line's segments and sense amplifiers."""
        last = self.stack.rows - 1
        for row in range(last):
            yield self.resistor(f"b{plane}_{row}_{column}", f"b{plane}_{row}_{column}", f"b{plane}_{row + 1}_{column}", self.wires.bit_ohm)
        yield self.resistor(f"foot{plane}_{column}", f"b{plane}_{last}_{column}", f"out{plane}_{column}", self.wires.foot_ohm)
        yield f"Vsense{plane}_{column} out{plane}_{column} 0 {volts!r}"
        if self.wires.bit_ends == "both":
            yield self.resistor(f"head{plane}_{column}", f"b{plane}_0_{column}", f"top{plane}_{column}", self.wires.foot_ohm)
            yield f"Vtop{plane}_{column} top{plane}_{column} 0 {volts!r}"

    def cells(self) -> Iterator[str]:
        """Yield the cells, including their access resistances."""
        conductance = self.stack.cells_s.detach().cpu()
        for layer, row, column in torch.nonzero(conductance).tolist():
            word, bit = f"w{word_plane(layer)}_{row}_{column}", f"b{bit_plane(layer)}_{row}_{column}"
            yield f"Rcell{layer}_{row}_{column} {word} {bit} {1 / float(conductance[layer, row, column])!r}"

    def curved(self, law: CellLaw) -> Iterator[str]:
        """Yield cells that follow a law, each in series with its access resistance."""
        for layer, row, column in torch.nonzero(self.stack.conductance_s).tolist():
            word, bit = f"w{word_plane(layer)}_{row}_{column}", f"b{bit_plane(layer)}_{row}_{column}"
            if self.wires.access_ohm:
                word, outer = f"a{layer}_{row}_{column}", word
                yield f"Raccess{layer}_{row}_{column} {outer} {word} {self.wires.access_ohm!r}"
            expression = law.spice(float(self.stack.conductance_s[layer, row, column]), f"v({word},{bit})")
            yield f"Bcell{layer}_{row}_{column} {word} {bit} I={expression}"

    def outputs(self) -> Iterator[str]:
        """Yield the names of the output currents."""
        for plane in range(self.stack.bit_planes):
            for column in range(self.stack.columns):
                yield f"i(vsense{plane}_{column})"
                if self.wires.bit_ends == "both":
                    yield f"i(vtop{plane}_{column})"


def ngspice(stack: Stack, voltages: Tensor, law: CellLaw | None = None, seconds: float = 600.0, held: Tensor | None = None) -> Tensor:
    """Return the output currents computed by ngspice, (bit planes, columns) amperes. Raises InputError if ngspice is missing or fails."""
    program = which("ngspice")
    if program is None:
        raise InputError("ngspice is not installed; install the system package ngspice")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "crossbar.cir"
        path.write_text(netlist(stack, voltages, law, held=held), encoding="ascii")
        done = subprocess.run([program, "-b", str(path)], capture_output=True, text=True, timeout=seconds, check=False)
    found = torch.zeros(stack.bit_planes, stack.columns, dtype=torch.float64)
    seen = re.findall(r"^i\(v(?:sense|top)(\d+)_(\d+)\) = (\S+)$", done.stdout, re.MULTILINE)
    ends = 2 if stack.wires.bit_ends == "both" else 1
    if len(seen) != found.numel() * ends:
        complaint = next((line for line in (done.stdout + done.stderr).splitlines() if "rror" in line), "no result")
        raise InputError(f"ngspice could not solve the netlist ({complaint.strip()[:120]}); print it with crossloom.circuit.netlist")
    for plane, column, current in seen:
        found[int(plane), int(column)] += float(current)
    return found
