"""Circuits around the arrays that are small networks of RRAM and inverters: shift-and-add (NNS+A) and converter (NNADC).

After Cao et al., IEEE Transactions on Computers 71(9), 2022, Section 4, and Cao et al., ICCAD 2019. Here live their transistors, cells,
networks, training, their errors and their netlists; what a crossbar makes of them is the crossbar engine's. The mathematics is in
docs/periphery.md. Signals are differences from mid-supply, in volts, float64.
"""

from crossloom.periphery.adder import Adder as Adder
from crossloom.periphery.neuron import Neuron as Neuron
from crossloom.periphery.pairs import PairNetwork as PairNetwork
from crossloom.periphery.transistor import Process as Process
