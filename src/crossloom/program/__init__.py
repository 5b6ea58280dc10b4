"""The program: what a network becomes on a machine. Everything below the compiler reads it and nothing else.

`stage.py` and `program.py` hold it, `dependencies.py` says which positions wait for which, `dataflow.py` derives that from a graph,
`floorplan.py` is what lies where in arrays that stages share, `text.py` prints a program, `verify.py` checks one."""
