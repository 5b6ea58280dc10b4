"""Shares, rankings and sentences common to several views of a result."""
