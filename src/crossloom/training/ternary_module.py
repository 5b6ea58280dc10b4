"""A user's module with ternary weights and rounded layer inputs, otherwise unchanged.

Torch parametrisations make the weights ternary and hooks round the inputs, so the module's classes, names and forward method stay the same.
A machine's memory holds a tensor only once. Any later reader of a tensor that a layer has rounded therefore also gets the rounded values,
for example the shortcut of a residual block, or a second layer, which then needs no step of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from crossloom.errors import ModelError
from crossloom.network.quantization import Quantization
from crossloom.network.quantize.ternary import project
from crossloom.training.learned_step import FixedStep, LearnedStep, straight_through

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_STEP = "input_step"


def layers_of(module: nn.Module) -> dict[str, nn.Module]:
    """Return the convolutions and linear layers of a module by name, each once."""
    return {name: part for name, part in module.named_modules() if isinstance(part, LAYERS)}


class TernaryWeight(nn.Module):
    """Parametrisation of a layer's weights: the nearest ternary weights with `zeros` zeros. Gradients pass straight through."""

    def __init__(self, axis: int | None) -> None:
        super().__init__()
        self.axis, self.zeros = axis, 0

    def forward(self, weight: Tensor) -> Tensor:
        """Return the ternary weights."""
        return straight_through(project(weight.detach(), self.zeros, self.axis), weight)


class TernaryModule(nn.Module):
    """A module, `network`, whose layers have ternary weights and round their inputs.

    It returns what the module returns. After `fix`, its weights and steps are plain numbers. It can then be exported, saved and imported,
    but no longer trained as a ternary network.
    """

    def __init__(self, network: nn.Module, inputs: Mapping[str, Quantization]) -> None:
        super().__init__()
        self.network = network
        self._reads = _Reads()
        for name, layer in layers_of(network).items():
            _make_ternary(name, layer)
            if name in inputs:
                layer.add_module(_STEP, LearnedStep(inputs[name]))
                layer.register_forward_pre_hook(_Rounding(self._reads), with_kwargs=True)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the module returns."""
        self._reads.forget()
        with _Rereading(self._reads):
            return self.network(*args, **kwargs)

    def latent(self) -> list[nn.Parameter]:
        """Return the latent real weights behind the ternary ones, layer by layer."""
        return [_parametrization(layer).original for layer in layers_of(self.network).values()]

    def set_zeros(self, counts: Sequence[int]) -> None:
        """Set the number of zeros in each layer."""
        for layer, count in zip(layers_of(self.network).values(), counts, strict=True):
            _parametrization(layer)[0].zeros = count

    def fix(self) -> None:
        """Replace the ternary weights and the steps by their current values as plain numbers."""
        for layer in layers_of(self.network).values():
            _settle(layer)
            if isinstance(step := getattr(layer, _STEP, None), LearnedStep):
                setattr(layer, _STEP, FixedStep(step.quantization))


def _parametrization(layer: Any) -> Any:
    """Return torch's record of a layer's parametrised weight: `original`, and the modules applied to it."""
    return layer.parametrizations.weight


def _settle(layer: Any) -> None:
    """Replace a parametrised weight by a separate parameter with its current value; an embedding tied to it keeps the real weight.

    Torch removes the weight's property from the layer's class, which copies of the module share. The layer therefore gets its own class first.
    """
    value, kind = layer.weight.detach().clone(), type(layer)
    layer.__class__ = type(kind.__name__, kind.__bases__, dict(kind.__dict__))
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=not _parametrization(layer).is_tensor)
    layer.register_parameter("weight", nn.Parameter(value))


def _make_ternary(name: str, layer: nn.Module) -> None:
    """Make a layer's weights ternary. Other parametrisations (a weight norm) are fixed at their current value. Raises ModelError."""
    if parametrize.is_parametrized(layer, "weight"):
        _settle(layer)
    if not isinstance(layer._parameters.get("weight"), nn.Parameter):
        raise ModelError(f"layer {name}: its weight is recomputed before each call (an old weight_norm?); make it a plain parameter first")
    grouped = isinstance(layer, _TRANSPOSED) and layer.groups > 1
    axis = None if grouped else 1 if isinstance(layer, _TRANSPOSED) else 0
    parametrize.register_parametrization(layer, "weight", TernaryWeight(axis))


class _Reads:
    """The layer inputs of one pass, original and rounded."""

    def __init__(self) -> None:
        self._seen: Any = WeakIdKeyDictionary()

    def __reduce__(self) -> tuple[type[_Reads], tuple[()]]:
        return _Reads, ()  # a copied or saved module is not in a pass

    def forget(self) -> None:
        """Start a new pass."""
        self._seen.clear()

    def first(self, tensor: Tensor, step: Callable[[Tensor], Tensor]) -> Tensor:
        """Return a tensor as rounded by its first reader; round it now if it has not been read."""
        known = self.again(tensor)
        if known is tensor:
            known = step(tensor)
            self._seen[tensor] = (_version(tensor), known)
        return known

    def again(self, tensor: Tensor) -> Tensor:
        """Return a tensor as rounded by its first reader, or unchanged if it has not been read since it was last written."""
        version, known = self._seen.get(tensor, (None, tensor))
        return known if version == _version(tensor) else tensor


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


class _Rounding:
    """Hook that rounds a layer's input before the layer computes."""

    def __init__(self, reads: _Reads) -> None:
        self._reads = reads

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        step = getattr(layer, _STEP)
        if not args:
            return args, {**kwargs, "input": self._reads.first(kwargs["input"], step)}
        return (self._reads.first(args[0], step), *args[1:]), kwargs


class _Rereading(TorchFunctionMode):
    """Mode in which torch functions read the rounded values of tensors that layers have read. Tensors written to are left unchanged."""

    def __init__(self, reads: _Reads) -> None:
        super().__init__()
        self._reads = reads

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        written = 1 if _writes(func) or kwargs.get("inplace") else 0
        read = (self._reread(argument) for argument in args[written:])
        return func(*args[:written], *read, **{name: argument if name == "out" else self._reread(argument) for name, argument in kwargs.items()})

    def _reread(self, argument: Any) -> Any:
        if isinstance(argument, Tensor):
            return self._reads.again(argument)
        return type(argument)(map(self._reread, argument)) if type(argument) in (list, tuple) else argument


def _writes(func: Any) -> bool:
    """Whether a torch function writes to its first argument."""
    name = getattr(func, "__name__", "")
    return name.startswith("__i") or name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))
