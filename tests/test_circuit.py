"""Crossbars as circuits: against the dense nodal equations, ngspice, published examples and the laws that any resistor network obeys."""

from __future__ import annotations

from itertools import product
from shutil import which
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from crossloom.circuit import Stack, Wires, ngspice, planar, solve, solve_curved, transfer
from crossloom.circuit.stack import bit_plane, word_plane
from crossloom.device import cell
from crossloom.device.iv import Ohmic, Sinh
from crossloom.errors import InputError

Joint = tuple[object, ...]
GROUND: Joint = ("ground",)


def segments(stack: Stack) -> list[tuple[Joint, Joint, float]]:
    """Return every piece of wire: its two nodes and its resistance."""
    wires, last = stack.wires, (stack.rows - 1, stack.columns - 1)
    found: list[tuple[Joint, Joint, float]] = []
    for p, i in product(range(stack.word_planes), range(stack.rows)):
        found.append((("v", p, i), ("w", p, i, 0), wires.lead_ohm))
        found += [(("w", p, i, j), ("w", p, i, j + 1), wires.word_ohm) for j in range(last[1])]
        if wires.word_ends == "both":
            found.append((("v", p, i), ("w", p, i, last[1]), wires.lead_ohm))
    for p, j in product(range(stack.bit_planes), range(stack.columns)):
        found.append((("b", p, last[0], j), GROUND, wires.foot_ohm))
        found += [(("b", p, i, j), ("b", p, i + 1, j), wires.bit_ohm) for i in range(last[0])]
        if wires.bit_ends == "both":
            found.append((("b", p, 0, j), GROUND, wires.foot_ohm))
    return found


class Merged:
    """Nodes that wires without resistance make one; sources and ground win."""

    def __init__(self, wires: list[tuple[Joint, Joint, float]]) -> None:
        self.same: dict[Joint, Joint] = {}
        for a, b, ohm in wires:
            one, other = self(a), self(b)
            if not ohm and one != other:
                fixed = other == GROUND or other[0] == "v"
                self.same[one if fixed else other] = other if fixed else one

    def __call__(self, node: Joint) -> Joint:
        while node in self.same:
            node = self.same[node]
        return node


def nodal(stack: Stack) -> Tensor:
    """Return T by the plain way: every node's current law in one dense system, ideal lines by merging their nodes."""
    wires = segments(stack)
    merged = Merged(wires)
    sources: list[Joint] = [("v", p, i) for p, i in product(range(stack.word_planes), range(stack.rows))]
    joints = [
        (("w", word_plane(k), i, j), ("b", bit_plane(k), i, j), float(stack.cells_s[k, i, j]))
        for k, i, j in product(range(stack.layers), range(stack.rows), range(stack.columns))
    ]
    links = [(merged(a), merged(b), g) for a, b, g in [*((a, b, 1 / ohm) for a, b, ohm in wires if ohm), *joints]]
    place = {name: k for k, name in enumerate(sorted({n for a, b, _ in links for n in (a, b)} - {GROUND} - set(sources), key=str))}
    matrix = torch.zeros(len(place), len(place), dtype=torch.float64)
    right = torch.zeros(len(place), len(sources), dtype=torch.float64)
    for a, b, g in links:
        for here, there in ((a, b), (b, a)):
            if here in place:
                matrix[place[here], place[here]] += g
                if there in place:
                    matrix[place[here], place[there]] -= g
                elif there != GROUND:
                    right[place[here], sources.index(there)] += g
    volts = torch.cat((torch.linalg.solve(matrix, right), torch.eye(len(sources), dtype=torch.float64), torch.zeros(1, len(sources))))
    known = place | {source: len(place) + k for k, source in enumerate(sources)} | {GROUND: len(volts) - 1}
    out = torch.zeros(stack.bit_planes, stack.columns, len(sources), dtype=torch.float64)
    for a, b, g in joints:
        out[b[1], b[3]] += g * (volts[known[merged(a)]] - volts[known[merged(b)]])
    return out.reshape(stack.bit_planes, stack.columns, stack.word_planes, stack.rows)


ohms = st.sampled_from([0.0, 0.5, 2.0, 100.0])
wires = st.builds(
    Wires,
    word_ohm=ohms,
    bit_ohm=ohms,
    source_ohm=ohms,
    sense_ohm=ohms,
    access_ohm=st.sampled_from([0.0, 1e3]),
    word_ends=st.sampled_from(["one", "both"]),
    bit_ends=st.sampled_from(["one", "both"]),
)


