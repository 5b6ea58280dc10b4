"""Peripheral circuits built as small networks of RRAM and inverters: shift-and-add (NNS+A) and converter (NNADC).

After Cao et al., IEEE Transactions on Computers 71(9), 2022, Section 4, and Cao et al., ICCAD 2019. This package holds their transistors,
cells, networks, training, errors and netlists; their use in a crossbar belongs to the crossbar engine. The mathematics is in
docs/periphery.md. Signals are voltages relative to mid-supply, float64.
"""

from crossloom.periphery.adder import Adder as Adder
from crossloom.periphery.neuron import Neuron as Neuron
from crossloom.periphery.pairs import PairNetwork as PairNetwork
from crossloom.periphery.transistor import Process as Process
