"""Demonstration networks, trained on data that other packages provide, and the demonstration itself.

Each factory can be used on the command line: `crossloom diagnose crossloom.demo:digits_network --data crossloom.demo:digits_test ...`.
"""

from crossloom.demo.demo import demo as demo
from crossloom.demo.demo import digits_network as digits_network
from crossloom.demo.demo import digits_test as digits_test
from crossloom.demo.demo import digits_training as digits_training
from crossloom.demo.demo import harder_network as harder_network
from crossloom.demo.demo import harder_test as harder_test
from crossloom.demo.demo import harder_training as harder_training
from crossloom.demo.demo import ternary_network as ternary_network
from crossloom.demo.demo import text_network as text_network
from crossloom.demo.demo import text_test as text_test
from crossloom.demo.demo import text_training as text_training
from crossloom.demo.demo import vit_network as vit_network
from crossloom.demo.demo import vit_test as vit_test
from crossloom.demo.demo import vit_training as vit_training
