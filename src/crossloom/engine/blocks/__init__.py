"""Several blocks in one array: which may be active at once, and at what voltages.

A block is a rectangle of cells of a passive crossbar. `biasing` says which blocks may be read or written in one pulse and sets the lines'
levels; `derivation` finds the same by exhaustive search from what each cell may see; `disturbance` solves arrays on resistive wires at these
levels, and bounds what cells see there.
"""
