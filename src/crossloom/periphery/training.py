"""Hardware-aware training: weights of eight levels, with cells and transistors redrawn at every step (cao2022, Section 4.1, Steps 1 to 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.periphery.neuron import Neuron
from crossloom.periphery.pairs import LEVELS, SIGMA, PairNetwork, rows_of
from crossloom.periphery.task import FitTask

TOP = LEVELS - 1


@dataclass(frozen=True)
class TrainingSchedule:
    """Settings of a training run.

    Attributes:
        hidden: number of hidden neurons.
        aware: whether cells, transistors and samples deviate during training, and levels are balanced after it.
        steps, batch, instances: number of Adam steps, and of inputs and drawn instances per step.
        rate: initial learning rate; it decays as a cosine.
    """

    hidden: int = 12
    aware: bool = True
    steps: int = 2000
    batch: int = 192
    instances: int = 6
    rate: float = 0.01


def train(task: FitTask, recipe: TrainingSchedule, seed: int = 0) -> PairNetwork:
    """Return a trained network: Adam on the squared error through rounded levels, keeping the state with the least error on the way."""
    generator = torch.Generator().manual_seed(seed)
    rows = rows_of(task.counts)
    first, second, strength = task.guess(rows, recipe.hidden, generator)
    neuron = Neuron(strength, min(0.42, task.reach_v / strength))
    state = _State(task, recipe, rows, neuron, first.requires_grad_(), second.requires_grad_(), generator)
    optimizer = torch.optim.Adam([first, second], lr=recipe.rate)
    best, kept = math.inf, state.network()
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * (0.51 + 0.49 * math.cos(math.pi * step / recipe.steps))
        loss = state.loss()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            first.clamp_(-1, 1)
            second.clamp_(-1, 1)
        if step % 100 == 99 or step + 1 == recipe.steps:
            network = balanced(task, state.network()) if recipe.aware else state.network()
            if (cost := _cost(task, network, recipe.aware)) < best:
                best, kept = cost, network
    return kept


def balanced(task: FitTask, network: PairNetwork) -> PairNetwork:
    """Return the network with levels moved by one where that brings the slopes closer to the target's proportions.

    Rounding leaves each slope S_j = Σ_h w2_h Σ_rows w1_hr, a sum of odd products, off by several steps. Moves of one cell, or of two cells of
    neurons with different second-layer weights, correct it.
    """
    first, second = 2 * network.first - TOP, 2 * network.second - TOP
    rows = torch.tensor(network.rows)
    sums = torch.zeros(len(task.target), dtype=torch.float64)
    sums.index_add_(0, rows, (second[:, None] * first).sum(0).to(torch.float64))
    wanted = task.target * (sums @ task.target) / task.target.square().sum()
    for signal in range(len(wanted)):
        first[:, rows == signal] = _nearer(first[:, rows == signal], second, float(wanted[signal]))
    return task.fitted(PairNetwork(network.rows, (first + TOP) // 2, network.second, network.neuron))


def _nearer(weights: Tensor, second: Tensor, wanted: float) -> Tensor:
    """Return the odd weights (H, rows) of one signal, a few of them moved by 2 so that their weighted sum is as close as possible to `wanted`."""
    flat, factor = weights.flatten().clone(), second.repeat_interleave(weights.shape[1])
    moves = torch.cat([torch.stack((torch.arange(len(flat)), torch.full((len(flat),), step)), 1) for step in (2, -2)])
    for _ in range(len(flat)):
        allowed = moves[(flat[moves[:, 0]] + moves[:, 1]).abs() <= TOP]
        none = torch.tensor([[-1, 0]])
        choice = torch.cat((none, allowed))
        change = torch.cat((torch.zeros(1, dtype=torch.int64), allowed[:, 1] * factor[allowed[:, 0]]))
        missing = wanted - float((flat * factor).sum())
        left = (missing - change[:, None] - change[None, :]).abs()
        left[choice[:, :1] == choice[None, :, 0]] = torch.inf
        place = int(left.argmin())
        if float(left.flatten()[place]) >= abs(missing) - 1e-9:
            break
        for chosen in (place // len(change), place % len(change)):
            cell, step = choice[chosen].tolist()
            if cell >= 0:
                flat[cell] += step
    return flat.reshape(weights.shape)


@dataclass
class _State:
    """Weights during training, as updated by Adam."""

    task: FitTask
    recipe: TrainingSchedule
    rows: tuple[int, ...]
    neuron: Neuron
    first: Tensor
    second: Tensor
    generator: torch.Generator

    def loss(self) -> Tensor:
        """Return the squared error on drawn inputs and instances, in units of 1e-4 V²."""
        recipe, task = self.recipe, self.task
        points = task.inputs(recipe.batch, self.generator)
        count, sigma = (recipe.instances, SIGMA) if recipe.aware else (1, 0.0)
        network = PairNetwork(self.rows, _levels(self.first), _levels(self.second), self.neuron)
        parts = network.parts(count, self.generator, sigma, 1.0 if recipe.aware else 0.0)
        noisy = points.clone()
        if recipe.aware:
            noisy[:-1] += task.noise_v * torch.randn(points[:-1].shape, generator=self.generator, dtype=torch.float64)
        found = network.built(parts)(noisy)
        return (found - task.target @ points).square().mean() * 1e4

    def network(self) -> PairNetwork:
        """Return the network of the current levels, with its gain fitted."""
        first, second = (torch.round(_levels(weights)).detach().to(torch.int64) for weights in (self.first, self.second))
        return self.task.fitted(PairNetwork(self.rows, first, second, self.neuron))


def _levels(weights: Tensor) -> Tensor:
    """Return the rounded levels 0 to 7 of weights in −1 to 1; the gradient ignores the rounding (straight-through)."""
    exact = (weights + 1) * (TOP / 2)
    return exact + (torch.round(exact).clamp(0, TOP) - exact).detach()


def _cost(task: FitTask, network: PairNetwork, aware: bool) -> float:
    """Return the mean squared error on drawn instances, the same ones for every state; on the nominal network if `aware` is false."""
    generator = torch.Generator().manual_seed(7)
    points = task.inputs(600, generator)
    built = network.drawn(24, generator) if aware else network.nominal
    return float((built(points) - task.target @ points).square().mean())
