"""Quantisation of networks: calibration, post-training quantisation, QDQ graphs, ternary weights."""
