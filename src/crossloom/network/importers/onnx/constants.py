"""Tensors that are stored in the file or depend only on shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from crossloom.network.importers.onnx.table import Lowering, rule


def from_proto(proto: Any) -> Tensor:
    """Return the value of an ONNX tensor; bfloat16, float8 and integers of at most four bits become wider types.

    Raises NotImplementedError for strings and complex numbers.
    """
    import numpy as np
    from onnx import numpy_helper

    array = numpy_helper.to_array(proto)
    if array.dtype.isbuiltin != 1:
        array = array.astype(np.int8 if "int" in array.dtype.name else np.float32)
    if array.dtype.kind not in "biuf":
        raise NotImplementedError(f"a tensor of {'complex numbers' if array.dtype.kind == 'c' else 'strings'}")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    return torch.from_numpy(np.array(array))


@rule("Constant")
def constant(
    low: Lowering,
    *,
    value: Any = None,
    value_float: float | None = None,
    value_floats: Sequence[float] | None = None,
    value_int: int | None = None,
    value_ints: Sequence[int] | None = None,
) -> str:
    if value is not None:
        return low.constant(from_proto(value), kind=value.data_type)
    given = next((v for v in (value_float, value_floats, value_int, value_ints) if v is not None), None)
    if given is None:
        raise NotImplementedError("a constant without a value")
    return low.constant(torch.tensor(given, dtype=torch.float32 if value_float is not None or value_floats is not None else torch.int64))


@rule("Shape")
def shape(low: Lowering, x: str, *, start: int = 0, end: int | None = None) -> str:
    return low.constant(torch.tensor(low.shape(x)[start:end], dtype=torch.int64))


@rule("Size")
def size(low: Lowering, x: str) -> str:
    return low.constant(torch.tensor(int(torch.tensor(low.shape(x)).prod()), dtype=torch.int64))


@rule("ConstantOfShape")
def constant_of_shape(low: Lowering, shape: str, *, value: Any = None) -> str:
    sizes = low.numbers(shape, "shape")
    fill = torch.zeros(1) if value is None else from_proto(value).reshape(1)
    return low.constant(fill.expand(sizes), kind=None if value is None else value.data_type)


@rule("Range")
def range_(low: Lowering, start: str, limit: str, delta: str, *, stash_type: int = 1) -> str:
    first, last, step = (low.known(name, "bounds").reshape(()) for name in (start, limit, delta))
    count = max(0, int(torch.ceil((last.double() - first) / step)))
    return low.constant(first + step * torch.arange(count))


@rule("EyeLike")
def eye_like(low: Lowering, x: str, *, dtype: int | None = None, k: int = 0) -> str:
    rows, columns = low.shape(x)
    ones = torch.ones(rows, columns).triu(k).tril(k)
    integer = low.builder.types[x].dtype == "i64" if dtype is None else dtype not in (1, 10, 11, 16)
    return low.constant(ones.to(torch.int64) if integer else ones)
