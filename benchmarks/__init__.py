"""Speed, as ratios measured in one run: `make bench`. Nothing here is a test; a shared machine is too noisy for that."""
