"""Presentation of results: pictures, an HTML page, terminal tables, a notebook summary, a trace for a viewer.

This package turns a `Result` or a `Machine` into views, and holds the wording and shares that these views have in common.
Nothing here may compute a cost, a time or a value: the report shows only numbers that are in the result.
"""
