"""The passes. Each says in its name what it does to a program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from crossloom.engine import engines_of
from crossloom.engine.base import Engine, Pace
from crossloom.engine.parts import missing, paced_names, part_named, part_seconds, performed
from crossloom.engine.registry import adapted, engine_named
from crossloom.errors import CapacityError, MachineError, ModelError
from crossloom.floor import Turns
from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Interleave, MatMul, Store, Unary
from crossloom.program import Program, Stage, Wait
from crossloom.streams import streams
from crossloom.waits import Everything, Rule

TURNS = "its turns"
"""What sets the interval of a stage that leaves turns to others."""


class Pass(Protocol):
    """Returns a new program; its fields are its options."""

    def __call__(self, program: Program) -> Program: ...


@dataclass(frozen=True, slots=True)
class Adapt:
    """Let each engine of the machine have the network as it needs it: operands stored, products rewritten, other formats."""

    def __call__(self, program: Program) -> Program:
        graph, notes = adapted(program.graph, program.machine, program.kits)
        return replace(program, graph=graph, given=program.graph, notes=(*program.notes, *notes))


@dataclass(frozen=True, slots=True)
class Assign:
    """Give each node to the first engine of the machine that takes it.

    A node that alone reads a stage's result joins it if the stage's engine continues with it, or if it is a function that digital units
    compute as results come.
    """

    def __call__(self, program: Program) -> Program:
        graph, machine = program.graph, program.machine
        engines = engines_of(machine)
        stages: list[Stage] = []
        home: dict[str, int] = {}
        for node in graph.nodes:
            engine, why = taker(node, graph, machine.view(program.kit_of(node)), engines)
            if engine is None:
                raise ModelError(f"{node.name} ({type(node.op).__name__}) runs on no engine of {machine.name} ({why}); choose another machine")
            place = self._read_alone(node, graph, home)
            if place is not None and (joined := _joined(stages[place], node, engine, program)) is not None:
                stages[place] = joined
            else:
                place = len(stages)
                stages.append(Stage(name=node.name, nodes=(node.name,), engine=engine, kit=program.kit_of(node)))
            home[node.name] = place
        return replace(program, stages=tuple(stages))

    @staticmethod
    def _read_alone(node: Node, graph: Graph, home: dict[str, int]) -> int | None:
        """Return the stage of whose result a node is the one reader, or None."""
        source = node.inputs[0] if node.inputs else ""
        return home[source] if source in home and len(graph.users[source]) == 1 and source not in graph.outputs else None


def _joined(stage: Stage, node: Node, engine: str, program: Program) -> Stage | None:
    """Return a stage with a node that follows it, or None if that needs a stage of its own."""
    grown = replace(stage, name=node.name, nodes=(*stage.nodes, node.name))
    if (
        engine == stage.engine
        and stage.own == len(stage.nodes)
        and engine_named(engine).continues(stage, node, program.graph, program.machine_of(stage))
    ):
        return replace(grown, own=len(grown.nodes))
    return grown if isinstance(node.op, Unary) and engine == "digital" != stage.engine else None


def taker(node: Node, graph: Graph, machine: Machine, engines: Sequence[Engine]) -> tuple[str | None, str]:
    """Return the name of the first engine that takes a node, or None and the reasons of all."""
    reasons = []
    for engine in engines:
        reason = engine.refuses(node, graph, machine)
        if reason is None:
            return engine.name, ""
        reasons.append(f"{engine.name}: {reason}")
    return None, "; ".join(reasons)


@dataclass(frozen=True, slots=True)
class Place:
    """Ask each stage's engine where one copy lies."""

    def __call__(self, program: Program) -> Program:
        placed = []
        flows, _ = streams(program.graph)
        for stage in program.stages:
            node, stage = program.graph.node(stage.nodes[0]), replace(stage, positions=max(1, flows[stage.name].positions))
            layout = engine_named(stage.engine).place(stage, program.graph, program.machine_of(stage))
            sets = node.op.sets if isinstance(node.op, Store) else 1
            placed.append(replace(stage, placement=layout, arrays=getattr(layout, "arrays", 0) * sets, sets=sets))
        return replace(program, stages=tuple(placed))


