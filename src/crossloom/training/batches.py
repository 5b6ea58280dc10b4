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
from torch.utils.data import DataLoader, default_collate

from crossloom.errors import DataError, one_line
from crossloom.job.data import Data, checked, load_targets, samples_in, tensor_of
from crossloom.network.graph import Graph
from crossloom.training.training_data import FORMS, Items


class Batches(Protocol):
    """What an epoch consists of."""

    @property
    def extent(self) -> str:
        """How much it is, in words."""
        ...

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        ...

    def epoch(self, generator: torch.Generator) -> Iterator[Data]:
        """Yield the batches of one epoch."""
        ...

    def first(self, samples: int) -> list[Data]:
        """Return batches of about `count` samples to look at; at least one."""
        ...


@dataclass(frozen=True)
class Shuffled:
    """Samples in a new order each epoch. What fills no batch waits for another epoch: a batch norm learns nothing good from a few."""

    data: Data
    size: int

    @property
    def extent(self) -> str:
        """How many samples there are."""
        return f"{len(self.data)} samples"

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
    extent: str

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
        source: as `training_data.settled` returns it: samples, items, or an iterable of batches that can be gone through again and again.
        graph: the network that will get them; one that runs at one batch size gets that one.
        size: samples in a batch; batches that are given stay as they are.
        classes: whether what stands beside the samples are numbers of classes; else it may be anything.

    Raises:
        DataError: missing, empty, not finite, of the wrong shape or number, or to be had only once.
    """
    size = graph.batch or size
    if isinstance(source, Items):
        size = _fitting(len(source), size, graph)
        loader = DataLoader(source.dataset, size, shuffle=True, drop_last=True, collate_fn=_collated)
        return Loaded(loader, graph, classes, len(loader), f"{len(source)} samples")
    if not is_loader(source):
        data = _checked(source, graph, classes)
        return Shuffled(data, _fitting(len(data), size, graph))
    if iter(source) is source:
        raise DataError(
            f"data: a {type(source).__name__} gives its batches once, and training goes through them each epoch; give a DataLoader or arrays"
        )
    count = len(source) if hasattr(source, "__len__") else sum(1 for _ in source)
    if not count:
        raise DataError("data: the loader yields no batch; give at least one")
    return Loaded(source, graph, classes, count, f"{count} {'batch' if count == 1 else 'batches'}")


def _fitting(samples: int, size: int, graph: Graph) -> int:
    """Return the size of a batch, no larger than all samples together. Raises DataError if there are none, or too few for a network of one size."""
    if not samples:
        raise DataError("data: they are empty; give at least one sample")
    if graph.batch and samples < size:
        raise DataError(f"data: {samples} samples, and {graph.name} takes {size} at once; give at least as many")
    return min(size, samples)


def is_loader(source: Any) -> bool:
    """Whether something yields batches, rather than being samples or naming them."""
    return hasattr(source, "__iter__") and not isinstance(source, Data | str | Path | Tensor | np.ndarray | tuple | list)


def example_of(source: Any) -> tuple[Tensor, ...]:
    """Return the first sample of training data, to call a network with. Raises DataError if there is none, or where inputs are named and not given."""
    if isinstance(source, Items):
        return _first(_collated([source.dataset[0]]) if len(source) else ())
    if is_loader(source):
        batch = next(islice(source, 1), None)
        if batch is None:
            raise DataError("data: the loader yields no batch; give at least one")
        return _first(batch)
    if isinstance(source, str | Path):
        raise DataError(f"{source}: what it holds depends on the network's inputs; give an example, such as inputs=(torch.zeros(1, 3, 32, 32),)")
    return _first(source)


def _first(batch: Any) -> tuple[Tensor, ...]:
    """Return the first sample of samples. Raises DataError."""
    if isinstance(batch, Data):
        found = batch.inputs if len(batch) == 0 else batch.first(1).inputs
    elif isinstance(batch, Tensor | np.ndarray | tuple | list):
        x = batch[0] if isinstance(batch, tuple | list) and len(batch) == 2 else batch
        found = tuple(tensor_of(part, "data", "x") for part in (x if isinstance(x, tuple | list) else (x,)))
        if any(not part.dim() for part in found):
            raise DataError(f"data: a single number, where samples are wanted along a first dimension; {FORMS}")
        found = tuple(part[:1] for part in found)
    else:
        raise DataError(f"data: its batches are each a {type(batch).__name__}; {FORMS}")
    if not found or any(part.dim() and not len(part) for part in found):
        raise DataError("data: they are empty; give at least one sample")
    return found


def _collated(items: list[Any]) -> Any:
    """Return a batch of items. Raises DataError if they make none."""
    try:
        return default_collate(items)
    except (TypeError, RuntimeError) as problem:
        raise DataError(f"data: items of the dataset make no batch ({one_line(problem)}); give tensors and numbers of equal shapes") from problem


def _checked(source: Any, graph: Graph, classes: bool) -> Data:
    """Return data that fit a network, their labels classes or anything. Raises DataError."""
    if not classes:
        return load_targets(source, graph)
    found, where = samples_in(source, graph)
    if found.labels is not None and tensor_of(found.labels, where, "y").is_floating_point():
        raise DataError(
            f"{where}: y holds real numbers, and without a loss ternarize trains for classes; "
            "number them from 0, or for a regression give loss=torch.nn.functional.mse_loss or the like"
        )
    return checked(found, graph, where)
