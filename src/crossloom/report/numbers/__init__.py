"""Shares, rankings and sentences that several views of a result have in common."""
