"""How much a network may make us hold while it is read: a few bytes of a file can ask for terabytes.

The size of a result is known from shapes only, so it is looked up on tensors without storage before anything is computed.
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
"""Elements of one tensor that is computed rather than stored: 2 GiB in float32."""
TOGETHER = 1 << 31
"""Elements of everything that is computed ahead of a run, besides a few times what the file stores."""
MOST_NODES = 1 << 18
"""Operations of a network once its loops are unrolled."""
MOST_PARTS = 1 << 16
"""Tensors that one operation takes another apart into."""
_REMEDY = "store what is large in the file, or make it smaller"


def check_size(shape: Iterable[int], what: str) -> None:
    """Raise ModelError if a tensor of this shape is larger than anything that is computed here."""
    if (count := prod(shape)) > MOST:
        raise ModelError(f"{what} would have {count:.3g} elements and at most {MOST:.3g} are computed here; {_REMEDY}")


class Bounded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, torch refuses with a ModelError to make tensors beyond all measure.

    `stored` is the number of elements that the network holds already; computing with them may take a few times as many.
    """

    def __init__(self, name: str, stored: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.name, self.left = name, TOGETHER + 8 * stored

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if _makes_tensors(func) and not _without_storage(args, kwargs):
            self._claim(func, args, kwargs)
        if kwargs.get("rounding_mode") == "trunc" and _overflows(*args[:2]):
            raise ModelError(f"{self.name}: it divides the least integer by -1, which has no result; export it again")
        return func(*args, **kwargs)

    def _claim(self, func: Any, args: Any, kwargs: Any) -> None:
        """Count what an operation will make. Raises ModelError if that is too much."""
        for made in _made(func, args, kwargs):
            if made > MOST and not _in_full(args, made):  # as large as an argument is as large as something in the file
                raise ModelError(f"{self.name}: {func} would make {made:.3g} elements and at most {MOST:.3g} are computed here; {_REMEDY}")
            self.left -= made
        if self.left < 0:
            raise ModelError(f"{self.name}: more than {TOGETHER:.3g} elements follow from no input; {_REMEDY}")


@cache
def _makes_tensors(func: OpOverload[Any, Any]) -> bool:
    return any(result.alias_info is None and "Tensor" in str(result.type) for result in func._schema.returns)


def _without_storage(args: Any, kwargs: Any) -> bool:
    if kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "meta":
        return True
    return any(isinstance(x, Tensor) and (x.is_meta or x.layout is not torch.strided) for x in tree_leaves((args, kwargs)))


def _in_full(args: Any, count: int) -> bool:
    """Whether one of the arguments really holds `count` elements, and does not repeat a few."""
    tensors = [x for x in tree_leaves(args) if isinstance(x, Tensor)]
    return any(x.numel() >= count and x.untyped_storage().nbytes() >= count * x.element_size() for x in tensors)


def _made(func: OpOverload[Any, Any], args: Any, kwargs: Any) -> list[int]:
    """Return the numbers of elements of the tensors that an operation makes; at least as many where the data decide."""
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
    """Return indices with each mask replaced by as many numbers for each of its dimensions as it lets through."""
    found: list[Tensor | None] = []
    for index in indices:
        masks = index is not None and index.dtype in (torch.bool, torch.uint8)
        found += [torch.empty(int(index.count_nonzero()), dtype=torch.int64, device="meta")] * index.dim() if masks else [index]  # type: ignore[union-attr]
    return found


def _overflows(a: Any, b: Any) -> bool:
    """Whether a division of integers leaves their range: the processor then ends the program."""
    if any(isinstance(x, float) or (isinstance(x, Tensor) and (x.is_floating_point() or x.is_meta)) for x in (a, b)):
        return False
    kind = torch.result_type(a, b)
    if kind in (torch.bool, torch.uint8):
        return False
    return bool((torch.as_tensor(b) == -1).any()) and bool((torch.as_tensor(a) == torch.iinfo(kind).min).any())


def _shell(value: Any) -> Any:
    """Return a tensor of the same shape and type without storage, and anything else as it is."""
    if not isinstance(value, Tensor):
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
