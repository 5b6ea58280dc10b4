"""Memory-cell models: conductance range, programming error, drift, read noise, faults and I-V law.

A `Cell` is composed of small frozen objects, one per effect. Each is a formula with its source and its measured range. A published
device is a file under `published/`. `Cell.write` makes the random draws of programming once; the `Written` cells it returns give the
conductances at any later time. This package deals in conductances (siemens); weights belong to the engines, wires to `circuit`.
"""

from crossloom.device.cell import Cell as Cell
from crossloom.device.cell import Written as Written
from crossloom.device.file import cell_text as cell_text
from crossloom.device.file import read_cell as read_cell
from crossloom.device.fit import fit_cell as fit_cell
from crossloom.device.fit import read_measurements as read_measurements
from crossloom.device.library import cell as cell
from crossloom.device.library import cells as cells
