"""Circuit simulation of crossbars: currents and voltages with wire resistance (IR drop).

Ohmic cells on resistive wires are a linear network, so a programmed tile is one matrix from input voltages to output currents.
`transfer` computes it exactly, for any number of layers that share electrodes, for batches of tiles, with gradients, on any device. `currents`
gives the output currents for many inputs, `solve` every node voltage for one input, and `netlist` writes the same circuit for SPICE. Cell models
belong to `crossloom.device`; the mapping of numbers to voltages and conductances belongs to the engines.
"""

from crossloom.circuit.curved import solve_curved as solve_curved
from crossloom.circuit.many import currents as currents
from crossloom.circuit.many import matrix as matrix
from crossloom.circuit.solve import Solution as Solution
from crossloom.circuit.solve import solve as solve
from crossloom.circuit.spice import netlist as netlist
from crossloom.circuit.spice import ngspice as ngspice
from crossloom.circuit.stack import Stack as Stack
from crossloom.circuit.stack import Wires as Wires
from crossloom.circuit.stack import planar as planar
from crossloom.circuit.transfer import transfer as transfer
