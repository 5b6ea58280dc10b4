"""The name under which scripts know the torch importer; it lives in `crossloom.network.importers.torch`."""

from crossloom.network.importers.torch.from_torch import from_torch as from_torch
