"""Networks: import from torch and ONNX, lowering to one small typed graph, folding, quantisation and replay.

Nothing here depends on machines. This package returns a `Graph`, in floating point or in integers.
"""
