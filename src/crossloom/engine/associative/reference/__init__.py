"""Plain, slow definitions of execution and cost; the simulator is tested against them."""
