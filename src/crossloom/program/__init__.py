"""The program: a network compiled for a machine. Everything after the compiler reads only the program.

`stage.py` and `program.py` define it. `dependencies.py` has the rules for which positions wait for which, and `dataflow.py` derives them from a
graph. `floorplan.py` describes arrays that stages share, `text.py` prints a program, and `verify.py` checks one."""
