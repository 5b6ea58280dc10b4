"""Published devices, one file each; each file's `CELLS` are found by `crossloom.device.library`."""
