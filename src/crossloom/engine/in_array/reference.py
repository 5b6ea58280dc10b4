"""Reference execution of in-array functions, cell by cell and cycle by cycle; the engine's integers and counts are tested against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from crossloom.engine.base import Counts, Inferences
from crossloom.engine.in_array.cells import Controller, Plane
from crossloom.engine.in_array.engine import moved, placed
from crossloom.engine.in_array.maximum import Alternating, Tournament, play, rectify_in_turn
from crossloom.engine.in_array.placement import rule_of
from crossloom.engine.in_array.softmax import InMemorySoftmax
from crossloom.engine.in_array.softmax_reference import softmax_in_cells
from crossloom.engine.in_array.summing import SumBlock, add_up
from crossloom.engine.in_array.windows import results, windows
from crossloom.network.graph import Node
from crossloom.network.integer import Operand, requantize
from crossloom.network.integer.arithmetic import rescaled
from crossloom.network.integer.rules import window_sums
from crossloom.network.operators import AvgPool, Clip, Reduce, Relu, Softmax
from crossloom.network.quantization import carrier
from crossloom.program.program import Program
from crossloom.program.stage import Stage


@dataclass(frozen=True, slots=True)
class CellExecutor:
    """Cell-by-cell executor of one function, with action counts. In a fused ReLU and maximum, the first node passes its values to the second."""

    node: Node
    program: Program
    plan: str = "cells"
    why: str = "requested"

    @property
    def stage(self) -> Stage:
        """Stage of the node."""
        return self.program.stage_of[self.node.name]

    def __call__(self, tensors: Sequence[Tensor], inferences: Inferences, counts: Counts) -> Tensor:
        """Return the function's integers, counting every action where it occurs."""
        stage, graph = self.stage, self.program.graph
        if self.node.name != stage.nodes[stage.in_array_nodes - 1]:
            return tensors[0]
        counts.update(moved(stage, graph, inferences.count))
        node = next((n for n in map(graph.node, stage.nodes[: stage.in_array_nodes]) if not isinstance(n.op, Relu | Clip)), self.node)
        if isinstance(node.op, Softmax):
            return self._softmax(node.op.axis, tensors[0], counts)
        values, there = windows(node, graph, tensors[0], stage.positions)
        found = self._run(values.to(torch.int64), there, inferences.count, counts)
        made = results(self.node, found, len(tensors[0]))
        if not isinstance(rule_of(placed(stage)), SumBlock):
            return made.to(carrier(graph.quantization[self.node.name]))
        return self._requantized(node, made)

    def _run(self, values: Tensor, there: Tensor | None, samples: int, counts: Counts) -> Tensor:
        """Return the results (N · positions, lanes) of values (N · positions, k, lanes)."""
        rule, place = rule_of(placed(self.stage)), placed(self.stage)
        present = torch.ones_like(values, dtype=torch.bool) if there is None else there
        steps, each = place.steps(self.stage.positions), -(-place.lanes // place.beside)
        values, present = (
            _in_steps(t, samples, steps * place.positions_per_step, place.positions_per_step, place.beside * each, each) for t in (values, present)
        )
        control = Controller()
        if isinstance(rule, Alternating):
            halves = tuple(Plane(control, rule.block.rows, rule.columns, (samples * place.beside,), values.device) for _ in range(2))
            in_turn = values.reshape(samples, steps, place.beside, -1).movedim(1, 0).reshape(steps, samples * place.beside, -1)
            found = rectify_in_turn((halves[0], halves[1]), in_turn, rule).reshape(steps, samples, place.beside, -1).movedim(0, 1)
            control.counts["array.write_cell"] -= place.bits * int((~present).sum())  # absent values are 0, and not loaded
        else:
            assert isinstance(rule, Tournament | SumBlock)
            plane = Plane(control, rule.rows, rule.columns, (len(values),), values.device)
            found = play(plane, values, rule, present) if isinstance(rule, Tournament) else add_up(plane, values, rule, present)
        counts.update(control.counts)
        found = (
            found.reshape(samples, steps, place.beside, place.positions_per_step, each)
            .movedim(2, 3)
            .reshape(samples, steps * place.positions_per_step, -1)
        )
        return found[:, : self.stage.positions, : place.lanes].reshape(-1, place.lanes)

    def _requantized(self, node: Node, sums: Tensor) -> Tensor:
        """Return the requantised results of the sums: means over the number of values that count, or sums."""
        x, y = self.program.graph.quantization[node.inputs[0]], self.program.graph.quantization[node.name]
        many = torch.tensor(float(placed(self.stage).candidates))
        if isinstance(node.op, AvgPool):
            shape = self.program.graph.types[node.inputs[0]].sizes()
            many = window_sums(node.op, torch.ones(1, 1, *shape[2:]), float(node.op.count_padding))
        if isinstance(node.op, Reduce) and node.op.kind == "sum":
            many = torch.tensor(1.0)
        return requantize(sums.to(torch.float64), torch.tensor(x.scale[0]) / torch.tensor(y.scale[0]) / many, y)

    def _softmax(self, axis: int, scores: Tensor, counts: Counts) -> Tensor:
        graph, unit = self.program.graph, rule_of(placed(self.stage))
        assert isinstance(unit, InMemorySoftmax)
        codes = rescaled(Operand(scores, graph.quantization[self.node.inputs[0]]), unit.input).movedim(axis, -1)
        rows = codes.reshape(-1, codes.shape[-1])
        weights, blocks = softmax_in_cells(unit, rows, torch.ones_like(rows, dtype=torch.bool))
        counts.update(blocks.controller.counts)
        return rescaled(Operand(weights.reshape(codes.shape).movedim(-1, axis), unit.output), graph.quantization[self.node.name])


def _in_steps(values: Tensor, samples: int, positions: int, abreast: int, lanes: int, each: int) -> Tensor:
    """Return values (N · positions, k, lanes) in block order, (N · steps · beside, k, abreast · lanes of a block), padded with 0."""
    many = values.shape[1]
    given = values.reshape(samples, -1, many, values.shape[2])
    given = F.pad(given, (0, lanes - given.shape[3], 0, 0, 0, positions - given.shape[1]))
    given = given.reshape(samples, positions // abreast, abreast, many, lanes // each, each)
    return given.permute(0, 1, 4, 3, 2, 5).reshape(-1, many, abreast * each)


def cell_executor(node: Node, program: Program, seed: int = 0) -> CellExecutor:
    """Return the reference executor of an in-array function."""
    return CellExecutor(node, program)
