"""Constant folding: arithmetic on sizes, and torch operators that check their arguments.

A saved program may call any operator with any arguments. Many of torch's internal operators trust their caller: they address memory by
the strides, offsets or scales that they are given. Operators that are not known to check these are not computed here.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Container, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from crossloom.network.importers.torch.aten import RULES
from crossloom.network.importers.torch.mutation import name_of

ARITHMETIC: set[Any] = {operator.add, operator.sub, operator.mul, operator.floordiv, operator.truediv, operator.mod, operator.pow}
ARITHMETIC |= {operator.neg, operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge, operator.and_, operator.or_}
ARITHMETIC |= {math.ceil, math.floor, math.sqrt, math.trunc, round, torch.sym_float, torch.sym_int, torch.sym_max, torch.sym_min}
ARITHMETIC |= {torch.sym_not, torch.sym_ite, torch.sym_sum}
_LARGEST = 1 << 63
_HIGHEST_POWER = 64

# Operators without a rule: their result never depends on an input, or only in networks for which we have no engine.
_MAKERS = "arange eye full linspace logspace ones scalar_tensor tril_indices triu_indices zeros blackman_window hamming_window hann_window"
_OF_CONSTANTS = """
    atan2 argwhere bitwise_left_shift bitwise_right_shift block_diag bucketize cartesian_prod column_stack complex conj
    count_nonzero cosh cross cummax cummin cumprod deg2rad diag diag_embed diff digamma dstack erfc erfinv fft_fft fft_fft2 fft_fftfreq fft_fftn
    fft_fftshift fft_ifft fft_ifft2 fft_ifftn fft_ifftshift fft_irfft fft_rfft fft_rfftfreq flatten fliplr flipud heaviside hstack imag
    index_add index_copy index_fill inverse isclose isfinite isin kron lgamma linalg_cross linalg_inv linalg_matrix_norm linalg_norm linalg_qr
    logcumsumexp logit masked_scatter  nanmean nansum polar positive rad2deg ravel real rot90 scatter scatter_add scatter_reduce
    searchsorted sgn signbit special_i0 special_log1p special_xlog1py squeeze_copy swapdims tensordot trace trapezoid unsqueeze_copy vander
    allclose equal is_nonzero item view_as_complex view_as_real vsplit hsplit dsplit vstack xlogy
