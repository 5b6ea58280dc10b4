"""A network on a machine as a torch module, for evaluation as on the chip and for chip-aware training.

In evaluation mode, the weights are quantised, written into the machine's arrays and used as in `run`. In training mode, the same network
runs in floating point and includes the effects that training can compensate. Inputs, activations and weights are rounded to their
quantisation grids; gradients pass through rounding but not through saturation. Each weight is replaced by its effective value in the arrays,

    w' = w + error,    error = (weights as quantised, written, aged, wired and compensated) − w,

with gradients computed as if the error did not depend on the weight. Read noise is added to the error. It is drawn once per batch, as if
all bit slices of an input were read simultaneously, which slightly overestimates it. ADC rounding is modelled only in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from crossloom.compiler import compile_network
from crossloom.engine.crossbar.analog.programmed import matrices
from crossloom.engine.crossbar.analog.strips import Strip, effective_weights, gains, strips
from crossloom.engine.crossbar.engine import layer_of, tiling_of
from crossloom.engine.crossbar.settings import crossbars
from crossloom.engine.vectors import weight_matrices
from crossloom.errors import InputError, ModelError
from crossloom.machines import Machine, load_machine
from crossloom.network.graph import Graph, Node, bound
from crossloom.network.operators import Conv, ConvTranspose, Interleave, Linear, ProductAdd
from crossloom.network.quantization import Quantization, carrier
from crossloom.network.quantize.post_training import accumulator_scale, weight_quantization
from crossloom.network.replay import batch_of
from crossloom.program.program import Program
from crossloom.read.values import Values


class ChipModule(nn.Module):
    """A quantised network on a machine. Its parameters are the real weights and biases of the layers in arrays.

    Attributes:
        machine: the machine it runs on.
        seed: random seed of the cells in evaluation; in training, each draw of the cells uses the next seed.
        every: training steps between draws of the cells; the wire network is solved at each draw.
    """

    def __init__(self, network: Graph, machine: Machine, seed: int = 0, every: int = 1) -> None:
        super().__init__()
        if not network.quantized:
            raise ModelError(f"{network.name} is in floating point; quantise it first (crossloom.quantize)")
        if every < 1:
            raise InputError(f"every must be at least 1 training step, got {every}")
        self.machine, self.seed, self.every = machine, seed, every
        self._network = network
        self._steps, self._answered = 0, 0
        self._errors: dict[str, tuple[Tensor, Tensor | None]] = {}
        self._values: tuple[tuple[str | int, ...], Values] | None = None
        self._generator = torch.Generator().manual_seed(seed)
        self._program = compile_network(network, machine)
        if any(isinstance(node.op, ProductAdd) for node in self._program.graph.nodes):
            raise ModelError(f"{network.name}: training does not support residuals in arrays; set crossbar.residual=digital")
        if any(isinstance(node.op, Interleave) for node in self._program.graph.nodes):
            raise ModelError(f"{network.name}: training does not support overlapped convolutions; set crossbar.overlap=none")
        self.weights = nn.ParameterDict()
        self.biases = nn.ParameterDict()
        for node in self._held():
            name = node.inputs[1]
            self.weights[_key(name)] = nn.Parameter(network.quantization[name].dequantize(network.constants[name]))
            if len(node.inputs) > 2:
                scale = accumulator_scale(network.quantization[node.inputs[0]], network.quantization[name])
                self.biases[_key(node.inputs[2])] = nn.Parameter((network.constants[node.inputs[2]] * scale).to(torch.float32))

    def _held(self) -> list[Node]:
        """Return the layers with weights in arrays, either directly or as a factor of rewritten weights (rewritten attention)."""
        there = self._program.stage_of
        return [
            node
            for node in self._network.nodes
            if isinstance(node.op, Conv | ConvTranspose | Linear)
            and node.inputs[1] in self._network.constants
            and (node.name not in there or there[node.name].arrays)
        ]

    def network(self) -> Graph:
        """Return the quantised network with the current weights, for `run`, `diagnose` and other commands."""
        constants, quantization = dict(self._network.constants), dict(self._network.quantization)
        for node in self._held():
            name = node.inputs[1]
            weight, before = self.weights[_key(name)].detach(), quantization[name]
            after = weight_quantization(weight.cpu(), before.bits, before.axis) if before.narrow else before
            constants[name], quantization[name] = after.quantize(weight).to(carrier(after)), after
            if len(node.inputs) > 2:
                scale = accumulator_scale(quantization[node.inputs[0]], after)
                constants[node.inputs[2]] = torch.round(self.biases[_key(node.inputs[2])].detach().double() / scale.to(weight.device)).to(torch.int64)
        return replace(self._network, constants=constants, quantization=quantization)

    def forward(self, *inputs: Tensor) -> Any:
        """Return the outputs of the chip, or in training mode those of its differentiable model."""
        outputs = self._likeness(inputs) if self.training else self._chip(inputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def _chip(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        version: tuple[str | int, ...] = (str(inputs[0].device), *(parameter._version for parameter in self.parameters()))
        if self._values is None or self._values[0] != version:
            program = compile_network(self.network(), self.machine)
            self._values, self._answered = (version, Values.of(program, device=inputs[0].device, seed=self.seed)), 0
        _, values = self._values
        first, self._answered = self._answered, self._answered + values.inferences(batch_of(self._network, inputs))
        return values(inputs, first)[0]

    def train(self, mode: bool = True) -> ChipModule:
        """Switch between training and evaluation, and restart the count of inferences, which determines the read noise."""
        self._answered = 0
        return super().train(mode)

    def _likeness(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        graph = self._network
        formats = {**graph.quantization, **{name: q for name, q in self._program.graph.quantization.items() if name in graph.by_name}}
        if self._steps % self.every == 0:
            self._draw()
        self._steps += 1
        batch = batch_of(graph, inputs)
        tensors = {name: _real(tensor.to(inputs[0].device), graph.quantization.get(name)) for name, tensor in graph.constants.items()}
        for (name, _), given in zip(graph.inputs, inputs, strict=True):
            tensors[name] = on_grid(given, graph.quantization[name]) if name in graph.quantization else given
        held = {node.name for node in self._held()}
        for node in graph.nodes:
            operands = self._operands(node, tensors) if node.name in held else [tensors[name] for name in node.inputs]
            result = bound(node.op, batch)(*operands)
            tensors[node.name] = on_grid(result, formats[node.name]) if node.name in formats else result
        return tuple(tensors[name] for name in graph.outputs)

    def _operands(self, node: Node, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the data, the effective weight in the arrays, and the bias."""
        weight = self.weights[_key(node.inputs[1])]
        error, spread = self._errors[node.inputs[1]]
        written = weight + error.to(weight.device)
        if spread is not None:
            written = written + (spread * torch.randn(weight.shape, generator=self._generator)).to(weight.device)
        biases = [self.biases[_key(name)] for name in node.inputs[2:]]
        return [tensors[node.inputs[0]], written, *biases]

    def _draw(self) -> None:
        """Reprogram the cells and store the error of each weight."""
        program = compile_network(self.network(), self.machine)
        for name, node in {node.inputs[1]: node for node in self._held()}.items():
            weight = self.weights[_key(name)].detach()
            if node.name not in program.graph.by_name:  # its weights are in the arrays only as factors of others, whose errors are not traced back
                self._errors[name] = (torch.zeros_like(weight), None)
                continue
            effective, spread = _written(program.graph.node(node.name), program, self.seed + self._steps + 1)
            self._errors[name] = (effective.to(weight) - weight, None if spread is None else spread.to(torch.float32))


