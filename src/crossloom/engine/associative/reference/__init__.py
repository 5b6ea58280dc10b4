"""Plain, slow reference models of execution and cost, against which the simulator is tested."""