@dataclass(frozen=True, slots=True)
class Connect:
    """Work out how many positions each stage has, and which positions of which earlier stages each of them needs."""

    def __call__(self, program: Program) -> Program:
        flows, rules = streams(program.graph)
        home = {node: stage.name for stage in program.stages for node in stage.nodes}
        stages = []
        regrouped: set[str] = set()
        for stage in program.stages:
            waits: dict[str, Rule] = {}
            for name in stage.nodes:
                for source, rule in zip(program.graph.node(name).inputs, rules[name], strict=True):
                    if rule is not None and source in home and home[source] != stage.name:
                        waits.setdefault(home[source], Everything() if home[source] in regrouped else rule)
            positions = max(1, flows[stage.name].positions)
            vectors = engine_named(stage.engine).vectors(stage, program.graph)
            if vectors is not None and vectors != positions:
                positions, waits = vectors, dict.fromkeys(waits, Everything())
                regrouped.add(stage.name)
            stages.append(replace(stage, positions=positions, waits=tuple(Wait(s, r) for s, r in waits.items())))
        return replace(program, stages=tuple(stages))


@dataclass(frozen=True, slots=True)
class ShareWeights:
    """Let stages that hold the very same, such as the steps of a recurrent layer, work in the same arrays one after the other.

    Products that read what another stage stores find it there by their own waits; each other's turns they wait for. Without `tied`, layers of the
    same weights have arrays of their own all the same.
    """

    tied: bool = True

    def __call__(self, program: Program) -> Program:
        holders: dict[tuple[str, Any], str] = {}
        last: dict[str, str] = {}
        stages, sharing = [], 0
        for stage in program.stages:
            if stage.arrays and (self.tied or isinstance(program.graph.node(stage.nodes[0]).op, Store | MatMul)):
                holder = holders.setdefault((stage.engine, engine_named(stage.engine).held(stage, program.graph)), stage.name)
                if holder != stage.name:
                    stage = replace(stage, shares=holder)
                    if before := last.get(holder):
                        others = (wait for wait in stage.waits if wait.stage != before)
                        stage = replace(stage, waits=(*others, Wait(before, Everything())))
                        sharing += 1
                if not writes(stage, program):
                    last[holder] = stage.name
            stages.append(stage)
        notes = (f"{sharing} layers work in the arrays of another that hold the same, one after the other",) if sharing else ()
        return replace(program, stages=tuple(stages), notes=(*program.notes, *notes))


