"""A network of your own, on a machine of your own: `python examples/own_network.py`.

Nothing is trained; the example shows how a torch module, a machine variant and the three results (values, time, energy) fit together.
"""

from __future__ import annotations

import torch
from torch import nn

import crossloom as xl


class Small(nn.Module):
    """A depthwise-separable network for 32×32 images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU6())
        self.depthwise = nn.Sequential(nn.Conv2d(32, 32, 3, 1, 1, groups=32), nn.BatchNorm2d(32), nn.ReLU6())
        self.pointwise = nn.Sequential(nn.Conv2d(32, 64, 1), nn.BatchNorm2d(64), nn.ReLU6())
        self.classify = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(self.pointwise(self.depthwise(self.stem(x))).mean((2, 3)))


def main() -> None:
    """Compare three ADC resolutions on one network."""
    torch.manual_seed(0)
    samples = torch.randn(64, 3, 32, 32)
    network = xl.quantize(xl.load(Small(), (samples[:1],), name="small"), samples)
    chip = xl.machine("isaac-ce")
    for bits in (8, 7, 6):
        result = xl.run(network, chip.with_(adc_bits=bits), data=samples)
        plans = {row["plan"] for row in result.plans}
        print(f"ADC of {bits} bits: {result.energy * 1e6:.2f} uJ, {result.latency * 1e6:.2f} us, computed as {', '.join(sorted(plans))}")


if __name__ == "__main__":
    main()
