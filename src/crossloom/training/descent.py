"""Optimiser and learning-rate schedule of the training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

WARM = 0.1
"""Share of steps for warm-up of the learning rate, which then falls along a cosine (Loshchilov and Hutter, ICLR 2017)."""
LONGEST = 1.0
"""Norm to which larger gradients are clipped."""


@dataclass(frozen=True)
class Descent:
    """AdamW (Loshchilov and Hutter, ICLR 2019) over a given number of steps, without weight decay for norms, biases, positions and tables."""

    network: nn.Module
    optimizer: AdamW
    schedule: LambdaLR

    @classmethod
    def of(cls, network: nn.Module, steps: int, rate: float, decay: float) -> Descent:
        """Return the descent of a network with peak learning rate `rate`."""
        matrices = {id(module.weight) for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)}
        decayed = [parameter for parameter in network.parameters() if id(parameter) in matrices]
        others = [parameter for parameter in network.parameters() if id(parameter) not in matrices]
        return cls._over(network, [{"params": decayed, "weight_decay": decay}, {"params": others}], steps, rate)

    @classmethod
    def paced(cls, network: nn.Module, steps: int, rate: float, rates: Sequence[tuple[nn.Parameter, float]]) -> Descent:
        """Return the descent of a network without weight decay. `rates` gives peak rates for some parameters; the others use `rate`."""
        own = {id(parameter) for parameter, _ in rates}
        others = [parameter for parameter in network.parameters() if id(parameter) not in own]
        return cls._over(network, [*({"params": [parameter], "lr": fastest} for parameter, fastest in rates), {"params": others}], steps, rate)

    @classmethod
    def _over(cls, network: nn.Module, groups: list[dict[str, Any]], steps: int, rate: float) -> Descent:
        optimizer = AdamW(groups, lr=rate, betas=(0.9, 0.99), weight_decay=0.0)
        return cls(network, optimizer, LambdaLR(optimizer, lambda step: _share(step / steps)))

    def step(self, loss: Tensor) -> None:
        """Take one step to reduce a loss."""
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), LONGEST)
        self.optimizer.step()
        self.schedule.step()


def _share(done: float) -> float:
    """Return the learning rate as a share of its peak after a share `done` of the steps."""
    rise = min(1.0, (done + 1e-3) / WARM)
    return rise * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * min(1.0, done)))))


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return a network whose initial weights are drawn from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: for layers this small, thread synchronisation costs more than it saves."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
