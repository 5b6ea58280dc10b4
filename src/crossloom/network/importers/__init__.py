"""Importers from torch and ONNX to a graph. They share a builder, the inference of the batch dimension and limits for untrusted files."""
