"""Compiled inner loops: functions compiled by numba, and several numbers in one vector register.

This package is independent of networks, machines and circuits."""
