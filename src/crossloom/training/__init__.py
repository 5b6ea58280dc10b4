"""Training: ternary weights, training data in batches, and a torch module that computes what the chip computes.

Depends on networks, programs and jobs. Training of peripheral circuits is in `periphery/`."""
