"""Everything that is not a product with constant weights: functions, pooling, residuals, softmax, norms, moves.

The values are those of the integer reference. Which part of the machine does the work is a setting of the machine.
"""
