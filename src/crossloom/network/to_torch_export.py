"""Export of a quantised network as a torch program, which `torch.export.save` writes and any torch installation runs.

Reading the program back gives the same integers. Every integer tensor, constants included, passes through torch's fake quantisation,
so no calibration is needed. Each operation carries its node's name as its module name, so layers keep their names when read back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export
from torch.library import Library

from crossloom.errors import ModelError, one_line
from crossloom.network.graph import Graph, bound
from crossloom.network.importers.torch.from_torch import from_program, quiet
from crossloom.network.operators import Conv, ConvTranspose, Linear, Operator, Softmax
from crossloom.network.quantize.post_training import accumulator_scale, quantize
from crossloom.network.samples import random_samples
from crossloom.network.types import Batch, TensorType


def to_program(graph: Graph) -> ExportedProgram:
    """Return a quantised network as an exported program for any batch size, or for the network's fixed batch size.

    Raises ModelError if the network is in floating point, or if the program read back would not give the same integers. That is the case for
    operators that torch exports differently, and for biases beyond float32 precision.
    """
    if not graph.quantized:
        raise ModelError(f"{graph.name} is in floating point; quantise it first (crossloom.quantize)")
    inputs = graph.samples or random_samples(graph, graph.batch or 2, torch.Generator().manual_seed(0))
    example = tuple(_of_two(x, type) for x, (_, type) in zip(inputs, graph.inputs, strict=True))
    try:
        with torch.no_grad(), quiet(), _open_rounding():
            program = _named(export(_Rounded(graph), example, dynamic_shapes=_open(graph), strict=False), graph)
        again = quantize(from_program(program, name=graph.name))
    except (ModelError, RuntimeError, ValueError, TypeError) as problem:
        raise ModelError(f"{graph.name}: cannot be exported as a torch program ({one_line(problem)})") from problem
    if not _alike(graph(*inputs), again(*inputs)):
        raise ModelError(f"{graph.name}: exported as a torch program it would not give the same integers; keep the module and quantise it again")
    return program


def _alike(before: Tensor | Sequence[Tensor], after: Tensor | Sequence[Tensor]) -> bool:
    pairs = zip(*((each,) if isinstance(each, Tensor) else each for each in (before, after)), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def _of_two(tensor: Tensor, type: TensorType) -> Tensor:
    """Return the input for two samples if it has a batch dimension: torch treats a dimension of size 1 as fixed."""
    for axis, dim in enumerate(type.shape):
        if isinstance(dim, Batch):
            tensor = torch.cat([tensor, tensor], axis).narrow(axis, 0, 2 * dim.times)
    return tensor


def _open(graph: Graph) -> Any:
    """Return the dimensions that the exported program keeps open."""
    if graph.batch is not None:
        return None
    batch = Dim("batch")
    return (tuple({i: batch * dim.times for i, dim in enumerate(type.shape) if isinstance(dim, Batch)} for _, type in graph.inputs),)


class _Rounded(nn.Module):
    """A quantised graph computed in floating point, with each tensor rounded to its grid."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._graph = graph
        self.steps = nn.ModuleList(_Step(node.op) for node in graph.nodes)
        biases = _biases(graph)
        for place, (name, constant) in enumerate(graph.constants.items()):
            q = graph.quantization.get(name)
            self.register_buffer(f"c{place}", biases[name] if name in biases else constant if q is None else q.dequantize(constant))
            if q is not None and q.axis is not None:
                self.register_buffer(f"c{place}_scale", torch.tensor(q.scale))
                self.register_buffer(f"c{place}_zero", torch.zeros(len(q.scale), dtype=torch.int32))

    def forward(self, *inputs: Tensor) -> Any:
        """Return the real values of the graph's outputs."""
        graph, batch = self._graph, _batch(self._graph, inputs)
        tensors = {name: self._constant(place, name) for place, name in enumerate(graph.constants)}
        tensors |= {name: self._rounded(name, given) for (name, _), given in zip(graph.inputs, inputs, strict=True)}
        for node, step in zip(graph.nodes, self.steps, strict=True):
            tensors[node.name] = self._rounded(node.name, step(batch, *(tensors[name] for name in node.inputs)))
        outputs = tuple(tensors[name] for name in graph.outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def _constant(self, place: int, name: str) -> Tensor:
        q, value = self._graph.quantization.get(name), self.get_buffer(f"c{place}")
        if q is None or q.axis is None:
            return self._rounded(name, value)
        scale, zero = self.get_buffer(f"c{place}_scale"), self.get_buffer(f"c{place}_zero")
        return torch.fake_quantize_per_channel_affine(value, scale, zero, q.axis, q.low, q.high)

    def _rounded(self, name: str, tensor: Tensor) -> Tensor:
        q = self._graph.quantization.get(name)
        if q is None or not tensor.is_floating_point():
            return tensor
        return torch.fake_quantize_per_tensor_affine(tensor, q.scale[0], q.zero, q.low, q.high)


class _Step(nn.Module):
    """One node as a module, so that the program records the node each operation belongs to."""

    def __init__(self, op: Operator) -> None:
        super().__init__()
        self._op = op

    def forward(self, batch: int, *operands: Tensor) -> Tensor:
        """Return the node's result in floating point."""
        return _computed(bound(self._op, batch), operands)


def _named(program: ExportedProgram, graph: Graph) -> ExportedProgram:
    """Return the program with module numbers replaced by node names."""
    for operation in program.graph.nodes:
        stack = operation.meta.get("nn_module_stack") or {}
        for key, (path, kind) in list(stack.items()):
            if path.startswith("steps."):
                stack[key] = (graph.nodes[int(path.removeprefix("steps."))].name, kind)
    return program


def _computed(op: Operator, operands: Sequence[Tensor]) -> Tensor:
    """Return an operator's result. A softmax mask is written as models write it, with the lowest number at hidden positions."""
    if isinstance(op, Softmax) and len(operands) > 1:
        return op(torch.where(operands[1], operands[0], torch.finfo(torch.float32).min))
    return op(*operands)


def _batch(graph: Graph, inputs: Sequence[Tensor]) -> int:
    """Return the batch size, which is symbolic while torch traces the program."""
    for given, (_, type) in zip(inputs, graph.inputs, strict=True):
        for size, dim in zip(given.shape, type.shape, strict=True):
            if isinstance(dim, Batch):
                return size // dim.times
    return graph.batch or 1


def _biases(graph: Graph) -> dict[str, Tensor]:
    """Return the real values of biases, which are stored in units of their layer's accumulator."""
    found = {}
    for node in graph.nodes:
        if isinstance(node.op, Conv | ConvTranspose | Linear) and len(node.inputs) > 2 and node.inputs[1] in graph.quantization:
            scale = accumulator_scale(graph.quantization[node.inputs[0]], graph.quantization[node.inputs[1]])
            found[node.inputs[2]] = (graph.constants[node.inputs[2]] * scale).to(torch.float32)
    return found


@contextmanager
def _open_rounding() -> Iterator[None]:
    """Temporarily register shape rules for torch's fake quantisation, which torch lacks for open dimensions."""
    library = Library("aten", "IMPL", "Meta")  # type: ignore[no-untyped-call]
    library.impl("fake_quantize_per_tensor_affine_cachemask", _as_large)  # type: ignore[no-untyped-call]
    library.impl("fake_quantize_per_channel_affine_cachemask", _as_large)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        del library


def _as_large(tensor: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(tensor), torch.empty_like(tensor, dtype=torch.bool)
