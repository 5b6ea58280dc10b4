"""The main job: from a network, a machine and data to a result that can be saved.

`source.py` finds models, `data.py` finds samples, `check.py` checks a network before anything costly, `run.py` compiles and reads, and
`result.py` holds the result.
"""
