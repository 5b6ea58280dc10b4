"""Bit-sliced, bit-serial matrix products in resistive crossbars.

A weight is cut into slices of a few bits, one cell each, in adjacent columns; an input arrives as digits of a few bits, one per
cycle. A column's current is a partial sum, a converter turns it into a number, and shift-and-add puts the numbers together:

    Σ_r x_r · w_rc  =  Σ_t Σ_b Σ_k  α_b · β_k · A( Σ_{r in tile t}  x_rb · g_rck )  −  corrections

with digits x_rb of weight α_b, cells g_rck of weight β_k, row tiles t and the converter A. What the corrections are depends on
how signs are encoded (`encode.py`). Whether A can change anything is decided by a bound (`plan.py`); where it cannot, the whole
is one integer matrix product. Partial sums may also meet before they are converted (`dataflow.py`), through circuits that have errors of
their own (`analog/trained.py`). `reference/ideal.py` computes the formula as it stands; every faster path is held against it.
"""
