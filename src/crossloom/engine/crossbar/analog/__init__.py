"""Sums of real cells and wires: programmed conductances, IR drop, noisy reads, trained circuits."""
