"""How times are taken: both sides of a ratio in turn, the best of several runs, on a stated number of threads."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_core() -> Iterator[None]:
    """Compute on one thread in torch and in the BLAS of NumPy and SciPy alike."""
    from threadpoolctl import threadpool_limits

    with threads(1), threadpool_limits(1):
        yield


def cpu_seconds(work: Callable[[], object], runs: int = 5) -> float:
    """Return the least processor time of several calls, of all threads together."""
    work()
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def seconds(work: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def pair(work: Callable[[], object], other: Callable[[], object], runs: int = 7) -> tuple[float, float]:
    """Return the best times of two pieces of work that take turns."""
    work(), other()
    times = [(seconds(work), seconds(other)) for _ in range(runs)]
    return min(t[0] for t in times), min(t[1] for t in times)


def peak_memory_mib() -> float:
    """Return the largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
