"""The job: one network, one machine, and everything else that a result depends on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from typing import Any

from crossloom.compiler import compile_network
from crossloom.engine.base import Annotates
from crossloom.engine.registry import all_engines
from crossloom.errors import DataError, InputError
from crossloom.job.data import Data, load_data
from crossloom.job.progress import Progress, silent
from crossloom.job.quantised import Quantised, quantised
from crossloom.machines import Machine
from crossloom.network.graph import Graph
from crossloom.network.quantize.post_training import Recipe
from crossloom.program.program import Program


@dataclass(frozen=True)
class Job:
    """The inputs that `run`, `compare`, `sweep`, `diagnose` and `listing` have in common.

    Attributes:
        network: in floating point (then quantised by `recipe`) or already quantised.
        machine: a machine, such as `crossloom.machine` returns.
        data: samples, with labels for the accuracy; see `crossloom.job.data.load_data`. Without data, only time and costs are computed.
        calibration: samples for the quantisation; by default the first 256 of `data`, or 8 random samples without data.
        recipe: how to quantise; 8 bits by default.
        seed: random seed.
        runs: number of seeds, starting at `seed`; the machine's cells are reprogrammed for each.
        batch: samples per batch; the result does not depend on it.
        device: torch device that computes the values, "cpu" or "cuda".
        rate: inference rate (1/s) at which cell lifetime is reported; by default the throughput.

    Raises:
        InputError: fewer than one run, fewer than one sample per batch, or a rate that is not a positive number.
    """

    network: Graph
    machine: Machine
    data: Any = None
    calibration: Any = None
    recipe: Recipe | None = None
    seed: int = 0
    runs: int = 1
    batch: int = 64
    device: str = "cpu"
    rate: float | None = None

    def __post_init__(self) -> None:
        for what, count in (("runs", self.runs), ("batch", self.batch)):
            if count < 1:
                raise InputError(f"{what} must be at least 1, got {count}")
        if self.rate is not None and not 0 < self.rate < inf:
            raise InputError(f"rate must be a positive number of inferences per second, got {self.rate}")

    def on(self, machine: Machine) -> Job:
        """Return the same job on another machine."""
        return replace(self, machine=machine)

    @cached_property
    def samples(self) -> Data | None:
        """The samples, or None if none were given. Raises DataError."""
        return None if self.data is None else load_data(self.data, self.network)

    @property
    def labelled(self) -> bool:
        """Whether there are samples with labels."""
        return self.samples is not None and self.samples.labels is not None

    @property
    def size(self) -> int:
        """Samples per batch: the network's fixed batch size, or `batch`. Raises DataError for samples that do not fill whole fixed batches."""
        fixed = self.network.batch
        if fixed and self.samples is not None and len(self.samples) % fixed:
            raise DataError(
                f"{self.network.name} runs only at batch {fixed}, and {len(self.samples)} samples are not a multiple of that; give a multiple"
            )
        return fixed or self.batch

    def quantised(self, progress: Progress = silent) -> Quantised:
        """Return the network in integers. Raises ModelError or DataError."""
        return quantised(self.network, self.samples, self.calibration, self.recipe, seed=self.seed, progress=progress)

    def program(self, progress: Progress = silent) -> Program:
        """Return the compiled program. Raises ModelError, MachineError or CapacityError."""
        return compile_network(self.quantised(progress).graph, self.machine)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the network and the machine, independent of any data: a fixed batch size, a description outside the measured range."""
        network = self.network
        fixed = (f"{network.name} runs only at batch {network.batch}, and one inference computes the whole batch: {network.fixed}",)
        engines = (engine for engine in all_engines(self.machine) if isinstance(engine, Annotates))
        return tuple(dict.fromkeys((*(fixed if network.fixed else ()), *(note for engine in engines for note in engine.notes))))
