"""Studies: many runs of one network. `sweep.py` over fields of a machine, `diagnose.py` effect by effect, `noise_tolerance.py` without a machine."""
