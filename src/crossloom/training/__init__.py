"""Training: ternary weights, data in batches, and a torch module that answers as a chip does.

Knows networks, programs and jobs. What trains a circuit of the periphery lives in `periphery/`."""
