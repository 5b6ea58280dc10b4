"""What tests share: one thread for each worker, small networks, the trained digits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, settings

from crossloom.machines import Machine, load_machine
from tests.browser import Browser, binary, browser

torch.set_num_threads(1)
settings.register_profile("crossloom", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
settings.load_profile("crossloom")


@pytest.fixture(scope="session")
def isaac() -> Machine:
    """ISAAC-CE as published."""
    return load_machine("isaac-ce")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The same random numbers in every run: a test that fails once fails again."""
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser, or a reason to skip."""
    if binary() is None:
        pytest.skip("no Chromium or Chrome is installed; `make browser` installs one")
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened
