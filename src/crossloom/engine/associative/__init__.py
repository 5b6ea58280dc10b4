"""The associative processor: networks with ternary weights as additions and subtractions, bit by bit in all rows of an array at once.

A row holds one output position: its inputs, its sums, and one cell for the carry. What a layer computes is compiled here into a stream of
instructions, pass after pass; the stream is executed search by search and write by write, and its actions are counted.
"""
