"""Show a result to people: pictures, a page, tables in the terminal, a summary in a notebook, a trace for a viewer.

This room turns a `Result` or a `Machine` into something to look at, and the words and shares that these views have in
common. Nothing here may compute a cost, a time or a value: a number that is not in the result is not for the report to invent.
"""
