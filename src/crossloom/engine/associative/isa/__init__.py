"""Instruction set of an associative processor: instructions, their truth tables, and their costs."""
