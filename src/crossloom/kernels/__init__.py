"""Inner loops in machine code: functions compiled by numba, and several numbers side by side in a register.

Knows nothing of networks, machines or circuits."""
