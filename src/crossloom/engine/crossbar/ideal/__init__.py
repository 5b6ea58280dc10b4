"""Sums that hold for ideal cells: exact plans, and converters that clip or round integers."""
