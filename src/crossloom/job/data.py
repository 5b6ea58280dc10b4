"""Loading and checking of a user's samples."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossloom.errors import DataError, InputError, one_line
from crossloom.job.metrics import UNLABELLED
from crossloom.job.source import made_by
from crossloom.network.graph import Graph
from crossloom.network.samples import random_samples, vocabulary
from crossloom.network.types import DTYPES, TensorType

_WHOLE = {"i64": "whole numbers", "bool": "truth values"}
IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True)
class Data:
    """Samples for each input of a network, with optional labels: one per sample, or one per token.

    Inputs that are the same for every sample (a threshold, a set of prototypes) are given once; `shared` marks them.
    """

    inputs: tuple[Tensor, ...]
    labels: Tensor | None = None
    shared: tuple[bool, ...] = ()

    def __len__(self) -> int:
        sizes = [int(x.shape[0]) for x, shared in zip(self.inputs, self._shared(), strict=True) if not shared and x.dim()]
        return sizes[0] if sizes else 1

    def batches(self, size: int, device: str | torch.device = "cpu") -> Iterator[tuple[tuple[Tensor, ...], Tensor | None]]:
        """Yield inputs and labels of `size` samples at a time."""
        for start in range(0, len(self), size):
            part = self.chosen(slice(start, start + size))
            yield tuple(x.to(device) for x in part.inputs), part.labels

    def first(self, count: int) -> Data:
        """Return the first samples."""
        return self.chosen(slice(count))

    def chosen(self, samples: Tensor | slice) -> Data:
        """Return some of the samples, by index."""
        inputs = (x if shared else x[samples] for x, shared in zip(self.inputs, self._shared(), strict=True))
        return Data(tuple(inputs), None if self.labels is None else self.labels[samples], self.shared)

    def _shared(self) -> tuple[bool, ...]:
        return self.shared or (False,) * len(self.inputs)


def load_data(source: Any, graph: Graph, *, labels: bool = True) -> Data:
    """Return samples for a network.

    Args:
        source: an `.npz` file with `x`, or an array for each input by its name (and `y`); a folder with one folder of images
            per class; `package.module:factory` that returns (x, y); a pair of arrays or tensors; or a single tensor. For a network
            with several inputs, one tensor per input, or a pair of these and labels.
        graph: the network that the samples are for.
        labels: whether to keep the labels.

    Raises:
        DataError: samples that are missing, empty, not finite, or of the wrong shape or number; the message states what was expected.
    """
    found, where = samples_in(source, graph)
    return checked(found if labels else replace(found, labels=None), graph, where)


def load_targets(source: Any, graph: Graph) -> Data:
    """Return samples as `load_data` does, but with targets of any type and shape instead of labels, one row per sample. Raises DataError."""
    found, where = samples_in(source, graph)
    data = checked(replace(found, labels=None), graph, where)
    if found.labels is None:
        return data
    targets = tensor_of(found.labels, where, "y")
    if not targets.dim() or len(targets) != len(data):
        raise DataError(f"{where}: {len(data)} samples but y of shape {list(targets.shape)}; give one row per sample")
    return replace(data, labels=targets)


def samples_in(source: Any, graph: Graph) -> tuple[Data, str]:
    """Return the samples of a source, not yet checked, and a name for messages. Raises DataError if there are none."""
    if isinstance(source, Data):
        return source, "data"
    if isinstance(source, str | Path):
        text = str(source)
        if text.endswith(".npz"):
            return _npz(Path(text), graph), text
        if Path(text).is_dir():
            return _folder(Path(text), graph), text
        if ":" in text:
            return samples_in(made_by(text, "data"), graph)
        raise DataError(f"{text}: no such data; give an .npz file with x and y, a folder of images by class, or package.module:factory")
    if isinstance(source, tuple | list) and len(source) == len(graph.inputs) > 1 and not isinstance(source[0], tuple | list):
        return Data(_tensors(source, "data")), "data"
    x, y = source if isinstance(source, tuple | list) and len(source) == 2 else (source, None)
    return Data(_tensors(x, "data"), y), "data"


def _tensors(x: Any, where: str) -> tuple[Tensor, ...]:
    parts = x if isinstance(x, tuple | list) else (x,)
    return tuple(tensor_of(part, where, "x") for part in parts)


def tensor_of(x: Any, where: str, name: str) -> Tensor:
    """Return numbers of any width and byte order as a tensor: real numbers as float32, integers as int64. Raises DataError for anything else."""
    if isinstance(x, Tensor):
        if x.is_complex() or x.is_quantized or x.layout is not torch.strided:
            raise DataError(f"{where}: {name} is a tensor of {x.dtype} and layout {x.layout}; give real numbers, stored densely")
        kind = torch.bool if x.dtype == torch.bool else torch.float32 if x.is_floating_point() else torch.int64
        return x.detach().to("cpu", kind)
    array = _array(x, where, name)
    if array.dtype.kind == "b":
        return torch.as_tensor(array)
    plain = np.ascontiguousarray(array, dtype=np.float32 if array.dtype.kind == "f" else np.int64)
    return torch.as_tensor(plain.reshape(array.shape))  # ascontiguousarray turns a single number into a row of one


def _array(x: Any, where: str, name: str) -> np.ndarray[Any, Any]:
    """Return an array of numbers. Raises DataError for text, dates, objects, complex numbers and anything that is not an array."""
    try:
        array = np.asarray(x)
    except (ValueError, TypeError) as problem:
        raise DataError(f"{where}: {name} is not an array of numbers ({one_line(problem)}); give rows of equal length") from problem
    if array.dtype.kind not in "fiub":
        raise DataError(f"{where}: {name} holds {array.dtype}, not numbers; give an array of real or whole numbers")
    return array


def _npz(path: Path, graph: Graph) -> Data:
    if not path.is_file():
        raise DataError(f"{path}: no such file; give an .npz file with x and y")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            wanted = _wanted(list(arrays), graph, path)
            found = {name: arrays[name] for name in (*wanted, "y") if name in arrays}
    except DataError:
        raise
    except Exception as problem:
        raise DataError(f"{path}: not a readable .npz file, or it holds objects ({one_line(problem)[:100]}); save it again") from problem
    x = tuple(tensor_of(found[name], str(path), name) for name in wanted)
    return Data(x, found["y"] if "y" in found and "y" not in wanted else None)


def _wanted(names: Sequence[str], graph: Graph, path: Path) -> Sequence[str]:
    """Return the names of the arrays to use as inputs: the names of the network's inputs, or `x`. Raises DataError if neither exist."""
    inputs = [name for name, _ in graph.inputs]
    if len(inputs) > 1 and all(name in names for name in inputs):
        return inputs
    if "x" not in names:
        raise DataError(f"{path}: it has {', '.join(names) or 'no arrays'} and no 'x'; save it with numpy.savez(path, x=..., y=...)")
    return ["x"]


