"""Training data from users, converted to one of the few forms from which batches are made."""

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
    """Batches from a list, always in the same order."""

    batches: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


@dataclass(frozen=True)
class Items:
    """Single samples by index, from a map-style `torch.utils.data.Dataset`."""

    dataset: Any

    def __len__(self) -> int:
        return len(self.dataset)


def settled(source: Any) -> Any:
    """Return training data as `Data`, arrays, the path of a file or folder, `Items`, or an iterable of batches.

    A named factory is called here, once. A list is a list of batches if each element holds inputs and labels of the same number of samples.

    Raises DataError for anything else and for empty data.
    """
    if isinstance(source, str | Path):
        return _named(str(source))
    if isinstance(source, tuple | list):
        return _sequence(source)
    if isinstance(source, Dataset) and not isinstance(source, IterableDataset):
        return Items(source)
    if isinstance(source, Data | Tensor | np.ndarray) or (hasattr(source, "__iter__") and not isinstance(source, Mapping | Set | bytes)):
        return source
    raise DataError(f"data: cannot train on {_kind(source)}; {FORMS}")


def _named(text: str) -> Any:
    """Return the path of an existing file or folder, or the data that a factory makes. Raises DataError."""
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
    """Return batches for a list of batches; anything that may be arrays is returned unchanged. Raises DataError."""
    if not source:
        raise DataError("data: no samples; give at least one")
    if all(map(_is_batch, source)):
        return Listed(tuple(source))
    kind = type(source).__name__
    if odd := [part for part in source if not isinstance(part, Tensor | np.ndarray | tuple | list | int | float | np.generic)]:
        raise DataError(f"data: cannot train on a {kind} that contains {_kind(odd[0])}; {FORMS}")
    if any(isinstance(part, tuple | list) and any(isinstance(each, Tensor | np.ndarray) for each in part) for part in source[1:]):
        raise DataError(f"data: not all {len(source)} elements of the {kind} are inputs and labels of the same number of samples; {FORMS}")
    return source


def _is_batch(part: Any) -> bool:
    """Whether an object is a pair of inputs and labels with the same number of samples."""
    if isinstance(part, Data):
        return True
    if not isinstance(part, tuple | list) or len(part) != 2:
        return False
    inputs = part[0] if isinstance(part[0], tuple | list) and part[0] else (part[0],)
    arrays = all(isinstance(each, Tensor | np.ndarray) and each.ndim for each in (*inputs, part[1]))
    return arrays and len(inputs[0]) == len(part[1])


def _kind(source: Any) -> str:
    return "None" if source is None else f"an object of type {type(source).__name__}"
