"""Crossloom: a compiler and simulator for trained networks on in-memory machines, for accuracy, latency, energy and area.

    import crossloom as xl

    net = xl.load("model.onnx")
    chip = xl.machine("isaac-ce").with_(adc_bits=7)
    result = xl.run(net, chip, data="test.npz")
    result.accuracy, result.latency, result.energy, result.area

Heavy submodules are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossloom.compiler import compile_network as compile
    from crossloom.job.job import Job
    from crossloom.job.quantised import quantize
    from crossloom.job.result import Result
    from crossloom.job.run import compare, run
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
    "Job": ("crossloom.job.job", "Job"),
    "compare": ("crossloom.job.run", "compare"),
    "quantize": ("crossloom.job.quantised", "quantize"),
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
    "Job",
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


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