def _labels(y: Any, graph: Graph, where: str) -> Tensor:
    """Return labels as one integer per answer of the network: per sample, or per token. Raises DataError."""
    array = _array(y.detach().cpu() if isinstance(y, Tensor) else y, where, "y")
    each = _answers(graph)
    if not each and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 + len(each) or array.shape[1:] != each or array.dtype.kind not in "iu":
        wanted = f"each of a sample's {list(each)} tokens" if each else "each sample"
        remedy = f"label each token, {UNLABELLED} where it does not count, or leave y out" if each else "number the classes from 0"
        if array.dtype.kind == "f" and not each:
            remedy += ", or leave y out where it is not a class, and compare the answers of to_torch"
        if array.ndim == 2 + len(each):
            remedy = f"give the number of the class, such as scores.argmax({1 + len(each)})"
        raise DataError(f"{where}: y must hold one whole number for {wanted}, got {array.dtype} of shape {array.shape}; {remedy}")
    return torch.as_tensor(array.astype(np.int64))


def _answers(graph: Graph) -> tuple[int, ...]:
    """Return the shape of a sample's answers: () for one row of scores, (n,) for one row for each of n tokens."""
    between = graph.types[graph.outputs[0]].shape[1:-1]
    return tuple(dim for dim in between if isinstance(dim, int)) if all(isinstance(dim, int) for dim in between) else ()


def _folder(path: Path, graph: Graph) -> Data:
    """Return images in the size and colour mode that the network expects, with values from 0 to 1; classes are folders in alphabetical order."""
    try:
        from PIL import Image
    except ImportError as problem:
        raise InputError("reading images needs the package pillow: pip install 'crossloom[data]'") from problem
    shape = graph.inputs[0][1].shape
    if len(shape) != 4 or shape[1] not in (1, 3):
        raise DataError(f"{path}: images need a network with input (N, 1 or 3, H, W), this one has {list(shape)}")
    files = _by_class(path)
    rows = []
    for file, _ in files:
        try:
            with warnings.catch_warnings(), Image.open(file) as image:
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                sized = _in_bytes(image).convert("L" if shape[1] == 1 else "RGB").resize((int(shape[3]), int(shape[2])))  # type: ignore[arg-type]
        except Exception as problem:  # each format's decoder raises its own exceptions
            raise DataError(f"{file}: not a readable image ({one_line(problem)}); remove or replace it") from problem
        rows.append(torch.as_tensor(np.asarray(sized, dtype=np.float32) / 255))
    x = torch.stack(rows)
    return Data((x[:, None] if shape[1] == 1 else x.permute(0, 3, 1, 2).contiguous(),), torch.tensor([label for _, label in files]))


