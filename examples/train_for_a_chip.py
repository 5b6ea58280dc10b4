"""Accuracy lost on real cells and recovered by hardware-aware training: `python examples/train_for_a_chip.py`.

The digits network runs on phase-change cells one hour after writing. It is measured on five chips, trained for two epochs on cells
reprogrammed at every step, and measured on five chips that were not part of the training.
"""

from __future__ import annotations

import torch

import crossloom as xl
from crossloom.demo.digits import CALIBRATION, trained_digits
from crossloom.job.result import Result


def main() -> None:
    """Print the accuracy before and after."""
    graph, training, test = trained_digits()
    network = xl.quantize(graph, training.first(CALIBRATION))
    chip = xl.machine("isaac-ce").with_(cell="pcm", age="1 h", encoding="differential", flip=False)
    say("as trained", xl.run(network, chip, test, runs=5))

    module = xl.to_torch(network, chip).train()
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        for chosen in torch.randperm(len(training), generator=generator).split(64):
            loss = torch.nn.functional.cross_entropy(module(training.inputs[0][chosen]), training.labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    say("trained for the chip", xl.run(module.network(), chip, test, seed=1000, runs=5))


def say(what: str, result: Result) -> None:
    """Print a mean accuracy with its confidence interval."""
    low, high = result.chance.interval
    print(f"{what}: {result.chance.mean:.1%} ({low:.1%} to {high:.1%}; ideal cells {result.accuracy.quantized:.1%})")


if __name__ == "__main__":
    main()
