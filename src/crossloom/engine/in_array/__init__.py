"""In-array functions: blocks of cells that work in parallel in one large array, each with its own role.

A block holds weights, or computes ReLU, maxima, sums and softmax by reading its cells and writing others. `biasing` decides which blocks may
be active simultaneously, given the levels of the lines (`derivation` finds the same by search, `disturbance` by circuit simulation). `cells`
models what an array can do in a cycle. `maximum`, `summing` and `softmax` are programs of such cycles, each with closed forms for time,
actions and wear, against which the programs are tested. `placement` sizes the blocks of a stage, `engine` is the interface to the compiler
and the evaluation, and `reference` computes whole stages cell by cell. The costs of blocks come from the machine file.
"""
