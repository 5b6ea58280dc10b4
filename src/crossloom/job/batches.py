"""Batches to train on: arrays in a new order each epoch, or what a user's own loader yields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from crossloom.errors import DataError
from crossloom.job.data import Data, load_data, load_targets
from crossloom.network.graph import Graph


class Batches(Protocol):
    """What an epoch consists of."""

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        ...

    def epoch(self, generator: torch.Generator) -> Iterator[Data]:
        """Yield the batches of one epoch."""
        ...

    def first(self, samples: int) -> list[Data]:
        """Return batches of about so many samples to look at; at least one."""
        ...


@dataclass(frozen=True)
class Shuffled:
    """Samples in a new order each epoch. What fills no batch waits for another epoch: a batch norm learns nothing good from a few."""

    data: Data
    size: int

    def __len__(self) -> int:
        return max(1, len(self.data) // self.size)

    def epoch(self, generator: torch.Generator) -> Iterator[Data]:
        """Yield the batches of one epoch, in an order drawn from the generator."""
        for chosen in torch.split(torch.randperm(len(self.data), generator=generator), self.size)[: len(self)]:
            yield self.data.chosen(chosen)

    def first(self, samples: int) -> list[Data]:
        """Return the first samples in batches."""
        data = self.data.first(max(samples, self.size))
        return [data.chosen(slice(start, start + self.size)) for start in range(0, len(data), self.size)]


@dataclass(frozen=True)
class Loaded:
    """What a loader yields, epoch after epoch, each batch checked when it comes. The order is the loader's own."""

    loader: Iterable[Any]
    graph: Graph
    classes: bool
    count: int

    def __len__(self) -> int:
        return self.count

    def epoch(self, generator: torch.Generator) -> Iterator[Data]:
        """Yield the batches of one epoch."""
        return (_checked(batch, self.graph, self.classes) for batch in self.loader)

    def first(self, samples: int) -> list[Data]:
        """Return the first batches, the same ones each time if the loader draws its order from torch's own generator, which stays as it was."""
        found: list[Data] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for batch in self.epoch(torch.Generator()):
                found.append(batch)
                if sum(map(len, found)) >= samples:
                    break
        return found


def batches_of(source: Any, graph: Graph, size: int, *, classes: bool) -> Batches:
    """Return training batches.

    Args:
        source: what `crossloom.job.data.load_data` takes, or an iterable of such batches that can be gone through again and again, as torch's
            `DataLoader` is one.
        graph: the network that will get them; one that runs at one batch size gets that one.
        size: samples in a batch; a loader has its own.
        classes: whether what stands beside the samples are numbers of classes; else it may be anything.

    Raises:
        DataError: missing, empty, not finite, of the wrong shape or number, or to be had only once.
    """
    if not is_loader(source):
        data, size = _checked(source, graph, classes), graph.batch or size
        if graph.batch and len(data) < size:
            raise DataError(f"data: {len(data)} samples, and {graph.name} takes {size} at once; give at least as many")
        return Shuffled(data, min(size, len(data)))
    if iter(source) is source:
        raise DataError(
            f"data: a {type(source).__name__} gives its batches once, and training goes through them each epoch; give a DataLoader or arrays"
        )
    count = len(source) if hasattr(source, "__len__") else sum(1 for _ in source)
    if not count:
        raise DataError("data: the loader yields no batch; give at least one")
    return Loaded(source, graph, classes, count)


def is_loader(source: Any) -> bool:
    """Whether something yields batches, rather than being samples or naming them."""
    return hasattr(source, "__iter__") and not isinstance(source, Data | str | Path | Tensor | np.ndarray | tuple | list)


def example_of(source: Any) -> tuple[Tensor, ...]:
    """Return the first sample of training data, to call a network with. Raises DataError where they are named and not given."""
    if is_loader(source):
        first = next(islice(source, 1), None)
        if first is None:
            raise DataError("data: the loader yields no batch; give at least one")
        return example_of(first)
    if isinstance(source, Data):
        return source.first(1).inputs
    if isinstance(source, str | Path):
        raise DataError(f"{source}: what it holds depends on the network's inputs; give an example, such as inputs=(torch.zeros(1, 3, 32, 32),)")
    x = source[0] if isinstance(source, tuple | list) and len(source) == 2 else source
    parts = [torch.as_tensor(part) for part in (x if isinstance(x, tuple | list) else (x,))]
    return tuple((part.to(torch.float32) if part.is_floating_point() else part)[:1] for part in parts)


def _checked(source: Any, graph: Graph, classes: bool) -> Data:
    return load_data(source, graph) if classes else load_targets(source, graph)
