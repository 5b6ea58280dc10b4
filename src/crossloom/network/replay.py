"""Floating-point execution of a graph, node by node, equivalent to the source model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from crossloom.errors import DataError
from crossloom.network.graph import Graph, bound
from crossloom.network.types import Batch


def batch_of(graph: Graph, inputs: Sequence[Tensor]) -> int:
    """Return the batch size of the inputs. Raises DataError if their number or shapes do not fit the graph."""
    if len(inputs) != len(graph.inputs):
        raise DataError(f"{graph.name} takes {len(graph.inputs)} inputs, got {len(inputs)}; give one tensor per input")
    batch = graph.batch
    for (name, type), given in zip(graph.inputs, inputs, strict=True):
        fits = given.dim() == len(type.shape)
        for want, have in zip(type.shape, given.shape, strict=False):
            if isinstance(want, Batch):
                batch = batch or have // want.times
                fits = fits and want.times * batch == have
            else:
                fits = fits and want == have
        if not fits:
            raise DataError(f"input {name} of {graph.name} needs shape {list(type.shape)}, got {list(given.shape)}; reshape the data")
    return batch or 1


def last_uses(graph: Graph) -> list[list[str]]:
    """Return, for each node, the tensors that are not read after it."""
    seen = set(graph.outputs) | set(graph.constants)
    uses: list[list[str]] = []
    for node in reversed(graph.nodes):
        uses.append([name for name in dict.fromkeys((*node.inputs, node.name)) if name not in seen])
        seen.update(node.inputs, (node.name,))
    return uses[::-1]


def replay(graph: Graph, inputs: Sequence[Tensor], watch: Callable[[str, Tensor], None] | None = None) -> tuple[Tensor, ...]:
    """Return the outputs for inputs of any batch size; each tensor is dropped after its last use.

    `watch` is called with the name and value of every input and every result; calibration uses it.
    """
    batch = batch_of(graph, inputs)
    device = inputs[0].device if inputs else None
    tensors: dict[str, Tensor] = {name: t.to(device) for name, t in graph.constants.items()}
    tensors.update({name: given for (name, _), given in zip(graph.inputs, inputs, strict=True)})
    if watch is not None:
        for name, _ in graph.inputs:
            watch(name, tensors[name])
    for node, unused in zip(graph.nodes, last_uses(graph), strict=True):
        tensors[node.name] = bound(node.op, batch)(*(tensors[name] for name in node.inputs))
        if watch is not None:
            watch(node.name, tensors[node.name])
        for name in unused:
            del tensors[name]
    return tuple(tensors[name] for name in graph.outputs)
