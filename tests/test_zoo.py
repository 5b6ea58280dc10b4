"""Networks as their authors define them: each imports for any batch size, and the graph answers as the module does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from crossloom.errors import ModelError
from crossloom.network.graph import verify
from crossloom.network.importers.torch.from_torch import from_torch
from tests.zoo_models import BEYOND, ZOO, unsettle

pytestmark = pytest.mark.slow

# Of the largest output: float32 sums in another order. Attention is the only part that is computed otherwise than in torch,
# and the largest difference seen is 2e-6; graphs without it agree to the last bit.
TOLERANCE = 1e-5

_SECONDS: dict[str, float] = {}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute on one core, whoever else is on the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def built(name: str, build: Any) -> torch.nn.Module:
    """Build a specimen; skip where its package is not installed."""
    try:
        return unsettle(build())
    except ImportError as absent:
        pytest.skip(f"{name}: {absent}")


def tensors(output: Any) -> list[Tensor]:
    """Return the tensors of a model's output in order, each once, as a graph has them."""
    found: list[Tensor] = []
    for leaf in tree_leaves(output):
        if isinstance(leaf, Tensor) and all(leaf is not other for other in found):
            found.append(leaf)
    return found


@pytest.mark.parametrize("name", ZOO)
def test_architecture(name: str) -> None:
    module = built(name, ZOO[name].build)
    example, inputs = ZOO[name].sample(1), ZOO[name].sample(3)
    begun = time.perf_counter()
    graph = from_torch(module, (example,))
    seconds = time.perf_counter() - begun
    verify(graph)
    assert graph.batch is None
    with torch.no_grad():
        wanted, given = tensors(module(inputs)), tensors(graph(inputs))
    assert [y.shape for y in given] == [y.shape for y in wanted]
    for have, want in zip(given, wanted, strict=True):
        assert torch.isfinite(want).all() and float(want.abs().max()) > 0
        assert float((have - want).abs().max()) <= TOLERANCE * float(want.abs().max())
    _SECONDS[name] = seconds


@pytest.mark.parametrize("name", BEYOND)
def test_beyond(name: str) -> None:
    specimen, message = BEYOND[name]
    with pytest.raises(ModelError, match=message):
        from_torch(built(name, specimen.build), (specimen.sample(1),))


def test_count(capsys: pytest.CaptureFixture[str]) -> None:
    """Not a test: it comes last and says what the others found."""
    slowest = sorted(_SECONDS, key=_SECONDS.__getitem__, reverse=True)[:5]
    with capsys.disabled():
        print(f"\n{len(_SECONDS)} of {len(ZOO) + len(BEYOND)} architectures import and replay")
        print("slowest to import: " + ", ".join(f"{name} {_SECONDS[name]:.1f} s" for name in slowest))
