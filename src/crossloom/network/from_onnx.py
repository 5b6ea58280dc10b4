"""The name under which scripts know the ONNX importer; it lives in `crossloom.network.importers.onnx`."""

from crossloom.network.importers.onnx.from_onnx import from_onnx as from_onnx
