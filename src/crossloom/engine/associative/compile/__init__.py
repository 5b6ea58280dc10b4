"""Compiler of one layer: a sequence of passes from ternary weights to a stream of instructions."""
