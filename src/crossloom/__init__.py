"""Crossloom: give it a trained network and an in-memory machine, and it answers what the machine computes, when, and at what price.

    import crossloom as xl

    net = xl.load("model.onnx")
    chip = xl.machine("isaac-ce").with_(adc_bits=7)
    result = xl.run(net, chip, data="test.npz")
    result.accuracy, result.latency, result.energy, result.area

Heavy parts are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossloom.compiler import compile_network as compile
    from crossloom.job.result import Result
    from crossloom.job.run import run
    from crossloom.job.source import load, machine
    from crossloom.network.graph import Graph
    from crossloom.network.quantize.calibrate import MinMax, Mse, Percentile
    from crossloom.network.quantize.post_training import Recipe
    from crossloom.network.quantize.ternary import Sparse, Twn, ternary_layers
    from crossloom.network.to_torch_export import to_program
    from crossloom.papers import reproduce
    from crossloom.study.diagnose import diagnose
    from crossloom.study.sweep import sweep
    from crossloom.training.chip_module import to_torch
    from crossloom.training.ternarize import ternarize, ternary_module
    from crossloom.training.ternary_recipe import Distillation, TernaryRecipe

__version__ = "0.1.0"

_WHERE = {
    "Distillation": ("crossloom.training.ternary_recipe", "Distillation"),
    "Graph": ("crossloom.network.graph", "Graph"),
    "MinMax": ("crossloom.network.quantize.calibrate", "MinMax"),
    "Mse": ("crossloom.network.quantize.calibrate", "Mse"),
    "Percentile": ("crossloom.network.quantize.calibrate", "Percentile"),
    "Recipe": ("crossloom.network.quantize.post_training", "Recipe"),
    "Result": ("crossloom.job.result", "Result"),
    "Sparse": ("crossloom.network.quantize.ternary", "Sparse"),
    "TernaryRecipe": ("crossloom.training.ternary_recipe", "TernaryRecipe"),
    "Twn": ("crossloom.network.quantize.ternary", "Twn"),
    "diagnose": ("crossloom.study.diagnose", "diagnose"),
    "sweep": ("crossloom.study.sweep", "sweep"),
    "compile": ("crossloom.compiler", "compile_network"),
    "load": ("crossloom.job.source", "load"),
    "machine": ("crossloom.job.source", "machine"),
    "reproduce": ("crossloom.papers", "reproduce"),
    "run": ("crossloom.job.run", "run"),
    "ternarize": ("crossloom.training.ternarize", "ternarize"),
    "ternary_layers": ("crossloom.network.quantize.ternary", "ternary_layers"),
    "ternary_module": ("crossloom.training.ternarize", "ternary_module"),
    "to_program": ("crossloom.network.to_torch_export", "to_program"),
    "to_torch": ("crossloom.training.chip_module", "to_torch"),
}

__all__ = [
    "Distillation",
    "Graph",
    "MinMax",
    "Mse",
    "Percentile",
    "Recipe",
    "Result",
    "Sparse",
    "TernaryRecipe",
    "Twn",
    "compare",
    "compile",
    "diagnose",
    "load",
    "machine",
    "quantize",
    "reproduce",
    "run",
    "sweep",
    "ternarize",
    "ternary_layers",
    "ternary_module",
    "to_program",
    "to_torch",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'crossloom' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)


def quantize(network: Graph, calibration: Any = None, *, weights: int = 8, activations: int = 8, **options: Any) -> Graph:
    """Return a network in integers, calibrated on samples.

    Args:
        network: in floating point.
        calibration: samples as `crossloom.job.data.load_data` takes them; labels are ignored. A network that brings the grids of all its
            tensors along (QDQ) needs none.
        weights, activations: bits, 2 to 16.
        options: further fields of `Recipe`: per_channel, scheme ("symmetric" or "affine"), calibrator (`MinMax`, `Percentile`, `Mse`).
    """
    from crossloom.job.data import as_batches, load_data
    from crossloom.network.quantize.post_training import Recipe
    from crossloom.network.quantize.post_training import quantize as quantized

    batches = None if calibration is None else as_batches(load_data(calibration, network, labels=False), network.batch or 32)
    return quantized(network, batches, Recipe(weights=weights, activations=activations, **options))


def compare(network: Graph, machines: Any, data: Any = None, **options: Any) -> list[Result]:
    """Return one result for each machine (names or machines), the network quantised once for all of them."""
    from crossloom.job.run import compare as compared
    from crossloom.machines import Machine, load_machine

    chips = [m if isinstance(m, Machine) else load_machine(m) for m in machines]
    return compared(network, chips, data, **options)
