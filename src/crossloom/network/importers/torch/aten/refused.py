"""Operators that are known but not supported, so that the message can name a remedy."""

from __future__ import annotations

from typing import Any

from crossloom.network.importers.torch.aten.table import Lowering, rule


@rule("topk", "sort", "argsort", "msort", "kthvalue", "median", "unique", "unique2", "_unique2", "nonzero", "masked_select")
def ordering(low: Lowering, *_: Any, **__: Any) -> Any:
    raise NotImplementedError("its result depends on the order of the data; keep it outside the network")


@rule("rand", "randn", "rand_like", "randn_like", "randint", "randint_like", "randperm")
@rule("bernoulli", "normal", "normal_functional", "multinomial", "uniform")
def randomness(low: Lowering, *_: Any, **__: Any) -> Any:
    raise NotImplementedError("a random choice; pass random numbers in as an input")