def _written(node: Node, program: Program, seed: int) -> tuple[Tensor, Tensor | None]:
    """Return a layer's effective weights in the arrays and their read-to-read standard deviation, both real and in the weight's shape."""
    stage = program.stage_of[node.name]
    if stage.engine != "crossbar":
        weight = program.graph.constants[node.inputs[1]]
        return program.graph.quantization[node.inputs[1]].dequantize(weight).to(torch.float64), None
    layer = layer_of(node, program.graph, crossbars(program.machine_of(stage)), tiling_of(stage))
    scale = layer.weight_q.scale_of(layer.weight.dim()).to(torch.float64)
    if layer.xbar.physics.ideal:
        return layer.weight.to(torch.float64) * scale, None
    found = list(strips(matrices(layer, seed), layer))
    place = weight_matrices(node.op, torch.arange(layer.weight.numel()).reshape(layer.weight.shape))
    gain = gains(found, layer)
    groups, _, columns = place.shape
    factor = torch.ones(groups, 1, columns, dtype=torch.float64) if gain is None else gain.reshape(groups, 1, columns)

    def shaped(values: Tensor) -> Tensor:
        flat = torch.zeros(layer.weight.numel(), dtype=torch.float64)
        flat[place.flatten()] = (values * factor).flatten()
        return flat.reshape(layer.weight.shape) * scale

    variance = [_of_variance(strip) for strip in found if strip.variance is not None]
    spread = effective_weights(variance, layer).sqrt() if variance else None
    return shaped(effective_weights(found, layer)), None if spread is None else shaped(spread)


def _of_variance(strip: Strip) -> Strip:
    """Return a strip whose effective weights are read-to-read variances, without unit columns, whose noise is common to a row tile."""
    assert strip.variance is not None
    nothing = torch.zeros_like(strip.of_inputs)
    return replace(strip, sums=strip.variance, weights=strip.weights.square(), of_inputs=nothing)


def on_grid(real: Tensor, q: Quantization) -> Tensor:
    """Return real values rounded to the grid of a quantisation. Gradients pass through the rounding, but not where it saturates."""
    scale = q.scale_of(real.dim()).to(real.device)
    within = torch.maximum(torch.minimum(real, (q.high - q.zero) * scale), (q.low - q.zero) * scale)
    return within + (torch.round(within / scale) * scale - within).detach()


def _real(tensor: Tensor, q: Quantization | None) -> Tensor:
    return tensor if q is None else q.dequantize(tensor)


def _key(name: str) -> str:
    """Return a parameter name for a constant: torch does not allow dots in it, and different constants need different names."""
    return name.replace("%", "%%").replace("·", "%·").replace(".", "·")


def to_torch(network: Graph, machine: Machine | str, seed: int = 0, every: int = 1) -> ChipModule:
    """Return a quantised network on a machine as a torch module.

    Args:
        network: a quantised network (`crossloom.quantize`).
        machine: a machine or its name.
        seed: random seed of the cells in evaluation; training draws other cells, so that the network does not overfit one chip.
        every: training steps between draws of the cells.

    Raises:
        ModelError: the network is in floating point, or the machine adds residuals in its arrays or overlaps convolutions.
        CapacityError: the network does not fit the machine.
    """
    return ChipModule(network, machine if isinstance(machine, Machine) else load_machine(machine), seed, every)
