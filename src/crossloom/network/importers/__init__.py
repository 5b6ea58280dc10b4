"""From torch and ONNX to a graph. Both importers share a builder, batch inference and limits on untrusted files."""
