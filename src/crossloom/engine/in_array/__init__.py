"""Blocks: rectangles of cells that work side by side in one large array, each with a role of its own.

A block holds weights, or computes ReLU, maxima, sums and softmax by reading its cells and writing others. `biasing` says which of them may
be active at once, as the levels of the lines dictate (`derivation` finds the same by search, `disturbance` asks the circuit). `cells` is what
an array can do in a cycle; `maximum`, `summing` and `in_memory_softmax` are programs of such cycles, each with closed forms for time, actions
and wear that the programs are held to. `placement` sizes the blocks of a stage, `engine` is what the compiler and the readings ask, and
`reference` computes whole stages cell by cell. What blocks cost is the machine's file's business.
"""
