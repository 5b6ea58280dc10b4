"""Machines: their components, the cost of each component, and the source of each number.

A machine is a tree of units whose leaves are library components. This package knows nothing about networks: it holds
the schema, the library, the scaling laws and the published machines. How a machine computes is left to the engines;
their settings are kept here unparsed, as written in the file.
"""

from crossloom.machines.load import available as available
from crossloom.machines.load import load_machine as load_machine
from crossloom.machines.load import published as published
from crossloom.machines.machine import ActionKey as ActionKey
from crossloom.machines.machine import Machine as Machine
from crossloom.machines.machine import Part as Part
from crossloom.machines.quantity import Quantity as Quantity
