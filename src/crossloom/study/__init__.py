"""Studies with many runs of a network: `sweep.py` over a machine's fields, `diagnose.py` effect by effect, `noise_tolerance.py` without a machine."""