@st.composite
def stacks(draw: st.DrawFn, layers: int = 4) -> Stack:
    """Draw a small stack with ordinary, open and shorted cells."""
    shape = draw(st.integers(1, layers)), draw(st.integers(1, 5)), draw(st.integers(1, 5))
    exponents = draw(st.lists(st.sampled_from([-6.0, -5.3, -4.1, 0.0, None]), min_size=120, max_size=120))
    values = [0.0 if e is None else 10.0**e for e in exponents][: shape[0] * shape[1] * shape[2]]
    return Stack(torch.tensor(values, dtype=torch.float64).reshape(shape), draw(wires))


def close(have: Tensor, want: Tensor, tolerance: float = 1e-9) -> None:
    assert float((have - want).abs().max()) <= tolerance * float(want.abs().max()) + 1e-18


@settings(max_examples=80, deadline=None)
@given(stacks())
def test_transfer_is_the_nodal_solution(stack: Stack) -> None:
    close(transfer(stack), nodal(stack))


@settings(max_examples=60, deadline=None)
@given(stacks(), st.integers(0, 1000))
def test_solve_finds_the_same_currents_and_obeys_kirchhoff(stack: Stack, seed: int) -> None:
    voltages = torch.rand(stack.word_planes, stack.rows, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = solve(stack, voltages)
    close(found.output_a, torch.einsum("bjwi,wi->bj", transfer(stack), voltages), 1e-8)
    close(found.cell_a, stack.cells_s * found.cell_v, 1e-12)


@settings(max_examples=60, deadline=None)
@given(stacks(layers=1), st.integers(0, 1000))
def test_bit_lines_are_sources_as_word_lines_are(stack: Stack, seed: int) -> None:
    """Held bit lines alone are the turned crossbar's inputs, and what both kinds of sources do adds up."""
    rng = torch.Generator().manual_seed(seed)
    voltages, held = torch.rand(stack.rows, generator=rng, dtype=torch.float64), torch.rand(stack.columns, generator=rng, dtype=torch.float64)
    words, turned = solve(stack, voltages), solve(stack.turned(), held.flip(-1))
    found = solve(stack, voltages, held=held)
    close(found.cell_v, words.cell_v - turned.cell_v.mT.flip(-1, -2), 1e-8)
    close(found.output_a, words.output_a - turned.cell_a.mT.flip(-1, -2).sum(-2), 1e-8)
    close(found.cell_v, solve(stack, voltages + 1.0, held=held + 1.0).cell_v, 1e-8)


@settings(max_examples=30, deadline=None)
@given(stacks(), st.integers(0, 1000))
def test_equal_sources_leave_every_cell_without_voltage(stack: Stack, seed: int) -> None:
    """Bit lines of every plane are held: with all sources at one voltage nothing flows."""
    equal = torch.full((stack.word_planes, stack.rows), 0.7), torch.full((stack.bit_planes, stack.columns), 0.7)
    assert float(solve(stack, equal[0], held=equal[1]).cell_v.abs().max()) <= 1e-7


@settings(max_examples=40, deadline=None)
@given(stacks(layers=1))
def test_reciprocity(stack: Stack) -> None:
    """What column j draws for row i, row i draws for column j."""
    forward, backward = transfer(stack)[0, :, 0], transfer(stack.turned())[0, :, 0]
    close(forward, backward.mT.flip(-1, -2))


@settings(max_examples=40, deadline=None)
@given(stacks())
def test_wires_only_lose(stack: Stack) -> None:
    """No output exceeds the ideal one by more than what sneaks in: with equal inputs everywhere, none does at all."""
    ideal = transfer(Stack(stack.conductance_s, Wires(access_ohm=stack.wires.access_ohm)))
    equal = transfer(stack).sum((-1, -2))
    assert bool((equal <= ideal.sum((-1, -2)) * (1 + 1e-12) + 1e-18).all())
    assert bool((equal >= -1e-18).all())


def test_short_wires_are_the_ideal_product() -> None:
    g = 10 ** (torch.rand(12, 9, dtype=torch.float64) * 2 - 6)
    close(transfer(planar(g))[0, :, 0], g.mT, 1e-15)
    for ohm in (1e-3, 1e-6, 1e-9):
        close(transfer(planar(g, Wires(word_ohm=ohm, bit_ohm=ohm)))[0, :, 0], g.mT, 0.05 * ohm)


def test_published_example() -> None:
    """The README of badcrossbar (J. Open Source Software 2020): 3 x 5 devices, 0.5 ohm segments, third set of inputs."""
    ohm = torch.tensor([[345, 903, 755, 257, 646], [652, 401, 508, 166, 454], [442, 874, 190, 244, 635]], dtype=torch.float64)
    stack, inputs = planar(1 / ohm, Wires(word_ohm=0.5, bit_ohm=0.5)), torch.tensor([2.6, 1.1, 3.3])
    found = solve(stack, inputs)
    assert float(found.cell_a[0, 0, 3]) == pytest.approx(0.009856198, rel=1e-7)
    want = torch.tensor([16.499341, 9.253888, 22.471162, 29.380425, 11.366741], dtype=torch.float64) * 1e-3
    torch.testing.assert_close(found.output_a[0], want, rtol=1e-7, atol=0)
    torch.testing.assert_close(transfer(stack)[0, :, 0] @ inputs.double(), want, rtol=1e-7, atol=0)


@pytest.mark.parametrize(
    ("size", "ohm", "wire", "volts", "first", "last", "lowest"),
    [(64, 1e4, 1.0, 0.3, 1681.378e-6, 1420.921e-6, 0.21010), (128, 1e5, 2.5, 0.2, 225.070e-6, 189.921e-6, 0.14039)],
)
def test_uniform_arrays(size: int, ohm: float, wire: float, volts: float, first: float, last: float, lowest: float) -> None:
    stack = planar(torch.full((size, size), 1 / ohm, dtype=torch.float64), Wires(word_ohm=wire, bit_ohm=wire))
    found = solve(stack, torch.full((size,), volts, dtype=torch.float64))
    assert float(found.output_a[0, 0]) == pytest.approx(first, abs=5e-10)
    assert float(found.output_a[0, -1]) == pytest.approx(last, abs=5e-10)
    assert float(found.cell_v.min()) == pytest.approx(lowest, abs=5e-6)
    close(transfer(stack)[0, :, 0].sum(-1) * volts, found.output_a[0])


@pytest.mark.skipif(which("ngspice") is None, reason="ngspice is not installed")
@pytest.mark.parametrize("ohm", [0.0, 1.0, 20.0, 100.0])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 16, 40), (1, 33, 20), (2, 10, 10), (3, 7, 9)], ids=str)
def test_ngspice_agrees(shape: tuple[int, int, int], ohm: float) -> None:
    g = 10 ** (torch.rand(*shape, dtype=torch.float64) * 2 - 6)
    g[:, 1, 2], g[:, 2, 3], g[:, 3, :] = 0.0, 1e3, 0.0
    if shape == (1, 8, 8) and not ohm:
        g[:, 2, 3] = 1e-3
    stack = Stack(g, Wires(word_ohm=ohm, bit_ohm=ohm, source_ohm=50.0, sense_ohm=10.0))
    voltages = torch.rand(stack.word_planes, stack.rows, dtype=torch.float64)
    want = ngspice(stack, voltages)
    close(torch.einsum("bjwi,wi->bj", transfer(stack), voltages), want, 1e-6)
    close(solve(stack, voltages).output_a, want, 1e-6)


