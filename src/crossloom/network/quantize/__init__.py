"""From floating point to integers: calibration, post-training quantisation, QDQ graphs, ternary weights."""
