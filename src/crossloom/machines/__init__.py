"""Machines: what they are made of, what each part costs, and where each number comes from.

A machine is a tree of units whose leaves are components of the library. This folder knows nothing of networks: it holds
the schema, the library, the scaling laws and the published machines. How a machine computes is the engines' affair;
their settings are carried here as they stand in the file.
"""

from crossloom.machines.load import available as available
from crossloom.machines.load import load_machine as load_machine
from crossloom.machines.load import published as published
from crossloom.machines.machine import ActionKey as ActionKey
from crossloom.machines.machine import Machine as Machine
from crossloom.machines.machine import Part as Part
from crossloom.machines.quantity import Quantity as Quantity
