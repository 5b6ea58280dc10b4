"""Engine of in-array functions: ReLU, pooling and softmax in blocks of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from crossloom.engine.base import Cost, Counts, Executor, Holder, Inferences
from crossloom.engine.in_array.adapt import signed_before_relu, with_softmax_formats
from crossloom.engine.in_array.maximum import Form
from crossloom.engine.in_array.placement import InBlocks, fitted, rule_of
from crossloom.engine.in_array.settings import Functions, cycle_of, functions
from crossloom.engine.in_array.softmax import InMemorySoftmax
from crossloom.engine.in_array.unfit import LARGEST, is_largest, left_over, unfit
from crossloom.engine.in_array.windows import candidates, missing, overlap
from crossloom.errors import MachineError
from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.network.integer import Operand, evaluate
from crossloom.network.integer.arithmetic import rescaled
from crossloom.network.operators import Clip, Relu, Softmax
from crossloom.program.program import Program
from crossloom.program.stage import Stage, Timing


@dataclass(frozen=True, slots=True)
class InArrayFunctions:
    """The engine of functions that arrays compute in their cells; see the package's docstring."""

    name: str = "blocks"

    def on(self, machine: Machine) -> MappedInArray:
        """Return the engine on a machine's arrays. Raises MachineError."""
        chosen = functions(machine)
        return MappedInArray(machine, chosen, cycle_of(machine) if chosen.any else (0.0, ""))


