"""What one memory cell does: the conductances that it can have, how well they are written, how they drift, how they read.

A `Cell` is put together from small frozen objects, one for each effect, each a formula with its source and the range in which it was
measured; a published device is a file under `published/`. `Cell.write` draws once what chance decides when cells are written, and what it
returns answers for any time after. What belongs here: conductances in siemens. What does not: weights (engines), wires (`circuit`).
"""

from crossloom.device.cell import Cell as Cell
from crossloom.device.cell import Written as Written
from crossloom.device.file import cell_text as cell_text
from crossloom.device.file import read_cell as read_cell
from crossloom.device.fit import fit_cell as fit_cell
from crossloom.device.fit import read_measurements as read_measurements
from crossloom.device.library import cell as cell
from crossloom.device.library import cells as cells
