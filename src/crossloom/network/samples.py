"""Random samples for a network, and a check that the samples of a batch are independent.

Time and cost are given per inference, which is meaningful only if a sample's result does not depend on the rest of its batch.
Shapes cannot show this (`y - y.mean(0)` has the shape of `y`), so the network is run on a batch of two. Replacing one sample
must not change the result of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from crossloom.errors import ModelError
from crossloom.network.graph import Graph
from crossloom.network.operators import Cast, Gather, Move
from crossloom.network.replay import replay
from crossloom.network.types import Batch, TensorType

TOLERANCE = 1e-4
"""Relative to a tensor's largest value. Both runs do the same arithmetic on the sample that stays, so rounding cannot cause a larger difference."""


DRAWS = 3
"""Number of random batches. One batch may hide a dependency by chance, especially where inputs take only a few values."""
LARGE = 5_000_000
"""Number of parameters above which only one batch is run, to limit the cost of the check."""
SHOWN = 0.75
"""Share of true elements in Boolean inputs, most of which are masks that hide a minority of positions."""


def random_samples(graph: Graph, samples: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Return random inputs: standard normal, or integers below the vocabulary size, or Boolean."""
    return tuple(_drawn(graph, name, type.sizes(samples), type.dtype, generator) for name, type in graph.inputs)


def _drawn(graph: Graph, name: str, size: tuple[int, ...], dtype: str, generator: torch.Generator) -> Tensor:
    if dtype == "f32":
        return torch.randn(size, generator=generator)
    if dtype == "bool":
        return torch.rand(size, generator=generator) < SHOWN
    return torch.randint(0, vocabulary(graph, name) or 2, size, generator=generator)  # without a table, most likely a mask


def vocabulary(graph: Graph, name: str) -> int | None:
    """Return the number of rows of the smallest table that an input indexes, directly or after moves and casts; None if there is none."""
    moved, rows = {name}, []
    for node in graph.nodes:
        if node.inputs and node.inputs[0] in moved and isinstance(node.op, Move | Cast):
            moved.add(node.name)
        if isinstance(node.op, Gather) and node.inputs[1] in moved and node.inputs[0] in graph.constants:
            rows.append(graph.constants[node.inputs[0]].shape[node.op.axis])
    return int(min(rows)) if rows else None


def mixing_node(graph: Graph) -> str | None:
    """Return the first node at which a sample's result depends on other samples of its batch, or None if no such node is found.

    A graph with a fixed batch size counts as one inference and is not checked. Nor is a graph whose weights have no values,
    or one that fails on random inputs.
    """
    if graph.batch is not None or any(constant.is_meta for constant in graph.constants.values()):
        return None
    try:
        with torch.no_grad():
            return next(
                (
                    found
                    for seed in range(1 if graph.parameters > LARGE else DRAWS)
                    if (found := _mixing(graph, torch.Generator().manual_seed(seed))) is not None
                ),
                None,
            )
    except (IndexError, RuntimeError):
        return None


def _mixing(graph: Graph, generator: torch.Generator) -> str | None:
    """Replace each sample of a batch of two and return the first node at which the other sample's result changes."""
    two, others = random_samples(graph, 2, generator), random_samples(graph, 2, generator)
    asked = replace(graph, outputs=_witnesses(graph))
    before = replay(asked, two)
    for stays in (0, 1):
        mixed = [_exchanged(a, b, stays) if type.batched else a for a, b, (_, type) in zip(two, others, graph.inputs, strict=True)]
        after = replay(asked, mixed)
        if not all(_unchanged(graph.types[name], stays, a, b) for name, a, b in zip(asked.outputs, before, after, strict=True)):
            return _first_changed(graph, two, mixed, stays)
    return None


def _witnesses(graph: Graph) -> tuple[str, ...]:
    """Return the outputs, with choices (an argmax) replaced by the real values they are based on: a choice may hide a change."""
    found, todo = [], list(graph.outputs)
    while todo:
        name = todo.pop()
        node = graph.by_name.get(name)
        if node is None or node.type.dtype == "f32":
            found.append(name)
        else:
            todo += node.inputs
    return tuple(dict.fromkeys(name for name in found if name not in graph.constants))


def _exchanged(batch: Tensor, others: Tensor, stays: int) -> Tensor:
    """Return the batch with the sample other than `stays` taken from `others`."""
    half = len(batch) // 2
    return torch.cat([batch[:half], others[half:]] if stays == 0 else [others[:half], batch[half:]])


def _first_changed(graph: Graph, two: Sequence[Tensor], mixed: Sequence[Tensor], stays: int) -> str:
    """Return the first node whose result for the sample that stays has changed."""
    seen: dict[str, Tensor] = {}
    changed: list[str] = []
    replay(graph, two, seen.__setitem__)
    replay(graph, mixed, lambda name, b: None if _unchanged(graph.types[name], stays, seen[name], b) else changed.append(name))
    return next((name for name in changed if name in graph.by_name), graph.outputs[0])


def _unchanged(type: TensorType, stays: int, a: Tensor, b: Tensor) -> bool:
    """Whether two results agree on all elements of the sample that stays.

    If a dimension has one entry per sample, that sample's entry is compared. If it has several per sample, their order is
    unknown, and half of all elements must agree. Without a batch dimension, all elements must agree.
    """
    axis = next((axis for axis, dim in enumerate(type.shape) if isinstance(dim, Batch)), None)
    strewn = axis is not None and type.shape[axis] != Batch(1)
    if axis is not None and not strewn:
        a, b = a.narrow(axis, stays, 1), b.narrow(axis, stays, 1)
    if a.is_floating_point() and a.numel():
        scale = float(torch.nan_to_num(a, posinf=0, neginf=0).abs().max())
        same = torch.isclose(a, b, rtol=0.0, atol=TOLERANCE * scale, equal_nan=True)
    else:
        same = a == b
    return int(same.sum()) * (2 if strewn else 1) >= same.numel()


def check_independent(graph: Graph) -> None:
    """Raise ModelError if the samples of a batch are not independent."""
    if (name := mixing_node(graph)) is not None:
        raise ModelError(f"{graph.name}: {mixes(name)}")


def mixes(name: str) -> str:
    """Return the error message for a node at which samples mix."""
    return (
        f"from {name} on, a sample's result depends on the other samples of its batch, so the cost per inference is undefined; "
        "keep samples along the first dimension independent"
    )
