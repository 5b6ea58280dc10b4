"""Random samples for a network, and the question whether its samples are independent of each other.

Time and costs are those of one inference, which means something only if a sample's result does not depend on what else is in the
batch. Shapes cannot tell (`y - y.mean(0)` has that of `y`), so the question is put to the network: of a batch of two, one sample is
exchanged for another, and nothing of the sample that stays may change.
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
"""Of a tensor's largest value. Both runs do the same arithmetic on sample 0, so what differs by more has another cause than rounding."""


DRAWS = 3
"""Batches that the network is asked with: one may by chance hide what another shows. With few numbers in play chance is likelier."""
LARGE = 5_000_000
"""Parameters from which on one batch must do: the question should not cost more than the answer."""
SHOWN = 0.75
"""Share of truth-value inputs that are true; most are masks that show more than they hide."""


def random_samples(graph: Graph, samples: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Return standard normal inputs; whole numbers below the vocabulary for integers, either truth value."""
    return tuple(_drawn(graph, name, type.sizes(samples), type.dtype, generator) for name, type in graph.inputs)


def _drawn(graph: Graph, name: str, size: tuple[int, ...], dtype: str, generator: torch.Generator) -> Tensor:
    if dtype == "f32":
        return torch.randn(size, generator=generator)
    if dtype == "bool":
        return torch.rand(size, generator=generator) < SHOWN
    return torch.randint(0, vocabulary(graph, name) or 2, size, generator=generator)  # without a table it is most likely a mask


def vocabulary(graph: Graph, name: str) -> int | None:
    """Return the number of rows of the smallest table that an input, perhaps moved about, chooses from; None if there is none."""
    moved, rows = {name}, []
    for node in graph.nodes:
        if node.inputs and node.inputs[0] in moved and isinstance(node.op, Move | Cast):
            moved.add(node.name)
        if isinstance(node.op, Gather) and node.inputs[1] in moved and node.inputs[0] in graph.constants:
            rows.append(graph.constants[node.inputs[0]].shape[node.op.axis])
    return int(min(rows)) if rows else None


def mixing_node(graph: Graph) -> str | None:
    """Return the node from which on a sample's result depends on other samples of its batch, or None if none is seen to.

    A graph of one fixed batch size is one inference; one without weights in hand cannot be asked, nor one
    that random inputs lead astray.
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
    """Exchange either sample of one batch of two and return the first node that shows it in the other."""
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
    """Return the outputs, and in place of choices (an argmax) the real numbers that they are chosen by: a choice may hide a change."""
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
    """Return the batch with the sample other than `stays` taken from elsewhere."""
    half = len(batch) // 2
    return torch.cat([batch[:half], others[half:]] if stays == 0 else [others[:half], batch[half:]])


def _first_changed(graph: Graph, two: Sequence[Tensor], mixed: Sequence[Tensor], stays: int) -> str:
    """Return the first node whose result for the sample that stays is another."""
    seen: dict[str, Tensor] = {}
    changed: list[str] = []
    replay(graph, two, seen.__setitem__)
    replay(graph, mixed, lambda name, b: None if _unchanged(graph.types[name], stays, seen[name], b) else changed.append(name))
    return next((name for name in changed if name in graph.by_name), graph.outputs[0])


def _unchanged(type: TensorType, stays: int, a: Tensor, b: Tensor) -> bool:
    """Whether two results agree on everything that belongs to the sample that stays.

    Along a dimension of one entry for each sample that is its entry; where entries of a sample may be strewn over a longer
    dimension, half of all must agree; without such a dimension, all.
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
    """Raise ModelError if the samples of a batch influence each other."""
    if (name := mixing_node(graph)) is not None:
        raise ModelError(f"{graph.name}: {mixes(name)}")


def mixes(name: str) -> str:
    """Return the line that tells a user so."""
    return f"from {name} on, a sample's result depends on the other samples of its batch, so that no single inference can be priced; keep the first dimension apart"
