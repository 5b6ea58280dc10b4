"""Streaming granularity of attention: `python examples/attention_streams.py [PICTURE]`.

One attention layer runs on STAR with rows passed on one by one, in blocks of sixteen, and as whole operands. The work is the same; the latency grows.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

import crossloom as xl

GRAINS = ("vector", 16, "operand")


class Attention(nn.Module):
    """Four heads over 256 features."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.project = (nn.Linear(256, 256) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (4, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        return self.project(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def draw(results: dict[str | int, xl.Result], path: str) -> None:
    """Write a picture of the times at which the products, the softmax and the writes of each run are active."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    for axes, (grain, result) in zip(figure.subplots(len(results), 1, sharex=True), results.items(), strict=True):
        rows = [row for row in result.layers if row["busy_s"] > 1e-7 or row["engine"] in ("softmax", "dynamic")]
        rows = [row for row in rows if row["engine"] != "digital"]
        for place, row in enumerate(rows):
            axes.barh(place, 1e6 * row["latency_s"], left=1e6 * row["start_s"], color="#0072b2" if row["engine"] != "softmax" else "#d55e00")
        axes.set_yticks(range(len(rows)), [f"{row['op']} ({row['engine']})" for row in rows], fontsize=6)
        axes.invert_yaxis()
        axes.set_title(f"grain {grain}: {1e6 * result.latency:.0f} µs", loc="left", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("time (µs)", fontsize=8)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Print the latency at each granularity, and draw the runs if a file is named."""
    torch.manual_seed(0)
    samples = torch.randn(4, 64, 256)
    network = xl.quantize(xl.load(Attention().eval(), (samples[:1],), name="attention"), samples)
    results = {grain: xl.run(network, xl.machine("star").with_(grain=grain, replicate="none")) for grain in GRAINS}
    for grain, result in results.items():
        print(f"grain {grain}: {result.latency * 1e6:.0f} us, {result.energy * 1e6:.1f} uJ")
    if len(sys.argv) > 1:
        draw(results, sys.argv[1])


if __name__ == "__main__":
    main()
