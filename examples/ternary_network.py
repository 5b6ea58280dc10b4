"""A network with weights of -1, 0 and 1: `python examples/ternary_network.py`.

The digits network is trained in floating point, retrained to ternary weights of which 85 % are zero, and run.
"""

from __future__ import annotations

import crossloom as xl
from crossloom.demo.digits import digits, train


def main() -> None:
    """Print the accuracy before and after, and the number of weights and zeros of each layer."""
    training, test = digits()
    module = train(training, seed=0, progress=lambda items, what, total: items)
    network = xl.ternarize(module, training, sparsity=0.85, activations=4, epochs=10)
    right = (module(*test.inputs).argmax(1) == test.labels).float().mean()
    result = xl.run(network, xl.machine("isaac-ce"), test)
    print(f"in floating point: {right:.1%}; ternary: {result.accuracy.machine:.1%}")
    for layer in xl.ternary_layers(network):
        print(f"{layer.name}: {layer.weights} weights, {layer.zeros:.1%} of them zero")


if __name__ == "__main__":
    main()
