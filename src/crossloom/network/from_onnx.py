"""Public import path of the ONNX importer, which is implemented in `crossloom.network.importers.onnx`."""

from crossloom.network.importers.onnx.from_onnx import from_onnx as from_onnx
