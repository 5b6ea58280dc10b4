"""The associative processor: ternary-weight networks as bit-serial additions and subtractions in all rows of an array in parallel.

A row holds one output position: its inputs, its sums, and one cell for the carry. A sequence of compiler passes turns a layer into a stream of
instructions. The stream is executed search by search and write by write, and its actions are counted.
"""