@dataclass(frozen=True, slots=True)
class MappedInArray:
    """The engine on the arrays of one machine. `cycle` is the cycle time in seconds, and the `part.action` that limits it."""

    machine: Machine
    chosen: Functions
    cycle: tuple[float, str]
    name: str = "blocks"

    @property
    def paced_parts(self) -> frozenset[str]:
        """Components of an array."""
        return frozenset(("array", "dac", "adc", "sample_hold", "sense_amplifier", "shift_add", "output_register", "input_register"))

    def adapt(self, graph: Graph, holder: Holder) -> tuple[Graph, tuple[str, ...]]:
        """Return the network with signed inputs to each ReLU, and scores and weights of softmax in the format of the blocks, and notes."""
        chosen = self.chosen
        return with_softmax_formats(signed_before_relu(graph, chosen), chosen), left_over(graph, chosen)

    def unsupported(self, node: Node, graph: Graph) -> str | None:
        """Return why the engine cannot run a node, or None."""
        return unfit(node, graph, self.chosen)

    def fuses(self, stage: Stage, node: Node, graph: Graph) -> bool:
        """Return whether a node and the stage together are a ReLU and a maximum, in either order."""
        if len(stage.nodes) > 1:
            return False
        ops = (graph.node(stage.nodes[0]).op, node.op)
        return any(isinstance(first, Relu | Clip) and isinstance(second, LARGEST) for first, second in (ops, ops[::-1]))

    def place(self, stage: Stage, graph: Graph) -> InBlocks:
        """Return the blocks of one copy. Raises MachineError if the arrays are too small for one result."""
        nodes = [graph.node(name) for name in stage.nodes[: stage.in_array_nodes]]
        try:
            found = fitted(_wanted(nodes, stage, graph, self.chosen), stage.positions)
        except ValueError as problem:
            raise MachineError(
                f"machine {self.machine.name}: {stage.nodes[0]}: {problem}; or use digital units (blocks.{_setting(nodes)}=digital)"
            ) from problem
        rows = graph.node(stage.name).type.count(1) // found.candidates
        over_space = found.function == "softmax" and found.lanes * stage.positions != rows
        return replace(found, input_vectors=rows) if over_space else found

    def timing(self, stage: Stage, graph: Graph) -> Timing:
        """Return the interval between two steps, and the latency from the first load to the last result."""
        blocks, (cycle_s, limited_by) = placed(stage), self.cycle
        latency_s = blocks.latency * cycle_s
        return Timing(blocks.cycles * cycle_s, latency_s, limited_by, latency_s)

    def cost(self, stage: Stage, graph: Graph) -> Cost:
        """Return the actions and writes per cell of one inference; each step of a copy sets a cell once or twice."""
        return Cost(dict(_actions(stage, graph, 1)), -(-stage.positions // stage.copies) * placed(stage).writes)

    def executor(self, node: Node, program: Program, seed: int) -> Executor:
        """Return the executor of a function's integers."""
        return BlockExecutor(node, program)


def _wanted(nodes: Sequence[Node], stage: Stage, graph: Graph, chosen: Functions) -> InBlocks:
    """Return a stage's requirements on blocks, before their sizes are known."""
    main = next((node for node in nodes if not isinstance(node.op, Relu | Clip)), nodes[0])
    x = graph.quantization[nodes[0].inputs[0]]
    shape = graph.types[main.inputs[0]].sizes()
    many = candidates(main.op, shape)
    if isinstance(main.op, Softmax):
        rows = main.type.count(1) // many
        function, lanes, form = "softmax", rows // stage.positions if rows % stage.positions == 0 else 1, Form.SIGNED
    else:
        rectified = any(isinstance(node.op, Relu | Clip) for node in nodes) and x.signed
        form = Form.RECTIFIED if rectified else Form.SIGNED if x.signed else Form.UNSIGNED
        function = "largest" if isinstance(main.op, Relu | Clip) or is_largest(main.op) else "sum"
        lanes = main.type.count(1) // stage.positions
    return InBlocks(
        function=function,
        candidates=many,
        bits=x.bits,
        form=form.value,
        lanes=lanes,
        positions_per_step=1,
        beside=1,
        rows=chosen.rows,
        columns=chosen.columns,
        adc_bits=chosen.adc_bits,
        zero=x.zero if function == "sum" else 0,
        absent=missing(main, graph),
        streams_input=not overlap(main.op),
        format=chosen.format,
        exp_bits=chosen.exp_bits,
        quotient_bits=chosen.quotient_bits,
    )


def _setting(nodes: Sequence[Node]) -> str:
    """Return the setting that places the nodes."""
    if isinstance(nodes[-1].op, Softmax):
        return "softmax"
    return "relu" if all(isinstance(node.op, Relu | Clip) for node in nodes) else "pooling"


def placed(stage: Stage) -> InBlocks:
    """Return the placement of a stage of the engine."""
    placement = stage.placement
    assert isinstance(placement, InBlocks)
    return placement


def moved(stage: Stage, graph: Graph, inferences: int) -> Counts:
    """Return the data-movement actions of a stage in some inferences: values to its blocks, and results from them."""
    placement, values = placed(stage), graph.quantization[graph.node(stage.nodes[0]).inputs[0]]
    results = stage.positions * placement.lanes
    made = results * (placement.candidates if placement.function == "softmax" else 1)
    loaded = -(-placement.loads(stage.positions) * values.bits // 8)
    stored = -(-made * graph.quantization[stage.nodes[stage.in_array_nodes - 1]].bits // 8)
    counts = {"bus.transfer": loaded + (0 if stage.forwards_output else stored), "tile_output_register.access": stored}
    counts |= {
        "router.hop": stored * (stage.hops - stage.forwards_output),
        "buffer.read": 0 if stage.forwarded_input else loaded,
        "buffer.write": 0 if stage.forwards_output else stored,
    }
    return Counts({name: inferences * count for name, count in counts.items()})


def _actions(stage: Stage, graph: Graph, inferences: int) -> Counts:
    """Return the action counts of a stage in some inferences."""
    counts = moved(stage, graph, inferences)
    counts.update({name: inferences * count for name, count in placed(stage).actions(stage.positions).items()})
    return counts


@dataclass(frozen=True, slots=True)
class BlockExecutor:
    """Executor of one function by its integer definition, with the action counts of its blocks; `cells.py` and its programs work cell by cell."""

    node: Node
    program: Program

    @property
    def stage(self) -> Stage:
        """Stage of the node."""
        return self.program.stage_of[self.node.name]

    @property
    def plan(self) -> str:
        """Short description of the method."""
        return f"{placed(self.stage).function} in cells"

    @property
    def why(self) -> str:
        """Reason why the method is valid."""
        return "cycle-by-cycle execution in the cells gives the same integers"

    def __call__(self, tensors: Sequence[Tensor], inferences: Inferences, counts: Counts) -> Tensor:
        """Return the function's integers; the stage's actions are counted with its last node."""
        stage, graph = self.stage, self.program.graph
        if self.node.name == stage.nodes[stage.in_array_nodes - 1]:
            counts.update(_actions(stage, graph, inferences.count))
        rule = rule_of(placed(stage))
        if not isinstance(rule, InMemorySoftmax):
            return evaluate(graph, self.node, tensors, inferences.count)
        assert isinstance(self.node.op, Softmax)
        codes = rescaled(Operand(tensors[0], graph.quantization[self.node.inputs[0]]), rule.input).movedim(self.node.op.axis, -1)
        weights = rule(codes).movedim(-1, self.node.op.axis)
        return rescaled(Operand(weights, rule.output), graph.quantization[self.node.name])


BLOCKS = InArrayFunctions()
