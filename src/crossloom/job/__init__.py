"""The main job: a network, a machine and data go in, a result comes out and can be kept.

`source.py` finds models, `data.py` finds samples, `check.py` looks before anything costly, `run.py` compiles and reads, `result.py`
holds what came out.
"""
