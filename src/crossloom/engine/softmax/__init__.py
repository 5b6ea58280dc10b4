"""The arithmetic of hardware softmax units, integer by integer.

A unit (`unit.py`) takes rows of scores as integers and returns rows of weights as integers; it says how often each of its parts acts and
how many cycles a row takes. There is one file for each: crossbars with a content-addressable memory and a divider (`star.py`), the
log-sum-exp form without a divider (`log_sum_exp.py`), a plain digital unit (`cmos.py`), and base two with a running integer maximum
(`softermax.py`). What they share is in `arithmetic.py`. `star_reference.py` and `references.py` compute the same plainly and slowly and
count actions where they happen; the units are held against them, values and counts.
"""
