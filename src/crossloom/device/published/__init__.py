"""Published devices, one file each; `crossloom.device.library` collects the `CELLS` of every file."""
