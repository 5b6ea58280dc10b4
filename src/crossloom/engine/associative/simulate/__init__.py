"""Instruction streams executed search by search on packed bits, with faults and counts."""
