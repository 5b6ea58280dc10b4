"""What a user gives to train on, in one of the few forms that batches are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from crossloom.errors import DataError
from crossloom.job.data import Data
from crossloom.job.source import made_by

FORMS = "give (inputs, labels), a list of such batches, a DataLoader, or a Dataset of (input, label) items"


@dataclass(frozen=True)
class Listed:
    """Batches from a list, in its order each time."""

    batches: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


@dataclass(frozen=True)
class Items:
    """Single samples by their numbers, as a map-style `torch.utils.data.Dataset` has them."""

    dataset: Any

    def __len__(self) -> int:
        return len(self.dataset)


def settled(source: Any) -> Any:
    """Return training data as `Data`, arrays, the path of a file or a folder, `Items`, or batches that can be gone through.

    What a name stands for is made here, once. A list is one of batches if each of its elements is inputs and labels of as many samples.

    Raises DataError for anything else, and where there is nothing.
    """
    if isinstance(source, str | Path):
        return _named(str(source))
    if isinstance(source, tuple | list):
        return _sequence(source)
    if isinstance(source, Dataset) and not isinstance(source, IterableDataset):
        return Items(source)
    if isinstance(source, Data | Tensor | np.ndarray) or (hasattr(source, "__iter__") and not isinstance(source, Mapping | Set | bytes)):
        return source
    raise DataError(f"data: {_kind(source)} is nothing to train on; {FORMS}")


def _named(text: str) -> Any:
    """Return the path of an existing file or folder, or what a factory makes. Raises DataError."""
    path = Path(text)
    if text.endswith(".npz"):
        if not path.is_file():
            raise DataError(f"{text}: no such file; give an .npz file with x and y")
        return text
    if path.is_dir():
        return text
    if ":" not in text:
        raise DataError(f"{text}: no such data; give an .npz file with x and y, a folder of images by class, or package.module:factory")
    return settled(made_by(text, "data"))


def _sequence(source: Sequence[Any]) -> Any:
    """Return batches for a list of them; what may be arrays as it is. Raises DataError."""
    if not source:
        raise DataError("data: they are empty; give at least one sample")
    if all(map(_is_batch, source)):
        return Listed(tuple(source))
    kind = type(source).__name__
    if odd := [part for part in source if not isinstance(part, Tensor | np.ndarray | tuple | list | int | float | np.generic)]:
        raise DataError(f"data: a {kind} with {_kind(odd[0])} in it is nothing to train on; {FORMS}")
    if any(isinstance(part, tuple | list) and any(isinstance(each, Tensor | np.ndarray) for each in part) for part in source[1:]):
        raise DataError(f"data: a {kind} of {len(source)} that are not all inputs and labels of as many samples; {FORMS}")
    return source


def _is_batch(part: Any) -> bool:
    """Whether something is inputs and labels, as many of these as there are samples."""
    if isinstance(part, Data):
        return True
    if not isinstance(part, tuple | list) or len(part) != 2:
        return False
    inputs = part[0] if isinstance(part[0], tuple | list) and part[0] else (part[0],)
    arrays = all(isinstance(each, Tensor | np.ndarray) and each.ndim for each in (*inputs, part[1]))
    return arrays and len(inputs[0]) == len(part[1])


def _kind(source: Any) -> str:
    return "None" if source is None else f"an object of type {type(source).__name__}"