"""
_INTERNAL = {"_softmax", "_log_softmax", "_to_copy", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "_safe_softmax", "__and__", "__or__"}
_INTERNAL |= {"_local_scalar_dense", "_shape_as_tensor", "_unique2", "_prelu_kernel", "_upsample_bicubic2d_aa", "_upsample_bilinear2d_aa"}
_INTERNAL |= {f"_upsample_nearest_exact{dims}d" for dims in (1, 2, 3)}
_TRUSTING = {"embedding_bag", "fused_moving_avg_obs_fake_quant", "scaled_dot_product_attention"}
_SAFE = {name for name in RULES if not name.startswith("_")} - _TRUSTING | _INTERNAL | {*_MAKERS.split(), *_OF_CONSTANTS.split()}

_OF_SIZES = {
    "sym_size",
    "sym_numel",
    "sym_stride",
    "_assert_tensor_metadata",
    "_assert_scalar",
    "sym_constrain_range",
    "sym_constrain_range_for_size",
}
_HARMLESS = ARITHMETIC | {operator.getitem}

_aten = torch.ops.aten


def _strided(x: Tensor, size: Sequence[int], stride: Sequence[int], offset: int | None = None) -> Tensor:
    """Return a view into the memory of a tensor. Raises ValueError if it reaches outside."""
    start = int(x.storage_offset() if offset is None else offset)
    numbers = (*size, *stride, start)
    last = start + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min(numbers) < 0 or (min(size, default=1) > 0 and last >= x.untyped_storage().nbytes() // x.element_size()):
        raise ValueError(f"as_strided to {list(size)} with strides {list(stride)} reaches outside the tensor")
    return x.as_strided(size, stride, start)


def _viewed(x: Tensor, size: Sequence[int], stride: Sequence[int]) -> Tensor:
    return x.view(size)


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """Return v scaled to the lengths g; a `dim` of -1 means all of v. Raises ValueError if there is not one length for each row."""
    if dim != -1 and list(g.shape) != [size if axis == dim % max(1, v.dim()) else 1 for axis, size in enumerate(v.shape)]:
        raise ValueError(f"_weight_norm of shape {list(v.shape)} with lengths of shape {list(g.shape)}")
    return torch._weight_norm(v, g, dim)


def _expanded(x: Tensor, size: Sequence[int], **_: Any) -> Tensor:
    """Return a tensor expanded to a size. Raises ValueError for negative sizes, which torch would accept."""
    if min(size, default=0) < -1:
        raise ValueError(f"expand to {list(size)}")
    return x.expand(size)


def _zeros_like(x: Tensor, **options: Any) -> Tensor:
    return torch.zeros_like(x, **options)


def _new_zeros(x: Tensor, size: Sequence[int], **options: Any) -> Tensor:
    return x.new_zeros(size, **options)


def _zeros(size: Sequence[int], **options: Any) -> Tensor:
    options.pop("memory_format", None)
    return torch.zeros(size, **options)


# Equivalents that check their arguments before they read; uninitialised memory becomes zeros.
_INSTEAD: dict[str, Callable[..., Any]] = {
    "as_strided": _strided,
    "_weight_norm": _weight_norm,
    "expand": _expanded,
    "broadcast_to": _expanded,
    "_reshape_alias": _viewed,
    "_unsafe_view": _aten.view.default,
    "_unsafe_index": _aten.index.Tensor,
    "_unsafe_index_put": _aten.index_put.default,
    "unsafe_split": _aten.split.Tensor,
    "unsafe_split_with_sizes": _aten.split_with_sizes.default,
    "unsafe_chunk": _aten.chunk.default,
    "empty": _zeros,
    "empty_like": _zeros_like,
    "new_empty": _new_zeros,
}


def computable(node: fx.Node) -> Callable[..., Any] | None:
    """Return the function that computes a node with known arguments, or None if it is not known to check them."""
    target = node.target
    if not isinstance(target, OpOverload) or target.namespace not in ("aten", "prims"):
        return None
    arguments = target._schema.arguments
    if any(argument.is_out or argument.name == "filename" for argument in arguments) or not _of_tensors(target):
        return None
    if target._opname in _INSTEAD:
        return _INSTEAD[target._opname]
    if target.namespace == "prims":
        return target if target._opname == "convert_element_type" else None
    if target._opname.lstrip("_").startswith("upsample_") and target._overloadname != "vec":
        return None  # it takes a scale in addition to the size and does not check it
    if target._opname == "view" and target._overloadname == "dtype":
        return None  # booleans that are neither true nor false
    name = target._opname
    plain = name.removesuffix("_") if target._schema.is_mutable and not name.endswith("__") else name
    return target if plain in _SAFE else None


def _of_tensors(target: OpOverload[Any, Any]) -> bool:
    """Return whether an operator reads or creates tensors; others with the same names take plain numbers, lists and text."""
    schema = target._schema
    return any("Tensor" in str(value.type) for value in (*schema.returns, *schema.arguments[:1]))


def parts(name: str, args: Sequence[Any], shape: Sequence[int]) -> int:
    """Return the number of tensors that an operator splits its first argument into; 1 if it does not split it."""
    how = args[1] if len(args) > 1 else 0
    if name in ("chunk", "unsafe_chunk", "tensor_split", "hsplit", "vsplit", "dsplit"):
        return how if isinstance(how, int) else 1
    if name == "unbind":
        return shape[how] if -len(shape) <= how < len(shape) else 1
    if name not in ("split", "unsafe_split") or not isinstance(how, int):
        return 1
    axis = args[2] if len(args) > 2 else 0
    return -(-(shape[axis] if -len(shape) <= axis < len(shape) else 1) // max(1, how))


def retraceable(program: ExportedProgram, apart: Container[Any] = ()) -> bool:
    """Return whether torch may run an untrusted program on fake tensors, with the operators in `apart` decomposed.

    Torch then computes with the real values of small constants, so every operator that it runs must check its arguments.
    """
    graphs = [part.graph for part in program.graph_module.modules() if isinstance(part, fx.GraphModule)]
    nodes = [node for graph in graphs for node in graph.nodes if node.op == "call_function"]
    try:
        for graph in graphs:
            _calculate_all(graph)
    except (ValueError, TypeError, ArithmeticError):
        return False
    return all(node.target in _HARMLESS or node.target in apart or name_of(node) in _OF_SIZES or computable(node) is not None for node in nodes)


def _calculate_all(graph: fx.Graph) -> None:
    """Evaluate the arithmetic on sizes at the sizes that the program was exported for. Raises ValueError if a number grows too large."""
    values: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        if node.op == "call_function" and node.target in ARITHMETIC:
            values[node] = calculate(node, fx.map_arg(node.args, values.__getitem__))
        else:
            value = node.meta.get("val")
            values[node] = value.node.hint if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool) else value


def within_reach(arguments: Any) -> bool:
    """Return whether the numbers in lists, which are sizes and steps, can be multiplied without overflow."""
    found = [value for value in (arguments if isinstance(arguments, list | tuple) else ()) if isinstance(value, list | tuple)]
    numbers = [value for value in tree_leaves(found) if isinstance(value, int)]
    return all(abs(number) < 1 << 31 for number in numbers)


def calculate(node: fx.Node, args: Sequence[Any]) -> Any:
    """Return the result of arithmetic on sizes. Raises ValueError for operands that are not numbers, and for values beyond the range of a size."""
    numbers = args[0] if node.target is torch.sym_sum else args
    if not isinstance(numbers, list | tuple) or not all(isinstance(number, int | float) for number in numbers):
        raise ValueError(f"{name_of(node)} of operands that are not numbers")
    if any(abs(number) >= _LARGEST for number in numbers if isinstance(number, int)):
        raise ValueError(f"{name_of(node)} of a number beyond 64 bits")
    if node.target in (operator.pow, round) and len(numbers) > 1 and abs(numbers[1]) > _HIGHEST_POWER:
        raise ValueError(f"{name_of(node)} with {numbers[1]}")
    result = node.target(*args)  # type: ignore[operator]
    if isinstance(result, int) and abs(result) >= _LARGEST:
        raise ValueError(f"{name_of(node)} returns a number beyond 64 bits")
    return result