@pytest.mark.skipif(which("ngspice") is None, reason="ngspice is not installed")
def test_ngspice_agrees_on_64_by_64() -> None:
    stack = planar(10 ** (torch.rand(64, 64, dtype=torch.float64) * 2 - 6), Wires(word_ohm=2.5, bit_ohm=2.5))
    voltages = torch.rand(64, dtype=torch.float64)
    close(solve(stack, voltages).output_a, ngspice(stack, voltages), 1e-6)


@pytest.mark.skipif(which("ngspice") is None, reason="ngspice is not installed")
@pytest.mark.parametrize("ends", ["one", "both"])
@pytest.mark.parametrize("ohm", [0.0, 20.0])
@pytest.mark.parametrize("shape", [(1, 12, 9), (3, 7, 9)], ids=str)
def test_ngspice_agrees_on_held_bit_lines(shape: tuple[int, int, int], ohm: float, ends: Literal["one", "both"]) -> None:
    stack = Stack(10 ** (torch.rand(*shape, dtype=torch.float64) * 2 - 6), Wires(word_ohm=ohm, bit_ohm=ohm, sense_ohm=10.0, bit_ends=ends))
    voltages, held = torch.rand(stack.word_planes, stack.rows, dtype=torch.float64), torch.rand(stack.bit_planes, stack.columns, dtype=torch.float64)
    close(solve(stack, voltages, held=held).output_a, ngspice(stack, voltages, held=held), 1e-6)
    low = 0.3 * voltages, 0.3 * held  # SPICE does not converge where exponents are large
    close(solve_curved(stack, LAWS["sinh"], low[0], held=low[1]).output_a, ngspice(stack, low[0], LAWS["sinh"], held=low[1]), 1e-6)


LAWS = {"sinh": Sinh(0.1), "steep": Sinh(0.03), "milo": cell("milo-hfo2").iv}


