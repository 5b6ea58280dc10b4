"""Memory limits for reading a network: a file of a few bytes can request terabytes.

The size of a result depends only on shapes, so it is determined with tensors without storage before anything is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from crossloom.errors import ModelError

MOST = 1 << 29
"""Maximum number of elements of one tensor that is computed rather than stored: 2 GiB in float32."""
TOGETHER = 1 << 31
"""Maximum number of elements computed in total ahead of a run, in addition to a few times the number that the file stores."""
MOST_NODES = 1 << 18
"""Maximum number of operations of a network once its loops are unrolled."""
MOST_PARTS = 1 << 16
"""Maximum number of tensors that one operation splits another into."""
_REMEDY = "store large tensors in the file, or make them smaller"


def check_size(shape: Iterable[int], what: str) -> None:
    """Raise ModelError if a tensor of this shape exceeds the limit for computed tensors."""
    if (count := prod(shape)) > MOST:
        raise ModelError(f"{what} would have {count:.3g} elements, more than the limit of {MOST:.3g}; {_REMEDY}")


class Bounded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode in which torch raises ModelError instead of creating tensors beyond the limits.

    `stored` is the number of elements that the network already holds; computing with them may create a few times that number.
    """

    def __init__(self, name: str, stored: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.name, self.left = name, TOGETHER + 8 * stored

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if _makes_tensors(func) and not _without_storage(args, kwargs):
            self._claim(func, args, kwargs)
        if kwargs.get("rounding_mode") == "trunc" and _overflows(*args[:2]):
            raise ModelError(f"{self.name}: it divides the smallest integer by -1, which overflows; export it again")
        return func(*args, **kwargs)

    def _claim(self, func: Any, args: Any, kwargs: Any) -> None:
        """Count the elements that an operation will create. Raises ModelError if there are too many."""
        for made in _made(func, args, kwargs):
            if made > MOST and not _in_full(args, made):  # a result no larger than an argument is no larger than the file
                raise ModelError(f"{self.name}: {func} would make {made:.3g} elements, more than the limit of {MOST:.3g}; {_REMEDY}")
            self.left -= made
        if self.left < 0:
            raise ModelError(f"{self.name}: it computes more than {TOGETHER:.3g} elements that depend on no input; {_REMEDY}")


@cache
def _makes_tensors(func: OpOverload[Any, Any]) -> bool:
    return any(result.alias_info is None and "Tensor" in str(result.type) for result in func._schema.returns)


def _without_storage(args: Any, kwargs: Any) -> bool:
    if kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "meta":
        return True
    return any(isinstance(x, Tensor) and (x.is_meta or x.layout is not torch.strided) for x in tree_leaves((args, kwargs)))


def _in_full(args: Any, count: int) -> bool:
    """Return whether one of the arguments really stores `count` elements, instead of repeating a few."""
    tensors = [x for x in tree_leaves(args) if isinstance(x, Tensor)]
    return any(x.numel() >= count and x.untyped_storage().nbytes() >= count * x.element_size() for x in tensors)


def _made(func: OpOverload[Any, Any], args: Any, kwargs: Any) -> list[int]:
    """Return the number of elements of each tensor that an operation creates; an upper bound where it depends on the data."""
    name = func._schema.name.partition("::")[2]
    if name == "repeat_interleave":
        return [int(args[0].double().sum())]
    if name == "index":
        args = (args[0], _without_masks(args[1]))
    if name == "masked_select":
        return [prod(torch.broadcast_shapes(*(x.shape for x in args)))]  # type: ignore[no-untyped-call]
    if name in ("nonzero", "_unique2"):
        return [args[0].numel() * max(1, args[0].dim())]
    options = dict(tree_map(_shell, kwargs))
    if any(argument.name == "device" for argument in func._schema.arguments):
        options["device"] = torch.device("meta")
        options.pop("pin_memory", None)
    results = func(*tree_map(_shell, args), **options)
    return [int(x.numel()) for x in tree_leaves(results) if isinstance(x, Tensor)]


def _without_masks(indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Return indices with each mask replaced by one index tensor per dimension, with an entry per selected element."""
    found: list[Tensor | None] = []
    for index in indices:
        masks = index is not None and index.dtype in (torch.bool, torch.uint8)
        found += [torch.empty(int(index.count_nonzero()), dtype=torch.int64, device="meta")] * index.dim() if masks else [index]  # type: ignore[union-attr]
    return found


def _overflows(a: Any, b: Any) -> bool:
    """Return whether an integer division overflows; the processor then aborts the program."""
    if any(isinstance(x, float) or (isinstance(x, Tensor) and (x.is_floating_point() or x.is_meta)) for x in (a, b)):
        return False
    kind = torch.result_type(a, b)
    if kind in (torch.bool, torch.uint8):
        return False
    return bool((torch.as_tensor(b) == -1).any()) and bool((torch.as_tensor(a) == torch.iinfo(kind).min).any())


def _shell(value: Any) -> Any:
    """Return a tensor of the same shape and type without storage; return anything else unchanged."""
    if not isinstance(value, Tensor):
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
