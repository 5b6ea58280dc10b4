"""Post-training quantisation: integers and a scale for every weight and every activation.

Weights are symmetric, per output channel or per tensor. Weights of a layer that are already ternary are stored as −1, 0 and 1.
Activations are per tensor: unsigned if no value is negative, otherwise signed around zero, or with a zero point (`affine`).
A product whose only reader is a ReLU or a clip takes the range of that reader's result, so nothing is lost between them.
A tensor that is only moved takes the range given at its destination. `network/integer` defines the integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from crossloom.errors import ModelError
from crossloom.network.fold import drop_unused, fold_batch_norm, fold_constants
from crossloom.network.graph import Graph, Node
from crossloom.network.masks import find_masks, native_tensors
from crossloom.network.operators import (
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    FakeQuantize,
    Gather,
    GroupNorm,
    LayerNorm,
    Linear,
    MaxPool,
    Move,
    Pad,
    Pow,
    Reduce,
    Relu,
    Resize,
    RmsNorm,
    Unsupported,
)
from crossloom.network.quantization import Quantization, carrier
from crossloom.network.quantize.calibrate import Calibrator, MinMax, Observed, affine, observe, symmetric
from crossloom.network.quantize.qdq import absorb, integers_of
from crossloom.network.quantize.ternary import narrowed, output_axis, project, ternary_quantization
from crossloom.network.samples import check_independent

KEPT, KEPT_BYTES = 16, 1 << 24
"""Largest number of samples that a quantised graph keeps, and the limit on their size in bytes."""
OPERAND_BITS = 16
"""Bits of a constant in element-wise addition or multiplication. Such a constant is held in a register, not in an array."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Quantisation settings; bits are 2 to 16. Weights that are ternary (−a, 0 or a in each output channel) always get 2 bits, whatever `weights` is.

    With a `sparsity`, each layer gets the nearest ternary weights with that share of zeros, without training. Such a network is suitable for
    cost estimates; it does not show the accuracy of a network trained with ternary weights.
    """

    weights: int = 8
    activations: int = 8
    per_channel: bool = True
    scheme: Literal["symmetric", "affine"] = "symmetric"
    calibrator: Calibrator = field(default_factory=MinMax)
    sparsity: float | None = None

    def __post_init__(self) -> None:
        if self.sparsity is not None and not 0 <= self.sparsity < 1:
            raise ModelError(f"quantize: sparsity must be at least 0 and below 1, got {self.sparsity}; 0.8 keeps a fifth of the weights")
        for what, bits in (("weights", self.weights), ("activations", self.activations)):
            if not 2 <= bits <= 16:
                raise ModelError(f"quantize: {what} must have 2 to 16 bits, got {bits}")

    def activation(self, observed: Observed) -> Quantization:
        """Return the quantisation of an activation from its observed values."""
        low, high = self.calibrator(observed, self.activations)
        if self.scheme == "affine":
            return affine(low, high, self.activations)
        return symmetric(low, high, self.activations)


def quantize(graph: Graph, calibration: Iterable[Sequence[Tensor] | Tensor] | None = None, recipe: Recipe | None = None) -> Graph:
    """Return the quantised graph, calibrated on batches of inputs (a tensor, or one per input of the network).

    Quantise-dequantise pairs in the network are kept unchanged; a network with a pair on every tensor needs no calibration.

    Raises ModelError if the network is already quantised, contains unsupported operators, mixes the samples of a batch, or lacks a range
    and no samples are given. Raises DataError for data that are empty or not finite.
    """
    check_quantizable(graph)
    return _quantized(graph, calibration, recipe or Recipe())


def _quantized(graph: Graph, calibration: Iterable[Sequence[Tensor] | Tensor] | None, recipe: Recipe) -> Graph:
    graph = fold_constants(find_masks(fold_batch_norm(drop_unused(graph))))
    seen: dict[str, Observed] = {}
    kept: list[tuple[Tensor, ...]] = []
    if calibration is not None:
        seen = observe(graph, _noting(((batch,) if isinstance(batch, Tensor) else tuple(batch) for batch in calibration), kept, graph))
    graph, given = absorb(graph)
    quantization = _activations(graph, seen, given, recipe)
    quantization |= {name: q for name, q in given.items() if name in graph.constants}
    constants = dict(graph.constants)
    for name in quantization.keys() & constants.keys():
        constants[name] = integers_of(constants[name], quantization[name]).to(carrier(quantization[name]))
    nodes = tuple(_with_integer_constants(node, constants, quantization, recipe) for node in graph.nodes)
    used = {name for node in nodes for name in node.inputs} | set(graph.outputs)
    constants = {name: value for name, value in constants.items() if name in used}
    quantization = {name: q for name, q in quantization.items() if name in constants or name not in graph.constants}
    return replace(graph, nodes=nodes, constants=constants, quantization=quantization, samples=kept[0] if kept else ())


def first_samples(inputs: Sequence[Tensor], graph: Graph) -> tuple[Tensor, ...]:
    """Return the samples of a batch that a graph keeps: the first 16, fewer if they exceed 16 MiB but at least one; all of a fixed batch."""
    batched = [type.batched for _, type in graph.inputs]
    each = sum(tensor[:1].nbytes for tensor, varies in zip(inputs, batched, strict=True) if varies)
    count = max(1, min(KEPT, KEPT_BYTES // max(1, each)))
    cut = [varies and not graph.batch for varies in batched]
    return tuple((tensor[:count] if some else tensor).detach().clone() for tensor, some in zip(inputs, cut, strict=True))


def _noting(batches: Iterable[tuple[Tensor, ...]], kept: list[tuple[Tensor, ...]], graph: Graph) -> Iterator[tuple[Tensor, ...]]:
    """Yield the batches and keep the first samples of the first batch."""
    for batch in batches:
        if not kept:
            kept.append(first_samples(batch, graph))
        yield batch


def needs_samples(graph: Graph) -> bool:
    """Return whether quantising a network needs samples, that is, whether some tensor has no range of its own."""
    _check(graph)
    try:
        _quantized(graph, None, Recipe())
    except ModelError:
        return True
    return False


def check_quantizable(graph: Graph) -> None:
    """Raise ModelError for a network that cannot be quantised: in integers already, with unsupported operators or weights, or mixing samples."""
    _check(graph)
    check_independent(graph)


def _check(graph: Graph) -> None:
    if graph.quantized:
        raise ModelError(f"{graph.name} is already quantised; start from the floating-point network")
    for node in graph.nodes:
        if isinstance(node.op, Unsupported):
            raise ModelError(f"{graph.name}: {node.name} ({node.op.kind}) has no counterpart; run 'crossloom check' on the model")
    if (defect := next(defects(graph), None)) is not None:
        raise ModelError(f"{graph.name}: {defect[0]} {defect[1]}")


def defects(graph: Graph) -> Iterator[tuple[str, str]]:
    """Yield the tensors that cannot be quantised with any data, each with the reason and the remedy."""
    for node in graph.nodes:
        if 0 in node.type.shape:
            yield node.name, f"has no elements (shape {list(node.type.shape)}); leave it out"
        if isinstance(node.op, FakeQuantize) and node.op.quantization.axis is not None and node.inputs[0] not in graph.constants:
            yield node.name, "is quantised per channel and depends on the input; quantise activations per tensor and only weights per channel"
    for name, tensor in graph.constants.items():
        if problem := unfit(tensor):
            yield name, f"{problem}; repair the weights"


def unfit(constant: Tensor) -> str | None:
    """Return why a constant cannot be quantised (no values, NaN, or +∞), or None if it can. −∞ is allowed: it masks a softmax."""
    if constant.is_meta:
        return "has no values (it is on the meta device)"
    if not constant.is_floating_point():
        return None
    if bool(torch.isnan(constant).any()):
        return "contains NaN"
    return "contains an infinite value" if constant.numel() and bool(constant.max() == torch.inf) else None


def _activations(graph: Graph, seen: dict[str, Observed], given: dict[str, Quantization], recipe: Recipe) -> dict[str, Quantization]:
    """Return the quantisation of inputs and results: as given, copied from the source for moved data, or from observed values."""
    native = native_tensors(graph)
    quantization = dict(given)
    wanted = [name for name, type in graph.inputs if type.dtype == "f32"]
    for name in wanted:
        if name not in given and name in seen:
            quantization[name] = recipe.activation(seen[name])
    for node in graph.nodes:
        if node.type.dtype != "f32" or (node.name in native and all(reader.name in native for reader in graph.users[node.name])):
            continue
        wanted.append(node.name)
        if node.name in given:
            continue
        if isinstance(node.op, FakeQuantize):
            quantization[node.name] = node.op.quantization
        elif hands_on(node) and node.inputs[0] in quantization:
            quantization[node.name] = quantization[node.inputs[0]]
        elif node.name in seen:
            quantization[node.name] = recipe.activation(seen[node.name])
    _hand_back(graph, quantization, set(given))
    if missing := [name for name in wanted if name not in quantization]:
        raise ModelError(f"{graph.name}: tensor {missing[0]} has no range of its own; give calibration samples")
    return {name: q for name, q in quantization.items() if name in wanted}


def _hand_back(graph: Graph, quantization: dict[str, Quantization], given: set[str]) -> None:
    """Give a tensor the quantisation of its only reader's result, if a finer quantisation would be lost in that reader.

    There are two such cases: the reader clips the range, or it passes the integers on to a tensor with a given quantisation. Rounding
    before a move or a maximum is equivalent to rounding after it.
    """
    for name in (*(node.name for node in reversed(graph.nodes)), *(name for name, _ in graph.inputs)):
        readers = graph.users[name]
        if len(readers) != 1 or name in graph.outputs or name in given or readers[0].name not in quantization:
            continue
        reader = readers[0]
        if hands_on(reader) and reader.inputs[0] == name and reader.name in given:
            given.add(name)
            quantization[name] = quantization[reader.name]
        elif name in graph.by_name and not hands_on(graph.by_name[name]) and _limits(reader):
            quantization[name] = quantization[reader.name]


def _limits(node: Node) -> bool:
    return isinstance(node.op, Relu) or (isinstance(node.op, Clip) and node.op.low == 0)


def hands_on(node: Node) -> bool:
    """Whether the result holds the same integers as the first input: a move, a maximum or a minimum."""
    op = node.op
    if isinstance(op, Concat | Gather):
        return False
    if isinstance(op, Pad):
        return op.mode != "constant" or op.value == 0
    if isinstance(op, Resize):
        return op.mode == "nearest"
    return isinstance(op, Move | MaxPool) or (isinstance(op, Reduce) and op.kind in ("max", "min"))


def _with_integer_constants(node: Node, constants: dict[str, Tensor], quantization: dict[str, Quantization], recipe: Recipe) -> Node:
    """Quantise the constants that a node reads; parameters of normalisations stay real."""
    if isinstance(node.op, LayerNorm | GroupNorm | RmsNorm) or node.name not in quantization:
        return node
    if isinstance(node.op, Conv | ConvTranspose | Linear) and node.inputs[1] in constants:
        return _with_weights(node, constants, quantization, recipe)
    inputs = list(node.inputs)
    exponent = 1 if isinstance(node.op, Pow) else None
    for place, name in enumerate(inputs):
        if place == exponent:
            continue
        if name in constants and name in quantization and quantization[name].axis is not None:
            inputs[place] = f"{node.name}.{name}"
            constants[inputs[place]] = quantization[name].dequantize(constants[name])
        name = inputs[place]
        value = constants.get(name)
        if value is not None and value.is_floating_point() and name not in quantization:
            bits = recipe.weights if isinstance(node.op, Gather) else OPERAND_BITS
            _store(name, value, _of_constant(value, bits), constants, quantization)
    if isinstance(node.op, Gather) and inputs[0] in constants:
        quantization[node.name] = quantization[inputs[0]]
    return replace(node, inputs=tuple(inputs))


def _with_weights(node: Node, constants: dict[str, Tensor], quantization: dict[str, Quantization], recipe: Recipe) -> Node:
    """Quantise the weights, and the bias at the accumulator's scale: input scale · weight scale."""
    name = node.inputs[1]
    axis = output_axis(node.op) if recipe.per_channel else None
    if name in quantization and quantization[name].axis not in (None, axis):
        constants[f"{node.name}.weight"] = quantization[name].dequantize(constants[name])
        name = f"{node.name}.weight"
    if name in quantization:
        quantization[name] = narrowed(constants[name], quantization[name])
        constants[name] = constants[name].to(carrier(quantization[name]))
    if name in quantization and recipe.sparsity is not None and quantization[name].bits > 2:
        constants[f"{node.name}.weight"] = quantization[name].dequantize(constants[name])
        name = f"{node.name}.weight"
    if name not in quantization:
        weight = constants[name]
        if recipe.sparsity is not None and ternary_quantization(weight, axis) is None:
            weight = project(weight, min(round(recipe.sparsity * weight.numel()), weight.numel() - 1), axis)
        q = ternary_quantization(weight, axis) or weight_quantization(weight, recipe.weights, axis)
        _store(name, weight, q, constants, quantization)
    if len(node.inputs) == 2:
        return replace(node, inputs=(node.inputs[0], name))
    scale = accumulator_scale(quantization[node.inputs[0]], quantization[name])
    bias = f"{node.name}.bias.integer"
    integers = torch.round(constants[node.inputs[2]].to(torch.float64) / scale)
    if bool((integers.abs() >= 2.0**53).any()):
        raise ModelError(f"{node.name}: its bias is {float(integers.abs().max()):.3g} accumulator steps, which exceeds 53 bits; check the weights")
    constants[bias] = integers.to(torch.int64)
    return replace(node, inputs=(node.inputs[0], name, bias))


