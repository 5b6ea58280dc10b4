"""Products of two tensors that are both data, as in attention, in crossbars that one of the two is written into.

Beyond reading, such a product costs writing: time, energy and wear, in every inference. The operand that is written is
a node of its own in the program (`Store`), whose stage holds the arrays; products that read it work in these. Before that, a machine
can have attention rewritten so that what is stored is used twice (`rewrite.py`). Arrays, converters and plans are the crossbar engine's.
"""
