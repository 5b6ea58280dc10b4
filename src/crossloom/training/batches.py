"""Training batches: arrays in a new order each epoch, or the batches of a user's loader."""

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
    """The training data of one epoch, in batches."""

    @property
    def extent(self) -> str:
        """Amount of data, in words."""
        ...

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        ...

    def epoch(self, generator: torch.Generator) -> Iterator[Data]:
        """Yield the batches of one epoch."""
        ...

    def first(self, samples: int) -> list[Data]:
        """Return the first batches, at least one, with about `samples` samples in all."""
        ...


@dataclass(frozen=True)
class Shuffled:
    """Samples in a new order each epoch. An incomplete last batch is dropped, since it would spoil batch-norm statistics."""

    data: Data
    size: int

    @property
    def extent(self) -> str:
        """Number of samples, in words."""
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
    """Batches of a loader, each checked as it arrives. The loader determines the order."""

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
        """Return the first batches. They are the same each time if the loader uses torch's global generator, whose state is preserved."""
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
        source: as returned by `training_data.settled`: samples, items, or an iterable of batches that can be iterated repeatedly.
        graph: the network to train; its batch size is used if it is fixed.
        size: samples per batch; batches from a loader are not changed.
        classes: whether the labels are class numbers; otherwise they may be anything.

    Raises:
        DataError: data are missing, empty, not finite, of the wrong shape or number, or can be iterated only once.
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
            f"data: a {type(source).__name__} yields its batches only once, but training needs them each epoch; give a DataLoader or arrays"
        )
    count = len(source) if hasattr(source, "__len__") else sum(1 for _ in source)
    if not count:
        raise DataError("data: the loader yields no batch; give at least one")
    return Loaded(source, graph, classes, count, f"{count} {'batch' if count == 1 else 'batches'}")


def _fitting(samples: int, size: int, graph: Graph) -> int:
    """Return the batch size, at most the number of samples. Raises DataError if there are none, or too few for a fixed batch size."""
    if not samples:
        raise DataError("data: no samples; give at least one")
    if graph.batch and samples < size:
        raise DataError(f"data: {samples} samples, but {graph.name} runs only at batch {size}; give at least as many")
    return min(size, samples)


def is_loader(source: Any) -> bool:
    """Whether an object yields batches, as opposed to being samples or a name."""
    return hasattr(source, "__iter__") and not isinstance(source, Data | str | Path | Tensor | np.ndarray | tuple | list)


def example_of(source: Any) -> tuple[Tensor, ...]:
    """Return the first sample of training data, as an example input. Raises DataError if there is none, or if the source is a file or folder."""
    if isinstance(source, Items):
        return _first(_collated([source.dataset[0]]) if len(source) else ())
    if is_loader(source):
        batch = next(islice(source, 1), None)
        if batch is None:
            raise DataError("data: the loader yields no batch; give at least one")
        return _first(batch)
    if isinstance(source, str | Path):
        raise DataError(f"{source}: how it is read depends on the network's inputs; give an example, such as inputs=(torch.zeros(1, 3, 32, 32),)")
    return _first(source)


def _first(batch: Any) -> tuple[Tensor, ...]:
    """Return the first sample of a batch. Raises DataError."""
    if isinstance(batch, Data):
        found = batch.inputs if len(batch) == 0 else batch.first(1).inputs
    elif isinstance(batch, Tensor | np.ndarray | tuple | list):
        x = batch[0] if isinstance(batch, tuple | list) and len(batch) == 2 else batch
        found = tuple(tensor_of(part, "data", "x") for part in (x if isinstance(x, tuple | list) else (x,)))
        if any(not part.dim() for part in found):
            raise DataError(f"data: expected samples along a first dimension, got a single number; {FORMS}")
        found = tuple(part[:1] for part in found)
    else:
        raise DataError(f"data: each batch is a {type(batch).__name__}; {FORMS}")
    if not found or any(part.dim() and not len(part) for part in found):
        raise DataError("data: no samples; give at least one")
    return found


def _collated(items: list[Any]) -> Any:
    """Return a batch of items. Raises DataError if they cannot be combined."""
    try:
        return default_collate(items)
    except (TypeError, RuntimeError) as problem:
        raise DataError(f"data: items of the dataset cannot be batched ({one_line(problem)}); give tensors and numbers of equal shapes") from problem


def _checked(source: Any, graph: Graph, classes: bool) -> Data:
    """Return data checked against a network, with class labels if `classes` is set. Raises DataError."""
    if not classes:
        return load_targets(source, graph)
    found, where = samples_in(source, graph)
    if found.labels is not None and tensor_of(found.labels, where, "y").is_floating_point():
        raise DataError(
            f"{where}: y holds real numbers, but without a loss ternarize expects classes; "
            "number them from 0, or for a regression give a loss such as loss=torch.nn.functional.mse_loss"
        )
    return checked(found, graph, where)
