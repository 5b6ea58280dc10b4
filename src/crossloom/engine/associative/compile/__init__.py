"""The compiler of one layer: from ternary weights to a stream of instructions, pass after pass."""
