"""Networks: read from torch and ONNX, lowered to one small typed graph, folded, quantised, replayed.

Nothing here knows of machines. What leaves this folder is a `Graph`: in floating point, or in integers.
"""
