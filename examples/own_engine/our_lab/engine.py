"""Our own engine: weights in SRAM, an adder tree under each column, bit-serial inputs. It has no converter and is exact.

A layer's matrix has R rows (inputs) and C columns (outputs). An array holds `rows` x `columns` weights, so a copy takes
ceil(R / rows) * ceil(C / columns) arrays. One position takes one cycle per input bit; partial sums of row tiles are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from crossloom.engine import Cost, Counts, Executor, Inferences
from crossloom.engine.checked_settings import checked
from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.network.integer import evaluate
from crossloom.network.operators import Conv, Linear
from crossloom.program.placement import WholeArrays
from crossloom.program.program import Program
from crossloom.program.stage import Stage, Timing


class Settings(BaseModel):
    """Settings under `engines: adder_tree:` of a machine file; an unknown one is an error that suggests the nearest name."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    pipeline_stages: Annotated[int, Field(ge=1, le=32)] = 3


@dataclass(frozen=True, slots=True)
class AdderTree:
    """The engine before it is bound to a machine."""

    name: str = "adder_tree"

    def on(self, machine: Machine) -> MappedAdderTree:
        """Return the engine bound to a machine. Raises MachineError for an invalid setting, or for a machine without arrays."""
        array = machine.part("array")
        return MappedAdderTree(machine, checked(Settings, self.name, machine), array.whole("rows"), array.whole("columns"))


@dataclass(frozen=True, slots=True)
class MappedAdderTree:
    """The engine on one machine: `rows` x `columns` weights in an array."""

    machine: Machine
    settings: Settings
    rows: int
    columns: int
    name: str = "adder_tree"
    paced_parts: frozenset[str] = frozenset(("array",))

    def unsupported(self, node: Node, graph: Graph) -> str | None:
        """Return why a node cannot run here; only dense layers with constant weights can."""
        if not isinstance(node.op, Linear | Conv) or node.inputs[1] not in graph.constants:
            return "not a layer with constant weights"
        if isinstance(node.op, Conv) and node.op.groups > 1:
            return "a grouped convolution"
        return None

    def place(self, stage: Stage, graph: Graph) -> WholeArrays:
        """Return the placement of one copy: whole arrays."""
        node = graph.node(stage.nodes[0])
        columns, *rest = graph.types[node.inputs[1]].sizes()
        rows = prod(rest)
        row_tiles, column_tiles = -(-rows // self.rows), -(-columns // self.columns)
        return WholeArrays(
            arrays=row_tiles * column_tiles,
            weights=rows * columns,
            contents=node.inputs[1],
            utilization=rows * columns / (row_tiles * column_tiles * self.rows * self.columns),
            written_rows=min(rows, self.rows),
            smallest_chunk=row_tiles,
            summary={"rows": rows, "columns": columns, "row_tiles": row_tiles, "column_tiles": column_tiles},
        )

    def timing(self, stage: Stage, graph: Graph) -> Timing:
        """Return the time of a position: one cycle per input bit; the latency adds the pipeline stages of the tree once."""
        cycle_s = self.machine.part("array").actions["cycle"].latency_s.value
        bits = graph.quantization[graph.node(stage.nodes[0]).inputs[0]].bits
        return Timing(bits * cycle_s, (bits + self.settings.pipeline_stages) * cycle_s, "array.cycle")

    def cost(self, stage: Stage, graph: Graph) -> Cost:
        """Return the actions of one inference, and how often it writes each cell if a small chip is reloaded (`compile.overflow: reload`)."""
        residency = stage.residency
        return Cost(self._actions(stage, graph), 1 / residency.inferences_per_load if residency.programming_s else 0.0)

    def executor(self, node: Node, program: Program, seed: int) -> Executor:
        """Return the executor of a layer, which uses the integer definition since nothing is rounded."""
        stage = program.stage_of[node.name]
        return Exact(node, program, Counts(self._actions(stage, program.graph)))

    def _actions(self, stage: Stage, graph: Graph) -> dict[str, int]:
        node, figures, residency = graph.node(stage.nodes[0]), stage.placement.summary, stage.residency
        bits, vectors = graph.quantization[node.inputs[0]].bits, stage.positions
        results = vectors * figures["columns"]
        written = figures["rows"] * figures["column_tiles"] * stage.copies if residency.programming_s else 0
        return {
            "array.cycle": vectors * bits * figures["row_tiles"] * figures["column_tiles"],
            "array.write_row": -(-written // residency.inferences_per_load),
            "accumulator.add": results * figures["row_tiles"] * bits,
            "buffer.read": vectors * -(-figures["rows"] * bits // 8) * residency.chunks,
            "buffer.write": -(-results * graph.quantization[stage.name].bits // 8),
        }


@dataclass(frozen=True, slots=True)
class Exact:
    """Executor that computes one layer exactly and counts its actions."""

    node: Node
    program: Program
    each: Counts
    plan: str = "integer product"
    why: str = "adder trees are exact"

    def __call__(self, tensors: Sequence[Tensor], inferences: Inferences, counts: Counts) -> Tensor:
        """Return the layer's integers."""
        counts.update({name: count * inferences.count for name, count in self.each.items()})
        return evaluate(self.program.graph, self.node, tensors, inferences.count)


ADDER_TREE = AdderTree()
