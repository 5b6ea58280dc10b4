"""Public import path of the torch importer, which is implemented in `crossloom.network.importers.torch`."""

from crossloom.network.importers.torch.from_torch import from_torch as from_torch