@dataclass(frozen=True, slots=True)
class UseChips:
    """Take a board of `exactly` so many chips, or as many as one copy of everything needs; refuse what does not fit.

    Raises CapacityError with what is needed and what there is.
    """

    exactly: int = 0
    most: int = 1 << 16

    def __call__(self, program: Program) -> Program:
        needs: dict[str, int] = {}
        for stage in program.stages:
            if stage.own_arrays:
                needs[stage.kit] = needs.get(stage.kit, 0) + stage.own_arrays
        found = [self._chips(need, arrays_per_chip(program, kit), kit, program) for kit, need in needs.items()]
        chips = max(found, default=program.chips)
        need, have = sum(needs.values()), sum(arrays_per_chip(program, view.kit) for view in program.machine.views)
        notes = (f"one copy of each layer takes {need} arrays and a chip has {have}: {chips} chips are used",) if needs and chips > 1 else ()
        return replace(program, chips=chips, notes=(*program.notes, *notes))

    def _chips(self, need: int, have: int, kit: str, program: Program) -> int:
        """Return the chips on which there are so many arrays of a kit."""
        if have < 1:
            raise MachineError(f"machine {program.machine.name} has no arrays; give its units a count of at least 1")
        allowed = self.exactly or self.most
        if need > allowed * have:
            what, remedy = f"arrays{f' of kit {kit}' if kit else ''}", f"set compile.chips={-(-need // have)} and compile.overflow=chips"
            raise CapacityError(what, need, have * allowed, f"{remedy}, or use fewer bits for the weights")
        return self.exactly or -(-need // have)


@dataclass(frozen=True, slots=True)
class _Where:
    """Tiles of a stage as its fields say them."""

    tiles: tuple[int, int]
    before: int = 0
    per_tile: float = 0.0


@dataclass(frozen=True, slots=True)
class Allocate:
    """Number the tiles: each stage gets arrays one after the other, digital stages work in the tiles of what they read from.

    A network smaller than the chips either fills tile after tile (`pack`: short ways) or takes as few arrays of each tile as it can
    (`spread`: what a tile's arrays share is shared by fewer).
    """

    spread: bool = True

    def __call__(self, program: Program) -> Program:
        used: dict[tuple[int, str], int] = {}
        where: dict[str, _Where] = {}
        stages = []
        in_each = {
            (segment, view.kit): self._in_each_tile([stage for stage in members if stage.kit == view.kit], program, view.kit)
            for segment, members in program.segments.items()
            for view in program.machine.views
        }
        for stage in program.stages:
            if stage.own_arrays:
                of = stage.segment, stage.kit
                start, each = used.get(of, 0), in_each[of]
                first, last = (int(array // each) for array in (start, start + stage.arrays - 1))
                used[of] = start + stage.arrays
                where[stage.name] = _Where((first, last - first + 1), int(start - first * each), each)
        for stage in program.stages:
            if stage.shares:
                where[stage.name] = where[stage.shares]
            elif not stage.arrays:
                where[stage.name] = _Where(next((where[wait.stage].tiles for wait in stage.waits if wait.stage in where), (0, 1)))
            place = where[stage.name]
            stages.append(replace(stage, tiles=place.tiles, before=place.before, per_tile=place.per_tile))
        return replace(program, stages=tuple(with_hops(stages, program)))

    def _in_each_tile(self, stages: list[Stage], program: Program, kit: str) -> float:
        """Return how many arrays (of a kit) of each tile are used."""
        there = arrays_per_tile(program, kit)
        if not self.spread:
            return there
        tiles = max(1.0, arrays_per_chip(program, kit) * program.chips / there)
        return min(there, max(1, math.ceil(sum(stage.own_arrays for stage in stages) / tiles)))


def with_hops(stages: list[Stage], program: Program) -> list[Stage]:
    """Count the routers between the middle tiles of a stage and of its farthest reader, on a square mesh with four tiles a router.

    Results that are only interleaved go straight to who reads them then.
    """
    readers: dict[str, list[Stage]] = {}
    for stage in reversed(stages):
        moved = isinstance(program.graph.node(stage.name).op, Interleave)
        for wait in stage.waits:
            readers.setdefault(wait.stage, []).extend(readers.get(stage.name, []) if moved else [stage])
    tiles = next((count for path, count in program.machine.units.items() if path.endswith(".tile")), 1.0)
    side = max(1, math.ceil(math.sqrt(tiles / 4)))

    def router(stage: Stage) -> tuple[int, int]:
        middle = (stage.tiles[0] + stage.tiles[1] // 2) % max(1, int(tiles))
        return divmod(middle // 4, side)

    def hops(stage: Stage) -> int:
        here = router(stage)
        return 1 + max((abs(here[0] - there[0]) + abs(here[1] - there[1]) for there in map(router, readers.get(stage.name, []))), default=0)

    return [replace(stage, hops=hops(stage)) for stage in stages]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Ask each stage's engine how fast it steps, and what one inference makes it do."""

    def __call__(self, program: Program) -> Program:
        stages = []
        absent: set[str] = set()
        for stage in program.stages:
            engine, view = engine_named(stage.engine), program.machine_of(stage)
            pace = engine.pace(stage, program.graph, view)
            pace = replace(pace, limited_by=part_named(pace.limited_by, view))
            counts = {part_named(name, view): count for name, count in engine.price(stage, program.graph, view).items()}
            if stage.engine != "digital":
                for name in stage.nodes[stage.own :]:
                    for action, count in engine_named("digital").price(replace(stage, nodes=(name,)), program.graph, program.machine).items():
                        counts[action] = counts.get(action, 0) + count
            absent |= missing(program, counts)
            stage = replace(stage, actions=performed(program, counts), rewrites=engine.rewrites(stage, program.graph, view))
            if stage.turns is not None:
                pace = _in_turns(pace, stage, stage.turns)
            if stage.arrays:
                pace = slowed(pace, stage, program, paced_names(engine.paced_parts(view), view))
            stage = replace(stage, interval_s=pace.interval_s, latency_s=pace.latency_s, limited_by=pace.limited_by)
            stages.append(stage)
        notes = (f"{program.machine.name} has no {', '.join(sorted(absent))}: what it would do takes no time and costs nothing",) if absent else ()
        program = replace(program, stages=tuple(stages), notes=(*program.notes, *notes))
        remarks = (remark for name in dict.fromkeys(stage.engine for stage in stages) for remark in engine_named(name).remarks(program))
        return replace(program, notes=tuple(dict.fromkeys((*program.notes, *remarks))))


def _in_turns(pace: Pace, stage: Stage, turns: Turns) -> Pace:
    """Return the pace of a stage that shares its arrays: between two turns that a step takes, others have theirs."""
    inside_s = pace.interval_s if pace.inside_s is None else pace.inside_s
    waited = (math.ceil(inside_s / turns.length_s - 1e-6) - 1) * (turns.period - 1) * turns.length_s
    return Pace(stage.per_step * turns.between_s, pace.latency_s + waited, pace.limited_by if turns.period == 1 else TURNS)


def slowed(pace: Pace, stage: Stage, program: Program, paced: frozenset[str]) -> Pace:
    """Return the pace that the parts of a stage's tiles allow: buffers, buses, routers, functions.

    Parts in `paced` are left out: the engine's own pace accounts for them. What several stages of a tile do with the same part is
    added up by the timeline.
    """
    for name, seconds in part_seconds(stage, program, paced).items():
        if seconds / stage.steps > pace.interval_s:
            pace = Pace(seconds / stage.steps, pace.latency_s + seconds / stage.steps - pace.interval_s, name)
    return pace


@dataclass(frozen=True, slots=True)
class OneAtATime:
    """Let each stage begin when all before it are through, those that it needs nothing of among them: one layer at a time, and no pipeline."""

    def __call__(self, program: Program) -> Program:
        return replace(program, stages=tuple(replace(stage, alone=True) for stage in program.stages))


@dataclass(frozen=True, slots=True)
class CheckBuffers:
    """Compare what each layer must hold, ((width · (kernel − 1)) + kernel) · channels, with its tiles' buffers (shafiee2016, Section VI)."""

    def __call__(self, program: Program) -> Program:
        buffer = program.machine.optional("buffer")
        if buffer is None or "capacity" not in buffer.parameters:
            return program
        notes = []
        for stage in program.stages:
            need = _held(stage, program.graph)
            have = buffer.parameters["capacity"] * max(1, stage.tiles[1])
            if stage.arrays and need > have:
                notes.append(
                    f"{stage.nodes[0]} must hold {need:.0f} bytes of its input and its {stage.tiles[1]} tiles have {have:.0f}: give it more tiles or a larger buffer"
                )
        return replace(program, notes=(*program.notes, *notes))


def _held(stage: Stage, graph: Graph) -> float:
    from crossloom.waits import Window

    node = graph.node(stage.nodes[0])
    window = next((wait.rule for wait in stage.waits if isinstance(wait.rule, Window)), None)
    if window is None or node.inputs[0] not in graph.quantization:
        return 0.0
    rest = math.prod(window.shape[1:])
    entries = rest * (window.kernel[0] - 1) + window.kernel[-1]
    return entries * graph.types[node.inputs[0]].sizes()[1] * graph.quantization[node.inputs[0]].bits / 8


def arrays_per_chip(program: Program, kit: str = "") -> int:
    """Return the number of arrays of a chip, or of those of one kit; 0 for a machine without."""
    part = program.machine.view(kit).optional("array")
    return int(part.total) if part is not None else 0


def arrays_per_tile(program: Program, kit: str = "") -> float:
    """Return the number of arrays of a tile (of one kit), or all if there are no tiles."""
    part = program.machine.view(kit).optional("array")
    if part is None:
        return 1.0
    tiles = next((count for path, count in program.machine.units.items() if path.endswith(".tile")), 1.0)
    return max(1.0, part.total / tiles)


def writes(stage: Stage, program: Program) -> bool:
    """Return whether a stage writes an operand into its arrays: into each copy all of it, so that copies don't share the work."""
    return isinstance(program.graph.node(stage.nodes[0]).op, Store)