def _in_bytes(image: Any) -> Any:
    """Return an image of 16 bits per pixel converted to 8 bits; pillow's own conversion clips instead of scaling."""
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.int64) // 257).clip(0, 255).astype(np.uint8))


def _by_class(path: Path) -> list[tuple[Path, int]]:
    """Return the images in a folder's subfolders with the index of their class; hidden subfolders and those without images are skipped."""
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    images = [sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGES and not p.name.startswith(".")) for folder in folders]
    classes = [files for files in images if files]
    if not classes:
        raise DataError(f"{path}: no images in class folders; make one folder for each class with images in it")
    return [(file, label) for label, files in enumerate(classes) for file in files]


def checked(data: Data, graph: Graph, where: str) -> Data:
    """Return the data if they fit the network. Raises DataError."""
    if len(data.inputs) != len(graph.inputs):
        raise DataError(f"{where}: {len(data.inputs)} inputs given, but {graph.name} has {len(graph.inputs)}; give one array per input")
    if any(x.dim() == 0 for x, shared in zip(data.inputs, _shared(graph), strict=True) if not shared):
        raise DataError(f"{where}: a single number, but samples must lie along a first dimension; give an array")
    inputs = tuple(_suited(graph, name, type, x, where) for (name, type), x in zip(graph.inputs, data.inputs, strict=True))
    data = Data(inputs, None if data.labels is None else _labels(data.labels, graph, where), _shared(graph))
    if len(data) == 0:
        raise DataError(f"{where}: no samples; give at least one")
    for (name, type), x, shared in zip(graph.inputs, data.inputs, data.shared, strict=True):
        if shared and list(x.shape) != list(type.shape):
            raise DataError(
                f"{where}: input {name} is the same for every sample and needs shape {list(type.shape)}, got {list(x.shape)}; give it once"
            )
        want = list(type.shape[1:])
        if not shared and list(x.shape[1:]) != want:
            raise DataError(f"{where}: input {name} needs samples of shape {want}, got {list(x.shape[1:])}; reshape or resize them")
        if x.is_floating_point() and not bool(torch.isfinite(x).all()):
            first = int(torch.nonzero(~torch.isfinite(x.reshape(x.shape[0] if x.dim() else 1, -1)).all(1))[0, 0])
            raise DataError(f"{where}: sample {first} of {name} contains NaN or infinity; clean the data")
    if data.labels is not None:
        _check_labels(data, graph, where)
    return data


def _suited(graph: Graph, name: str, type: TensorType, x: Tensor, where: str) -> Tensor:
    """Return an input in the network's element type. Raises DataError if that would change its values, or if an index is outside its table."""
    x = tensor_of(x, where, f"input {name}")
    if type.dtype != "f32" and x.is_floating_point():
        raise DataError(f"{where}: input {name} needs {_WHOLE[type.dtype]}, got real numbers; convert them")
    rows = vocabulary(graph, name) if type.dtype == "i64" and x.numel() else None
    if rows is not None and not 0 <= int(x.min()) <= int(x.max()) < rows:
        raise DataError(f"{where}: input {name} ranges from {int(x.min())} to {int(x.max())} and indexes {rows} rows; number them from 0")
    return x.to(DTYPES[type.dtype])


def _shared(graph: Graph) -> tuple[bool, ...]:
    """Return, for each input, whether all samples share it: it has no batch dimension, or no dimension at all in a network of fixed batch size."""
    return tuple(not type.batched and (graph.batch is None or not type.shape) for _, type in graph.inputs)


def _check_labels(data: Data, graph: Graph, where: str) -> None:
    assert data.labels is not None
    if len(data.labels) != len(data):
        raise DataError(f"{where}: {len(data)} samples but {len(data.labels)} labels; give one label per sample")
    classes = graph.types[graph.outputs[0]].shape[-1]
    counted = data.labels[data.labels != UNLABELLED] if data.labels.dim() > 1 else data.labels
    if not len(counted):
        raise DataError(f"{where}: every label is {UNLABELLED}, which stands for a token that does not count; give data with labels, or without y")
    lowest, highest = int(counted.min()), int(counted.max())
    if lowest < 0 or (isinstance(classes, int) and highest >= classes):
        raise DataError(f"{where}: labels range from {lowest} to {highest}, but the network has {classes} classes; number them from 0")


def random_inputs(graph: Graph, samples: int, seed: int) -> Data:
    """Return standard normal samples drawn from a seed; for integer inputs, integers below the vocabulary size."""
    return Data(random_samples(graph, samples, torch.Generator().manual_seed(seed)), shared=_shared(graph))


def as_batches(data: Data, size: int) -> Sequence[tuple[Tensor, ...]]:
    """Return the inputs in batches, for calibration."""
    return [inputs for inputs, _ in data.batches(size)]
