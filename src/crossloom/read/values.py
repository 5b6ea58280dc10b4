"""The values: the results that the machine computes, and the actions that it performs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

import torch
from torch import Tensor

from crossloom.engine import Counts, Executor, Inferences
from crossloom.engine.parts import part_named, performed
from crossloom.engine.registry import DIGITAL, engine_of, mapped
from crossloom.network.graph import Node
from crossloom.network.integer import quantized_inputs, real_outputs
from crossloom.network.replay import batch_of, last_uses
from crossloom.program.program import Program

Watch = Callable[[Node, Sequence[Tensor], Tensor], None]
Instead = Callable[[Node, Program], Executor]


@dataclass(frozen=True)
class Values:
    """A program ready to compute: weights programmed, and an executor for each node."""

    program: Program
    executors: dict[str, Executor]

    @classmethod
    def of(cls, program: Program, instead: Mapping[str, Instead] = MappingProxyType({}), device: str | torch.device = "cpu", seed: int = 0) -> Values:
        """Return the program ready to compute on a device. `instead` replaces the executors of the named engines, as tests do.

        `seed` determines all random effects: the programming of cells, and each of their reads.
        """
        program = _on(program, device)
        chosen: dict[str, Executor] = {}
        for stage in program.stages:
            for place, name in enumerate(stage.nodes):
                node = program.graph.node(name)
                engine = engine_of(stage, program) if place < stage.in_array_nodes else mapped(DIGITAL, program.machine)
                other = instead.get(engine.name)
                chosen[name] = other(node, program) if other else engine.executor(node, program, seed)
        return cls(program, chosen)

    @classmethod
    def exactly(cls, program: Program, device: str | torch.device = "cpu") -> Values:
        """Return the program with every node computed by its integer definition, as a reference for the machine."""
        program, digital = _on(program, device), mapped(DIGITAL, program.machine)
        return cls(program, {node.name: digital.executor(node, program, 0) for node in program.graph.nodes})

    @cached_property
    def _last(self) -> list[list[str]]:
        return last_uses(self.program.graph)

    def __call__(self, inputs: Sequence[Tensor], first: int = 0, watch: Watch | None = None) -> tuple[tuple[Tensor, ...], Counts]:
        """Return the real outputs for a batch of real inputs, and the count of each action performed.

        `first` is the run-wide index of the first inference of the batch: read noise depends on the inference, not on the batch.
        `watch` is called with each node, its inputs and its result, as integers.
        """
        graph = self.program.graph
        batch = batch_of(graph, inputs)
        counts: Counts = Counter()
        with torch.no_grad():
            tensors = quantized_inputs(graph, inputs) | dict(graph.constants)
            for node, unused in zip(graph.nodes, self._last, strict=True):
                given = [tensors[name] for name in node.inputs]
                tensors[node.name] = self._computed(node, given, Inferences(self.inferences(batch), first), counts)
                if watch is not None:
                    watch(node, given, tensors[node.name])
                for name in unused:
                    del tensors[name]
            return real_outputs(graph, tensors), Counter(performed(self.program, counts))

    def _computed(self, node: Node, inputs: Sequence[Tensor], inferences: Inferences, counts: Counts) -> Tensor:
        """Compute one node. A result that is the same for all samples is computed here once, although the machine computes it for each inference."""
        every = node.type.batched or self.program.graph.batch is not None
        done: Counts = Counter()
        result = self.executors[node.name](inputs, inferences if every else Inferences(1), done)
        view, times = self.program.machine_of(self.program.stage_of[node.name]), 1 if every else inferences.count
        counts.update({part_named(name, view): count * times for name, count in done.items()})
        return result

    def inferences(self, samples: int) -> int:
        """Return the number of inferences for `samples` samples; a network with a fixed batch size computes a whole batch in one inference."""
        return samples // (self.program.graph.batch or 1)

    @property
    def plans(self) -> list[dict[str, str]]:
        """For each layer with arrays: its name, its engine, how it is computed, and why."""
        rows = []
        for stage in self.program.stages:
            if stage.arrays:
                executor = self.executors[stage.nodes[0]]
                rows.append({"layer": stage.nodes[0], "engine": stage.engine, "plan": executor.plan, "why": executor.why})
        return rows


def _on(program: Program, device: str | torch.device) -> Program:
    """Return the program with its constants on a device."""
    constants = {name: tensor.to(device) for name, tensor in program.graph.constants.items()}
    return replace(program, graph=replace(program.graph, constants=constants))
