"""Print every figure with what it is compared with, and the target that we set ourselves."""

from __future__ import annotations

import platform
import sys

import torch

from benchmarks import associative, attention, cells, circuit, costs, layer, networks, packing, periphery, sharing
from benchmarks.timing import peak_memory_mib


def main() -> None:
    """Run the parts that are named on the command line, or all."""
    modules = {
        "associative": associative,
        "attention": attention,
        "cells": cells,
        "circuit": circuit,
        "layer": layer,
        "costs": costs,
        "networks": networks,
        "packing": packing,
        "periphery": periphery,
        "sharing": sharing,
    }
    parts = {name: module.measure for name, module in modules.items()}
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in sys.argv[1:] or parts:
        print(f"\n{name}")
        for line in parts[name]():
            print(f"  {line}", flush=True)
    print(f"\npeak memory of the whole run: {peak_memory_mib():.0f} MiB")


main()