def weight_quantization(weight: Tensor, bits: int, axis: int | None) -> Quantization:
    """Return the symmetric quantisation that covers a weight tensor's largest magnitude, per index of `axis` or per tensor."""
    magnitude = weight.abs() if axis is None else weight.abs().transpose(0, axis).reshape(weight.shape[axis], -1)
    largest = magnitude.amax() if axis is None else magnitude.amax(1)
    steps = (largest / ((1 << (bits - 1)) - 1)).to(torch.float32).reshape(-1)
    scale = tuple(float(s) if s > 1e-30 else 1.0 for s in steps.tolist())
    return Quantization(scale, 0, bits, signed=True, axis=axis, narrow=True)


def accumulator_scale(data: Quantization, weight: Quantization) -> Tensor:
    """Return the real value of one step of the sum of products (float64, per channel or a single one)."""
    return data.scale[0] * torch.tensor(weight.scale, dtype=torch.float64)


def _of_constant(value: Tensor, bits: int) -> Quantization:
    finite = value[torch.isfinite(value)]
    low, high = (float(finite.min()), float(finite.max())) if finite.numel() else (0.0, 0.0)
    return symmetric(low, high, bits)


def _store(name: str, value: Tensor, q: Quantization, constants: dict[str, Tensor], quantization: dict[str, Quantization]) -> None:
    if not bool(torch.isfinite(value).all()):
        raise ModelError(f"constant {name} holds an infinite value that is not a softmax mask and cannot be quantised; check the model")
    constants[name] = q.quantize(value).to(carrier(q))
    quantization[name] = q