@pytest.mark.parametrize("access", [0.0, 2e3])
@pytest.mark.parametrize("name", LAWS)
def test_curved_cells_obey_kirchhoff(name: str, access: float) -> None:
    """Currents into every node add up to nothing, with the law's own currents."""
    stack = Stack(50e-6 + 150e-6 * torch.rand(2, 9, 7, dtype=torch.float64), Wires(word_ohm=5.0, bit_ohm=8.0, source_ohm=20.0, access_ohm=access))
    inputs = torch.rand(2, 9, dtype=torch.float64) * 0.4
    found = solve_curved(stack, LAWS[name], inputs)
    segment = (found.word_v[..., :-1] - found.word_v[..., 1:]) / 5.0
    lead = (inputs[..., None] - found.word_v[..., :1]) / 25.0
    flow = torch.cat((lead, segment, torch.zeros_like(lead)), -1)
    taken = torch.stack((found.cell_a[0], found.cell_a[1]))
    close(flow[..., :-1] - flow[..., 1:], taken, 1e-7)
    inner = found.cell_v - access * found.cell_a
    close(found.cell_a, LAWS[name].current_a(stack.conductance_s, inner), 1e-8)


@pytest.mark.skipif(which("ngspice") is None, reason="ngspice is not installed")
@pytest.mark.parametrize("access", [0.0, 2e3])
@pytest.mark.parametrize("name", LAWS)
def test_ngspice_agrees_on_curved_cells(name: str, access: float) -> None:
    stack = planar(50e-6 + 150e-6 * torch.rand(8, 6, dtype=torch.float64), Wires(word_ohm=5.0, bit_ohm=5.0, access_ohm=access))
    inputs = torch.rand(8, dtype=torch.float64) * 0.3
    close(solve_curved(stack, LAWS[name], inputs).output_a, ngspice(stack, inputs, LAWS[name]), 1e-6)


def test_a_straight_law_is_the_ohmic_solution() -> None:
    stack = planar(10 ** (torch.rand(12, 9, dtype=torch.float64) * 2 - 6), Wires(word_ohm=5.0, bit_ohm=5.0, access_ohm=1e3))
    inputs = torch.rand(12, dtype=torch.float64)
    close(solve_curved(stack, Ohmic(), inputs).output_a, solve(stack, inputs).output_a, 1e-9)


@pytest.mark.parametrize(
    "wires",
    [
        Wires(word_ohm=5.0, bit_ohm=3.0, bit_ends="both"),
        Wires(word_ohm=5.0, sense_ohm=3.0),
        Wires(bit_ohm=3.0, access_ohm=1e3),
        Wires(source_ohm=9.0),
    ],
    ids=["both ends", "no bit wires", "no word wires", "drivers alone"],
)
def test_gradients(wires: Wires) -> None:
    g = (10 ** (torch.rand(2, 4, 3, dtype=torch.float64) * 2 - 6)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: transfer(Stack(x * 1e-4, wires)), (g * 1e4,), eps=1e-6, atol=1e-8)


def test_batches_are_tiles_one_by_one() -> None:
    g = 10 ** (torch.rand(3, 2, 1, 6, 5, dtype=torch.float64) * 2 - 6)
    wires = Wires(word_ohm=4.0, bit_ohm=4.0)
    together = transfer(Stack(g, wires))
    assert together.shape == (3, 2, 1, 5, 1, 6)
    for a in range(3):
        for b in range(2):
            close(together[a, b], transfer(Stack(g[a, b], wires)), 1e-14)


def test_shorted_lines_do_not_underflow() -> None:
    """Voltage falls by a factor at every shorted cell; after a few hundred of them the product of the factors is no number any more."""
    stack = planar(torch.full((2, 400), 100.0, dtype=torch.float64), Wires(word_ohm=1.0, bit_ohm=1.0))
    found = transfer(Stack(stack.conductance_s.expand(1, 2, 400), stack.wires))
    assert bool(torch.isfinite(found).all())
    tall = transfer(planar(stack.conductance_s[0].mT.contiguous(), stack.wires))
    assert bool(torch.isfinite(tall).all())


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Wires(word_ohm=-1.0), "word_ohm must be at least 0"),
        (lambda: Wires(bit_ends="left"), "bit_ends must be one or both"),  # type: ignore[arg-type]
        (lambda: planar(torch.tensor([[1.0, float("nan")]])), "finite and not negative"),
        (lambda: Stack(torch.ones(3, 3)), r"conductances of a stack must have shape \(..., layers, rows, columns\)"),
        (lambda: solve(planar(torch.ones(2, 2)), torch.ones(3)), r"of shape \(1, 2\)"),
        (lambda: solve(planar(torch.ones(2, 2)), torch.ones(2), held=torch.ones(3)), r"hold bit lines must be finite and of shape \(1, 2\)"),
        (lambda: solve(planar(torch.ones(4, 2, 2)), torch.ones(2)), "one tile at a time"),
    ],
)
def test_wrong_circuits(make, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        make()
