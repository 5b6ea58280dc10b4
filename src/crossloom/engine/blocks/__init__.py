"""Arrays of which several rectangles, blocks, hold different things and work at the same time.

Beside products, a block can hold what is compared, rectified or added up: `cells.py` has the operations that a block of one-bit cells can
carry out, and enforces what it cannot; `maximum.py` has ReLU and the largest of several values, `summing.py` sums and averages, and
`in_memory_softmax.py` softmax. Each gives integers, a closed form of its actions and cycles, and a program that runs cell by cell.
"""
