"""How weights are encoded and where they lie: bit slices, tiles, residuals and overlapped windows."""
