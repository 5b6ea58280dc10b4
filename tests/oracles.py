"""onnxruntime as an oracle: exact integers on any processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def onnx_session(model: str | Path | bytes) -> Any:
    """Return a session that computes a quantised model exactly; skips the test where onnxruntime is missing.

    Without VNNI, the kernels for unsigned activations and signed weights add pairs of products in 16 bits, which saturate (onnxruntime,
    "Quantize ONNX models", when to use reduce-range). Its precision mode takes kernels that do not; these are wrong for signed activations
    of QLinear operators, whose plain kernels are exact.
    """
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    data = model if isinstance(model, bytes) else Path(model).read_bytes()
    options = onnxruntime.SessionOptions()
    if not _signed_operators(onnx.load_from_string(data)):
        options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _signed_operators(model: Any) -> bool:
    """Return whether a model has QLinear operators with signed activations."""
    signed = {tensor.name for tensor in model.graph.initializer if tensor.data_type == tensor.INT8}
    return any(node.op_type.startswith("QLinear") and node.input[2] in signed for node in model.graph.node)
