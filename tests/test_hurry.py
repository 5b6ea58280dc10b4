"""HURRY's claims: what comes out, what is compared with what, and that every assumption can be made otherwise."""

from __future__ import annotations

import pytest

from crossloom.machines import load_machine
from crossloom.papers import hurry


def test_what_the_periphery_claims_say() -> None:
    """Utilization and ADC power come out; the area of an array with its periphery does not, and the note says by how much a flat ADC would help."""
    found = {claim.id: claim for claim in (*hurry._utilization(), *hurry._periphery(), hurry._movement())}
    assert [found[f"utilization-{size}"].verdict for size in (128, 256, 512)] == ["match"] * 3
    assert found["adc-power"].verdict == "match" and found["adc-power"].computed == pytest.approx(3.39, abs=0.01)
    assert found["array-area"].verdict == "miss" and "whose area does not grow" in found["array-area"].note
    assert found["movement"].verdict == "unverifiable"


def test_baselines_take_as_much_area() -> None:
    area = hurry.without_links(load_machine("hurry"))
    for name, machine in hurry.baselines().items():
        tiled = hurry.of_area(machine, area)
        tile = hurry.without_links(machine) / machine.count_of("tile")
        assert abs(hurry.without_links(tiled) - area) <= tile, name


def test_ratios_follow_from_programs() -> None:
    """Ratios are those of throughput, energy and throughput over area, on HURRY's area."""
    area = hurry.without_links(load_machine("hurry"))
    ours = hurry.figures(hurry.program("vgg16-cifar", "HURRY"))
    theirs = hurry.figures(hurry.program("vgg16-cifar", "ISAAC-512a", area_mm2=area))
    ratios = hurry._ratios("vgg16-cifar", area)
    assert ratios["ISAAC-512a"]["speed"] == ours.throughput / theirs.throughput > 1
    assert ratios["ISAAC-512a"]["energy"] == theirs.energy_j / ours.energy_j
    assert ratios["ISAAC-512a"]["area"] == pytest.approx(ratios["ISAAC-512a"]["speed"], rel=0.02)


@pytest.mark.parametrize("text", sorted(hurry.OTHERWISE))
def test_each_assumption_can_be_made_otherwise(text: str) -> None:
    """Settings fit the machines, and change what is compared; writing cells for less makes HURRY better and no slower."""
    ours, theirs = hurry.OTHERWISE[text]
    plain = hurry.figures(hurry.program("alexnet-cifar", "HURRY")), hurry.figures(hurry.program("alexnet-cifar", "ISAAC-128"))
    base = hurry._fewer_bits("ISAAC-128", theirs)
    found = hurry.figures(hurry.program("alexnet-cifar", "HURRY", ours)), hurry.figures(hurry.program("alexnet-cifar", "ISAAC-128", base))
    unchanged = text in ("unchanged", "digital residuals")  # AlexNet has no residuals
    assert (found == plain) == unchanged
    if text == "1 pJ to write a cell":
        assert found[0].energy_j < plain[0].energy_j and found[0].throughput == plain[0].throughput
